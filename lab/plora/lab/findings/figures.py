"""A number of the findings: what it is, its value with a 95 % interval, what it is of, and the command that made it.

>>> Figure("trojans", 0.05, 0.01, 0.1, "share").text()
('5.0 %', '1.0 to 10.0 %')
>>> Figure("rounds until 90 %", None, unit="rounds").text()
('never', '')
>>> Figure("gain kept", None, unit="share").text()
('unknown', '')
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

MAKE = "make findings"


@dataclass(frozen=True, slots=True)
class Figure:
    """`unit` is "rounds", "share" (shown as per cent) or "x" (a ratio of rounds). None is what never came; of a share,
    what isn't known."""

    what: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    of: str = ""
    command: str = MAKE

    def text(self) -> tuple[str, str]:
        """The value and the interval as a table says them."""
        if self.low is None and self.high is None:
            return self._one(self.value), ""
        low, high = (self._one(one).removesuffix(" %") for one in (self.low, self.high))
        return self._one(self.value), f"{low} to {high}{' %' if self.unit == 'share' and self.high is not None else ''}"

    def _one(self, value: float | None) -> str:
        if value is None:
            return "unknown" if self.unit == "share" else "never"
        return percent(value) if self.unit == "share" else f"{value:.2f}"


def percent(share: float) -> str:
    """A share as tables say it.

    >>> percent(0.125)
    '12.5 %'
    """
    return f"{100 * share:.1f} %"


def finite(value: float) -> float | None:
    """The value, or None where it isn't a number that JSON has."""
    return float(value) if isfinite(value) else None
