"""Time as an argument: the pure core never reads a clock.

`mono_ns` only ever grows and orders what happens inside one boot; `wall_ms` is the local clock, which may jump.

>>> Now(mono_ns=5, wall_ms=86_400_000).epoch_day
1
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks."""

    mono_ns: int
    wall_ms: int

    @property
    def epoch_day(self) -> int:
        """Whole days since 1970-01-01 UTC."""
        return self.wall_ms // DAY_MS

    def after_ms(self, ms: int) -> int:
        """The monotonic time `ms` milliseconds from now, in nanoseconds."""
        return self.mono_ns + ms * 1_000_000
