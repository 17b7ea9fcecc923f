"""λ₂ of graphs of 100,000 peers: Plora's beside networkx's best method, by CPU seconds of one thread.

    make bench-spectra

Rules:

- networkx's `algebraic_connectivity` has four methods. Each runs in a process of its own, for no longer than the
  fastest before it (the first for `LIMIT_S` seconds of CPU a run); the fastest counts. Both find λ₂ of D - A, each from
  the graph in its own form, and agree. Of both the least of `TIMES` runs counts.
- The normalised Laplacian's λ₂ and graphs that are long and thin inform.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from math import ceil, pi, sin
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import networkx as nx
import numpy as np
from bench.report import Row, finish
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from plora.analysis.spectra import Csr, spectral_gap
from plora.sim import topology

COMMAND = "make bench-spectra"
PEERS, LIMIT_S, TIMES = 100_000, 150, 3
METHODS = ("lobpcg", "lanczos", "tracemin_pcg", "tracemin_lu")
GRAPHS: dict[str, tuple[Callable[[], topology.Graph], str]] = {
    "WS": (lambda: topology.watts_strogatz_graph(PEERS, 6, 0.1, 1), ">= 10"),
    "BA": (lambda: topology.barabasi_albert_graph(PEERS, 3, 1), ">= 4"),
}


def cpu_s(work: Callable[[], float]) -> tuple[float, float]:
    """The CPU seconds that it takes, and what it finds."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def least(work: Callable[[], float]) -> tuple[float, float]:
    """The least CPU seconds of some runs, and what it finds."""
    return min(cpu_s(work) for _ in range(TIMES))


def theirs(name: str, method: str, limit_s: int) -> None:
    """Print networkx's least time and what it finds; ended by the system after the time of all runs."""
    starts, neighbours = GRAPHS[name][0]().csr()
    n = len(starts) - 1
    graph = nx.from_scipy_sparse_array(csr_array((np.ones(len(neighbours)), neighbours, starts), shape=(n, n)))
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + TIMES * limit_s, used + TIMES * limit_s))
    find: Any = nx.algebraic_connectivity
    print(json.dumps(least(lambda: find(graph, method=method, seed=1))))


def best_of_theirs(name: str) -> tuple[float, float, str]:
    """Seconds, λ₂ and the method."""
    ended: list[tuple[float, float, str]] = []
    for method in METHODS:
        limit_s = ceil(min(ended)[0]) if ended else LIMIT_S
        command = [sys.executable, __file__, name, method, str(limit_s)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            ended.append((*json.loads(done.stdout), method))
    return min(ended)


def ours(graph: Csr, *, normalized: bool) -> tuple[float, float]:
    """The least of some measures, and λ₂."""
    return least(lambda: spectral_gap(graph, normalized=normalized))


def rows() -> list[Row]:
    """Both, of each graph."""
    made = []
    for name, (graph, goal) in GRAPHS.items():
        took, value = ours(graph().csr(), normalized=False)
        their_s, their_value, method = best_of_theirs(name)
        what, peer = f"λ₂ of {name} at 100,000", f"networkx, {method}"
        made += [
            Row.of(what, their_s / took, "x", goal=goal, peer=peer, command=COMMAND),
            Row.of(what, took, "s CPU", command=COMMAND),
            Row.of(f"{what}, apart", abs(value / their_value - 1), "", goal="<= 0.000001", peer=peer, command=COMMAND),
            Row.of(f"{what}, normalised", ours(graph().csr(), normalized=True)[0], "s CPU", command=COMMAND),
        ]
    took, value = ours(topology.ring(PEERS).csr(), normalized=False)
    error = abs(value / (4 * sin(pi / PEERS) ** 2) - 1)
    made += [
        Row.of("λ₂ of a ring at 100,000", took, "s CPU", command=COMMAND),
        Row.of("λ₂ of a ring at 100,000, error", error, "", goal="<= 1e-8", peer="4 sin²(π/n)", command=COMMAND),
    ]
    return made


if __name__ == "__main__":
    if len(sys.argv) == 4:
        theirs(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(finish("spectra", rows()))
