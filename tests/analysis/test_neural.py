"""Neural estimates: near the truth where it is small, capped where it is large; and what consistency tells apart."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from plora.analysis.information import mi_knn, mine_estimate, self_consistency
from plora.analysis.information.neural import JUDGES_MAX

Floats = NDArray[np.float64]
METHODS = ["mine", "infonce", "smile"]


def pairs(n: int, correlation: float) -> tuple[Floats, Floats]:
    x, other = np.random.default_rng(2).standard_normal((2, n, 1))
    return x, correlation * x + (1 - correlation**2) ** 0.5 * other


@pytest.mark.parametrize("method", METHODS)
def test_information_of_a_gaussian(method: str) -> None:
    found = mine_estimate(*pairs(1000, 0.8), method=method, steps=150)  # type: ignore[arg-type]
    assert found.value == pytest.approx(-0.5 * log(1 - 0.8**2), abs=0.15)
    assert found.bound == (method != "smile") and not found.saturated


def test_same_seed_same_value() -> None:
    values = [mine_estimate(*pairs(200, 0.8), steps=5, seed=seed).value for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_infonce_stays_below_its_cap_and_says_so() -> None:
    """There are 4.3 nats, and a batch of eight can show ln 8 of them."""
    found = mine_estimate(*pairs(1000, 0.9999), method="infonce", batch=8, steps=200)
    assert found.cap == pytest.approx(log(8)) and 1.2 < found.value <= found.cap and found.saturated


def test_a_batch_may_be_greater_than_the_number_of_judges() -> None:
    batch = JUDGES_MAX + 1
    found = mine_estimate(*pairs(2 * batch, 0.8), method="infonce", batch=batch, steps=1, hidden=2)
    assert found.cap == pytest.approx(log(batch)) and abs(found.value) < 1


def test_nearest_neighbours_are_consistent_and_a_count_of_pairs_is_not() -> None:
    x, y = pairs(2000, 0.8)
    found = self_consistency(mi_knn, x, y)
    assert abs(found.independent) < 0.05 and found.processing == pytest.approx(1.0, abs=0.1)
    assert found.additivity == pytest.approx(2.0, abs=0.2)
    capped = self_consistency(lambda a, b: min(0.3, mi_knn(a, b)), x, y)
    assert capped.additivity == 1.0


def test_what_cannot_be_estimated_is_refused() -> None:
    x, y = pairs(63, 0.5)
    with pytest.raises(ValueError, match="at least 64"):
        mine_estimate(x, y)
    with pytest.raises(ValueError, match="to half of them"):
        mine_estimate(*pairs(100, 0.5), batch=64)
    with pytest.raises(ValueError, match="no ratios"):
        self_consistency(lambda a, b: 0.0, x, y)
