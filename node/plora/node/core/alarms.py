"""When plasmids are to be judged again because of time alone: one timer for all. Pure.

- An alarm of a plasmid replaces a later one; an earlier one that is still to come stays.
- The local clock may jump, so the timer never sleeps longer than an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from plora.node.core.effects import SetTimer
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.core.plasmid import Plasmid

CLOCK_TIMER = "desk:clock"
CLOCK_MS_MAX = 3_600_000


class Alarms:
    """The alarms that are set, the next one first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []

    def set(self, plasmid: Plasmid, at_ms: int, now: Now) -> Outputs:
        """Judge again at `at_ms`; 0 for never."""
        if not at_ms or now.wall_ms < plasmid.alarm_ms <= at_ms:
            return []
        plasmid.alarm_ms = at_ms
        heappush(self._heap, (at_ms, plasmid.content_id))
        return self.wind(now) if self._heap[0] == (at_ms, plasmid.content_id) else []

    def set_all(self, wait_ms: int, plasmids: Iterable[Plasmid], now: Now) -> Outputs:
        """Judge these again after a while."""
        return [effect for plasmid in plasmids for effect in self.set(plasmid, now.wall_ms + wait_ms, now)]

    def next_due(self, now: Now) -> bytes | None:
        """The content id of an alarm that is due, taken away; None if none is."""
        return heappop(self._heap)[1] if self._heap and self._heap[0][0] <= now.wall_ms else None

    def wind(self, now: Now) -> Outputs:
        """Set the timer to the next alarm."""
        if not self._heap:
            return []
        wait_ms = min(max(self._heap[0][0] - now.wall_ms, 1), CLOCK_MS_MAX)
        return [SetTimer(CLOCK_TIMER, now.after_ms(wait_ms))]
