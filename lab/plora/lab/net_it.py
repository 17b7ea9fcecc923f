"""Information in the network: runs of the fleet, and `results/net_it_metrics.json` of them.

    python -m plora.lab.net_it --family er --agents 100 --seeds 32

Rules:

- A run is a graph of its own (`plora.lab.spread.FAMILIES`, the largest component) on which as many adapters as domains
  start at peers that are drawn, and spread by synchronous push-pull until all have all, or `ROUNDS_MAX`.
- What the figures mean: `plora.analysis.network_information`.

>>> one = run_of("ws", 32, domains=2, seed=1)
>>> one.acquired.shape, int((one.acquired == 0).sum())
((32, 2), 2)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plora.analysis.network_information import Run, network_information
from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.lab.spread import FAMILIES, graph_of
from plora.proto.errors import UsageError
from plora.sim.fleet.engine import Fleet, Graph

AGENTS, DOMAINS, SEEDS, SURROGATES = 100, 8, 32, 200
DOMAINS_MAX = 64
ROUNDS_MAX = 64
RESULT = Path("results/net_it_metrics.json")


def run_of(family: str, agents: int, *, domains: int, seed: int) -> Run:
    """When each peer got the adapter of each domain."""
    if not 1 <= domains <= DOMAINS_MAX:
        raise UsageError(f"{domains} domains", where="domains", mend=f"1 to {DOMAINS_MAX}")
    graph = graph_of(family, agents, seed)
    fleet = Fleet(Graph(*graph.csr()), domains, seed)
    for domain, origin in enumerate(np.random.default_rng(seed).integers(0, graph.n, domains).tolist()):
        fleet.publish(domain, origin)
    acquired = np.full((graph.n, domains), ROUNDS_MAX + 1)
    for number in range(ROUNDS_MAX + 1):
        has = (fleet.known[0][:, None] >> np.arange(domains, dtype=np.uint64)) & np.uint64(1) > 0
        acquired[has & (acquired > number)] = number
        if has.all():
            break
        fleet.step()
    starts, neighbours = graph.csr()
    sources = np.repeat(np.arange(graph.n), np.diff(starts))
    return Run(acquired, np.column_stack((sources, neighbours[: len(sources)])).astype(np.int64))


def measure(
    family: str = "er",
    *,
    agents: int = AGENTS,
    domains: int = DOMAINS,
    seeds: Iterable[int] = range(SEEDS),
    surrogates: int = SURROGATES,
) -> dict[str, Any]:
    """The document of one family."""
    drawn = list(seeds)
    runs = [run_of(family, agents, domains=domains, seed=seed) for seed in drawn]
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} runs have no spread", where="seeds", mend="take several")
    rounds = min(ROUNDS_MAX, max(int(run.acquired.max()) for run in runs))
    told = {"family": family, "graphs": FAMILIES[family][0], "agents": agents, "domains": domains, "seeds": drawn}
    return {**told, **network_information(runs, rounds, surrogates=surrogates, seed=drawn[0])}


def measure_into(path: Path, family: str = "er", **options: Any) -> Path:
    """Measure a family and write the artifact; its path."""
    write_json(path, measure(family, **options))
    return path


def faults(path: Path) -> list[str]:
    """What is wrong with such an artifact: rounds that are missing, no figures of neighbours, figures out of order."""
    told = json.loads(path.read_text(encoding="utf-8"))
    series = [one["round"] for one in told["mutual_information"]]
    found = [] if series == list(range(told["rounds"] + 1)) else ["rounds of mutual information are missing"]
    found += [
        f"round {one['round']}: the mean is outside of its interval, or below 0"
        for one in told["mutual_information"]
        if not max(0.0, one["low"]) <= one["mean"] <= one["high"]
    ]
    transfer = told["transfer_entropy"]
    found += [f"no transfer entropy of {name}" for name in ("neighbours", "strangers") if name not in transfer]
    return found + [fault for name, one in transfer.items() for fault in _transfer_faults(name, one)]


def _transfer_faults(name: str, one: Mapping[str, Any]) -> list[str]:
    if "refused" in one:
        return [f"transfer entropy of {name}: {one['refused']}"]
    found = [] if one["low"] <= one["bits"] <= one["high"] else [f"bits of {name} are outside of their interval"]
    if not (0 <= one["share"] <= 1 and 0 < one["p"] <= 1):
        found.append(f"share or p of {name} is no probability")
    return found


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m plora.lab.net_it", description="Information in the network.")
    parser.add_argument("--family", default="er", help=" ".join(FAMILIES))
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--domains", type=int, default=DOMAINS)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many runs")
    parser.add_argument("--surrogates", type=int, default=SURROGATES)
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    told = _parsed(arguments)

    def work() -> None:
        options = {"agents": told.agents, "domains": told.domains, "surrogates": told.surrogates}
        path = measure_into(told.out, told.family, seeds=range(told.seeds), **options)
        emit({"event": "written", "path": str(path)})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
