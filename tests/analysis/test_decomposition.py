"""Partial information: gates whose parts are known, and a search through all ways to tie two bits."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray

from plora.analysis.information import Decomposition, broja, i_min

AND = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)]
XOR = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
COPY = [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]
SAME = [(0, 0, 0), (1, 1, 1)]
AND_REDUNDANCY = 0.3112781


def evenly(rows: list[tuple[int, int, int]]) -> NDArray[np.float64]:
    p = np.zeros(np.max(rows, axis=0) + 1)
    for row in rows:
        p[row] += 1 / len(rows)
    return p


@pytest.mark.parametrize(
    ("rows", "by_i_min", "by_broja"),
    [
        (XOR, (0, 0, 0, 1), (0, 0, 0, 1)),
        (AND, (AND_REDUNDANCY, 0, 0, 0.5), (AND_REDUNDANCY, 0, 0, 0.5)),
        (COPY, (1, 0, 0, 1), (0, 1, 1, 0)),
        (SAME, (1, 0, 0, 0), (1, 0, 0, 0)),
    ],
    ids=["XOR", "AND", "COPY", "SAME"],
)
def test_gates(rows: list[tuple[int, int, int]], by_i_min: tuple[float, ...], by_broja: tuple[float, ...]) -> None:
    for method, parts in ((i_min, by_i_min), (broja, by_broja)):
        assert astuple(method(evenly(rows))) == pytest.approx(parts, abs=1e-6)


def information(p: NDArray[np.float64]) -> float:
    joint, apart = p.reshape(-1, p.shape[-1]), p.sum(axis=2).ravel()[:, None] * p.sum(axis=(0, 1))
    return float((joint[joint > 0] * np.log2(joint[joint > 0] / apart[joint > 0])).sum())


@pytest.mark.parametrize("seed", range(3))
def test_no_way_to_tie_two_bits_says_less(seed: int) -> None:
    """All ways lie in a rectangle: what can be moved within the square of each outcome."""
    p = np.random.default_rng(seed).dirichlet(np.ones(8)).reshape(2, 2, 2)
    square = np.array([[1.0, -1.0], [-1.0, 1.0]])[:, :, None]
    ends = [(-min(p[0, 0, s], p[1, 1, s]), min(p[0, 1, s], p[1, 0, s])) for s in (0, 1)]
    moves = np.stack(np.meshgrid(*(np.linspace(low, high, 60) for low, high in ends)), axis=-1).reshape(-1, 2)
    least = min(information((p + square * move).clip(0)) for move in moves)
    assert broja(p).synergy == pytest.approx(information(p) - least, abs=2e-3)
    assert broja(p).synergy >= information(p) - least - 1e-6


@pytest.mark.parametrize("wrong", [np.ones((2, 2)) / 4, np.ones((2, 2, 2)), np.array([[[2.0, -1.0]]])])
def test_what_is_no_distribution_is_refused(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="sums to 1"):
        broja(wrong)


def test_rare_values_are_decomposed_as_well() -> None:
    draws = np.random.default_rng(0)
    for _ in range(10):
        p = draws.dirichlet(np.full(18, 0.1)).reshape(3, 3, 2)
        assert sum(astuple(broja(p))) == pytest.approx(information(p), abs=1e-6)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ValueError, match="648 unknowns, where 256"):
        broja(np.full((10, 10, 8), 1 / 800))


def test_a_source_of_one_value_says_nothing() -> None:
    assert broja(np.array([[[0.25], [0.0]], [[0.75], [0.0]]])[:, :1] + 0.0) == Decomposition(0, 0, 0, 0)
    alone = np.diag([0.5, 0.5])[:, None]
    assert broja(alone) == i_min(alone) == Decomposition(0, 1, 0, 0)
