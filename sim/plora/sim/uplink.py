"""A peer's way out, so many bytes a second, shared by lanes that take turns: the streams of its links.

- A lane keeps its order. A turn is one frame, or `TURN_BYTES` of a longer one, as HTTP/2 shares a connection: a small
  frame waits for at most one turn of each other lane, however long their frames are, and no lane starves.
- The rate is asked at each turn; 0 is no limit, and takes no time.

Not handled here: what happens to a frame once it is out (`links`).

>>> clock, out = VirtualClock(), []
>>> uplink = Uplink(clock, lambda: 16_384)
>>> uplink.put("bulk", 32_768, lambda: out.append(("bulk", clock.mono_ns // 10**9)))
>>> uplink.put("session", 0, lambda: out.append(("session", clock.mono_ns // 10**9)))
>>> clock.run_until(5 * 10**9)
>>> out
[('session', 1), ('bulk', 2)]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from plora.sim.clock import VirtualClock

TURN_BYTES = 16 * 1024
_SECOND_NS = 1_000_000_000


@dataclass(slots=True, eq=False)
class _Frame:
    left_bytes: int
    out: Callable[[], object]


class Uplink:
    """One peer's queue of frames; `rate` gives bytes a second."""

    def __init__(self, clock: VirtualClock, rate: Callable[[], int]) -> None:
        self._clock = clock
        self._rate = rate
        self._lanes: dict[Hashable, deque[_Frame]] = {}
        self._sending: Hashable = None
        self._epoch = 0

    def put(self, lane: Hashable, size_bytes: int, out: Callable[[], object]) -> None:
        """Queue a frame; `out` is called when its last byte has left."""
        idle = not self._lanes
        self._lanes.setdefault(lane, deque()).append(_Frame(size_bytes, out))
        if idle:
            self._turn()

    def forget(self, lane: Hashable) -> None:
        """Take a lane's frames out: nobody is at its other end. What is being sent of it ends its turn."""
        if lane == self._sending:
            self._lanes[lane].clear()
        else:
            self._lanes.pop(lane, None)

    def clear(self) -> None:
        """The process is gone, and with it all that waits."""
        self._lanes.clear()
        self._sending = None
        self._epoch += 1

    def _turn(self) -> None:
        self._sending = next(iter(self._lanes))
        frame = self._lanes[self._sending][0]
        size, rate, epoch = min(frame.left_bytes, TURN_BYTES), self._rate(), self._epoch
        frame.left_bytes -= size
        took_ns = -(-size * _SECOND_NS // rate) if rate else 0
        self._clock.after(took_ns, lambda: self._taken(frame) if epoch == self._epoch else None)

    def _taken(self, frame: _Frame) -> None:
        lane, self._sending = self._sending, None
        frames = self._lanes.pop(lane)
        whole = bool(frames) and frames[0] is frame and not frame.left_bytes
        if whole:
            frames.popleft()
        if frames:
            self._lanes[lane] = frames
        if self._lanes:
            self._turn()
        if whole:
            frame.out()
