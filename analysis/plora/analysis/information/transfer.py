"""Transfer entropy: how much the past of one series says of the next value of another beyond its own past.

Schreiber, "Measuring information transfer" (Phys. Rev. Lett. 85, 2000), with one value of the source:
T(a -> b) = I(a_t ; b_t+1 | b_t, …, b_t-k+1). In bits.

Rules:

- Plug-in estimates are too high, by about (cells) / (2 N ln 2): fewer transitions than 10 · bins^(k+2) are refused.
  Eight bins on 15 points read .89 bits where the truth is 0, and Miller and Madow's correction makes that worse.
- Values are binned to equal widths over their range; a series of at most `bins` different values keeps them.
- `transfer_entropy_gaussian` is exact where both series are linear with Gaussian noise, and a statement about their
  linear part elsewhere (Barnett, Barrett and Seth, Phys. Rev. Lett. 103, 2009). Where a regression leaves nothing but
  rounding (a constant, a trend, a copy of the source) there is no noise to compare, and it refuses.

Not handled here: events of many runs (`plora.analysis.network_information`), longer pasts of the source.

>>> a = np.random.default_rng(1).integers(0, 2, 2000)
>>> round(transfer_entropy_discrete(a, np.roll(a, 1), bins=2), 2), round(transfer_entropy_discrete(a, a, bins=2), 2)
(1.0, 0.0)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SAMPLES_PER_CELL = 10
LEFT_OVER_MIN, ROUNDING = 1e-12, 1e-26
"""Shares of the variance, and of the mean square, below which what a regression leaves is no noise."""


class TooFewSamples(ValueError):  # noqa: N818 - it says what it is
    """The data can't carry the question; the message says how many it takes."""


def transfer_entropy_discrete(a: ArrayLike, b: ArrayLike, k: int = 1, bins: int = 8) -> float:
    """T(a -> b) in bits by counting binned values. Raises `TooFewSamples`, and ValueError for what are no series."""
    source, target = _series(a, b, k)
    if bins < 2:
        raise ValueError(f"a value is put into one of two bins or more, not {bins}")
    needed, there = SAMPLES_PER_CELL * bins ** (k + 2), len(target) - k
    if there < needed:
        raise TooFewSamples(
            f"{there} transitions can't fill {bins}^{k + 2} cells: it takes {needed}; "
            "name fewer bins (2 for a binary series), pool runs, or ask for a shorter past"
        )
    values, sources = _binned(target, bins), _binned(source, bins)
    past = np.zeros(there, np.int64)
    for lag in range(k):
        past = past * bins + values[k - 1 - lag : len(values) - 1 - lag]
    return conditional_information(sources[k - 1 : -1], values[k:], past)


def transfer_entropy_gaussian(a: ArrayLike, b: ArrayLike, k: int = 1) -> float:
    """T(a -> b) in bits of linear Gaussian series: half the log ratio of what regressions without and with a leave.

    Raises `TooFewSamples`, and ValueError for what are no series and where a regression leaves nothing.
    """
    source, target = _series(a, b, k)
    if len(target) - k < SAMPLES_PER_CELL * (k + 2):
        raise TooFewSamples(f"{len(target) - k} transitions for {k + 2} coefficients: it takes ten for each")
    past = [np.ones(len(target) - k), *(target[k - 1 - lag : len(target) - 1 - lag] for lag in range(k))]
    without = _left_over(np.column_stack(past), target[k:])
    return float(np.log2(without / _left_over(np.column_stack([*past, source[k - 1 : -1]]), target[k:])) / 2)


def conditional_information(x: Ints, y: Ints, given: Ints) -> float:
    """I(X; Y | Z) in bits of the empirical distribution of whole numbers from 0."""
    entropies = (_entropy(x, given), _entropy(y, given), _entropy(given), _entropy(x, y, given))
    return max(0.0, entropies[0] + entropies[1] - entropies[2] - entropies[3])


def _series(a: ArrayLike, b: ArrayLike, k: int) -> tuple[Floats, Floats]:
    source, target = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if source.shape != target.shape or source.ndim != 1 or k < 1:
        raise ValueError(f"two series of one length and a past of 1 or more, not {source.shape}, {target.shape}, {k}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("series are of finite numbers; cut them where one is missing")
    return source, target


def _binned(series: Floats, bins: int) -> Ints:
    different, places = np.unique(series, return_inverse=True)
    if len(different) <= bins:
        return np.asarray(places, np.int64)
    edges = np.linspace(different[0], different[-1], bins + 1)[1:-1]
    return np.asarray(np.searchsorted(edges, series, side="right"), np.int64)


def _entropy(*columns: Ints) -> float:
    _, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _left_over(columns: Floats, wanted: Floats) -> float:
    fitted = columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0]
    left = float(((wanted - fitted) ** 2).mean())
    if left <= max(LEFT_OVER_MIN * float(wanted.var()), ROUNDING * float((wanted**2).mean())):
        raise ValueError("the target follows without any noise from its past or the source's; that has no such entropy")
    return left
