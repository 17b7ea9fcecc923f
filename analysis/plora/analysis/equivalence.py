"""Whether two things are alike within a bound: two one-sided t-tests (TOST), and the interval that says the same.

Rules:

- The unit is a run: a sample has one value for each run, be it the mean of all that was seen in that run.
- The p-value is the greater one of the two tests, of a difference of at least the bound to either side. The interval is
  that of confidence 1 - 2 alpha: it lies between both bounds exactly where p is below alpha.
- Variances may differ (Welch). A sample of less than two values, or of values without any spread, is refused.

Not handled here: pairs, clusters within a run, several comparisons at once.

Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".

>>> found = equivalence([8.7, 8.9, 8.8, 9.0], [8.8, 8.9, 9.1, 8.9], bound=0.5)
>>> found.equivalent, round(found.difference, 3), round(found.p, 4)
(True, -0.075, 0.0016)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plora.proto.errors import UsageError

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What the tests found, in the samples' unit; the `difference` of means lies between `low` and `high`."""

    difference: float
    low: float
    high: float
    p: float
    bound: float
    alpha: float

    @property
    def equivalent(self) -> bool:
        """Whether a difference as great as the bound is ruled out."""
        return self.p < self.alpha

    def __str__(self) -> str:
        said = "equivalent" if self.equivalent else "not shown to be equivalent"
        interval = f"{self.low:+.2f} to {self.high:+.2f}"
        return f"{self.difference:+.2f} ({interval}), {said} within {self.bound:g} (p = {self.p:.2g})"


def equivalence(first: ArrayLike, second: ArrayLike, bound: float, alpha: float = ALPHA) -> Equivalence:
    """Whether two independent samples have means within the bound of each other."""
    from scipy.stats import ttest_ind  # type: ignore[import-untyped]

    one, other = _sample(first), _sample(second)
    below = ttest_ind(one + bound, other, equal_var=False, alternative="greater")
    above = ttest_ind(one - bound, other, equal_var=False, alternative="less")
    both = ttest_ind(one, other, equal_var=False)
    return _found(float(one.mean() - other.mean()), below, above, both, bound, alpha)


def equivalence_to(sample: ArrayLike, expected: float, bound: float, alpha: float = ALPHA) -> Equivalence:
    """Whether the mean of a sample is within the bound of what is expected."""
    from scipy.stats import ttest_1samp

    values = _sample(sample) - expected
    below = ttest_1samp(values, -bound, alternative="greater")
    above = ttest_1samp(values, bound, alternative="less")
    return _found(float(values.mean()), below, above, ttest_1samp(values, 0.0), bound, alpha)


def _found(difference: float, below: Any, above: Any, both: Any, bound: float, alpha: float) -> Equivalence:
    low, high = both.confidence_interval(1 - 2 * alpha)
    p = max(float(below.pvalue), float(above.pvalue))
    return Equivalence(difference, float(low), float(high), p, bound, alpha)


def _sample(values: ArrayLike) -> np.ndarray[Any, np.dtype[np.float64]]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) < 2 or not np.ptp(sample) > 0:
        raise UsageError(
            f"no test of {sample.size} values without spread or shape", where="sample", mend="make more runs"
        )
    return sample
