"""Who may enter the seen set, what lives in it on which day, and that order of arrival doesn't matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.node.core.config import Bounds
from plora.node.core.messages import FRAME_BYTES_MAX
from plora.node.gossip.entries import Entry, entry_of
from plora.node.gossip.parcels import frames
from plora.node.gossip.seen import Dropped, Entrance, SeenSet
from plora.proto.canonical import canonical_bytes
from plora.proto.dsse import StatementKind, pae
from plora.proto.fields import format_timestamp
from plora.proto.payloads import Freshness, OwnerKey, OwnerRecord
from plora.proto.statement import Statement, sign_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import ISSUED_S, Owner, attest, make_owner, make_plasmid, revoke

SWARM = "ab" * 32
TODAY = WALL_START_MS // 86_400_000
ADA, BEN = make_owner("ada", SWARM), make_owner("ben", SWARM)
DATA = bytes(2048)
DAY_S = 86_400


def plasmid(version: int = 1, name: str = "legal", owner: Owner = ADA, **more: int | str) -> Statement:
    return make_plasmid(owner, name, DATA, version=version, **more).statement  # type: ignore[arg-type]


def fresh(version: int, later_s: int = 0, days: int = 10) -> Statement:
    payload = Freshness(
        swarm=SWARM,
        issued=format_timestamp(ISSUED_S + later_s),
        key_id=ADA.key.public.key_id,
        owner=ADA.id,
        trust_version=version,
        revocation_root="00" * 32,
        audit_head="00" * 32,
        expires=format_timestamp(ISSUED_S + days * DAY_S),
    )
    return sign_statement(StatementKind.FRESHNESS, payload, ADA.key)


def opaque(**more: str) -> Statement:
    kind = "application/vnd.plora.rumour.v9+json"
    body = {"swarm": SWARM, "owner": ADA.id, "key_id": ADA.key.public.key_id, "issued": "2026-01-01T00:00:00Z"} | more
    payload = canonical_bytes(body)
    return Statement(kind, payload, ADA.key.public.key_id, "Ed25519", ADA.key.sign(pae(kind, payload)))


def rotation() -> Statement:
    both = (OwnerKey.of(ADA.key.public), OwnerKey.of(make_owner("new", SWARM).key.public))
    payload = OwnerRecord(
        swarm=SWARM,
        issued=format_timestamp(ISSUED_S),
        key_id=ADA.key.public.key_id,
        owner=ADA.id,
        previous=ADA.id,
        name="ada",
        version=2,
        keys=both,
        threshold=1,
    )
    return sign_statement(StatementKind.OWNER, payload, ADA.key)


def empty(**bounds: int) -> SeenSet:
    seen = SeenSet(SWARM, Bounds(**bounds))
    assert seen.turn(TODAY) == []
    return seen


def take(seen: SeenSet, *statements: Statement) -> list[Dropped]:
    """Admit and commit each; all must be admitted."""
    dropped = []
    for statement in statements:
        admission = seen.admit(statement)
        assert admission.entry is not None, admission
        dropped += seen.commit(admission.entry)
    return dropped


def filled(*statements: Statement, **bounds: int) -> SeenSet:
    seen = empty(**bounds)
    take(seen, ADA.record, *statements)
    return seen


def ids(seen: SeenSet) -> set[bytes]:
    return {entry.id for entry in seen.entries()}


def test_a_first_owner_record_brings_its_own_key() -> None:
    seen = filled(plasmid())
    assert ids(seen) == {ADA.record.id, plasmid().id}
    assert list(seen.view(TODAY)) == list(seen.view(TODAY - 1))


@pytest.mark.parametrize("signer", [0, 1])
def test_a_first_record_of_several_keys_is_verified_by_the_one_that_it_names(signer: int) -> None:
    keys = (ADA.key, BEN.key)
    payload = OwnerRecord(
        swarm=SWARM,
        issued=format_timestamp(ISSUED_S),
        key_id=keys[signer].public.key_id,
        name="both",
        version=1,
        keys=tuple(OwnerKey.of(key.public) for key in keys),
        threshold=1,
    )
    record = sign_statement(StatementKind.OWNER, payload, keys[signer])
    take(empty(), record)
    spoilt = replace(record, signature=bytes(64))
    assert empty().admit(spoilt).entrance is Entrance.FORGED


def test_a_rotated_key_may_sign_once_its_record_is_seen() -> None:
    stranger = make_owner("new", SWARM)
    claimed = plasmid(owner=Owner("ada", SWARM, stranger.key, ADA.record))
    seen = filled()
    assert seen.admit(claimed).entrance is Entrance.ORPHAN
    take(seen, rotation(), claimed)
    assert claimed.id in seen


def test_a_stranger_can_not_add_records_to_an_owner() -> None:
    stranger = make_owner("mallory", SWARM)
    payload = OwnerRecord(
        swarm=SWARM,
        issued=format_timestamp(ISSUED_S),
        key_id=stranger.key.public.key_id,
        owner=ADA.id,
        previous=ADA.id,
        name="ada",
        version=2,
        keys=(OwnerKey.of(stranger.key.public),),
        threshold=1,
    )
    forged = sign_statement(StatementKind.OWNER, payload, stranger.key)
    seen = filled()
    assert seen.admit(forged).entrance is Entrance.ORPHAN
    assert forged.id not in seen


@pytest.mark.parametrize("about", ["a manifest", "an attestation", "a revocation"])
def test_a_known_key_speaks_for_its_own_owner_only(about: str) -> None:
    """Ada's key under Ben's name: both are known, and it is neither's word."""
    seen = filled(BEN.record)
    liar = replace(BEN, key=ADA.key)
    claim = {
        "a manifest": plasmid(owner=liar),
        "an attestation": attest(liar, ADA.record.id),
        "a revocation": revoke(liar, "owner", BEN.id),
    }[about]
    admission = seen.admit(claim)
    assert (admission.entrance, admission.reason, admission.entry) == (Entrance.ORPHAN, "unknown key", None)


