"""Virtual time: a heap of calls ordered by (due time, order of planning). Nothing here waits.

The collector of cyclic garbage rests while time passes, and works in between: a swarm makes millions of objects that
stay, and hardly a cycle, so that looking through them again and again finds nothing.

>>> clock, seen = VirtualClock(), []
>>> for delay, name in ((5, "b"), (5, "c"), (1, "a")): clock.after(delay, lambda name=name: seen.append(name))
>>> while clock.step(): pass
>>> seen, clock.mono_ns
(['a', 'b', 'c'], 5)
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush

from plora.node.core.now import Now

MS = 1_000_000
WALL_START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: where the wall clock of every simulation begins unless it is told otherwise."""


class VirtualClock:
    """One clock for all peers; `wall_start_ms` is the wall time at monotonic zero."""

    def __init__(self, wall_start_ms: int = WALL_START_MS) -> None:
        self.mono_ns = 0
        self._wall_start_ms = wall_start_ms
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._planned = 0
        self._now = Now(-1, 0)

    @property
    def now(self) -> Now:
        """The current time as the cores see it."""
        return self.ahead(0)

    def ahead(self, wall_ms: int) -> Now:
        """The current time as one sees it whose wall clock is so far ahead."""
        wall_ms += self._wall_start_ms + self.mono_ns // MS
        if self._now.mono_ns != self.mono_ns or self._now.wall_ms != wall_ms:
            self._now = Now(self.mono_ns, wall_ms)
        return self._now

    def jump_wall(self, by_ms: int) -> None:
        """Set the wall clock forward or, below zero, back; monotonic time goes on."""
        self._wall_start_ms += by_ms

    def at(self, due_ns: int, call: Callable[[], object]) -> None:
        """Plan a call; one that is due in the past happens next."""
        self._planned += 1
        heappush(self._heap, (max(due_ns, self.mono_ns), self._planned, call))

    def after(self, delay_ns: int, call: Callable[[], object]) -> None:
        """Plan a call `delay_ns` from now."""
        self.at(self.mono_ns + delay_ns, call)

    def step(self) -> bool:
        """Make the next call; whether there was one."""
        if not self._heap:
            return False
        self.mono_ns, _, call = heappop(self._heap)
        call()
        return True

    def run_until(self, end_ns: int) -> None:
        """Make all calls that are due until `end_ns`, and stand there."""
        heap = self._heap
        with _no_collector():
            while heap and heap[0][0] <= end_ns:
                self.mono_ns, _, call = heappop(heap)
                call()
        self.mono_ns = max(self.mono_ns, end_ns)


@contextmanager
def _no_collector() -> Iterator[None]:
    worked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if worked:
            gc.enable()
