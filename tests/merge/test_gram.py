"""Gram matrices against exact integers, and truncation by them against the SVD of the dense sum in float64."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plora.merge.factors import FactorPair, zero_pair
from plora.merge.gram import DENSE_MAX, Rows, complete, gram_of, grams_of, inner_products
from plora.merge.truncate import Truncation, truncate_sum

F32 = NDArray[np.float32]
ROOT = Path(__file__).parents[2]
OUT, INTO, RANK = 96, 80, 8
ROUNDING = 1e-5
"""Of float32 factors, and of singular values that are left out as rounding."""


def draw_rows(seed: int, rows: int, columns: int, spread: float = 1.0) -> F32:
    """Rows whose lengths spread over some powers of ten."""
    rng = np.random.default_rng(seed)
    lengths = 10.0 ** (spread * rng.uniform(-1, 1, (rows, 1)))
    return (rng.standard_normal((rows, columns)) * lengths).astype(np.float32)


def rows_of(stack: F32) -> Rows:
    rows = Rows.of(stack)
    assert rows is not None
    return rows


def operands(seed: int, count: int = 6, decay: float = 1.0) -> list[FactorPair]:
    rng = np.random.default_rng(seed)
    fading = (decay ** np.arange(RANK))[:, None]
    return [
        FactorPair(
            (rng.standard_normal((RANK, INTO)) * fading).astype(np.float32),
            rng.standard_normal((OUT, RANK)).astype(np.float32),
            float(rng.uniform(0.5, 2)),
        )
        for _ in range(count)
    ]


def check_against_dense(
    pairs: Sequence[FactorPair], weights: Sequence[float], rank: int, sharp: float = 0.0
) -> Truncation:
    """What truncation promises, by the SVD of the dense sum; rounding is measured against what was added up.

    `sharp`: how far singular values may be off, beyond rounding, as a fraction of the largest.
    """
    dense = np.asarray(sum(weight * pair.dense() for pair, weight in zip(pairs, weights, strict=True)))
    sigma = np.linalg.svd(dense, compute_uv=False)
    size = float(np.sqrt(sum((weight * pair.norm()) ** 2 for pair, weight in zip(pairs, weights, strict=True))))
    result = truncate_sum(pairs, weights, rank)
    best = float(np.linalg.norm(sigma[rank:]))
    columns = sum(pair.rank for pair in pairs)
    rounding = ROUNDING * size + columns * float(np.finfo(np.float32).eps) * sigma[0]
    assert np.linalg.norm(dense - result.pair.dense()) <= 1.001 * best + rounding
    kept = result.singular_values[: result.pair.rank]
    np.testing.assert_allclose(kept, sigma[: len(kept)], atol=ROUNDING * size + sharp * sigma[0])
    for factor in (result.pair.A.T, result.pair.B):
        wide = factor.astype(np.float64)
        np.testing.assert_allclose(wide.T @ wide, np.diag(kept), atol=ROUNDING * size)
    energy = float((sigma**2).sum())
    if energy > (1e-3 * size) ** 2:
        assert result.discarded_energy == pytest.approx(best**2 / energy, rel=2e-3, abs=1e-7)
    return result


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), rows=st.integers(1, 9), columns=st.integers(1, 70), spread=st.floats(0, 9))
def test_a_gram_matrix_is_exact(seed: int, rows: int, columns: int, spread: float) -> None:
    stack = draw_rows(seed, rows, columns, spread)
    magic = rows_of(stack).magic[:, None]
    rounded = [[Fraction(float(value)) for value in row] for row in (stack + magic) - magic]
    exact = [[sum(x * y for x, y in zip(one, two, strict=True)) for two in rounded] for one in rounded]
    assert [[Fraction(value) for value in row] for row in gram_of(stack, rows_of(stack)).tolist()] == exact


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), cut=st.integers(1, 39), spread=st.floats(0, 9))
def test_blocks_have_the_bits_of_the_whole(seed: int, cut: int, spread: float) -> None:
    stack = draw_rows(seed, 40, 1500, spread)
    whole = gram_of(stack, rows_of(stack))
    one, two = stack[:cut], stack[cut:]
    assert gram_of(one, rows_of(one)).tobytes() == whole[:cut, :cut].tobytes()
    assert gram_of(two, rows_of(two)).tobytes() == whole[cut:, cut:].tobytes()
    order = np.random.default_rng(seed).permutation(40)
    assert gram_of(stack[order], rows_of(stack[order])).tobytes() == whole[np.ix_(order, order)].tobytes()


@pytest.mark.nightly
def test_threads_change_no_bit() -> None:
    """In processes of their own, for other tests have one thread; of a size at which values off the grid change."""
    program = (
        "import hashlib, json, threadpoolctl, tests.merge.test_gram as t\n"
        "stack = t.draw_rows(5, 700, 3001)\n"
        "gram = hashlib.sha256(t.gram_of(stack, t.rows_of(stack)).tobytes()).hexdigest()\n"
        "print(json.dumps([max(pool['num_threads'] for pool in threadpoolctl.threadpool_info()), gram]))"
    )
    told = []
    for threads in ("1", "2"):
        environ = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        words = [sys.executable, "-c", program]
        told.append(json.loads(subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, check=True).stdout))
    assert [threads for threads, _ in told] == [1, 2]
    assert told[0][1] == told[1][1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.lists(st.integers(0, 39), unique=True), st.booleans(), st.floats(0, 9))
def test_what_is_missing_is_filled_in_and_what_is_wrong_is_noticed(
    seed: int, places: list[int], upright: bool, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    stack = draw_rows(seed, 40, 1500, spread)
    stack = stack if upright else np.asfortranarray(stack)
    rows = rows_of(stack)
    whole = gram_of(stack, rows)
    gram = whole.copy()
    gram[places], gram[:, places] = np.nan, 7.0
    assert complete(gram, stack, rows, np.array(places, int), rng.standard_normal(40))
    assert gram.tobytes() == whole.tobytes()
    one, other = rng.choice(40, 2)
    gram[one, other] += 1e-6 * np.sqrt(whole[one, one] * whole[other, other])
    left = np.array([], int)
    assert not complete(gram, stack, rows, left, rng.standard_normal(40))
    gram[one, other] = rng.choice([np.nan, np.inf, -np.inf])
    assert not complete(gram, stack, rows, left, rng.standard_normal(40))


def test_the_grid_is_close_to_the_values() -> None:
    stack = draw_rows(3, 20, 2000, 6)
    rows = rows_of(stack)
    off = (stack + rows.magic[:, None]) - rows.magic[:, None] - stack
    assert (np.abs(off).max(axis=1) <= 2.0**-20 * np.abs(stack).max(axis=1)).all()
    np.testing.assert_allclose((off.astype(np.float64) ** 2).sum(axis=1), rows.noise, rtol=0.2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_have_no_grid(value: float) -> None:
    stack = np.ones((2, 3), np.float32)
    stack[1, 1] = value
    assert Rows.of(stack) is None


def test_inner_products_of_operands() -> None:
    pairs = operands(1, 4)
    grams = grams_of(np.vstack([pair.A for pair in pairs]), np.hstack([pair.B for pair in pairs]))
    assert grams is not None
    dense = [pair.dense() for pair in pairs]
    truth = [[float((one * two).sum()) for two in dense] for one in dense]
    shown = inner_products(grams, [pair.rank for pair in pairs], [pair.scale for pair in pairs])
    np.testing.assert_allclose(shown, truth, atol=1e-5 * np.max(truth))


@pytest.mark.parametrize("decay", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("rank", [1, 8, 16, 40])
def test_random_and_decaying_spectra(decay: float, rank: int) -> None:
    check_against_dense(operands(7, decay=decay), [0.5, 0.2, -0.3, 1, 0.1, 0.7], rank)


def scaled(pairs: list[FactorPair]) -> list[FactorPair]:
    """Operands of very different sizes."""
    return [pair.times(10.0 ** (3 * (place % 6) - 9)) for place, pair in enumerate(pairs)]


def gauged(pairs: list[FactorPair]) -> list[FactorPair]:
    """The same updates in factors that are far from balanced."""
    stretch = np.geomspace(1e-8, 1e8, RANK, dtype=np.float32)
    return [FactorPair(pair.A * stretch[:, None], pair.B / stretch, pair.scale) for pair in pairs]


def same_a(pairs: list[FactorPair]) -> list[FactorPair]:
    """A was frozen in training: only B differs."""
    return [FactorPair(pairs[0].A, pair.B, pair.scale) for pair in pairs]


def near_a(pairs: list[FactorPair]) -> list[FactorPair]:
    """A started from the same draw, and hardly moved."""
    return [FactorPair(pairs[0].A + np.float32(1e-4) * pair.A, pair.B, pair.scale) for pair in pairs]


def repeated(pairs: list[FactorPair]) -> list[FactorPair]:
    """One update many times: the sum has the rank of one."""
    return [pairs[0].times(place + 1) for place in range(len(pairs))]


def cancelling(pairs: list[FactorPair]) -> list[FactorPair]:
    """Large updates whose sum is small."""
    found = []
    for pair, other in pairwise(pairs):
        found += [pair, FactorPair(-pair.A, pair.B + np.float32(1e-3) * other.B, pair.scale)]
    return found


def with_zeros(pairs: list[FactorPair]) -> list[FactorPair]:
    return [*pairs[:2], zero_pair(OUT, INTO, RANK), *pairs[2:4], pairs[4].times(0.0)]


CASES = (scaled, gauged, same_a, near_a, repeated, cancelling, with_zeros)


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
@pytest.mark.parametrize("rank", [4, 16])
def test_ill_conditioned_sums(case: Callable[[list[FactorPair]], list[FactorPair]], rank: int) -> None:
    pairs = case(operands(11, decay=0.6))
    check_against_dense(pairs, [1.0] * len(pairs), rank)


def test_a_zero_sum_is_zero() -> None:
    pairs = operands(2)
    assert truncate_sum(pairs, [0.0] * len(pairs), 4).pair.norm() == 0.0
    zeros = [zero_pair(OUT, INTO, RANK)] * 6
    result = truncate_sum(zeros, [1.0] * 6, 4)
    assert result.pair.norm() == 0.0 and result.discarded_energy == 0.0


@pytest.mark.parametrize("weight", [1e-20, 1e15])
def test_weights_neither_vanish_nor_overflow(weight: float) -> None:
    pairs = operands(4)
    plain, far = truncate_sum(pairs, [1.0] * 6, 4), truncate_sum(pairs, [weight] * 6, 4)
    assert far.discarded_energy == pytest.approx(plain.discarded_energy)
    np.testing.assert_allclose(far.singular_values, weight * plain.singular_values, rtol=1e-9)


def many(seed: int, decay: float, out: int, into: int) -> list[FactorPair]:
    """So many operands that the core is not decomposed as a whole."""
    rng = np.random.default_rng(seed)
    fading = (decay ** np.arange(RANK))[:, None]
    count = DENSE_MAX // RANK + 10
    return [
        FactorPair(
            (rng.standard_normal((RANK, into)) * fading).astype(np.float32),
            rng.standard_normal((out, RANK)).astype(np.float32),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("decay", [1.0, 0.3])
@pytest.mark.parametrize(("out", "into"), [(300, 200), (40, 300), (300, 40)])
@pytest.mark.parametrize("rank", [1, 16])
def test_a_large_core(decay: float, out: int, into: int, rank: int) -> None:
    pairs = many(5, decay, out, into)
    check_against_dense(pairs, list(np.linspace(-0.5, 1, len(pairs))), rank, sharp=1e-3)


def test_a_large_core_of_which_much_is_wanted() -> None:
    """A few Krylov blocks of a quarter of the columns fill the space, and what fades in it was lost in float32."""
    rng = np.random.default_rng(35)
    fading = np.geomspace(1, 1e-8, 16)
    pairs = [
        FactorPair(
            rng.standard_normal((16, 700)).astype(np.float32),
            (rng.standard_normal((600, 16)) * fading).astype(np.float32),
        )
        for _ in range(35)
    ]
    check_against_dense(pairs, [1.0] * len(pairs), 128, sharp=1e-3)


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_ill_conditioned_large_cores(case: Callable[[list[FactorPair]], list[FactorPair]]) -> None:
    pairs = case(many(9, 0.6, OUT, INTO))
    check_against_dense(pairs, [1.0] * len(pairs), 16, sharp=1e-3)
