"""What strangers say about a plasmid costs no judging, is kept and handed on, and counts once they are trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from plora.gate import Policy, Trust
from plora.node.core.config import CoreConfig
from plora.node.core.docket import owner_speaking
from plora.node.core.effects import Persist
from plora.node.core.events import Event, Persisted, PolicyChanged, Publish, Start
from plora.node.core.messages import Message
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.driver.library import STATEMENTS_MAX, CoreLibrary
from plora.node.store.snapshot import Snapshot
from plora.proto.statement import Statement
from plora.proto.wire import statement_from_pb
from plora.sim.clock import WALL_START_MS
from plora.sim.material import attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.swarm import SWARM_ID
from plora.v1 import peer_pb2 as pb

ADA, BOB, EVE = (make_owner(name, SWARM_ID) for name in ("ada", "bob", "eve"))
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
POLICY = Policy(quorum_required=2)
NOW = Now(1, WALL_START_MS)
STRANGE = [EVE.record, attest(EVE, LEGAL.content_id), revoke(EVE, "content", LEGAL.content_id.hex())]


def run(core: PeerCore, *events: Event) -> None:
    queue: list[Any] = list(events)
    while queue:
        queue += [Persisted(one.token) for one in core.handle(queue.pop(0), NOW) if isinstance(one, Persist)]


@pytest.fixture
def core() -> PeerCore:
    trust = Trust(owners=(ADA.trusted, BOB.trusted))
    core = PeerCore(CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="01" * 16), POLICY, trust, Snapshot())
    run(core, Start(), Publish((ADA.record, BOB.record, EVE.record, LEGAL.statement)))
    return core


@pytest.mark.parametrize("statement", STRANGE, ids=["record", "attestation", "revocation"])
def test_a_strangers_word_does_not_have_it_judged_again(core: PeerCore, statement: Statement) -> None:
    plasmid = core.desk.book.live[LEGAL.content_id]
    before = plasmid.verdict
    run(core, Publish((statement,)))
    assert statement in core.gossip.live()
    assert plasmid.verdict is before
    assert owner_speaking(statement) == EVE.id


def test_a_trusted_owners_word_does(core: PeerCore) -> None:
    plasmid = core.desk.book.live[LEGAL.content_id]
    assert plasmid.verdict is not None and plasmid.verdict.reason == "below_quorum"
    run(core, Publish((attest(BOB, LEGAL.content_id),)))
    assert plasmid.verdict.reason == "bytes_missing"
    run(core, Publish((revoke(ADA, "content", LEGAL.content_id.hex()),)))
    assert plasmid.verdict.reason == "revoked_content"
    assert owner_speaking(LEGAL.statement) is None


def test_a_strangers_word_counts_once_they_are_trusted(core: PeerCore) -> None:
    run(core, Publish((attest(EVE, LEGAL.content_id),)))
    run(core, PolicyChanged(POLICY, Trust(owners=(ADA.trusted, EVE.trusted))))
    verdict = core.desk.book.live[LEGAL.content_id].verdict
    assert verdict is not None and verdict.reason == "bytes_missing"


class NoDriver:
    """Statements are read without one."""

    def answer_call(self, caller: str, take: Callable[[Message], None]) -> None:
        raise AssertionError(caller)

    def forget_call(self, caller: str) -> None:
        raise AssertionError(caller)

    def handle(self, event: Event) -> None:
        raise AssertionError(event)


def asked(core: PeerCore, ids: Iterable[bytes], about: Iterable[bytes] = ()) -> list[Statement]:
    reply = CoreLibrary(core, NoDriver()).get_statements(pb.GetStatementsRequest(ids=ids, about=about))
    return [statement_from_pb(one) for one in reply.statements]


def test_statements_are_found_by_id_and_by_what_they_are_about(core: PeerCore) -> None:
    said = [attest(BOB, LEGAL.content_id), revoke(EVE, "content", LEGAL.content_id.hex())]
    run(core, Publish(tuple(said)))
    assert asked(core, [LEGAL.content_id, bytes(32), LEGAL.content_id]) == [LEGAL.statement]
    assert asked(core, [], [LEGAL.content_id]) == said
    assert asked(core, [ADA.record.id], [LEGAL.content_id, bytes(32)]) == [ADA.record, *said]


def test_an_answer_is_bounded(core: PeerCore) -> None:
    owners = [make_owner(f"o{number}", SWARM_ID) for number in range(STATEMENTS_MAX + 1)]
    run(core, Publish((*(one.record for one in owners), *(attest(one, LEGAL.content_id) for one in owners))))
    assert len(asked(core, [], [LEGAL.content_id])) == STATEMENTS_MAX
