"""The rule, fixed beforehand: whether each of its parts holds, in numbers and in words.

- `spread`: clean T90 with the gate on is at most so many times the ungated one. The estimate decides, as the rule says;
  the words tell where its interval doesn't.
- `safe`: the upper end of the 95 % interval of honest peers that accepted a trojan is at most so much.
- `value`: the lower bound of the gain that the default merge keeps is at least so much.

>>> part = Part("safe", "honest peers", 0.04, 0.02, 0.07, "at most", 0.05, 0.07, "share")
>>> part.holds, part.sentence()
(False, 'honest peers: 4.0 % (2.0 to 7.0 %), and 7.0 % is not at most 5.0 %.')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from plora.base import Interval
from plora.lab.experiment.config import Rule
from plora.lab.findings.figures import Figure, finite
from plora.lab.findings.value import Kept
from plora.lab.rates import Rate

Side = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part: a `value` with its interval; `deciding` is the number that is held against `limit`. None is unknown."""

    name: str
    what: str
    value: float | None
    low: float | None
    high: float | None
    side: Side
    limit: float
    deciding: float | None
    unit: str

    @property
    def holds(self) -> bool:
        """What isn't known doesn't hold."""
        if self.deciding is None:
            return False
        return self.deciding <= self.limit if self.side == "at most" else self.deciding >= self.limit

    def sentence(self) -> str:
        """The part in words."""
        value, interval = Figure(self.what, self.value, self.low, self.high, self.unit).text()
        told = f"{value} ({interval})" if interval else value
        if self.deciding is None:
            return f"{self.what}: {told}, and there is nothing to decide by."
        deciding, limit = (Figure("", one, unit=self.unit).text()[0] for one in (self.deciding, self.limit))
        return f"{self.what}: {told}, and {deciding} is {'' if self.holds else 'not '}{self.side} {limit}."


def parts(rule: Rule, ratio: Interval, deceived: Sequence[Rate], kept: Kept) -> list[Part]:
    """All parts, in the order of the rule; `deceived` has the rate by runs first, `kept` is of the default merge."""
    worst = max(deceived, key=lambda one: one.high)
    return [
        Part(
            "spread", "T90 of clean adapters, gate on by gate off",
            finite(ratio.value), finite(ratio.low), finite(ratio.high),
            "at most", rule.t90_ratio_max, finite(ratio.value), "x",
        ),
        Part(
            "safe", f"honest peers that accepted a trojan ({100 * rule.trojan_rate:g} % of what is published)",
            worst.value, worst.low, worst.high, "at most", rule.trojan_accepted_upper_max, worst.high, "share",
        ),
        Part(
            "value", "gain that the default merge keeps",
            kept.value, kept.low, kept.high, "at least", rule.value_kept_lower_min, kept.lower, "share",
        ),
    ]  # fmt: skip


def answer(found: Sequence[Part]) -> str:
    """Yes if each part holds, else no."""
    return "yes" if all(one.holds for one in found) else "no"


def to_plain(part: Part) -> Mapping[str, Any]:
    """As the document has it."""
    return {**asdict(part), "holds": part.holds, "sentence": part.sentence()}
