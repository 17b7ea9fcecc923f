"""λ₂ and cuts against closed forms, networkx, and the bounds between them."""

from __future__ import annotations

from itertools import combinations
from math import log, pi, sin

import networkx as nx
import numpy as np
import pytest

from plora.analysis import spectra
from plora.analysis.spectra import Csr

LARGE = spectra.DENSE_MAX + 56
"""Of so many peers no matrix is filled."""


def csr(graph: nx.Graph[int]) -> Csr:
    matrix = nx.to_scipy_sparse_array(graph, format="csr")
    return matrix.indptr, matrix.indices


def barbell(n: int) -> nx.Graph[int]:
    """Two halves that are complete, and one edge between them."""
    return nx.barbell_graph(n // 2, 0)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("n", [2, 3, 20, LARGE])
def test_closed_forms(n: int, normalized: bool) -> None:
    forms = {
        "complete": (nx.complete_graph(n), n, n / (n - 1)),
        "path": (nx.path_graph(n), 4 * sin(pi / 2 / n) ** 2, 2 * sin(pi / 2 / (n - 1)) ** 2),
        "star": (nx.star_graph(n - 1), 2 if n == 2 else 1, 2 if n == 2 else 1),
    }
    if n > 2:
        forms["ring"] = nx.cycle_graph(n), 4 * sin(pi / n) ** 2, 2 * sin(pi / n) ** 2
    for name, (graph, combinatorial, by_degrees) in forms.items():
        wanted = by_degrees if normalized else combinatorial
        assert spectra.spectral_gap(csr(graph), normalized=normalized) == pytest.approx(wanted, rel=1e-8), name


@pytest.mark.parametrize("bits", [3, 8])
def test_hypercubes(bits: int) -> None:
    graph = csr(nx.convert_node_labels_to_integers(nx.hypercube_graph(bits)))
    assert spectra.spectral_gap(graph, normalized=False) == pytest.approx(2, rel=1e-8)
    assert spectra.spectral_gap(graph, normalized=True) == pytest.approx(2 / bits, rel=1e-8)


@pytest.mark.nightly
@pytest.mark.parametrize("normalized", [True, False])
def test_a_hundred_thousand_in_a_row(normalized: bool) -> None:
    n = 100_000
    ring, path = csr(nx.cycle_graph(n)), csr(nx.path_graph(n))
    half = 2 if normalized else 1
    assert spectra.spectral_gap(ring, normalized=normalized) == pytest.approx(4 / half * sin(pi / n) ** 2, rel=1e-8)
    wanted = 4 / half * sin(pi / 2 / (n - normalized)) ** 2
    assert spectra.spectral_gap(path, normalized=normalized) == pytest.approx(wanted, rel=1e-8)


RANDOM = {
    "er": nx.gnp_random_graph(LARGE, 12 / LARGE, seed=3),
    "ws": nx.watts_strogatz_graph(LARGE, 4, 0.05, seed=3),
    "ba": nx.barabasi_albert_graph(LARGE, 2, seed=3),
    "tree": nx.random_labeled_tree(LARGE, seed=3),
    "barbell": barbell(LARGE),
    "hubs": nx.barabasi_albert_graph(4 * LARGE, 2, seed=3),
    "hubs far apart": nx.compose(nx.star_graph(LARGE), nx.path_graph(range(LARGE, 3 * LARGE))),
}


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("name", RANDOM)
def test_all_eigenvalues_of_a_filled_matrix_agree(name: str, normalized: bool) -> None:
    graph = RANDOM[name]
    matrix = (nx.normalized_laplacian_matrix if normalized else nx.laplacian_matrix)(graph).toarray()
    wanted = np.linalg.eigvalsh(matrix)[1]
    assert spectra.spectral_gap(csr(graph), normalized=normalized) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("normalized", [True, False])
def test_a_graph_that_falls_apart(normalized: bool) -> None:
    triangle_and_one = [[1, 2], [0, 2], [0, 1], []]
    assert spectra.spectral_gap(triangle_and_one, normalized=normalized) == 0.0
    assert spectra.cheeger_bounds(triangle_and_one, normalized=normalized) == (0.0, 0.0)
    for method in ("best", "sweep", "random"):
        assert spectra.conductance_estimate(triangle_and_one, method=method).value == 0.0


@pytest.mark.parametrize("wrong", [[[0]], [[1], []], [[0, 1], [0]], [[1, 1], [0, 0]], [[2], [0]], [[-1], [0]]])
def test_what_is_no_graph_is_refused(wrong: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"two peers|undirected|from 0 to 1"):
        spectra.spectral_gap(wrong)


def test_conductance_of_known_graphs() -> None:
    exact = [spectra.conductance_estimate(csr(graph)) for graph in (nx.cycle_graph(12), barbell(10), nx.star_graph(6))]
    assert [one.value for one in exact] == [2 / 12, 1 / 21, 1.0] and all(one.exact for one in exact)
    swept = spectra.conductance_estimate(csr(barbell(40)))
    assert swept == spectra.Conductance(1 / (20 * 19 + 1), exact=False, method="sweep")


@pytest.mark.parametrize("seed", range(4))
def test_exact_is_the_least_of_all_cuts_and_others_are_no_less(seed: int) -> None:
    graph = nx.connected_watts_strogatz_graph(9, 4, 0.4, seed=seed)
    cuts = [nx.conductance(graph, side) for size in range(1, 5) for side in combinations(range(9), size)]
    exact = spectra.conductance_estimate(csr(graph)).value
    assert exact == pytest.approx(min(cuts))
    for method in ("sweep", "random"):
        found = spectra.conductance_estimate(csr(graph), method=method)
        assert found.value >= exact - 1e-12 and not found.exact and found.method == method


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("name", ["ring", "barbell", "complete", "small", "ws", "ba", "tree"])
def test_bounds_hold(name: str, normalized: bool) -> None:
    few = {
        "ring": nx.cycle_graph(15),
        "barbell": barbell(50),
        "complete": nx.complete_graph(9),
        "small": nx.path_graph(7),
    }
    graph = csr(few[name] if name in few else RANDOM[name])
    lower, upper = spectra.cheeger_bounds(graph, normalized=normalized)
    assert 0 < lower <= spectra.spectral_gap(graph, normalized=normalized) * (1 + 1e-9) <= upper * (1 + 1e-9)


@pytest.mark.parametrize("graph", [barbell(60), nx.cycle_graph(60)], ids=["barbell", "ring"])
def test_random_cuts_bound_nothing_from_below(graph: nx.Graph[int]) -> None:
    drawn = spectra.conductance_estimate(csr(graph), method="random").value
    gap = spectra.spectral_gap(csr(graph))
    assert drawn**2 / 2 > gap > spectra.conductance_estimate(csr(graph), method="sweep").value ** 2 / 2


def test_predicted_rounds() -> None:
    assert spectra.predicted_rounds_spectral(n=100, lambda2=0.3, C=0.7) == pytest.approx(0.7 * log(100) / 0.3)
    assert spectra.predicted_rounds_spectral(1, 0.0, 1.0) == 0.0
    assert spectra.predicted_rounds_spectral(2, 0.0, 1.0) == float("inf")
    with pytest.raises(ValueError, match="n = 0"):
        spectra.predicted_rounds_spectral(0, 0.3, 1.0)
