"""Factor pairs against the dense product."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.factors import FactorPair, concat, zero_pair
from plora.proto.errors import AdapterError

sizes = st.integers(1, 6)


def pair_of(seed: int, rank: int, out: int = 5, into: int = 4, scale: float = 1.5) -> FactorPair:
    draw = np.random.default_rng(seed)
    return FactorPair(draw.standard_normal((rank, into)), draw.standard_normal((out, rank)), scale)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), rank=sizes, out=sizes, into=sizes, scale=st.floats(-8, 8))
def test_norm_is_that_of_the_dense_product(seed: int, rank: int, out: int, into: int, scale: float) -> None:
    pair = pair_of(seed, rank, out, into, scale)
    dense = scale * (pair.B @ pair.A)
    assert pair.norm() == pytest.approx(np.sqrt((dense**2).sum()), rel=1e-12, abs=1e-100)


def test_norm_of_a_cancelling_stack_is_zero_to_rounding() -> None:
    pair = pair_of(1, 3)
    assert concat([pair, pair.times(-1)]).norm() < 1e-14 * pair.norm() * 10


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), ranks=st.lists(sizes, min_size=1, max_size=4))
def test_concat_adds(seed: int, ranks: list[int]) -> None:
    pairs = [pair_of(seed + index, rank, scale=index - 1.0) for index, rank in enumerate(ranks)]
    total = sum(pair.scale * (pair.B @ pair.A) for pair in pairs)
    stacked = concat(pairs)
    assert stacked.rank == sum(ranks)
    np.testing.assert_allclose(stacked.B @ stacked.A * stacked.scale, total, atol=1e-12)


def test_times_shares_the_factors_and_folds_into_b() -> None:
    pair = pair_of(3, 2)
    half = pair.times(0.5)
    assert np.shares_memory(half.A, pair.A)
    assert half.folded().scale == 1.0
    np.testing.assert_allclose(half.folded().B @ half.folded().A, 0.75 * (pair.B @ pair.A), atol=1e-14)
    folded = half.folded()
    assert folded.folded() is folded


def test_padding_keeps_the_product_and_never_shrinks() -> None:
    pair = pair_of(4, 2)
    wide = pair.padded(5)
    assert (wide.A.shape, wide.B.shape) == ((5, 4), (5, 5))
    np.testing.assert_array_equal(wide.B @ wide.A, pair.B @ pair.A)
    assert pair.padded(2) is pair
    with pytest.raises(AdapterError, match="rank 2 doesn't fit into rank 1"):
        pair.padded(1)


def test_pairs_are_read_only_but_leave_the_callers_array_alone() -> None:
    a = np.ones((1, 2))
    pair = FactorPair(a, np.ones((2, 1)))
    with pytest.raises(ValueError, match="read-only"):
        pair.A[0, 0] = 2
    a[0, 0] = 3


@pytest.mark.parametrize(
    ("a", "b", "scale", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 1)), 1.0, "don't multiply"),
        (np.ones(3), np.ones((3, 1)), 1.0, "don't multiply"),
        (np.ones((0, 3)), np.ones((3, 0)), 1.0, "don't multiply"),
        (np.ones((1, 0)), np.ones((3, 1)), 1.0, "don't multiply"),
        (np.ones((1, 3)), np.ones((0, 1)), 1.0, "don't multiply"),
        (np.ones((1, 3)), np.ones((3, 1), np.float32), 1.0, "dtypes"),
        (np.ones((1, 3), np.float16), np.ones((3, 1), np.float16), 1.0, "dtypes"),
        (np.ones((1, 3)), np.ones((3, 1)), math.nan, "not finite"),
        (np.ones((1, 3)), np.ones((3, 1)), math.inf, "not finite"),
    ],
)
def test_what_is_no_pair(a: np.ndarray, b: np.ndarray, scale: float, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        FactorPair(a, b, scale)


def test_adding_nothing_or_what_does_not_fit() -> None:
    with pytest.raises(AdapterError, match="nothing to add"):
        concat([])
    with pytest.raises(AdapterError, match="different shapes"):
        concat([pair_of(1, 2), pair_of(1, 2, out=6)])


def test_zero_pair() -> None:
    assert zero_pair(3, 2).norm() == 0.0
    assert zero_pair(3, 2, rank=4).rank == 4
