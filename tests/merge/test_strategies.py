"""Strategies: what every one of them promises, and their differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.factors import FactorPair
from plora.merge.strategies import ORDER_FREE, STRATEGIES, sequential, weighted_sum
from plora.proto.errors import AdapterError

every_strategy = pytest.mark.parametrize("name", sorted(STRATEGIES))


def pair_of(seed: int, rank: int = 3, scale: float = 1.0) -> FactorPair:
    draw = np.random.default_rng(seed)
    return FactorPair(draw.standard_normal((rank, 8)), draw.standard_normal((9, rank)), scale)


@every_strategy
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), weights=st.lists(st.floats(-2, 2), min_size=1, max_size=4))
def test_equals_the_dense_sum_when_nothing_is_cut(name: str, seed: int, weights: list[float]) -> None:
    pairs = [pair_of(seed + index, rank=2, scale=index + 0.5) for index in range(len(weights))]
    total = sum(weight * pair.dense() for weight, pair in zip(weights, pairs, strict=True))
    result = STRATEGIES[name](pairs, weights, 8)
    np.testing.assert_allclose(result.pair.dense(), total, atol=1e-11)
    assert result.discarded_energy == pytest.approx(0, abs=1e-12)


@every_strategy
def test_bound_of_the_rank_holds(name: str) -> None:
    assert STRATEGIES[name]([pair_of(1), pair_of(2)], [1, 1], 4).pair.rank == 4


@every_strategy
def test_gauge_of_the_operands_does_not_matter(name: str) -> None:
    pairs = [pair_of(1), pair_of(2)]
    gauge = np.array([[2.0, 1, 0], [0, 1, 0], [0, 3, -1]])
    moved = [FactorPair(gauge @ pair.A, pair.B @ np.linalg.inv(gauge), pair.scale) for pair in pairs]
    one, two = (STRATEGIES[name](each, [0.3, 0.7], 4).pair.dense() for each in (pairs, moved))
    np.testing.assert_allclose(two, one, atol=1e-10)


@every_strategy
def test_nothing_and_misfits(name: str) -> None:
    with pytest.raises((AdapterError, ValueError)):
        STRATEGIES[name]([], [], 4)
    other = FactorPair(np.ones((1, 5)), np.ones((9, 1)))
    with pytest.raises(AdapterError, match="different shapes"):
        STRATEGIES[name]([pair_of(1), other], [1, 1], 4)


def test_weighted_sum_is_the_best_approximation() -> None:
    pairs = [pair_of(seed) for seed in range(3)]
    total = sum(0.5 * pair.dense() for pair in pairs)
    sigma = np.linalg.svd(total, compute_uv=False)
    result = weighted_sum(pairs, [0.5] * 3, 4)
    assert np.linalg.norm(total - result.pair.dense()) == pytest.approx(np.linalg.norm(sigma[4:]))
    assert result.discarded_energy == pytest.approx((sigma[4:] ** 2).sum() / (sigma**2).sum())


def test_sequential_follows_its_definition() -> None:
    def best(dense: np.ndarray) -> np.ndarray:
        u, s, vt = np.linalg.svd(dense)
        return np.asarray((u[:, :2] * s[:2]) @ vt[:2])

    pairs = [pair_of(seed) for seed in range(3)]
    weights = [0.2, 0.5, 0.3]
    state = np.zeros((9, 8))
    kept = 1.0
    for pair, weight in zip(pairs, weights, strict=True):
        exact = state + weight * pair.dense()
        state = best(exact)
        kept *= float(np.linalg.norm(state) ** 2 / np.linalg.norm(exact) ** 2)
    result = sequential(pairs, weights, 2)
    np.testing.assert_allclose(result.pair.dense(), state, atol=1e-10)
    assert result.discarded_energy == pytest.approx(1 - kept)


def test_order_matters_for_sequential_alone() -> None:
    assert "sequential" not in ORDER_FREE
    pairs = [pair_of(1), pair_of(2)]
    one = sequential(pairs, [1, 1], 2).pair.dense()
    two = sequential(pairs[::-1], [1, 1], 2).pair.dense()
    assert np.linalg.norm(one - two) > 1e-3
    same = [weighted_sum(each, [1, 1], 2).pair.dense() for each in (pairs, pairs[::-1])]
    np.testing.assert_allclose(same[0], same[1], atol=1e-12)