def test_orphans_name_what_is_missing_and_are_not_remembered() -> None:
    seen = empty()
    assert seen.admit(plasmid()).missing == ADA.record.id
    take(seen, ADA.record)
    assert seen.admit(attest(ADA, plasmid().id)).missing == plasmid().id
    take(seen, plasmid(), attest(ADA, plasmid().id))
    assert len(seen) == 3


def test_a_bad_signature_is_forged_but_its_id_stays_welcome() -> None:
    seen = filled()
    forged = replace(plasmid(), signature=bytes(64))
    assert seen.admit(forged).entrance is Entrance.FORGED
    assert seen.wanted(plasmid().id)
    take(seen, plasmid())


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (make_owner("ada", "cd" * 32).record, "wrong_swarm"),
        (opaque(swarm="xx"), "malformed"),
        (opaque(owner="xx"), "malformed"),
        (opaque(issued="yesterday"), "malformed"),
        (opaque(issued="1969-12-31T23:59:59Z"), "malformed"),
        (replace(ADA.record, payload=b"{}"), "malformed"),
    ],
)
def test_what_nobody_honest_sends_is_forged(statement: Statement, reason: str) -> None:
    seen = filled()
    first = seen.admit(statement)
    assert (first.entrance, first.reason) == (Entrance.FORGED, reason)
    assert seen.wanted(statement.id) == (reason == "malformed")  # an envelope may be at fault, a swarm may not


def test_duplicates_also_while_staged() -> None:
    seen = empty()
    admission = seen.admit(ADA.record)
    assert seen.admit(ADA.record).entrance is Entrance.DUPLICATE
    assert (len(seen), seen.staged) == (0, 1)
    assert admission.entry is not None
    seen.abandon(admission.entry)
    assert (seen.staged, seen.admit(ADA.record).entrance) == (0, Entrance.ADMITTED)


def test_what_could_not_be_stored_takes_no_place() -> None:
    seen = filled(statements_per_owner=1)
    for _ in range(3):
        entry = seen.admit(plasmid()).entry
        assert entry is not None
        seen.abandon(entry)
    take(seen, plasmid())


def test_the_newest_version_lives_whatever_came_first() -> None:
    first, second = plasmid(1), plasmid(2)
    seen = filled(first)
    assert [(each.entry.id, each.reason, each.by) for each in take(seen, second)] == [
        (first.id, "superseded", second.id)
    ]
    assert seen.admit(first).entrance is Entrance.REFUSED
    assert seen.wanted(first.id)  # it may live again when the newer one expired
    assert ids(seen) == {ADA.record.id, second.id}


def test_a_newer_version_that_expired_gives_way_day_by_day() -> None:
    old, new = plasmid(1), plasmid(2, life_s=DAY_S)
    last = entry_of(new).expires_day
    assert last is not None
    seen = filled(old)
    take(seen, new)
    assert seen.turn(last + 1) == []  # yesterday it lived, and a neighbour may still be there
    assert new.id in seen
    take(seen, old)
    today, yesterday = ({key[4:] for key in seen.view(day)} for day in (last + 1, last))
    assert (today - yesterday, yesterday - today) == ({old.id}, {new.id})
    assert [(each.entry.id, each.reason) for each in seen.turn(last + 2)] == [(new.id, "expired")]
    assert ids(seen) == {ADA.record.id, old.id}


