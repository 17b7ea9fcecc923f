"""Truncation against numpy's SVD of the dense product in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.factors import FactorPair, concat, zero_pair
from plora.merge.truncate import truncate
from plora.proto.errors import UsageError

sizes = st.integers(1, 7)


def pair_of(seed: int, rank: int, out: int, into: int, scale: float = 0.7) -> FactorPair:
    draw = np.random.default_rng(seed)
    return FactorPair(draw.standard_normal((rank, into)), draw.standard_normal((out, rank)), scale)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**20), rank=sizes, out=sizes, into=sizes, kept=sizes)
def test_error_is_the_discarded_singular_values(seed: int, rank: int, out: int, into: int, kept: int) -> None:
    pair = pair_of(seed, rank, out, into)
    dense = pair.scale * (pair.B @ pair.A)
    sigma = np.linalg.svd(dense, compute_uv=False)
    result = truncate(pair, kept)
    assert result.pair.rank <= min(kept, rank, out, into)
    error = np.linalg.norm(dense - result.pair.B @ result.pair.A)
    assert error == pytest.approx(np.sqrt((sigma[kept:] ** 2).sum()), abs=1e-12 * sigma[0])
    assert result.discarded_energy == pytest.approx((sigma[kept:] ** 2).sum() / (sigma**2).sum(), abs=1e-12)
    shown = result.singular_values[: len(sigma)]
    np.testing.assert_allclose(shown, sigma[: len(shown)], atol=1e-12 * sigma[0])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), rank=st.integers(1, 5), kept=st.integers(1, 5))
def test_gauge_does_not_matter(seed: int, rank: int, kept: int) -> None:
    pair = pair_of(seed, rank, 9, 8)
    draw = np.random.default_rng(seed + 1)
    rotation, _ = np.linalg.qr(draw.standard_normal((rank, rank)))
    gauge = rotation * np.geomspace(1, 10, rank)
    other = FactorPair(gauge @ pair.A, pair.B @ np.linalg.inv(gauge), pair.scale)
    one, two = truncate(pair, kept), truncate(other, kept)
    np.testing.assert_allclose(two.singular_values, one.singular_values, atol=1e-10 * one.singular_values[0])
    # Nearly equal singular values at the cut make the best approximation itself ill-determined.
    if kept >= rank or one.singular_values[kept - 1] > 1.05 * one.singular_values[kept]:
        np.testing.assert_allclose(two.pair.dense(), one.pair.dense(), atol=1e-8 * one.singular_values[0])


def test_canonical_signs_survive_a_flip_of_the_factors() -> None:
    pair = pair_of(5, 3, 9, 8)
    flip = np.array([1.0, -1.0, -1.0])
    other = FactorPair(pair.A * flip[:, None], pair.B * flip, pair.scale)
    one, two = truncate(pair, 3).pair, truncate(other, 3).pair
    np.testing.assert_allclose(two.A, one.A, atol=1e-12)
    np.testing.assert_allclose(two.B, one.B, atol=1e-12)
    assert all(column[np.argmax(np.abs(column))] > 0 for column in one.B.T)


def test_factors_come_back_balanced_with_scale_one() -> None:
    result = truncate(pair_of(6, 4, 9, 8), 3)
    assert result.pair.scale == 1.0
    np.testing.assert_allclose(np.linalg.norm(result.pair.A, axis=1) ** 2, result.singular_values[:3], rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(result.pair.B, axis=0) ** 2, result.singular_values[:3], rtol=1e-12)


def test_float32_stays_float32_with_a_decaying_spectrum() -> None:
    draw = np.random.default_rng(7)
    decay = 10.0 ** -np.arange(8)
    pair = FactorPair(
        (draw.standard_normal((8, 40)) * decay[:, None]).astype(np.float32),
        draw.standard_normal((50, 8)).astype(np.float32),
    )
    result = truncate(pair, 4)
    assert result.pair.A.dtype == result.pair.B.dtype == np.float32
    sigma = np.linalg.svd(pair.dense(), compute_uv=False)
    assert np.linalg.norm(pair.dense() - result.pair.dense()) < 1.01 * np.linalg.norm(sigma[4:]) + 1e-6 * sigma[0]


def test_rank_of_a_duplicated_update_is_its_own() -> None:
    pair = pair_of(8, 2, 9, 8)
    result = truncate(concat([pair, pair]), 16)
    assert result.pair.rank == 2
    np.testing.assert_allclose(result.pair.dense(), 2 * pair.dense(), atol=1e-12)


def test_zero_stays_zero() -> None:
    result = truncate(zero_pair(4, 3, rank=2), 2)
    assert (result.pair.rank, result.pair.norm(), result.discarded_energy) == (1, 0.0, 0.0)


def test_same_input_same_bytes() -> None:
    one, two = (truncate(pair_of(9, 4, 9, 8), 2).pair for _ in range(2))
    assert one.A.tobytes() == two.A.tobytes() and one.B.tobytes() == two.B.tobytes()


def test_rank_must_be_positive() -> None:
    with pytest.raises(UsageError, match="rank 0"):
        truncate(zero_pair(2, 2), 0)


@pytest.mark.parametrize("scale", [1e-200, 1e-310, 1e150])
def test_energy_is_relative_and_neither_underflows_nor_overflows(scale: float) -> None:
    pair = FactorPair(np.diag([4.0, 3.0]), np.eye(2), scale)
    assert truncate(pair, 1).discarded_energy == pytest.approx(9 / 25)
