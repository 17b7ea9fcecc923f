"""How long peers stay without an adapter: curves of those who got it, and of those who were watched and didn't.

Rules:

- Kaplan and Meier's estimate (J. Am. Stat. Assoc. 53, 1958) with Greenwood's variance, its interval on the log-log
  scale (Kalbfleisch and Prentice, 1980), as scipy has them: whoever was only watched to a time (censored) counts until
  then.
- Times of one swarm depend on each other. Intervals and p-values take them as independent, so they describe one run;
  what holds in general is said by several runs.

>>> curve = survival([1.0, 2.0, 3.0], [5.0])
>>> curve.times, [round(share, 3) for share in curve.shares]
((1.0, 2.0, 3.0, 5.0), [0.75, 0.5, 0.25, 0.25])
>>> curve.time_to(0.5), curve.time_to(0.9)
(2.0, None)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares that are still without it after times, each with its interval (nan where there is none)."""

    times: tuple[float, ...]
    shares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def time_to(self, reached: float) -> float | None:
        """When that share had it; None if it never came so far."""
        wanted = 1 - reached + 1e-12
        return next((time for time, share in zip(self.times, self.shares, strict=True) if share <= wanted), None)


def survival(got: Sequence[float], watched: Sequence[float] = ()) -> Curve:
    """The curve of those who `got` it at those times and those who were `watched` so long without; nobody has none."""
    if not len(got) + len(watched):
        return Curve((), (), (), ())
    from scipy.stats import CensoredData, ecdf  # type: ignore[import-untyped]

    found = ecdf(CensoredData(uncensored=np.asarray(got, float), right=np.asarray(watched, float))).sf
    with warnings.catch_warnings(action="ignore"):  # no interval before the first and after the last
        interval = found.confidence_interval(LEVEL, method="log-log")
    curves = (found.probabilities, interval.low.probabilities, interval.high.probabilities)
    return Curve(tuple(found.quantiles.tolist()), *(tuple(np.asarray(one, float).tolist()) for one in curves))


def log_rank(
    first: tuple[Sequence[float], Sequence[float]], second: tuple[Sequence[float], Sequence[float]]
) -> float | None:
    """The p-value of the log-rank test that two groups (got, watched) do alike; None where nobody got it.

    Mantel, "Evaluation of survival data and two new rank order statistics" (Cancer Chemother. Rep. 50, 1966).
    """
    from scipy.stats import CensoredData, logrank

    if not len(first[0]) + len(second[0]) or not sum(map(len, first)) or not sum(map(len, second)):
        return None
    groups = [CensoredData(np.asarray(got, float), right=np.asarray(late, float)) for got, late in (first, second)]
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        found = float(logrank(*groups).pvalue)
    return found if np.isfinite(found) else None
