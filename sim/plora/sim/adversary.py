"""What all members that break rules have in common: real cores whose frames are tampered with on their way out.

- Until `betrays_ns` of virtual time each behaves well. It is the class's, so that whoever makes a swarm takes a
  subclass that waits (`waiting`).
- A `Speaker` says statements past its own core, with every sign of life, to all neighbours or to one half of them.

Not handled here: which rules are broken (`adversaries`, `floods`, `crooks`, `liars`).

>>> waiting(Adversary, 5).betrays_ns, Adversary.betrays_ns
(5, 0)
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from plora.node.core.effects import Send
from plora.node.core.messages import HAVE_MAX, Carried, Heartbeat, Message, Push
from plora.proto.statement import Statement
from plora.sim.peer import SimPeer

Kind = TypeVar("Kind", bound="Adversary")


class Adversary(SimPeer):
    """Behaves well until `betrays_ns` of virtual time; then what it sends is what `tampered` makes of it."""

    betrays_ns: ClassVar[int] = 0

    @property
    def betraying(self) -> bool:
        """Whether it has begun."""
        return self._clock.mono_ns >= self.betrays_ns

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


def waiting(kind: type[Kind], betrays_ns: int) -> type[Kind]:
    """The same kind, behaving well until then."""
    return type(kind.__name__, (kind,), {"__doc__": kind.__doc__, "betrays_ns": betrays_ns})
