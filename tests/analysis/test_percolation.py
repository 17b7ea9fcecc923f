"""Percolation against other formulas, drawn graphs, and what is known of graphs."""

from __future__ import annotations

from math import sqrt

import networkx as nx
import numpy as np
import pytest
from scipy.stats import poisson  # type: ignore[import-untyped]

from plora.analysis import percolation
from plora.analysis.diffusion import component_sizes, percolation_share


def poisson_degrees(c: float, n: int = 200_000) -> list[int]:
    """Degrees of an Erdős-Rényi graph of mean degree c, as exactly as so many peers allow."""
    found: list[int] = poisson.ppf((np.arange(n) + 0.5) / n, c).astype(int).tolist()
    return found


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9, 1.0])
def test_poisson_degrees_give_the_formula_of_random_graphs(q: float) -> None:
    degrees = poisson_degrees(4.75)
    assert percolation.reached_share(degrees, q) == pytest.approx(percolation_share(4.75, q), abs=1e-3)
    assert percolation.passing_needed(degrees) == pytest.approx(1 / 4.75, rel=1e-3)


def test_a_drawn_graph_has_such_a_component() -> None:
    graph = nx.random_regular_graph(4, 6000, seed=2)
    passing = np.random.default_rng(2).random(6000) < 0.6
    found = component_sizes([sorted(graph[peer]) for peer in range(6000)], passing)
    assert found[0] / 6000 == pytest.approx(percolation.reached_share([4] * 6000, 0.6), abs=0.02)


def test_hubs_leave_no_threshold() -> None:
    needed = [
        percolation.passing_needed([degree for _, degree in nx.barabasi_albert_graph(n, 3, seed=1).degree()])
        for n in (100, 3000)
    ]
    assert needed[1] < needed[0] < 1 / 5
    assert percolation.passing_needed([1, 1]) == np.inf and percolation.reached_share([1, 1], 1.0) == 0.0


def test_where_all_let_it_through_only_ends_stop_it() -> None:
    assert percolation.reached_share([2] * 10, 1.0) == 1.0  # circles
    assert percolation.reached_share([2] * 10, 0.99) == 0.0
    assert percolation.reached_share([0, 0, 3, 3, 3, 3], 1.0) == pytest.approx(2 / 3)
    assert percolation.reached_share([0, 0], 1.0) == 0.0
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            percolation.reached_share([2] * 10, wrong)


def test_verdicts_alike_make_outbreaks_rarer_or_likelier() -> None:
    degrees = poisson_degrees(4.75, 2000)

    def share(q: float) -> float:
        return percolation.reached_share(degrees, q)

    assert percolation.with_correlation(share, 0.4, 0.0) == pytest.approx(share(0.4))
    assert percolation.with_correlation(share, 0.4, 1.0) == pytest.approx(0.4 * share(1.0))
    assert (
        percolation.outbreak_chance(degrees, 0.15, 0.0) == 0.0 < percolation.outbreak_chance(degrees, 0.15, 0.5) < 0.5
    )
    drawn = np.array(percolation.passing_quantiles(0.3, 0.25))
    assert drawn.mean() == pytest.approx(0.3, abs=1e-3) and drawn.var() == pytest.approx(0.25 * 0.3 * 0.7, rel=0.02)
    with pytest.raises(ValueError, match="from 0 to 1"):
        percolation.passing_quantiles(1.2, 0.0)


def test_thresholds_of_known_graphs() -> None:
    star = [[1, 2, 3, 4], [0], [0], [0], [0]]
    ring = [[7, 1], *[[peer - 1, (peer + 1) % 8] for peer in range(1, 8)]]
    assert percolation.epidemic_threshold(star) == pytest.approx(1 / sqrt(4))
    assert percolation.epidemic_threshold(ring) == pytest.approx(0.5)
    assert percolation.epidemic_threshold([[1], [0]]) == 1.0 and percolation.epidemic_threshold([[], [], []]) == np.inf
