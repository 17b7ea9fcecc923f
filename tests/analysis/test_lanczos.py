"""Lanczos' recurrence against all eigenvalues of filled matrices, and where it must end or give up."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from plora.analysis.graph_steps import GraphSteps
from plora.analysis.lanczos import PATIENCE, Array, Pair, smallest


def laplacian(graph: nx.Graph[int]) -> Array:
    return np.asarray(nx.laplacian_matrix(graph).toarray(), np.float64)


def found(graph: nx.Graph[int]) -> Pair | None:
    matrix = nx.to_scipy_sparse_array(graph, format="csr")
    return smallest(GraphSteps(matrix.indptr, matrix.indices, normalized=False))


@pytest.mark.parametrize("seed", range(3))
def test_the_pair_is_that_of_a_filled_matrix(seed: int) -> None:
    graph = nx.barabasi_albert_graph(300, 3, seed=seed)
    pair = found(graph)
    assert pair is not None
    values, vectors = np.linalg.eigh(laplacian(graph))
    assert pair.value == pytest.approx(values[1], rel=1e-9)
    assert pair.gap == pytest.approx(values[2] - values[1], rel=0.1)
    assert abs(pair.vector @ vectors[:, 1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("graph", [nx.complete_graph(40), nx.star_graph(39), nx.complete_graph(2)])
def test_few_eigenvalues_end_it_early(graph: nx.Graph[int]) -> None:
    pair = found(graph)
    assert pair is not None
    assert pair.value == pytest.approx(np.linalg.eigvalsh(laplacian(graph))[1], rel=1e-12)


def test_a_long_ring_is_left_to_others() -> None:
    assert found(nx.cycle_graph(3 * PATIENCE)) is None


def test_of_two_bounds_the_lesser_counts() -> None:
    far, near = (Pair(1.0, np.ones(1), gap) for gap in (0.5, 1e-9))
    assert far.error_of(1e-4) == pytest.approx(2e-8)
    assert near.error_of(1e-4) == 1e-4
