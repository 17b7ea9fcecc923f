"""Graphs: known ones, the families' distributions against networkx's, and files."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any, TypeAlias

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.errors import UsageError
from plora.sim import scenario, topology
from plora.sim.topology import Graph, graph_of

Networkx: TypeAlias = "nx.Graph[Any]"

EVERY_KIND: dict[str, scenario.Graph] = {
    "er": scenario.Graph(kind="er", p=0.3),
    "ws": scenario.Graph(kind="ws", k=4, beta=0.3),
    "ba": scenario.Graph(kind="ba", m=3),
    "regular": scenario.Graph(kind="regular", d=5),
    "dense regular": scenario.Graph(kind="regular", d=11),
    "complete": scenario.Graph(kind="complete"),
    "ring": scenario.Graph(kind="ring"),
    "star": scenario.Graph(kind="star"),
    "hypercube": scenario.Graph(kind="hypercube"),
}


def as_networkx(graph: Graph) -> Networkx:
    made: Networkx = nx.Graph()
    made.add_nodes_from(range(graph.n))
    made.add_edges_from(graph.pairs())
    return made


@pytest.mark.parametrize("wanted", EVERY_KIND.values(), ids=EVERY_KIND)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_kind_is_simple_sorted_and_the_same_again(wanted: scenario.Graph, seed: int) -> None:
    graph = topology.of(wanted, 16, seed)
    pairs = graph.pairs()
    assert pairs == topology.of(wanted, 16, seed).pairs() == sorted(set(pairs))
    assert all(0 <= a < b < 16 for a, b in pairs)


@pytest.mark.parametrize("name", ["er", "ws", "ba", "regular", "dense regular"])
def test_seeds_differ(name: str) -> None:
    assert topology.of(EVERY_KIND[name], 16, 1).pairs() != topology.of(EVERY_KIND[name], 16, 2).pairs()


@pytest.mark.parametrize(
    ("graph", "same"),
    [
        (topology.complete(7), nx.complete_graph(7)),
        (topology.complete(1), nx.empty_graph(1)),
        (topology.ring(7), nx.cycle_graph(7)),
        (topology.ring(2), nx.path_graph(2)),
        (topology.ring(1), nx.empty_graph(1)),
        (topology.star(6), nx.star_graph(5)),
        (topology.hypercube(8), nx.convert_node_labels_to_integers(nx.hypercube_graph(3), ordering="sorted")),
        (topology.erdos_renyi_graph(6, 1.0, 3), nx.complete_graph(6)),
        (topology.erdos_renyi_graph(6, 0.0, 3), nx.empty_graph(6)),
        (topology.watts_strogatz_graph(9, 4, 0.0, 3), nx.watts_strogatz_graph(9, 4, 0.0)),
        (topology.barabasi_albert_graph(6, 5, 3), nx.star_graph(5)),
        (topology.random_regular_graph(6, 5, 3), nx.complete_graph(6)),
    ],
)
def test_known_graphs(graph: Graph, same: Networkx) -> None:
    assert nx.utils.graphs_equal(as_networkx(graph), nx.Graph(same.edges) if same.size() else same)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_rows_degrees_and_components_are_those_of_networkx(n: int, edges: list[tuple[int, int]]) -> None:
    graph = graph_of(n, [(a % n, b % n) for a, b in edges if a % n != b % n])
    same, (indptr, indices) = as_networkx(graph), graph.csr()
    rows = [indices[indptr[peer] : indptr[peer + 1]].tolist() for peer in range(n)]
    assert rows == graph.neighbours() == [sorted(same[peer]) for peer in range(n)]
    assert graph.degrees.tolist() == [same.degree(peer) for peer in range(n)]
    assert graph.is_connected == nx.is_connected(same)
    labels = graph.components().tolist()
    parts = sorted(sorted(part) for part in nx.connected_components(same))
    assert [[peer for peer in range(n) if labels[peer] == number] for number in range(max(labels) + 1)] == parts


def test_an_edge_that_cannot_be_is_named() -> None:
    for edge in ((0, 0), (0, 3), (-1, 1)):
        with pytest.raises(UsageError, match=f"{edge[0]} - {edge[1]}"):
            graph_of(3, [(0, 1), edge])


def mean(measure: Callable[[Networkx], float], graphs: list[Networkx]) -> tuple[float, float]:
    values = np.array([measure(graph) for graph in graphs])
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def degree_moment(power: int) -> Callable[[Networkx], float]:
    return lambda graph: float(np.mean([degree**power for _, degree in graph.degree]))


FAMILIES: dict[str, tuple[Callable[[int], Graph], Callable[[int], Networkx]]] = {
    "er": (lambda s: topology.erdos_renyi_graph(60, 0.1, s), lambda s: nx.gnp_random_graph(60, 0.1, s)),
    "ws": (lambda s: topology.watts_strogatz_graph(60, 6, 0.3, s), lambda s: nx.watts_strogatz_graph(60, 6, 0.3, s)),
    "full ws": (lambda s: topology.watts_strogatz_graph(8, 6, 1.0, s), lambda s: nx.watts_strogatz_graph(8, 6, 1.0, s)),
    "ba": (lambda s: topology.barabasi_albert_graph(60, 3, s), lambda s: nx.barabasi_albert_graph(60, 3, s)),
    "regular": (lambda s: topology.random_regular_graph(60, 6, s), lambda s: nx.random_regular_graph(6, 60, s)),
    "dense regular": (lambda s: topology.random_regular_graph(12, 8, s), lambda s: nx.random_regular_graph(8, 12, s)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_moments_and_the_clustering_of_networkx(family: str) -> None:
    ours, theirs = FAMILIES[family]
    mine = [as_networkx(ours(seed)) for seed in range(150)]
    other = [theirs(seed) for seed in range(150)]
    for measure in (nx.Graph.size, degree_moment(2), degree_moment(3), nx.average_clustering, nx.transitivity):
        (a, error_a), (b, error_b) = mean(measure, mine), mean(measure, other)
        assert a == pytest.approx(b, rel=1e-12, abs=4 * np.hypot(error_a, error_b)), measure


def test_the_edges_of_gilberts_graph_are_independent() -> None:
    """Each pair as often as p says, and two pairs as often as p squared."""
    keys = np.zeros((4000, 15), bool)
    place = {pair: number for number, pair in enumerate(topology.complete(6).pairs())}
    for seed in range(len(keys)):
        keys[seed, [place[pair] for pair in topology.erdos_renyi_graph(6, 0.3, seed).pairs()]] = True
    assert keys.mean(0) == pytest.approx(np.full(15, 0.3), abs=4.5 * np.sqrt(0.21 / len(keys)))
    apart = ~np.eye(15, dtype=bool)
    assert np.corrcoef(keys.T)[apart] == pytest.approx(0, abs=4.5 / np.sqrt(len(keys)))


def test_the_tail_of_barabasi_and_albert_is_a_power_law_of_exponent_three() -> None:
    """P(degree >= k) = m (m + 1) / (k (k + 1)): Bollobás et al., "The degree sequence of a scale-free random graph"."""
    n, m = 50_000, 3
    degrees = topology.barabasi_albert_graph(n, m, 7).degrees
    assert degrees.sum() == 2 * m * (n - m)
    for k in (3, 5, 10, 20, 40):
        expected = m * (m + 1) / (k * (k + 1))
        assert (degrees >= k).mean() == pytest.approx(expected, rel=0.02 + 5 / np.sqrt(n * expected)), k


def test_a_large_graph_skips_to_its_edges() -> None:
    n, c = 300_000, 8.0
    graph = topology.erdos_renyi_graph(n, c / n, 5)
    assert len(graph.edges) == pytest.approx(n * c / 2, abs=5 * np.sqrt(n * c / 2))
    assert graph.degrees.var() == pytest.approx(c, rel=0.02)
    ends = graph.edges.astype(np.int64)
    assert (np.diff(ends[:, 0] * n + ends[:, 1]) > 0).all() and (ends[:, 0] < ends[:, 1]).all()


def test_the_specifications_own_graph_falls_apart_for_one_seed_in_twelve() -> None:
    """1 - P(connected) of G(20, 0.25), by the recursion over the component of peer 0, is 8.4 %."""
    apart = sum(not topology.erdos_renyi_graph(20, 0.25, seed).is_connected for seed in range(2000))
    assert apart / 2000 == pytest.approx(share_apart(20, 0.25), abs=4 * np.sqrt(0.08 * 0.92 / 2000))
    assert all(topology.erdos_renyi_graph(20, 0.25, seed, connected=True).is_connected for seed in range(100))


def share_apart(n: int, p: float) -> float:
    connected = [0.0, 1.0]
    for size in range(2, n + 1):
        lone = sum(comb(size - 1, k - 1) * connected[k] * (1 - p) ** (k * (size - k)) for k in range(1, size))
        connected.append(1 - lone)
    return 1 - connected[n]


@pytest.mark.parametrize(
    ("wanted", "agents", "said"),
    [
        (scenario.Graph(kind="er", p=0.0, connected=True), 5, "no connected graph"),
        (scenario.Graph(kind="regular", d=1, connected=True), 6, "no connected graph"),
        (scenario.Graph(kind="er", p=0.5), 1_000_000, "too large"),
        (scenario.Graph(kind="complete"), 100_000, "too large"),
        (scenario.Graph(kind="ring"), 200_000_000, "too large"),
        (scenario.Graph(kind="star"), 200_000_000, "too large"),
        (scenario.Graph(kind="hypercube"), 1 << 24, "too large"),
        (scenario.Graph(kind="ws", k=3), 10, "even"),
        (scenario.Graph(kind="ws", k=10), 10, "even k from 2 that is below"),
        (scenario.Graph(kind="ba", m=10), 10, "below the number of peers"),
        (scenario.Graph(kind="regular", d=3), 5, "an even one where"),
        (scenario.Graph(kind="hypercube"), 12, "power of two"),
        (scenario.Graph(kind="file"), 12, "file isn't named; .*--graph_file"),
    ],
)
def test_what_cannot_be_is_said(wanted: scenario.Graph, agents: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        topology.of(wanted, agents, 0)
    if not wanted.connected:
        with pytest.raises(UsageError, match=said):
            topology.check(wanted, agents)


def of_file(path: Path, agents: int, *, connected: bool = False) -> Graph:
    return topology.of(scenario.Graph(kind="file", file=path, connected=connected), agents, 0)


def test_edge_lists(tmp_path: Path) -> None:
    path = tmp_path / "edges"
    path.write_text("# who knows whom\n\n3 1\n0,1  0.5\n1 3 # again\n")
    assert of_file(path, 5).pairs() == [(0, 1), (1, 3)]
    with pytest.raises(UsageError, match="not connected"):
        of_file(path, 5, connected=True)


@pytest.mark.parametrize("line", ["0", "a b", "2 2", "0 5", "-1 0", "0.5 1"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "edges"
    path.write_text(f"0 1\n{line}\n")
    with pytest.raises(UsageError, match="no edge") as caught:
        of_file(path, 5)
    assert f"{path}:2" in str(caught.value)


@pytest.mark.parametrize(
    "made", [nx.petersen_graph(), nx.DiGraph([(0, 1), (1, 0), (2, 1)]), nx.MultiGraph([(0, 1)] * 2)]
)
def test_graphml(tmp_path: Path, made: Networkx) -> None:
    path = tmp_path / "graph.graphml"
    nx.write_graphml(made, path)
    assert nx.utils.graphs_equal(as_networkx(of_file(path, len(made))), nx.Graph(made.edges()))


def test_graphml_with_names_is_numbered_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "graph.graphml"
    nx.write_graphml(nx.path_graph(["zoe", "ada", "bob"]), path)
    assert of_file(path, 3).pairs() == [(0, 1), (1, 2)]
    with pytest.raises(UsageError, match="3 nodes for 4 peers"):
        of_file(path, 4)


@pytest.mark.parametrize("text", ["", "<graphml>", "<a/>", "0 1\n"])
def test_what_is_no_graphml_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "graph.graphml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        of_file(path, 2)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.graphml"):
        of_file(tmp_path / "missing.graphml", 2)