def test_a_version_that_expired_yesterday_is_still_superseded_not_expired() -> None:
    old = plasmid(1, life_s=DAY_S)
    seen, last = filled(old), entry_of(old).expires_day
    assert last is not None
    assert seen.turn(last + 1) == []
    assert [(each.entry.id, each.reason) for each in take(seen, plasmid(2))] == [(old.id, "superseded")]


def test_a_statement_may_be_as_old_as_1970() -> None:
    first = opaque(issued="1970-01-01T00:00:00Z")
    assert first.id in ids(filled(first))


def test_only_the_two_smallest_contents_of_a_version_stay() -> None:
    contents = sorted((plasmid(domain=f"d{number}") for number in range(4)), key=lambda each: each.id)
    for order in permutations(contents):
        seen = filled()
        for statement in order:
            admission = seen.admit(statement)
            if admission.entry is not None:
                seen.commit(admission.entry)
        assert ids(seen) == {ADA.record.id, contents[0].id, contents[1].id}


def test_what_depends_on_a_statement_goes_with_it_and_revocations_stay() -> None:
    cosigned = attest(ADA, plasmid().id)
    of_it = attest(ADA, cosigned.id)
    strike = revoke(ADA, "content", plasmid().id.hex())
    seen = filled(plasmid(), cosigned, of_it, strike)
    dropped = take(seen, plasmid(2))
    assert {each.entry.id for each in dropped} == {plasmid().id, cosigned.id, of_it.id}
    assert {each.reason for each in dropped} == {"superseded"}
    assert ids(seen) == {ADA.record.id, plasmid(2).id, strike.id}
    assert len(seen.view(TODAY)) == 3


def test_freshness_is_kept_beside_the_set_newest_of_each_key() -> None:
    seen = filled()
    root = seen.view(TODAY).root()
    take(seen, fresh(1))
    assert [each.reason for each in take(seen, fresh(2, later_s=60))] == ["superseded"]
    assert seen.admit(fresh(1)).entrance is Entrance.REFUSED
    assert [entry.id for entry in seen.freshness()] == [fresh(2, later_s=60).id]
    assert seen.view(TODAY).root() == root
    assert [each.reason for each in seen.turn(TODAY + 12)] == ["expired"]
    assert seen.freshness() == ()


def test_unknown_kinds_are_relayed_when_their_key_is_known() -> None:
    assert empty().admit(opaque()).entrance is Entrance.ORPHAN
    seen = filled(opaque())
    assert opaque().id in seen
    assert seen.admit(replace(opaque(note="x"), signature=b"no")).entrance is Entrance.FORGED


def test_a_full_owner_can_still_supersede_and_revoke() -> None:
    seen = filled(plasmid(name="a"), plasmid(name="b"), statements_per_owner=2)
    refused = seen.admit(plasmid(name="c"))
    assert (refused.entrance, refused.reason) == (Entrance.REFUSED, "statements_per_owner")
    assert not seen.wanted(plasmid(name="c").id)
    assert len(take(seen, plasmid(2, name="a"))) == 1
    take(seen, revoke(ADA, "owner", ADA.id))
    assert len(seen) == 4
    take(seen, BEN.record)  # others have their own count


def test_refused_owners_take_their_statements_with_them() -> None:
    seen = filled(untrusted_owners=1)
    assert seen.admit(BEN.record).reason == "untrusted_owners"
    theirs = plasmid(owner=BEN)
    assert seen.admit(theirs).entrance is Entrance.REFUSED  # else it would be an orphan for ever
    seen.trust([BEN.id])
    take(seen, BEN.record, theirs)
    assert seen.admit(make_owner("cleo", SWARM).record).reason == "untrusted_owners"


def test_a_bound_that_is_lowered_below_what_is_held_lets_nothing_further_in() -> None:
    seen = filled(plasmid(name="a"), plasmid(name="b"), plasmid(name="c"))
    take(seen, BEN.record)
    seen.limit(Bounds(untrusted_owners=1, statements_per_owner=2))
    assert seen.admit(make_owner("cleo", SWARM).record).reason == "untrusted_owners"
    assert seen.admit(plasmid(name="d")).reason == "statements_per_owner"
    take(seen, plasmid(2, name="a"))
    take(seen, plasmid(owner=BEN))


def test_what_depends_on_a_refused_statement_is_refused_for_the_same_bound() -> None:
    seen = filled(plasmid(name="a"), statements_per_owner=1)
    take(seen, BEN.record)
    refused = plasmid(name="b")
    assert seen.admit(refused).reason == "statements_per_owner"
    cosigned = attest(BEN, refused.id)
    admission = seen.admit(cosigned)
    assert (admission.entrance, admission.reason) == (Entrance.REFUSED, "statements_per_owner")
    assert not seen.wanted(cosigned.id)  # else its target would be asked for again and again


