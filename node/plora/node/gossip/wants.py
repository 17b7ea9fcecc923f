"""Which statements were asked of whom: each id of one neighbour at a time, in a window, for a while.

Rules:

- At most `WINDOW` ids are asked of a neighbour at once, `IWANT_MAX` in a frame; more wait in line, within `queue_max`.
- An id asked of one neighbour isn't asked of another until it came, its neighbour is gone, or `patience_ns` ran out.
- Everything is forgotten with its link: the next reconciliation finds again what is still missing.

>>> wants = Wants(patience_ns=10, queue_max=100)
>>> wants.queue("ada", [b"1", b"2"]), wants.queue("bob", [b"2", b"3"])
(2, 2)
>>> wants.ask("ada", 0), wants.ask("bob", 0), wants.ask("bob", 11)
((b'1', b'2'), (b'3',), (b'2',))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from plora.node.core.messages import IWANT_MAX

WINDOW = 4 * IWANT_MAX


@dataclass(frozen=True, slots=True)
class _Asked:
    peer: str
    until_ns: int


@dataclass(slots=True)
class Wants:
    """The open questions of one peer. Dicts keep the order of arrival."""

    patience_ns: int
    queue_max: int
    _queues: dict[str, dict[bytes, None]] = field(default_factory=dict)
    _asked: dict[bytes, _Asked] = field(default_factory=dict)

    def queue(self, peer: str, ids: Iterable[bytes]) -> int:
        """Put ids in line for a neighbour; how many are in line now."""
        line = self._queues.setdefault(peer, {})
        for identity in ids:
            if len(line) >= self.queue_max:
                break
            line[identity] = None
        return len(line)

    def ask(self, peer: str, now_ns: int) -> tuple[bytes, ...]:
        """The ids of the next frame to a neighbour; empty when the window is full or nothing is in line."""
        self._give_up(now_ns)
        line = self._queues.get(peer, {})
        room = WINDOW - sum(asked.peer == peer for asked in self._asked.values())
        chosen = [identity for identity in line if identity not in self._asked][: max(0, min(room, IWANT_MAX))]
        for identity in chosen:
            del line[identity]
            self._asked[identity] = _Asked(peer, now_ns + self.patience_ns)
        return tuple(chosen)

    def came(self, identity: bytes) -> None:
        """An id needs to be asked no more."""
        self._asked.pop(identity, None)
        for line in self._queues.values():
            line.pop(identity, None)

    def lost(self, peer: str) -> None:
        """A neighbour is gone: what it was asked for may be asked of others."""
        self._queues.pop(peer, None)
        self._asked = {identity: asked for identity, asked in self._asked.items() if asked.peer != peer}

    def _give_up(self, now_ns: int) -> None:
        late = [identity for identity, asked in self._asked.items() if asked.until_ns < now_ns]
        for identity in late:
            del self._asked[identity]
