"""Which statements were asked of whom: each id of one neighbour at a time, in a window, for a while.

Rules:

- At most `WINDOW` ids are asked of a neighbour at once, `IWANT_MAX` in a frame; more wait in line, within `queue_max`.
- An id asked of one neighbour isn't asked of another until it came, its neighbour is gone, or `patience_ns` ran out.
- Then it is asked of whoever has been in line with it for longest: who offers and never gives can keep an id away for
  one patience, however often they offer it again.
- Everything is forgotten with its link: the next reconciliation finds again what is still missing.

>>> wants = Wants(patience_ns=10, queue_max=100)
>>> wants.queue("ada", [b"1", b"2"]), wants.queue("bob", [b"2", b"3"])
(2, 2)
>>> wants.ask("ada", 0), wants.ask("bob", 0), wants.queue("ada", [b"2"])
((b'1', b'2'), (b'3',), 0)
>>> wants.late(10), wants.late(11), wants.ask("ada", 11)
([], [('bob', (b'2',))], ())
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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
    _queues: dict[str, dict[bytes, int]] = field(default_factory=dict)
    _asked: dict[bytes, _Asked] = field(default_factory=dict)
    _offers: int = 0

    def queue(self, peer: str, ids: Iterable[bytes]) -> int:
        """Put ids in line for a neighbour, but for those that it was asked for; how many are in line now."""
        line = self._queues.setdefault(peer, {})
        for identity in ids:
            if len(line) >= self.queue_max:
                break
            if identity in self._asked and self._asked[identity].peer == peer:
                continue
            self._offers += 1
            line.setdefault(identity, self._offers)
        return len(line)

    def ask(self, peer: str, now_ns: int) -> tuple[bytes, ...]:
        """The ids of the next frame to a neighbour; empty when the window is full or nothing is in line."""
        line = self._queues.get(peer, {})
        room = WINDOW - sum(asked.peer == peer for asked in self._asked.values())
        chosen = [identity for identity in line if identity not in self._asked][: max(0, min(room, IWANT_MAX))]
        for identity in chosen:
            self._put(identity, peer, now_ns)
        return tuple(chosen)

    def late(self, now_ns: int) -> list[tuple[str, tuple[bytes, ...]]]:
        """What didn't come in time and is to be asked of others now: frames, each with its neighbour."""
        overdue = [identity for identity, asked in self._asked.items() if asked.until_ns < now_ns]
        for identity in overdue:
            del self._asked[identity]
        loads = Counter(asked.peer for asked in self._asked.values())
        moved: dict[str, list[bytes]] = {}
        for identity in overdue:
            peer = self._first_in_line(identity, loads)
            if peer:
                self._put(identity, peer, now_ns)
                loads[peer] += 1
                moved.setdefault(peer, []).append(identity)
        parts = ((peer, ids, start) for peer, ids in moved.items() for start in range(0, len(ids), IWANT_MAX))
        return [(peer, tuple(ids[start : start + IWANT_MAX])) for peer, ids, start in parts]

    def came(self, identity: bytes) -> None:
        """An id needs to be asked no more."""
        self._asked.pop(identity, None)
        for line in self._queues.values():
            line.pop(identity, None)

    def lost(self, peer: str) -> None:
        """A neighbour is gone: what it was asked for may be asked of others."""
        self._queues.pop(peer, None)
        self._asked = {identity: asked for identity, asked in self._asked.items() if asked.peer != peer}

    def _put(self, identity: bytes, peer: str, now_ns: int) -> None:
        del self._queues[peer][identity]
        self._asked[identity] = _Asked(peer, now_ns + self.patience_ns)

    def _first_in_line(self, identity: bytes, loads: Mapping[str, int]) -> str:
        """Who offered it first of those who weren't asked since and have room; nobody ("") where there is none."""
        offers = {peer: line[identity] for peer, line in self._queues.items() if identity in line}
        free = (peer for peer in offers if loads.get(peer, 0) < WINDOW)
        return min(free, key=lambda peer: offers[peer], default="")
