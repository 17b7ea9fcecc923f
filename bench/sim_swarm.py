"""What a swarm of real cores costs: CPU time to full coverage, core events a second, memory.

    python bench/sim_swarm.py                     the rows of 1,000 and 10,000 peers, each run in a process of its own
    python bench/sim_swarm.py --agents 1000       one run, as one line of JSON

Rules:

- Peers stand on a random graph of mean degree 8. `--plasmids` owners, whom all trust, publish one adapter each at peers
  spread evenly, once the peers know their neighbours. A run is over when every peer that the graph connects with the
  publishers accepted every adapter and holds its bytes, looked at once a round.
- Seconds are CPU time of the one process, from making the peers to full coverage. An event is one that a core took.
  A run that took `CPU_S_MAX` isn't gone on with: it counts as one that didn't cover, and its memory is what it had.
  Memory is the process's at its peak, and what it grew by, divided by the peers.
- `trace` is the digest of all event logs: equal arguments, equal trace, whatever became faster.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.report import Row, finish

from plora.gate import Trust
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.scenario import Links
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import Graph, erdos_renyi_graph

COMMAND = "make bench-sim_swarm"
MEAN_DEGREE = 8
WARM_UP_S = 5.0
ROUND_S = 1.0
ROUNDS_MAX = 60
CPU_S_MAX = 1200.0
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to. `rounds` is None where something didn't arrive in time."""

    agents: int
    rounds: int | None
    cpu_s: float
    events: int
    peak_bytes: int
    grown_bytes: int
    trace: str

    @property
    def covering_s(self) -> float:
        """Seconds of CPU time to full coverage; without end where it wasn't reached."""
        return math.inf if self.rounds is None else self.cpu_s

    @property
    def events_per_s(self) -> float:
        """Core events in a second of CPU time."""
        return self.events / self.cpu_s


def measure(agents: int, plasmids: int, seed: int, loss: float) -> Figures:
    """One run in this process, whose peak memory was what it is now."""
    graph = erdos_renyi_graph(agents, min(1.0, MEAN_DEGREE / max(1, agents - 1)), seed)
    before, started = _peak_bytes(), time.process_time()
    swarm, contents, reached = _published(agents, plasmids, seed, loss, graph)
    rounds = _rounds(swarm, contents, reached)
    cpu_s, peak = time.process_time() - started, _peak_bytes()
    return Figures(agents, rounds, round(cpu_s, 2), _events(swarm), peak, peak - before, swarm.digest())


def rows(run: Callable[[int], Figures] | None = None) -> list[Row]:
    """1,000 and 10,000 peers against their goals; `run` measures so many, in a process of its own unless told."""
    small, large = map(run or _run, (1000, 10_000))
    what, peer = "cores to full coverage, 30 plasmids", "a limit of this project"
    return [
        Row.of(f"1,000 {what}", small.covering_s, "s CPU", goal="<= 15", peer=peer, command=COMMAND),
        Row.of("core events at 1,000", small.events_per_s, "1/s", goal=">= 40000", peer=peer, command=COMMAND),
        Row.of(f"10,000 {what}", large.covering_s, "s CPU", goal="<= 300", peer=peer, command=COMMAND),
        Row.of("memory of 10,000", large.peak_bytes / GIB, "GiB", goal="<= 3", peer=peer, command=COMMAND),
        Row.of("memory of one of 10,000", large.grown_bytes / 10_000 / 1000, "kB", peer=peer, command=COMMAND),
    ]


def _published(
    agents: int, plasmids: int, seed: int, loss: float, graph: Graph
) -> tuple[Swarm, list[bytes], frozenset[str]]:
    """A swarm in which all is published; the contents, and who can get them."""
    owners = [make_owner(f"owner-{number}", SWARM_ID) for number in range(plasmids)]
    adapters = [make_plasmid(owner, "legal", tiny_adapter(number)) for number, owner in enumerate(owners)]
    swarm = Swarm(seed, Links(loss=loss))
    ids = swarm.add(agents, graph, trust=Trust(owners=tuple(owner.trusted for owner in owners)))
    swarm.boot()
    swarm.run(WARM_UP_S)
    component = largest_component(graph)
    for number, (owner, adapter) in enumerate(zip(owners, adapters, strict=True)):
        at = ids[component[number * len(component) // plasmids]]
        swarm.peer(at).publish((owner.record, adapter.statement), (adapter.data,))
    return swarm, [adapter.content_id for adapter in adapters], frozenset(ids[place] for place in component)


def _rounds(swarm: Swarm, contents: Sequence[bytes], reached: frozenset[str]) -> int | None:
    for number in range(1, ROUNDS_MAX + 1):
        swarm.run(ROUND_S)
        if all(_has_all(swarm, name, contents) for name in reached):
            return number
        if time.process_time() > CPU_S_MAX:
            break
    return None


def _has_all(swarm: Swarm, name: str, contents: Sequence[bytes]) -> bool:
    live = swarm.peer(name).core.desk.book.live
    return all((plasmid := live.get(content)) is not None and plasmid.usable for content in contents)


def largest_component(graph: Graph) -> list[int]:
    """The peers of the largest component, in order."""
    labels = graph.components()
    found: list[int] = np.flatnonzero(labels == np.bincount(labels).argmax()).tolist()
    return found


def _events(swarm: Swarm) -> int:
    return sum(peer.handled for peer in swarm.peers.values())


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run(agents: int) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--agents", str(agents)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Figures(**json.loads(done.stdout))


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=0, help="one run of so many peers")
    parser.add_argument("--plasmids", type=int, default=30, help="adapters, each by an owner of its own")
    parser.add_argument("--seed", type=int, default=0, help="seed of graph, phases, delays and luck")
    parser.add_argument("--loss", type=float, default=0.0, help="probability that a session frame is lost")
    options = parser.parse_args(arguments)
    if not options.agents:
        return finish("sim_swarm", rows())
    figures = measure(options.agents, options.plasmids, options.seed, options.loss)
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
