"""Which statements belong to a case, which plasmids a statement touches, and that none outlives its use."""

from __future__ import annotations

import gc
import weakref

import pytest

from plora.gate import BaseFacts
from plora.gate.consensus import vote_of
from plora.node.core.docket import Docket, owner_speaking
from plora.node.core.messages import Carried
from plora.node.gossip.parcels import arrival_order
from plora.node.gossip.rows import statement_row
from plora.proto.dsse import StatementKind
from plora.proto.payloads import OwnerKey, OwnerRecord
from plora.proto.statement import Statement, sign_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.swarm import SWARM_ID

ADA, BOB, CYD = (make_owner(name, SWARM_ID) for name in ("ada", "bob", "cyd"))
V1, V2 = (make_plasmid(ADA, "legal", tiny_adapter(number), version=number) for number in (1, 2))
OTHER = make_plasmid(BOB, "medical", tiny_adapter(3))
FOREIGN = Statement("application/x-new", b'{"swarm":"x"}', "ab" * 32, "Ed25519", b"s")


def docket(*statements: Statement) -> Docket:
    made = Docket(SWARM_ID)
    for statement in statements:
        made.add(statement)
    return made


def test_a_case_holds_what_is_known_of_its_owners() -> None:
    vouch = attest(CYD, V1.content_id)
    made = docket(ADA.record, BOB.record, CYD.record, V1.statement, OTHER.statement, vouch)
    case = made.case(V1.content_id, WALL_START_MS, None)
    assert [statement for statement, _ in case.owner_records] == [ADA.record, CYD.record]
    assert [statement for statement, _ in case.attestations] == [vouch]
    assert (case.swarm, case.now_ms, case.newest_version, case.same_version) == (SWARM_ID, WALL_START_MS, 1, ())
    assert made.attesters(V1.content_id) == (CYD.id,)


def test_versions_and_twins_of_one_series() -> None:
    twin = make_plasmid(ADA, "legal", tiny_adapter(9), version=2)
    case = docket(V1.statement, V2.statement, twin.statement, OTHER.statement).case(V2.content_id, 0, None)
    assert case.newest_version == 2 and case.same_version == (twin.content_id,)


def test_the_base_at_hand_is_part_of_the_case() -> None:
    facts = BaseFacts("mini", "cd" * 32)
    made = Docket(SWARM_ID, {"mini": facts})
    made.add(V1.statement)
    assert made.case(V1.content_id, 0, None).base is facts


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("content", V1.content_id.hex()),
        ("owner", ADA.id),
        ("owner", CYD.id),
        ("key", ADA.key.public.key_id),
        ("key", CYD.key.public.key_id),
    ],
)
def test_a_revocation_of_whoever_signed_belongs_to_the_case_and_touches_it(kind: str, target: str) -> None:
    made = docket(ADA.record, CYD.record, V1.statement, OTHER.statement, attest(CYD, V1.content_id))
    strike = revoke(ADA, kind, target)
    made.add(strike)
    assert made.touched_by(strike) == [V1.content_id]
    assert [statement for statement, _ in made.case(V1.content_id, 0, None).revocations] == [strike]
    assert made.case(OTHER.content_id, 0, None).revocations == ()


def test_a_case_holds_who_attests_its_records_and_revocations() -> None:
    strike = revoke(ADA, "owner", ADA.id)
    for_record, for_strike, elsewhere = attest(ADA, ADA.record.id), attest(ADA, strike.id), attest(ADA, BOB.record.id)
    made = docket(ADA.record, BOB.record, V1.statement, OTHER.statement, strike, for_record, for_strike, elsewhere)
    case = made.case(V1.content_id, 0, None)
    assert [statement for statement, _ in case.attestations] == [for_record, for_strike]
    assert made.attesters(V1.content_id) == ()
    assert [statement for statement, _ in made.case(OTHER.content_id, 0, None).attestations] == [elsewhere]
    assert made.touched_by(for_strike) == [V1.content_id]
    assert made.touched_by(for_record) == [V1.content_id]


