"""How many rounds an adapter takes to all peers of a graph: families of graphs, run on the fleet.

Rules:

- A family has a fixed mean degree of six to eight, so that its graphs differ in size and draw alone. What counts is the
  largest component.
- Rounds are synchronous push-pull, everybody calls once, and all who call are answered. `ORIGINS` adapters start at
  peers that are drawn; a graph's figure is their mean.

>>> measured("ws", 64, seed=1).n
64
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from plora.analysis.calibration import Run
from plora.analysis.spectra import spectral_gap
from plora.proto.errors import PloraError, UsageError
from plora.sim.fleet.counts import holders
from plora.sim.fleet.engine import Fleet, Graph
from plora.sim.theory import largest_component
from plora.sim.topology import Graph as Topology
from plora.sim.topology import barabasi_albert_graph, erdos_renyi_graph, watts_strogatz_graph

FAMILIES: Mapping[str, tuple[str, Callable[[int, int], Topology]]] = {
    "er": ("mean degree 8, the largest component", lambda n, seed: erdos_renyi_graph(n, min(1.0, 8 / (n - 1)), seed)),
    "ws": ("k = 6, beta = 0.1", lambda n, seed: watts_strogatz_graph(n, 6, 0.1, seed)),
    "ba": ("m = 3", lambda n, seed: barabasi_albert_graph(n, 3, seed)),
}
"""What is fixed, and a graph by size and seed."""

ORIGINS = 64
ROUNDS_MAX = 10_000


def graph_of(family: str, n: int, seed: int) -> Topology:
    """The largest component of a graph of the family; UsageError for one that isn't in `FAMILIES`."""
    if family not in FAMILIES:
        raise UsageError(f"no family of graphs {family!r}", mend=f"one of {', '.join(FAMILIES)}")
    return largest_component(FAMILIES[family][1](n, seed))


def measured(family: str, n: int, seed: int) -> Run:
    """λ₂ of a graph of the family, and the rounds that adapters take to all of it."""
    graph = graph_of(family, n, seed)
    return Run(graph.n, seed, spectral_gap(graph.csr()), rounds_to_all(graph, seed))


def rounds_to_all(graph: Topology, seed: int) -> float:
    """The mean over adapters of the rounds until every peer has it."""
    fleet, adapters = Fleet(Graph(*graph.csr()), ORIGINS, seed), np.arange(ORIGINS)
    origins = np.random.default_rng(seed).integers(0, graph.n, ORIGINS)
    for adapter, origin in zip(adapters.tolist(), origins.tolist(), strict=True):
        fleet.publish(adapter, origin)
    took = np.zeros(ORIGINS)
    for number in range(ROUNDS_MAX):
        if (arrived := holders(fleet.known, ORIGINS) == graph.n).all():
            return float(took.mean())
        took[~arrived] = number + 1
        fleet.step()
    raise PloraError(f"not all of {graph.n} peers had it after {ROUNDS_MAX} rounds", mend="take a connected graph")
