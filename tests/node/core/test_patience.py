"""A peer that offends again and again is cut off, and its offences stop filling the log."""

from plora.gate import Policy, Trust
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Effect, Emit, HangUp
from plora.node.core.events import LinkClosed, LinkOpened, Received, Start
from plora.node.core.messages import Chunk, Hello, Welcome
from plora.node.core.now import Now
from plora.node.core.patience import PENALTIES_PER_LINK_MAX, Patience
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.proto.records import Penalty

OFFENDER, OTHER = "ab" * 32, "cd" * 32
HELLO = Hello((1,), (), "11" * 32, "33" * 16, 1_790_000_000_000 // 86_400_000)


def offence(peer: str = OFFENDER) -> list[Effect]:
    return [Emit(Penalty(peer, "unrequested_chunk"))]


def test_the_last_allowed_offence_cuts_the_link_and_later_ones_are_not_recorded() -> None:
    patience = Patience()
    before = [patience.watch(Start(), offence()) for _ in range(PENALTIES_PER_LINK_MAX - 1)]
    assert all(effects == offence() for effects in before)
    assert patience.watch(Start(), offence()) == [*offence(), HangUp(OFFENDER, "too many offences")]
    assert patience.watch(Start(), offence()) == []
    assert patience.watch(Start(), offence(OTHER)) == offence(OTHER)


def test_a_new_link_starts_at_zero() -> None:
    patience = Patience()
    for _ in range(PENALTIES_PER_LINK_MAX):
        patience.watch(Start(), offence())
    assert patience.watch(LinkClosed(OFFENDER, "gone"), []) == []
    assert patience.watch(Start(), offence()) == offence()


def test_a_flood_of_chunks_that_nobody_asked_for_ends_the_link() -> None:
    config = CoreConfig(peer="ee" * 32, swarm="11" * 32, boot="22" * 16)
    core = PeerCore(config, Policy(), Trust(), Snapshot())
    now = Now(mono_ns=1, wall_ms=1_790_000_000_000)
    for event in (Start(), LinkOpened(OFFENDER, False), Received(OFFENDER, HELLO), Received(OFFENDER, Welcome(1))):
        core.handle(event, now)
    effects = [e for i in range(200) for e in core.handle(Received(OFFENDER, Chunk("77" * 32, i, b"x")), now)]
    assert sum(isinstance(e, Emit) and isinstance(e.body, Penalty) for e in effects) == PENALTIES_PER_LINK_MAX
    assert [e for e in effects if isinstance(e, HangUp)] == [HangUp(OFFENDER, "too many offences")]