def test_who_is_touched() -> None:
    made = docket(ADA.record, BOB.record, V1.statement, V2.statement, OTHER.statement, attest(BOB, V1.content_id))
    assert made.touched_by(V1.statement) == [V1.content_id, V2.content_id]
    assert made.touched_by(ADA.record) == [V1.content_id, V2.content_id]
    assert made.touched_by(BOB.record) == [V1.content_id, OTHER.content_id]
    assert made.touched_by(attest(CYD, OTHER.content_id)) == [OTHER.content_id]
    assert made.touched_by(attest(CYD, ADA.record.id)) == [V1.content_id, V2.content_id]
    assert made.touched_by(attest(CYD, b"\x07" * 32)) == []
    assert made.touched_by(FOREIGN) == []


def test_what_was_dropped_is_forgotten() -> None:
    vouch, strike = attest(CYD, V1.content_id), revoke(ADA, "content", V1.content_id.hex())
    everything = (ADA.record, CYD.record, V1.statement, V2.statement, vouch, strike)
    made = docket(*everything)
    for statement in (V2.statement, vouch, strike, CYD.record):
        made.drop(statement)
    case = made.case(V1.content_id, 0, None)
    assert (case.newest_version, case.attestations, case.revocations) == (1, (), ())
    made.drop(V1.statement)
    made.drop(V1.statement)
    with pytest.raises(KeyError):
        made.case(V1.content_id, 0, None)
    made.drop(ADA.record)
    empty = Docket(SWARM_ID)
    assert made == empty


def test_an_unknown_kind_is_not_indexed() -> None:
    made = Docket(SWARM_ID)
    assert made.add(FOREIGN) is None
    made.drop(FOREIGN)
    assert made == Docket(SWARM_ID)


def rotated() -> Statement:
    """A second record of bob's, which lists ada's key beside his."""
    keys = tuple(OwnerKey.of(owner.key.public) for owner in (BOB, ADA))
    payload = OwnerRecord(
        swarm=SWARM_ID, issued="2026-01-01T00:00:00Z", key_id=BOB.key.public.key_id, name="bob", version=2,
        owner=BOB.id, previous=BOB.id, lineage=BOB.id, keys=keys, threshold=1,
    )  # fmt: skip
    return sign_statement(StatementKind.OWNER, payload, BOB.key)


def test_a_key_touches_all_owners_of_whose_records_one_lists_it() -> None:
    """Whoever revokes it, and whatever it signed itself: it may have signed a rotation of theirs."""
    made = docket(ADA.record, BOB.record, V1.statement, OTHER.statement)
    struck = revoke(CYD, "key", ADA.key.public.key_id)
    assert made.touched_by(struck) == [V1.content_id]
    made.add(rotated())
    assert made.touched_by(struck) == [V1.content_id, OTHER.content_id]
    assert made.listing(ADA.key.public.key_id) == (ADA.id, BOB.id)
    made.drop(rotated())
    assert made.touched_by(struck) == [V1.content_id]
    made.drop(ADA.record)
    assert made.listing(ADA.key.public.key_id) == () and made.keys_like(ADA.key.public.key_id) == []


def test_a_statement_that_was_looked_at_and_refused_is_let_go() -> None:
    """Whoever sends unsigned statements takes no room here."""
    fields = (b'{"version":7}', "ab" * 32, "Ed25519", b"s")
    statements = [Statement(kind, *fields) for kind in (*StatementKind, "application/x-new")]
    for statement in statements:
        arrival_order(Carried(statement, 1))
        statement_row(statement, 1)
        owner_speaking(statement)
        vote_of(statement)
    left = [weakref.ref(statement) for statement in statements]
    del statement, statements
    gc.collect()
    assert [one() for one in left] == [None] * len(left)
