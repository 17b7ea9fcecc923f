"""A peer that offends again and again is cut off, and its offences stop filling the log."""

from plora.gate import Policy, Trust
from plora.node.core.config import CoreConfig
from plora.node.core.effects import CutOff, Effect, Emit, HangUp
from plora.node.core.events import LinkClosed, LinkOpened, Received, Start
from plora.node.core.messages import Chunk, Hello, Welcome
from plora.node.core.now import Now
from plora.node.core.patience import PENALTIES_PER_LINK_MAX, SUBJECTS_MAX, Patience
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.proto.records import Penalty

OFFENDER, OTHER = "ab" * 32, "cd" * 32
HELLO = Hello((1,), (), "11" * 32, "33" * 16, 1_790_000_000_000 // 86_400_000)


NOW = Now(0, 0)
CUT = CutOff(OFFENDER, 30_000 * 1_000_000)


def offence(peer: str = OFFENDER) -> list[Effect]:
    return [Emit(Penalty(peer, "bad_want"))]


def test_the_last_allowed_offence_cuts_the_peer_off_and_later_ones_are_not_recorded() -> None:
    patience = Patience(lambda peer, now: 30_000)
    before = [patience.watch(Start(), offence(), NOW) for _ in range(PENALTIES_PER_LINK_MAX - 1)]
    assert all(effects == offence() for effects in before)
    assert patience.watch(Start(), offence(), NOW) == [*offence(), HangUp(OFFENDER, "too many offences"), CUT]
    assert patience.watch(Start(), offence(), NOW) == []
    assert patience.watch(Start(), offence(OTHER), NOW) == offence(OTHER)


def test_what_nobody_honest_sends_cuts_its_peer_off_at_once() -> None:
    patience = Patience(lambda peer, now: 30_000)
    bad: list[Effect] = [Emit(Penalty(OFFENDER, "bad_chunk"))]
    assert patience.watch(Start(), bad, NOW) == [*bad, HangUp(OFFENDER, "bad_chunk"), CUT]
    assert patience.watch(Start(), bad, NOW) == []


def test_a_new_link_starts_at_zero() -> None:
    patience = Patience(lambda peer, now: 30_000)
    for _ in range(PENALTIES_PER_LINK_MAX):
        patience.watch(Start(), offence(), NOW)
    assert patience.watch(LinkClosed(OFFENDER, "gone"), [], NOW) == []
    assert patience.watch(Start(), offence(), NOW) == offence()


def test_counts_of_many_subjects_are_bounded() -> None:
    patience = Patience(lambda peer, now: 30_000)
    for number in range(2 * SUBJECTS_MAX):
        patience.watch(Start(), offence(f"{number:064x}"), NOW)
    assert len(patience._counts) == SUBJECTS_MAX


def test_a_flood_of_chunks_that_nobody_asked_for_ends_the_link() -> None:
    config = CoreConfig(peer="ee" * 32, swarm="11" * 32, boot="22" * 16)
    core = PeerCore(config, Policy(), Trust(), Snapshot())
    now = Now(mono_ns=1, wall_ms=1_790_000_000_000)
    for event in (Start(), LinkOpened(OFFENDER, False), Received(OFFENDER, HELLO), Received(OFFENDER, Welcome(1))):
        core.handle(event, now)
    effects = [e for i in range(200) for e in core.handle(Received(OFFENDER, Chunk("77" * 32, i, b"x")), now)]
    assert sum(isinstance(e, Emit) and isinstance(e.body, Penalty) for e in effects) == 1
    assert [e for e in effects if isinstance(e, HangUp)] == [HangUp(OFFENDER, "unrequested_chunk")]
    assert any(isinstance(e, CutOff) and e.peer == OFFENDER for e in effects)
