"""Rates with their limits, and whether groups stay within one part: the statistics of a benchmark of detectors.

Rules:

- Each limit is one-sided at `confidence`: "at least .90 with 95 % confidence" is `low`, "at most .02" is `high`. Both
  together enclose the rate with confidence 2 · confidence - 1. To say "at most 2 %" takes 0 of 149.
- `clopper_pearson` is exact where trials are independent (Clopper and Pearson 1934). Adapters of one recipe aren't, so
  `grouped` takes whole groups as trials, whose shares of hits lie between 0 and 1 (Gaffke 2005; Learned-Miller and
  Thomas 2020). Where each group is all hits or none, its limits are the exact ones of that many groups.
- No bootstrap: that knows nothing of groups that are rare, so a few hits would bring the upper limit below that of
  none. Here each further hit moves both limits up.
- What is unknown stays unknown: a rate of no trials is None, its limits are 0 and 1.

Not handled here: rates corrected for several looks. Thresholds are set on other adapters than those that are counted.

>>> clopper_pearson(0, 149).text()
'0 of 149 (at most 0.020)'
>>> straddling([{"part": "train", "seed": 1}, {"part": "test", "seed": 1}], ["seed"])
['seed 1 is in test and train']
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta  # type: ignore[import-untyped]

CONFIDENCE = 0.95
DRAWS = 20_000
NO_VALUES: tuple[object, ...] = (None, "", [], ())


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened: `hits` of `of`, with a lower and an upper limit."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share; None of no trials."""
        return self.hits / self.of if self.of else None

    def text(self) -> str:
        """The rate as tables say it.

        >>> Rate(45, 50, 0.8, 0.95).text(), Rate(50, 50, 0.94, 1).text()
        ('45 of 50, 0.90 (0.80 to 0.95)', '50 of 50 (at least 0.940)')
        """
        if not self.of:
            return "none tried"
        if self.hits in (0, self.of):
            limit = f"at least {self.low:.3f}" if self.hits else f"at most {self.high:.3f}"
            return f"{self.hits} of {self.of} ({limit})"
        return f"{self.hits} of {self.of}, {self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def clopper_pearson(hits: int, of: int, confidence: float = CONFIDENCE) -> Rate:
    """The rate with exact one-sided limits. Raises ValueError for more hits than trials."""
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} hits of {of} trials")
    tail = 1 - confidence
    low = float(beta.ppf(tail, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(confidence, hits + 1, of - hits)) if hits < of else 1.0
    return Rate(hits, of, low, high)


def grouped(
    outcomes: Sequence[bool], groups: Sequence[Hashable], *, seed: int = 0, confidence: float = CONFIDENCE
) -> Rate:
    """The rate of `outcomes` with limits that take the trials of one group to hang together.

    Args:
        outcomes: whether each trial is a hit.
        groups: the group of each trial, in the same order.
        seed: of the draws; the same seed gives the same limits.
        confidence: of each limit.
    """
    tallies: dict[Hashable, list[int]] = defaultdict(lambda: [0, 0])
    for hit, group in zip(outcomes, groups, strict=True):
        tallies[group][0] += hit
        tallies[group][1] += 1
    hits, of = np.array(list(tallies.values()), float).reshape(-1, 2).T
    high = _upper(hits, of, seed, confidence)
    return Rate(sum(outcomes), len(outcomes), 1 - _upper(of - hits, of, seed, confidence), high)


def _upper(hits: NDArray[np.float64], of: NDArray[np.float64], seed: int, confidence: float) -> float:
    """The upper limit of hits (groups,) of trials (groups,): groups at random weights, with one more that is all hits,
    as large as they are on average. Where draws fall short of the exact limit of no hits, that counts.
    """
    none = clopper_pearson(0, len(of), confidence).high
    if not hits.any():
        return none
    if (hits == of).all():
        return 1.0
    usual = of.mean()
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(of) + 1), size=DRAWS)
    shares = weights @ np.append(hits, usual) / (weights @ np.append(of, usual))
    return max(none, float(np.quantile(shares, confidence)))


def straddling(rows: Iterable[Mapping[str, object]], keys: Sequence[str], part: str = "part") -> list[str]:
    """A sentence for each value of these keys that more than one part has; None and "" are none."""
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for key in keys:
            if row.get(key) not in NO_VALUES:
                places[key, str(row[key])].add(str(row[part]))
    return [
        f"{key} {value} is in {' and '.join(sorted(parts))}"
        for (key, value), parts in sorted(places.items())
        if len(parts) > 1
    ]
