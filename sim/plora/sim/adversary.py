"""What all members that break rules have in common: real cores whose frames are tampered with on their way out.

- Until `betrays_ns` of virtual time each behaves well; from its class on, or until it is told to `betray`. A class that
  waits for that is `dormant`.
- `begin` is called when it betrays, and at each start after that.
- A `Speaker` says statements past its own core, with every sign of life, to all neighbours or to one half of them.

Not handled here: which rules are broken (`adversaries`, `floods`, `crooks`, `liars`).

>>> dormant(Adversary).betrays_ns == NEVER_NS, Adversary.betrays_ns
(True, 0)
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from plora.node.core.effects import Send
from plora.node.core.messages import HAVE_MAX, Carried, Heartbeat, Message, Push
from plora.proto.statement import Statement
from plora.sim.peer import SimPeer

NEVER_NS = 1 << 62

Kind = TypeVar("Kind", bound="Adversary")


class Adversary(SimPeer):
    """Behaves well until `betrays_ns` of virtual time; then what it sends is what `tampered` makes of it.

    One that `keeps_rules` is of another release, and must fare as all others do."""

    betrays_ns: int = 0
    keeps_rules: ClassVar[bool] = False

    @property
    def betraying(self) -> bool:
        """Whether it has begun."""
        return self._clock.mono_ns >= self.betrays_ns

    def boot(self) -> None:
        """Start as a peer does."""
        super().boot()
        if self.betraying:
            self.begin()

    def betray(self) -> None:
        """Break the rules from now on."""
        self.betrays_ns = self._clock.mono_ns
        if self.up:
            self.begin()

    def begin(self) -> None:
        """What it does once when the rules are broken."""

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """The frames to send in place of one."""
        return (message,)

    def _send(self, effect: Send) -> None:
        for message in self.tampered(effect.message) if self.betraying else (effect.message,):
            self._network.send(self.id, effect.peer, message)


class Speaker(Adversary):
    """Has words of its own, and repeats them with every sign of life."""

    def boot(self) -> None:
        """Start without a word."""
        self._words: list[tuple[Statement, int | None]] = []
        super().boot()

    def say(self, *statements: Statement, half: int | None = None) -> None:
        """Tell all neighbours from now on, or one half (0 or 1) of them, past one's own core."""
        self._words += [(statement, half) for statement in statements]

    def _send(self, effect: Send) -> None:
        super()._send(effect)
        words = self._meant_for(effect.peer) if isinstance(effect.message, Heartbeat) else []
        if words:
            self.send(effect.peer, Push(tuple(map(Carried, words[:HAVE_MAX]))))

    def _meant_for(self, peer: str) -> list[Statement]:
        half = self._half_of(peer)
        return [statement for statement, meant in self._words if meant in (None, half)]

    def _half_of(self, peer: str) -> int | None:
        near = sorted(neighbour.peer for neighbour in self.config.neighbours)
        return near.index(peer) % 2 if peer in near else None


def dormant(kind: type[Kind]) -> type[Kind]:
    """The same kind, behaving well until it is told to betray."""
    return type(kind.__name__, (kind,), {"__doc__": kind.__doc__, "betrays_ns": NEVER_NS})
