"""Coordinates of float32 factors lead back to the updates, between orthonormal bases, however they are factored."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plora.merge.factors import FactorPair, zero_pair
from plora.merge.plan import Method
from plora.merge.rules import Work, merge_pairs
from plora.merge.spaces import SPACES, Basis, Frame

Matrix = NDArray[np.float64]
Change = Callable[[list[FactorPair]], list[FactorPair]]

RANK, OUT, INTO = 6, 70, 50
in_space = pytest.mark.parametrize("space", ["knots", "core"])


def operands(seed: int, count: int = 5, decay: float = 0.6) -> list[FactorPair]:
    draw = np.random.default_rng(seed)
    fading = (decay ** np.arange(RANK))[:, None]
    return [
        FactorPair(
            (draw.standard_normal((RANK, INTO)) * fading).astype(np.float32),
            draw.standard_normal((OUT, RANK)).astype(np.float32),
            float(draw.uniform(0.5, 2)),
        )
        for _ in range(count)
    ]


def as_drawn(pairs: list[FactorPair]) -> list[FactorPair]:
    return pairs


def trained(pairs: list[FactorPair]) -> list[FactorPair]:
    """A is as it was drawn, and the columns of B are nearly parallel: the spectrum fades in no row's length."""
    mixing = np.random.default_rng(1).standard_normal((RANK, RANK)) * np.geomspace(1, 1e-3, RANK)[:, None]
    return [FactorPair(pair.A, (pair.B @ mixing).astype(np.float32), pair.scale) for pair in pairs]


def stretched(pairs: list[FactorPair]) -> list[FactorPair]:
    """The same updates in factors that are far from balanced."""
    stretch = np.float32(2.0) ** np.linspace(-25, 25, RANK, dtype=np.float32)
    return [FactorPair(pair.A * stretch[:, None], pair.B / stretch, pair.scale) for pair in pairs]


def same_a(pairs: list[FactorPair]) -> list[FactorPair]:
    return [FactorPair(pairs[0].A, pair.B, pair.scale) for pair in pairs]


def near_a(pairs: list[FactorPair]) -> list[FactorPair]:
    """A started from the same draw, and hardly moved."""
    return [FactorPair(pairs[0].A + np.float32(1e-4) * pair.A, pair.B, pair.scale) for pair in pairs]


def with_zeros(pairs: list[FactorPair]) -> list[FactorPair]:
    """An update that is zero, one that is scaled to it, and rows of zeros in one that isn't."""
    half = FactorPair(pairs[1].A * np.array([1, 1, 0, 1, 0, 0], np.float32)[:, None], pairs[1].B, pairs[1].scale)
    return [pairs[0], zero_pair(OUT, INTO, RANK), half, pairs[2].times(0.0)]


def turned(pairs: list[FactorPair]) -> list[FactorPair]:
    """The same updates with their rows in another order, some of them longer by a power of two."""
    order = np.random.default_rng(2).permutation(RANK)
    longer = np.array([1, 2, 1, 0.5, 8, 1], np.float32)
    return [FactorPair(pair.A[order] * longer[:, None], pair.B[:, order] / longer, pair.scale) for pair in pairs]


def of_all_sizes(pairs: list[FactorPair]) -> list[FactorPair]:
    return [pair.times(10.0**place) for place, pair in enumerate(pairs)]


def huge(pairs: list[FactorPair]) -> list[FactorPair]:
    """Entries of their products are no float32 numbers."""
    return [FactorPair(pair.A * np.float32(1e25), pair.B * np.float32(1e20), pair.scale) for pair in pairs]


CASES = (as_drawn, trained, stretched, same_a, near_a, with_zeros, of_all_sizes, huge)


def merged(space: str, pairs: list[FactorPair]) -> Matrix:
    rule = "task_arithmetic" if space == "tsv" else "ties"
    weights = [1 / len(pairs)] * len(pairs)
    densities = [0.4] * len(pairs)
    return merge_pairs(Work(pairs, weights, 1.0, Method(space, rule), 5 * RANK, densities=densities)).pair.dense()


def whole(basis: Basis | None, coordinates: Matrix) -> Matrix:
    return coordinates if basis is None else basis.lift(coordinates)


def errors_of(frame: Frame, pairs: Sequence[FactorPair]) -> list[float]:
    """How far each operand is from its update, relative to the longest one."""
    found = []
    for there, pair in zip(frame.pairs, pairs, strict=True):
        back = whole(frame.right, whole(frame.left, there.dense()).T).T
        found.append(float(np.linalg.norm(back - pair.dense())))
    return [error / max(float(np.linalg.norm(pair.dense())) for pair in pairs) for error in found]


@in_space
@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_coordinates_lead_back(space: str, case: Change) -> None:
    """What is left out is no longer than rounding may be: eps for each of the columns."""
    pairs = case(operands(3))
    frame = SPACES[space](pairs)
    assert max(errors_of(frame, pairs)) < len(pairs) * RANK * float(np.finfo(np.float32).eps)
    for basis in filter(None, (frame.left, frame.right)):
        columns = basis.lift(np.eye(basis.mix.shape[1]))
        np.testing.assert_allclose(columns.T @ columns, np.eye(columns.shape[1]), atol=1e-6)


@pytest.mark.parametrize("space", ["knots", "core", "tsv"])
@pytest.mark.parametrize("change", [stretched, turned], ids=["stretched", "turned"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_the_factoring_does_not_matter_in_float32(space: str, change: Change, seed: int) -> None:
    pairs = operands(seed)
    one, two = (merged(space, each) for each in (pairs, change(pairs)))
    np.testing.assert_allclose(two, one, atol=1e-5 * float(np.linalg.norm(one)))


@in_space
def test_one_update_factored_anew_spans_nothing_more(space: str) -> None:
    pair = operands(4)[0]
    frame = SPACES[space]([pair, *turned([pair]), pair.times(-2.0)])
    assert frame.shape[0] == RANK


@pytest.mark.parametrize("space", ["knots", "core", "tsv"])
def test_nothing_but_zeros_stays_zero(space: str) -> None:
    assert not merged(space, [zero_pair(OUT, INTO, RANK)] * 3).any()
