"""Mutual information by nearest neighbours, against closed forms, scikit-learn and counting all pairs."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import digamma  # type: ignore[import-untyped]
from sklearn.feature_selection._mutual_info import _compute_mi_cc  # type: ignore[import-untyped]

from plora.analysis.information import EstimateWarning, mi_knn, mi_knn_interval
from plora.analysis.information.neighbours import Side, nearest, within

Floats = NDArray[np.float64]


def pairs(n: int, correlation: float, seed: int = 0, d: int = 1) -> tuple[Floats, Floats]:
    x, other = np.random.default_rng(seed).standard_normal((2, n, d))
    return x, correlation * x + (1 - correlation**2) ** 0.5 * other


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_information_of_a_gaussian(correlation: float, variant: int) -> None:
    x, y = pairs(4000, correlation)
    assert mi_knn(x, y, variant=variant) == pytest.approx(-0.5 * log(1 - correlation**2), abs=0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("shape", ["gaussian", "long tails", "line", "lattice"])
def test_equals_scikit_learn(shape: str, k: int) -> None:
    drawn = np.random.default_rng(k)
    x, y = pairs(700, 0.7, seed=k)
    if shape == "long tails":
        x, y = x**7, drawn.standard_cauchy(x.shape)
    if shape == "line":
        y = 3 * x + 1e-9 * y
    if shape == "lattice":  # equal marginals, and whole samples that coincide
        x, y = x.round(1), y.round(1)
    ours = mi_knn(x, y, k, ties="keep")
    assert max(0.0, ours) == pytest.approx(_compute_mi_cc(x[:, 0], y[:, 0], k), abs=1e-10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2)])
def test_neighbours_are_those_of_all_pairs(shape: tuple[int, int]) -> None:
    drawn = np.random.default_rng(5)
    left, right = (drawn.standard_normal((900, d)).round(2) for d in shape)
    apart = [abs(side[:, None] - side[None]).max(axis=2) for side in (left, right)]
    joint = np.maximum(*apart)
    np.fill_diagonal(joint, np.inf)
    distances, names = nearest(Side.of(left), Side.of(right), 4)
    assert (distances == np.sort(joint, axis=1)[:, :4]).all()
    assert (np.take_along_axis(joint, names, axis=1) == distances).all() and (np.diff(np.sort(names), axis=1) > 0).all()
    for side, matrix in zip((left, right), apart, strict=True):
        assert (within(Side.of(side), distances[:, 3]) == (matrix < distances[:, 3:]).sum(axis=1).clip(1)).all()


def test_second_variant_is_what_its_equation_says() -> None:
    x, y = pairs(300, 0.5, d=2)
    by_x, by_y = (abs(side[:, None] - side[None]).max(axis=2) for side in (x, y))
    joint = np.maximum(by_x, by_y) + np.diag(np.full(300, np.inf))
    near = np.argsort(joint, axis=1)[:, :3]
    counts = [(by <= np.take_along_axis(by, near, axis=1).max(axis=1)[:, None]).sum(axis=1) - 1 for by in (by_x, by_y)]
    expected = digamma(3) - 1 / 3 + digamma(300) - (digamma(counts[0]) + digamma(counts[1])).mean()
    assert mi_knn(x, y, variant=2) == pytest.approx(expected, abs=1e-12)


def test_nothing_is_cut_off_at_zero() -> None:
    found = [mi_knn(*pairs(200, 0.0, seed)) for seed in range(20)]
    assert min(found) < -0.01 and abs(np.mean(found)) < 3 * np.std(found) / 20**0.5


def test_normal_scores_leave_no_marginal() -> None:
    x, y = pairs(1000, 0.8)
    assert mi_knn(np.exp(3 * x), y**3, normal_scores=True) == pytest.approx(mi_knn(x, y, normal_scores=True), abs=1e-12)


def test_samples_that_coincide() -> None:
    x, y = (side.round() for side in pairs(500, 0.5))
    with pytest.raises(ValueError, match="lie where 3 others lie"):
        mi_knn(x, y)
    noisy = [mi_knn(x, y, ties="noise", seed=seed) for seed in (1, 1, 2)]
    assert noisy[0] == noisy[1] != noisy[2]


def test_what_is_no_sample_is_refused() -> None:
    x, y = pairs(10, 0.5)
    for wrong, text in (((x, y[1:]), "paired"), ((x, y * np.inf), "finite"), ((x[:3], y[:3]), "no 3 neighbours")):
        with pytest.raises(ValueError, match=text):
            mi_knn(*wrong)
    with pytest.warns(EstimateWarning, match="12 coordinates"):
        mi_knn(*pairs(50, 0.0, d=6))


def covered(n: int, correlation: float, swarms: int) -> float:
    true = -0.5 * log(1 - correlation**2)
    found = [mi_knn_interval(*pairs(n, correlation, seed)) for seed in range(swarms)]
    return float(np.mean([one.low <= true <= one.high for one in found]))


def test_intervals_cover_the_truth() -> None:
    """Of 95 % intervals 100 hold the truth at least 88 times but once in 500."""
    assert covered(400, 0.6, 100) >= 0.88
    narrow, wide = (mi_knn_interval(*pairs(400, 0.6), level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
def test_intervals_cover_the_truth_of_many_samples(correlation: float) -> None:
    assert 0.91 <= covered(4000, correlation, 400) <= 0.99
