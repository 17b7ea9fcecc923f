"""Whether one model answers better than another: paired tests, intervals over documents and training seeds, effects.

Rules:

- A difference is with − without, of one document at one training seed; documents are rows of an array (seeds,
  documents), the same documents in every row. Tokens of one answer are never taken for independent.
- `bootstrap` draws seeds and, independently of them, documents, both with replacement (Owen 2007, "The pigeonhole
  bootstrap"): all seeds answer the same documents, so drawing documents anew for each seed would make intervals too
  narrow. Of few seeds it knows little: with three the spread between seeds is underestimated by a third, and with one
  it isn't there at all. `over_seeds` is the t-interval of the seeds' means beside it.
- A Wilcoxon test over documents says nothing of other seeds, over three seeds it can't go below p = .25, and over a
  thousand documents any tiny effect is significant. So nothing here is a verdict without its interval.
- `holm` corrects the p-values of one family (Holm 1979). Equivalence within a bound is `equivalent_to_zero`, two
  one-sided t-tests of `plora.analysis.equivalence` over seeds, or over documents where there is one seed.
- Draws come from the seed that is given; the same seed gives the same figures.

Not handled here: independent samples, times (`plora.analysis`), rates of yes and no (`plora.lab.rates`).

>>> holm([0.01, 0.04, 0.03])
[0.03, 0.06, 0.06]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]

from plora.analysis.equivalence import Equivalence, equivalence_to
from plora.base import Interval

Floats = npt.NDArray[np.float64]
DRAWS = 2000
FLIPS = 1999
SEED = 0


@dataclass(frozen=True)
class PairedTests:
    """p-values that the mean or the location of the differences is 0, two-sided, over documents of one seed."""

    wilcoxon_p: float
    sign_flip_p: float
    rank_biserial: float


def paired_tests(differences: npt.ArrayLike, *, seed: int = SEED) -> PairedTests:
    """Wilcoxon's signed-rank test and the sign-flip test of differences (documents,), by scipy.

    `rank_biserial`: Wilcoxon's effect from −1 to 1 (Kerby 2014), the share of ranks that fell less the one that rose:
    1 where every document got lower.
    """
    values = _row(differences)
    if not values.any():
        return PairedTests(1.0, 1.0, 0.0)
    return PairedTests(
        wilcoxon_p=float(stats.wilcoxon(values, zero_method="pratt").pvalue),
        sign_flip_p=sign_flip_p(values, seed=seed),
        rank_biserial=_rank_biserial(values),
    )


def sign_flip_p(differences: npt.ArrayLike, *, seed: int = SEED, alternative: str = "two-sided") -> float:
    """p-value of the mean of differences (documents,) when with and without could be swapped in each document.

    Exact where there are few documents, else from `FLIPS` draws (Fisher 1935; scipy's `permutation_test`).
    """
    values = _row(differences)

    def mean(with_: Any, without: Any, axis: int) -> Any:
        return np.mean(with_ - without, axis=axis)

    found = stats.permutation_test(
        (values, np.zeros(len(values))),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        alternative=alternative,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def mean_p(differences: npt.ArrayLike) -> float:
    """Two-sided p-value of Student's t-test that the mean of differences (documents,) is 0; 1 where all are one."""
    values = _row(differences)
    return float(stats.ttest_1samp(values, 0.0).pvalue) if np.ptp(values) > 0 else 1.0


def mcnemar_p(before: npt.ArrayLike, after: npt.ArrayLike, *, alternative: str = "two-sided") -> float:
    """Exact p-value that as many documents became right as wrong (McNemar 1947); 1 where none changed.

    `alternative="greater"`: more became right.
    """
    was, now = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    risen, fallen = int((now & ~was).sum()), int((was & ~now).sum())
    if risen + fallen == 0:
        return 1.0
    return float(stats.binomtest(risen, risen + fallen, alternative=alternative).pvalue)


def bootstrap(
    values: npt.ArrayLike, statistic: Callable[[Floats], Floats], *, draws: int = DRAWS, seed: int = SEED
) -> Interval:
    """A statistic with its 95 % percentile interval over seeds and documents; see the module.

    Args:
        values: (seeds, documents) or, with several figures a document, (figures, seeds, documents).
        statistic: maps (…, seeds, documents) to (…); for several figures, (figures, …, seeds, documents) to (…).
        draws: how many; seed: of the draws.
    """
    low, high = np.percentile(resampled(values, statistic, draws=draws, seed=seed), [2.5, 97.5])
    return Interval(float(statistic(np.asarray(values, dtype=np.float64))), float(low), float(high))


def resampled(
    values: npt.ArrayLike, statistic: Callable[[Floats], Floats], *, draws: int = DRAWS, seed: int = SEED
) -> Floats:
    """The statistic of each draw, (draws,); arguments as in `bootstrap`."""
    [found] = resampled_together([values], statistic, draws=draws, seed=seed)
    return found


def resampled_together(
    tables: Sequence[npt.ArrayLike],
    statistic: Callable[[Floats], Floats],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[Floats]:
    """The statistic of each draw, (draws,) for each table, of tables that have the same seeds in the same order.

    Seeds are drawn once for all tables, since one training answers for all of them; each table draws documents of its
    own. Each table is as in `bootstrap`.
    """
    arrays = [np.asarray(table, dtype=np.float64) for table in tables]
    rng = np.random.default_rng(seed)
    seeds = arrays[0].shape[-2]
    rows = rng.integers(seeds, size=(draws, seeds, 1))
    found = []
    for table in arrays:
        documents = table.shape[-1]
        found.append(statistic(table[..., rows, rng.integers(documents, size=(draws, 1, documents))]))
    return found


def mean_interval(differences: npt.ArrayLike, *, seed: int = SEED) -> Interval:
    """The mean of differences (seeds, documents) with its bootstrap interval."""
    return bootstrap(differences, lambda drawn: drawn.mean(axis=(-2, -1)), seed=seed)


def cohen_dz(differences: npt.ArrayLike, *, seed: int = SEED) -> Interval:
    """The mean of differences (seeds, documents) in standard deviations of documents (Cohen 1988, p. 48).

    Documents are averaged over seeds first. 0 where nothing differs.
    """

    def statistic(drawn: Floats) -> Floats:
        documents = drawn.mean(axis=-2)
        spread = documents.std(axis=-1, ddof=1)
        return np.asarray(np.divide(documents.mean(axis=-1), spread, out=np.zeros_like(spread), where=spread > 0))

    return bootstrap(differences, statistic, seed=seed)


def over_seeds(differences: npt.ArrayLike) -> Interval | None:
    """The mean over seeds of differences (seeds, documents) with the t-interval of the seeds' means; None of one."""
    means = np.asarray(differences, dtype=np.float64).mean(axis=-1)
    if len(means) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(means) - 1) * stats.sem(means))
    return Interval(float(means.mean()), float(means.mean()) - half, float(means.mean()) + half)


def equivalent_to_zero(differences: npt.ArrayLike, bound: float) -> Equivalence:
    """Whether differences (seeds, documents) are within ± bound on average; raises UsageError for less than two."""
    table = np.asarray(differences, dtype=np.float64)
    return equivalence_to(table.mean(axis=1) if len(table) > 1 else table[0], 0.0, bound)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being a family, in their order (Holm 1979)."""
    adjusted, worst, count = [0.0] * len(p_values), 0.0, len(p_values)
    for position, place in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (count - position) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def document_of(interval: Interval | None) -> dict[str, float] | None:
    """An interval as JSON values."""
    return None if interval is None else asdict(interval)


def _rank_biserial(values: Floats) -> float:
    ranks = stats.rankdata(np.abs(values))
    return float((ranks[values < 0].sum() - ranks[values > 0].sum()) / ranks.sum())


def _row(differences: npt.ArrayLike) -> Floats:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"differences of shape {values.shape} are not one for each document")
    return values