def test_what_was_loaded_counts_towards_the_bounds() -> None:
    before = filled(plasmid(name="a"), plasmid(name="b"), fresh(1))
    seen = SeenSet(SWARM, Bounds(statements_per_owner=4, untrusted_owners=1))
    seen.load(before.entries())
    assert seen.turn(TODAY) == []
    take(seen, plasmid(name="c"))
    assert seen.admit(plasmid(name="d")).reason == "statements_per_owner"
    assert seen.admit(BEN.record).reason == "untrusted_owners"
    take(seen, plasmid(2, name="a"))


def test_nothing_lives_before_the_day_is_known() -> None:
    seen = SeenSet(SWARM, Bounds())
    seen.load(filled(plasmid()).entries())
    assert len(seen) == 2
    assert [len(seen.view(day)) for day in (0, TODAY)] == [0, 0]
    seen.turn(TODAY)
    assert len(seen.view(TODAY)) == 2


def test_the_memory_of_refusals_is_bounded_and_forgets_the_oldest() -> None:
    seen = filled(refused_ids=2)
    foreign = [make_owner(name, "cd" * 32).record for name in ("x", "y", "z")]
    for statement in foreign:
        seen.admit(statement)
    assert [seen.wanted(statement.id) for statement in foreign] == [True, False, False]


def test_a_bound_of_hundreds_of_refusals_holds_too() -> None:
    seen = filled(refused_ids=300)
    foreign = [opaque(swarm="cd" * 32, note=str(number)) for number in range(303)]
    for statement in foreign:
        seen.admit(statement)
    assert [seen.wanted(statement.id) for statement in foreign] == [True] * 3 + [False] * 300


def test_parcels_hold_at_most_64_statements_with_what_others_need_first() -> None:
    seen = filled(*(opaque(note=str(number)) for number in range(70)), plasmid())
    parcels = frames(reversed(list(seen.entries())))
    assert [len(items) for items in parcels] == [64, 8]
    assert [item.statement for item in parcels[0][:2]] == [ADA.record, plasmid()]


FRAME_ROOM = FRAME_BYTES_MAX - 320  # the envelope of a frame is less than 320 bytes, that of a statement too


def of_bytes(size: int, count: int) -> list[Entry]:
    """Entries that take `size` bytes each of a frame's room."""
    spare = size - 320 - len(opaque(note="00").payload) - len(opaque().signature)
    return [entry_of(opaque(note=f"{number:02}" + "x" * spare)) for number in range(count)]


@pytest.mark.parametrize(("more", "expected"), [(0, [8, 8, 4]), (1, [7, 7, 6])])
def test_every_parcel_is_filled_to_the_last_byte_and_no_further(more: int, expected: list[int]) -> None:
    assert [len(items) for items in frames(of_bytes(FRAME_ROOM // 8 + more, 20))] == expected


STORY = (
    *(ADA.record, BEN.record, rotation(), plasmid(1), plasmid(2, life_s=2 * DAY_S), plasmid(3, life_s=DAY_S)),
    *(plasmid(1, "med"), plasmid(1, "med", domain="other"), plasmid(1, owner=BEN), attest(BEN, plasmid(3).id)),
    *(attest(BEN, plasmid(1, "med").id), revoke(ADA, "key", ADA.key.public.key_id), opaque(), fresh(1)),
)


def offer_until_quiet(seen: SeenSet, statements: Sequence[Statement]) -> None:
    """What reconciliation does in the end: offer all, again and again, until nothing changes."""
    news = True
    while news:
        news = False
        for statement in statements:
            entry = seen.admit(statement).entry
            if entry is not None:
                seen.commit(entry)
                news = news or entry.id in seen


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(), days=st.integers(0, 4))
def test_live_depends_on_neither_order_nor_path(seed: int, days: int) -> None:
    walked, jumped = empty(), empty()
    for day in range(days + 1):
        walked.turn(TODAY + day)
        offer_until_quiet(walked, STORY)
    jumped.turn(TODAY + days)
    offer_until_quiet(jumped, Random(seed).sample(STORY, len(STORY)))
    for day in (TODAY + days - 1, TODAY + days):
        assert list(walked.view(day)) == list(jumped.view(day))
    reloaded = SeenSet(SWARM, Bounds())
    reloaded.load(walked.entries())
    reloaded.turn(TODAY + days)
    assert list(reloaded.view(TODAY + days)) == list(walked.view(TODAY + days))
    assert ids(reloaded) == ids(walked)
