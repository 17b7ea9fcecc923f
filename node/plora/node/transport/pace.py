"""How fast something grows, from samples of its counters over the last few seconds. Pure.

>>> pace = Pace(window_s=5.0)
>>> for second in range(4):
...     pace.note(float(second), 100 * second, 7)
>>> pace.per_second
(100, 0)
"""

from __future__ import annotations

from collections import deque


class Pace:
    """Counters that only grow, seen at times that only grow. Memory: the samples of one window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, tuple[int, ...]]] = deque()

    def note(self, at_s: float, *counters: int) -> None:
        """One more sample; always the same number of counters."""
        self._samples.append((at_s, counters))
        while len(self._samples) > 2 and self._samples[0][0] < at_s - self._window_s:
            self._samples.popleft()

    @property
    def per_second(self) -> tuple[int, ...]:
        """The growth of each counter over the window, in whole units a second; zeros before the second sample."""
        if not self._samples:
            return ()
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        elapsed_s = last_s - first_s
        return tuple(round((new - old) / elapsed_s) if elapsed_s else 0 for new, old in zip(last, first, strict=True))
