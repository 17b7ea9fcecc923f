"""Curves and trees against values worked out by hand and published ones."""

from __future__ import annotations

import pytest

from plora.analysis.paths import tree_of
from plora.analysis.survival import log_rank, survival

# Freireich et al. 1963, as in Kleinbaum and Klein, Survival Analysis: weeks in remission.
TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PLACEBO: tuple[list[int], list[int]] = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], []


def test_the_curve_of_a_textbook() -> None:
    curve = survival(*TREATED)
    shares = dict(zip(curve.times, curve.shares, strict=True))
    wanted = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {time: shares[time] for time in wanted} == pytest.approx(wanted, abs=5e-4)
    assert curve.time_to(0.5) == 23 and survival(*PLACEBO).time_to(0.5) == 8 and curve.time_to(0.6) is None
    at = curve.times.index(13)
    assert [curve.low[at], curve.high[at]] == pytest.approx([0.432, 0.849], abs=5e-3)


def test_the_log_rank_of_a_textbook() -> None:
    p = log_rank(TREATED, PLACEBO)  # chi² is 16.79 there
    assert p is not None and p == pytest.approx(4.2e-5, rel=0.05)
    same = log_rank(TREATED, TREATED)
    assert same == pytest.approx(1.0)


def test_where_nobody_got_it_nothing_is_said() -> None:
    assert survival([]).times == () and log_rank(([], [1.0]), ([], [2.0])) is None


def test_rings_of_parents_are_cut() -> None:
    tree = tree_of({0: 1, 1: 0, 2: 1})
    assert sorted(tree.depths.values()) == [0, 1, 1] or sorted(tree.depths.values()) == [0, 1, 2]
    assert sum(tree.by_depth) == 3


def test_a_parent_without_a_log_is_none() -> None:
    tree = tree_of({3: 9, 4: 3})
    assert tree.by_depth == [1, 1] and tree.mean_depth == 1.0 and tree_of({}).most_children is None
