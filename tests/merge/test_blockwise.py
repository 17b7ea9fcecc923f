"""Matrices that come in blocks: thresholds against sorting, truncation against numpy's SVD, memory against a bound."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plora.merge.blockwise import kept_magnitude, kept_magnitudes, truncate_blocks
from plora.merge.factors import FactorPair
from plora.merge.plan import Method
from plora.merge.rules import Work, merge_pairs

Matrix = NDArray[np.float64]
sizes = st.integers(1, 9)


def in_blocks(matrix: Matrix, height: int) -> Callable[[], Iterator[Matrix]]:
    return lambda: (matrix[start : start + height] for start in range(0, len(matrix), height))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), rows=sizes, columns=sizes, height=sizes, single=st.booleans(), data=st.data())
def test_the_kth_largest_magnitude_is_that_of_sorting(
    seed: int, rows: int, columns: int, height: int, single: bool, data: st.DataObject
) -> None:
    draw = np.random.default_rng(seed)
    scales = 10.0 ** draw.integers(-30, 30, (2, 1, 1))
    ones = (draw.standard_normal((2, rows, columns)) * scales).round(data.draw(st.sampled_from([1, 200])))
    ones = ones.astype(np.float32 if single else np.float64)
    kept = data.draw(st.tuples(*[st.integers(1, rows * columns)] * 2))
    found = kept_magnitudes(lambda: map(list, zip(*(in_blocks(one, height)() for one in ones), strict=True)), kept)
    assert found == [float(np.sort(np.abs(one), axis=None)[-k]) for one, k in zip(ones, kept, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    size=st.sampled_from([1, 60, 122, 5000]),
    digits=st.sampled_from([0, 1, 20]),
    order=st.sampled_from(["drawn", "sorted", "every 61st is large"]),
    share=st.floats(0, 1),
)
def test_of_a_whole_matrix_it_is_the_same(seed: int, size: int, digits: int, order: str, share: float) -> None:
    """Also where a sample of every 61st tells nothing of the others, and where many are equal."""
    values = np.random.default_rng(seed).standard_normal(size).round(digits)
    if order == "sorted":
        values.sort()
    elif order == "every 61st is large":
        values[::61] += 100.0
    kept = 1 + int(share * (size - 1))
    assert kept_magnitude(values[None], kept) == np.sort(np.abs(values))[-kept]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), rows=sizes, columns=sizes, height=sizes, rank=sizes)
def test_truncation_is_that_of_svd(seed: int, rows: int, columns: int, height: int, rank: int) -> None:
    matrix = np.random.default_rng(seed).standard_normal((rows, columns))
    pair, lost = truncate_blocks(in_blocks(matrix, height), columns, rank)
    sigma = np.linalg.svd(matrix, compute_uv=False)
    tail = float(np.sum(sigma[rank:] ** 2))
    assert pair.rank <= rank and lost == pytest.approx(tail / float(np.sum(sigma**2)), abs=1e-12)
    assert np.linalg.norm(matrix - pair.dense()) ** 2 == pytest.approx(tail, abs=1e-12 * float(np.sum(sigma**2)))


def test_nothing_stays_nothing() -> None:
    pair, lost = truncate_blocks(in_blocks(np.zeros((3, 2)), 2), 2, 1)
    assert (pair.norm(), lost) == (0.0, 0.0)


@pytest.mark.parametrize("rule", ["ties", "dare", "dare_ties"])
@pytest.mark.parametrize("shape", [(600, 90), (90, 600)])
def test_the_height_of_blocks_does_not_matter(rule: str, shape: tuple[int, int]) -> None:
    work = work_of(rule, *shape)
    whole = merge_pairs(work)
    apart = merge_pairs(replace(work, block_entries=7 * 90 * 3))
    np.testing.assert_allclose(apart.pair.dense(), whole.pair.dense(), atol=1e-10)
    assert apart.discarded_energy == pytest.approx(whole.discarded_energy)


@pytest.mark.parametrize("rule", ["ties", "dare"])
def test_no_update_is_ever_whole_in_memory(rule: str) -> None:
    """ΔW would be 19 MB in float64, an operand; blocks, masks and the Gram matrix of 60 columns are far less."""
    work = replace(work_of(rule, 40_000, 60), block_entries=1 << 16)
    tracemalloc.start()
    merge_pairs(work)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = 40_000 * 8 * 4
    assert peak < 10 * result + (10 << 20) < 3 * 19e6


def work_of(rule: str, out: int, into: int) -> Work:
    draw = np.random.default_rng(3)
    pairs = [FactorPair(draw.standard_normal((2, into)), draw.standard_normal((out, 2)), 0.5) for _ in range(3)]
    return Work(pairs, [0.5, 0.3, 0.2], 1.0, Method("full", rule), 4, [1, 2, 3], [0.3, 0.2, 0.4])
