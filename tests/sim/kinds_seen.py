"""What honest peers hear of one that breaks rules, for kinds that leave no reason in anybody's log: `SEEN`, by kind.

Each looks at frames alone, and is false of a peer that does as all others do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from plora.gate.consensus import Membership, vote_of
from plora.node.core.effects import Effect, Send
from plora.node.core.events import Event, Received
from plora.node.core.messages import (
    WIRE_VERSION,
    Chunk,
    ChunkList,
    Have,
    Heartbeat,
    Hello,
    IHave,
    Message,
    Push,
    Reconcile,
    Want,
)
from plora.node.core.now import Now
from plora.proto.dsse import StatementKind
from plora.proto.payloads import Choice
from plora.proto.statement import Statement
from plora.sim.peer import SimPeer
from plora.sim.watcher import Watcher

LATE_SHARE = 0.5
"""Of the patience with a chunk."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame between an honest peer and the one that is looked at, when it was heard or sent."""

    peer: str
    message: Message
    mono_ns: int


@dataclass
class Heard:
    """All that honest peers heard of `suspects` and sent to them, while a watcher looks on as well.

    `begin_ns` is when they begin to break rules, if that is known.
    `keys` are the suspects' vote keys, `clean` the contents that a gate may accept."""

    watcher: Watcher
    suspects: frozenset[str]
    members: Membership | None
    stall_ns: float
    keys: frozenset[str]
    clean: frozenset[str]
    begin_ns: int = 0
    frames: list[Frame] = field(default_factory=list)
    asked: list[Frame] = field(default_factory=list)

    def saw(self, peer: SimPeer, event: Event, effects: list[Effect], now: Now) -> None:
        """What the watcher sees."""
        self.watcher.saw(peer, event, effects, now)
        if isinstance(event, Received) and event.peer in self.suspects:
            self.frames.append(Frame(peer.id, event.message, now.mono_ns))
        for effect in effects:
            if isinstance(effect, Send) and effect.peer in self.suspects:
                self.asked.append(Frame(peer.id, effect.message, now.mono_ns))

    def of(self, *kinds: type) -> list[Message]:
        """The frames of some kinds."""
        return [frame.message for frame in self.frames if isinstance(frame.message, kinds)]

    def statements(self, kind: StatementKind) -> Iterator[Statement]:
        """The statements of a kind that were passed on."""
        for message in self.of(Have, Push):
            items = message.items if isinstance(message, Have | Push) else ()
            yield from (item.statement for item in items if item.statement.kind == kind)

    def wants_chunks(self) -> list[Frame]:
        """When chunks were asked for."""
        return [one for one in self.asked if isinstance(one.message, Want) and one.message.chunks]


def withholds(heard: Heard) -> bool:
    """It answers reconciliations by nothing, and says nothing else."""
    since = [frame.message for frame in heard.frames if frame.mono_ns > heard.begin_ns]
    legs = [message.ranges for message in since if isinstance(message, Reconcile)]
    return bool(legs) and not any(legs) and not any(isinstance(message, Have | Push | IHave) for message in since)


def forges_lists(heard: Heard) -> bool:
    """A list of chunks that are nothing's."""
    lists = [message.hashes for message in heard.of(ChunkList) if isinstance(message, ChunkList)]
    return any(hashes and not any(map(any, hashes)) for hashes in lists)


def stalls(heard: Heard) -> bool:
    """It is asked for chunks, and sends none."""
    return bool(heard.wants_chunks()) and not heard.of(Chunk)


def trickles(heard: Heard) -> bool:
    """Every chunk comes late, and some do."""
    waits = [_wait(heard, frame) for frame in heard.frames if isinstance(frame.message, Chunk)]
    return bool(waits) and min(waits) > LATE_SHARE * heard.stall_ns


def replays(heard: Heard) -> bool:
    """It pushes one statement to one peer again and again."""
    pushed: Counter[tuple[str, bytes]] = Counter()
    for frame in heard.frames:
        if isinstance(frame.message, Push):
            pushed.update((frame.peer, item.statement.id) for item in frame.message.items)
    return max(pushed.values(), default=0) > 4


def speaks_the_first_release(heard: Heard) -> bool:
    """No clock, no features."""
    clocks = [message.wall_ms for message in heard.of(Heartbeat) if isinstance(message, Heartbeat)]
    hellos = [message for message in heard.of(Hello) if isinstance(message, Hello)]
    return bool(hellos) and not any(hello.features or hello.nickname for hello in hellos) and set(clocks) == {0}


def speaks_the_next_release(heard: Heard) -> bool:
    """A version that isn't there yet."""
    hellos = [message.versions for message in heard.of(Hello) if isinstance(message, Hello)]
    return bool(hellos) and all(WIRE_VERSION + 1 in versions for versions in hellos)


def accepts_what_no_gate_does(heard: Heard) -> bool:
    """An ACCEPT of its own for a content that isn't clean."""
    votes = [vote_of(one) for one in heard.statements(StatementKind.VOTE) if one.key_id in heard.keys]
    return any(vote and vote.choice is Choice.ACCEPT and vote.content not in heard.clean for vote in votes)


def accuses(heard: Heard) -> bool:
    """Evidence that it signed."""
    return any(one.key_id in heard.keys for one in heard.statements(StatementKind.EVIDENCE))


def votes_as_strangers(heard: Heard) -> bool:
    """Votes by keys of no member."""
    return bool(_voters(heard) - _keys(heard.members))


def passes_no_votes(heard: Heard) -> bool:
    """No vote at all, though it passes manifests on."""
    return not _voters(heard) and any(heard.statements(StatementKind.MANIFEST))


def passes_few_votes(heard: Heard) -> bool:
    """Votes of fewer than a quorum."""
    return heard.members is not None and 0 < len(_voters(heard)) < heard.members.quorum


SEEN: Mapping[str, Callable[[Heard], bool]] = {
    "withholder": withholds,
    "list-forger": forges_lists,
    "staller": stalls,
    "trickler": trickles,
    "replayer": replays,
    "elder": speaks_the_first_release,
    "newer": speaks_the_next_release,
    "yes-sayer": accepts_what_no_gate_does,
    "false-accuser": accuses,
    "stuffer": votes_as_strangers,
    "silencer": passes_no_votes,
    "half-passer": passes_few_votes,
}


def _wait(heard: Heard, frame: Frame) -> int:
    """How long a chunk took since it was asked for last."""
    asked = [one.mono_ns for one in heard.wants_chunks() if one.peer == frame.peer and one.mono_ns <= frame.mono_ns]
    return frame.mono_ns - max(asked)


def _voters(heard: Heard) -> set[str]:
    return {one.key_id for one in heard.statements(StatementKind.VOTE)}


def _keys(members: Membership | None) -> set[str]:
    return {member.key.key_id for member in members.members} if members else set()
