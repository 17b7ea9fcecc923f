"""What the simulator's engines cost: the fleet against copying memory, NDlib and EoN; the swarm's rows (`sim_swarm`).

    python bench/sim.py             all rows
    python bench/sim.py --fleet     those of the fleet, shown and kept nowhere

Rules:

- Seconds are CPU time of one thread. Engines take turns on one machine; of repeated measures the least counts, for
  whatever else the machine does makes them longer.
- A round is synchronous push-pull of `PEERS` peers on a random graph of mean degree 8, 64 adapters spread evenly. It is
  set beside copying every array that it reads or writes: the graph's rows, what is known before and after, and with a
  gate what is accepted and refused. A ratio of 0.5 is the time of two copies.
- The SI rule is NDlib's: whoever lacks it gets it with probability min(1, beta k), k neighbours having it. Both run it
  on one graph from one peer until all of its component have it; times are of a round. EoN's SI is in continuous time
  (each edge passes it on at rate beta), so whole epidemics are compared.
- Compiling is measured apart, in a process whose cache is empty.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import EoN
import ndlib.models.epidemics as epidemics
import networkx as nx
import numpy as np
from bench import sim_swarm
from bench.report import Row, finish, show
from ndlib.models.ModelConfig import Configuration

from plora.sim.fleet.engine import Fleet, Graph, Rule
from plora.sim.fleet.gates import Chance, accepts_of
from plora.sim.topology import Graph as Topology
from plora.sim.topology import erdos_renyi_graph

COMMAND = "make bench-sim"
PEERS, DEGREE, PLASMIDS, TIMES = 1_000_000, 8, 64, 20
SI_PEERS, BETA = 100_000, 0.1
COMPILE = "from plora.sim.fleet import runs; from plora.sim.scenario import Scenario; \
runs.run_fleet(Scenario(engine='fleet', synchronous=True)); print(runs.compiled.compile_seconds())"


def cpu_s(work: Callable[[], Any]) -> float:
    """The CPU seconds that it takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def million_rows() -> list[Row]:
    """A round at a million peers, without a gate and with one."""
    graph = Graph(*erdos_renyi_graph(PEERS, DEGREE / PEERS, 1).csr())
    accepts = accepts_of([Chance(0.5, 0.3)] * PLASMIDS, PEERS, 1)
    rows = []
    for name, goal, gate in (("no gate", ">= 0.4", None), ("verdicts that stick", ">= 0.3", accepts)):
        step_s, copy_s = _round_and_copy(Fleet(graph, PLASMIDS, 1, accepts=gate))
        rows += [
            Row.of(
                f"fleet, a round at 1,000,000, {name}", copy_s / step_s, "x", goal=goal, peer="copying", command=COMMAND
            ),
            Row.of(f"fleet, a round at 1,000,000, {name}", step_s * 1000, "ms CPU", command=COMMAND),
        ]
    return rows


def _round_and_copy(fleet: Fleet) -> tuple[float, float]:
    for plasmid in range(PLASMIDS):
        fleet.publish(plasmid, plasmid * PEERS // PLASMIDS)
    fleet.step()
    arrays = fleet.arrays()
    copies = [np.empty_like(each) for each in arrays]

    def copy() -> None:
        for into, each in zip(copies, arrays, strict=True):
            np.copyto(into, each)

    times = [(cpu_s(fleet.step), cpu_s(copy)) for _ in range(TIMES)]
    return min(step for step, _ in times), min(copy for _, copy in times)


def si_rows() -> list[Row]:
    """The same epidemic by NDlib, by EoN and by the fleet."""
    topology = erdos_renyi_graph(SI_PEERS, DEGREE / SI_PEERS, 1)
    largest = sim_swarm.largest_component(topology)
    network: Any = nx.Graph()
    network.add_nodes_from(range(SI_PEERS))
    network.add_edges_from(topology.pairs())
    first, reached = largest[0], len(largest)
    ours = [_fleet_si(topology, first, reached, seed) for seed in range(5)]
    whole_s, round_s = min(total for total, _ in ours), min(total / rounds for total, rounds in ours)
    theirs_s, rounds = _ndlib_si(network, first, reached)
    eon_s = cpu_s(lambda: EoN.fast_SIR(network, BETA, 0.0, initial_infecteds=[first]))
    what = "fleet, SI at 100,000"
    return [
        Row.of(f"{what}, a round", theirs_s / rounds / round_s, "x", goal=">= 250", peer="NDlib's SI", command=COMMAND),
        Row.of(f"{what}, to all", eon_s / whole_s, "x", goal=">= 50", peer="EoN's fast_SIR, gamma 0", command=COMMAND),
        Row.of(f"{what}, a round", round_s * 1000, "ms CPU", command=COMMAND),
        Row.of(f"{what}, rounds to all", float(np.mean([count for _, count in ours])), "", command=COMMAND),
        Row.of("NDlib, the same, rounds to all", float(rounds), "", command=COMMAND),
    ]


def _fleet_si(topology: Topology, first: int, reached: int, seed: int) -> tuple[float, int]:
    """CPU seconds and rounds until all reached have it."""
    fleet = Fleet(Graph(*topology.csr()), 1, seed, Rule("flood", beta=BETA))
    fleet.publish(0, first)

    def step() -> int:
        fleet.step()
        return int(np.count_nonzero(fleet.known))

    return _until(step, reached)


def _ndlib_si(network: Any, first: int, reached: int) -> tuple[float, int]:
    model = epidemics.SIModel(network, seed=1)
    configuration = Configuration()
    configuration.add_model_parameter("beta", BETA)
    configuration.add_model_initial_configuration("Infected", [first])
    model.set_initial_status(configuration)
    model.iteration()  # the first one changes nothing
    return _until(lambda: model.iteration()["node_count"][1], reached)


def _until(step: Callable[[], int], wanted: int) -> tuple[float, int]:
    began, rounds = time.process_time(), 1
    while step() < wanted:
        rounds += 1
    return time.process_time() - began, rounds


def compile_rows() -> list[Row]:
    """What the first run on a machine takes more."""
    with TemporaryDirectory() as cache:
        environ = {**os.environ, "NUMBA_CACHE_DIR": cache}
        done = subprocess.run([sys.executable, "-c", COMPILE], check=True, capture_output=True, text=True, env=environ)
    return [Row.of("fleet, compiling for a first run", float(done.stdout), "s", command=COMMAND)]


def fleet_rows() -> list[Row]:
    """All that the fleet is measured by."""
    return [*million_rows(), *si_rows(), *compile_rows()]


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    if "--fleet" in arguments:
        return show(fleet_rows())
    return finish("sim", [*fleet_rows(), *sim_swarm.rows()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
