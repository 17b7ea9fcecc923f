"""Mutual information of continuous variables by nearest neighbours.

Kraskov, Stögbauer and Grassberger, "Estimating mutual information" (Phys. Rev. E 69, 2004): variant 1 is their
equation (8), with one distance for both variables, variant 2 their equation (9), with one for each. Intervals: Holmes
and Nemenman, "Estimation of mutual information for real-valued data with error bars and controlled bias" (Phys. Rev. E
100, 2019).

Rules:

- Information is in nats. n samples of x and of y are arrays of n, or of n × d.
- Variant 1 counts who is nearer than the k-th neighbour, |s - v| < d as floating-point numbers are, and so equals
  scikit-learn's estimator on data without ties. Nothing is cut off at 0: an estimate of 0 that can't be negative is
  biased.
- Samples that coincide (k + 1 of them) aren't drawn from a density, and are refused; see `Ties`.
- No estimate is above ψ(n) - ψ(k), and strong dependence in many coordinates needs samples without end (Gao, Ver Steeg
  and Galstyan, AISTATS 2015): above `COORDINATES_MAX` there is a warning.
- Samples are independent of each other. Not handled here: series, discrete variables, and the bias that intervals
  don't know of.

>>> x = np.random.default_rng(1).standard_normal((500, 2)) @ [[1.0, 0.6], [0.0, 0.8]]
>>> round(mi_knn(x[:, 0], x[:, 1]), 2)  # the truth is -ln(1 - .6²) / 2 = .22
0.2
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plora.analysis.information.neighbours import Side, nearest, within

Floats = NDArray[np.float64]
Variant = Literal[1, 2]
Ties = Literal["refuse", "noise", "keep"]
"""What happens to samples that coincide: a `ValueError`; noise of 1e-10 of each coordinate's spread is added to all, as
Kraskov et al. do; or who lies at the same place counts as nearer, which is scikit-learn's rule."""

COORDINATES_MAX = 10
NOISE = 1e-10


class EstimateWarning(UserWarning):
    """An estimate may be far off; the message says why."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def mi_knn(
    x: ArrayLike,
    y: ArrayLike,
    k: int = 3,
    *,
    variant: Variant = 1,
    ties: Ties = "refuse",
    normal_scores: bool = False,
    seed: int = 0,
) -> float:
    """I(X; Y) in nats by the k nearest neighbours, unclipped.

    `normal_scores` replaces each coordinate by the normal quantile of its rank, which leaves the information as it is
    and lowers the error where marginals have long tails. `seed` is that of the noise. Raises ValueError for samples
    that can't be paired, aren't finite, coincide, or are too few.
    """
    left, right = _columns(x), _columns(y)
    _check(left, right, k)
    if normal_scores:
        left, right = _scores(left), _scores(right)
    if ties == "noise":
        drawn = np.random.default_rng(seed)
        left, right = (one + NOISE * _spread(one) * drawn.standard_normal(one.shape) for one in (left, right))
    return _estimate(left, right, k, variant, ties)


def mi_knn_interval(
    x: ArrayLike,
    y: ArrayLike,
    k: int = 3,
    *,
    level: float = 0.95,
    parts: int = 4,
    shuffles: int = 5,
    seed: int = 0,
    **options: Any,
) -> Interval:
    """`mi_knn` with a confidence interval from how much estimates of the parts of the samples differ.

    The samples are dealt to so many disjoint parts, several times. The variance falls as 1/n, so that of all samples is
    that between parts divided by their number. Never drawn with replacement: a sample that comes twice is its own
    nearest neighbour, and true 0 becomes .75 nats. Options are those of `mi_knn`.
    """
    from scipy.stats import norm  # type: ignore[import-untyped]

    left, right = _columns(x), _columns(y)
    value, drawn = mi_knn(left, right, k, seed=seed, **options), np.random.default_rng(seed)
    variances = []
    for _ in range(shuffles):
        dealt = np.array_split(drawn.permutation(len(left)), parts)
        variances.append(np.var([mi_knn(left[part], right[part], k, seed=seed, **options) for part in dealt], ddof=1))
    margin = float(norm.ppf(0.5 + level / 2) * np.sqrt(np.mean(variances) / parts))
    return Interval(value, value - margin, value + margin)


def _columns(values: ArrayLike) -> Floats:
    found = np.asarray(values, np.float64)
    if found.ndim not in (1, 2):
        raise ValueError(f"samples are n, or n × d, not of shape {found.shape}")
    return found.reshape(len(found), -1)


def _check(left: Floats, right: Floats, k: int) -> None:
    if len(left) != len(right):
        raise ValueError(f"{len(left)} samples of x and {len(right)} of y can't be paired")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("samples are finite numbers; leave out pairs that lack one")
    if not 1 <= k < len(left):
        raise ValueError(f"{len(left)} samples have no {k} neighbours each; k is from 1 to n - 1")
    coordinates = left.shape[1] + right.shape[1]
    if coordinates > COORDINATES_MAX:
        text = f"{coordinates} coordinates: neighbours are no longer near, and the estimate is too low"
        warnings.warn(text, EstimateWarning, stacklevel=3)


def _scores(columns: Floats) -> Floats:
    from scipy.stats import norm, rankdata

    return np.asarray(norm.ppf((rankdata(columns, axis=0) - 0.5) / len(columns)))


def _spread(columns: Floats) -> Floats:
    return np.asarray(columns.std(axis=0))


def _estimate(left: Floats, right: Floats, k: int, variant: Variant, ties: Ties) -> float:
    from scipy.special import digamma  # type: ignore[import-untyped]

    sides = Side.of(left), Side.of(right)
    distances, names = nearest(*sides, k)
    coincide = int((distances[:, -1] == 0).sum())
    if coincide and ties != "keep":
        raise ValueError(
            f"{coincide} of {len(left)} samples lie where {k} others lie, so they aren't of a density; "
            'count discrete values instead, or say ties="noise"'
        )
    if variant == 1:
        apart = np.maximum(distances[:, -1], np.nextafter(0.0, 1.0))  # who is nearer than that lies at the same place
        counts = [within(side, apart) for side in sides]
        return float(digamma(len(left)) + digamma(k) - sum(map(_mean_digamma, counts)))
    counts = [within(side, _beyond(side.points, names)) - 1 for side in sides]
    return float(digamma(len(left)) + digamma(k) - 1 / k - sum(map(_mean_digamma, counts)))


def _beyond(points: Floats, names: NDArray[np.int64]) -> Floats:
    """The least distance above that of the farthest of the neighbours, in this variable alone."""
    farthest = np.max([abs(points[column] - points).max(axis=1) for column in names.T], axis=0)
    return np.asarray(np.nextafter(farthest, np.inf))


def _mean_digamma(counts: NDArray[np.int64]) -> float:
    """The mean of ψ over the counts, each of which is above 0; equal ones are looked up once."""
    from scipy.special import digamma

    often = np.bincount(counts)
    seen = np.flatnonzero(often)
    return float(digamma(seen) @ often[seen]) / len(counts)
