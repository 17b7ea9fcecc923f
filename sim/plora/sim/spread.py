"""How fast plasmids spread: three owners publish at three peers, and coverage is counted round by round.

Coverage of a domain is the share of peers that accepted its plasmid and hold its bytes. A round is one second of
virtual time after publishing; every peer begins its rounds at a phase of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from plora.gate import Trust
from plora.proto.errors import UsageError
from plora.proto.statement import Statement
from plora.sim.links import Conditions
from plora.sim.material import Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import Edges, complete, erdos_renyi_graph, ring

DOMAINS = ("arithmetic", "legal", "medical")
ROUND_S = 1.0
WARM_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class Setup:
    """One experiment; `graph` is "er" (the first connected one of its seed), "ring" or "complete"."""

    agents: int = 20
    rounds: int = 30
    graph: str = "er"
    graph_p: float = 0.25
    seed: int = 0
    loss: float = 0.0


GRAPHS: Mapping[str, Callable[[Setup], Edges]] = {
    "er": lambda setup: erdos_renyi_graph(setup.agents, setup.graph_p, setup.seed, connected=True),
    "ring": lambda setup: ring(setup.agents),
    "complete": lambda setup: complete(setup.agents),
}


def spread(setup: Setup) -> tuple[dict[str, Any], Swarm]:
    """Run an experiment. The report: set-up, coverage by domain after each round, rounds to full coverage, trace."""
    if setup.agents < 1 or setup.rounds < 1 or not 0.0 <= setup.loss < 1.0:
        raise UsageError("a swarm has at least one agent and one round, and loses less than everything")
    edges = GRAPHS[setup.graph](setup)
    plasmids, trust = _material()
    swarm = Swarm(setup.seed, Conditions(loss=setup.loss))
    ids = swarm.add(setup.agents, edges, trust=trust)
    swarm.boot()
    swarm.run(WARM_UP_S)
    for number, (record, plasmid) in enumerate(plasmids):
        swarm.peer(ids[number * setup.agents // len(plasmids)]).publish((record, plasmid.statement), (plasmid.data,))
    coverage = _follow(swarm, [plasmid for _, plasmid in plasmids], setup)
    report = {
        "setup": asdict(setup),
        "edges": len(edges),
        "coverage": coverage,
        "rounds_to_all": {domain: _first_full(series) for domain, series in coverage.items()},
        "trace_sha256": swarm.digest(),
    }
    return report, swarm


def _material() -> tuple[list[tuple[Statement, Plasmid]], Trust]:
    owners = [make_owner(name, SWARM_ID) for name in ("ada", "bob", "cyd")]
    trust = Trust(owners=tuple(owner.trusted for owner in owners))
    made = [
        (owner.record, make_plasmid(owner, domain, tiny_adapter(seed)))
        for seed, (owner, domain) in enumerate(zip(owners, DOMAINS, strict=True))
    ]
    return made, trust


def _follow(swarm: Swarm, plasmids: list[Plasmid], setup: Setup) -> dict[str, list[float]]:
    coverage: dict[str, list[float]] = {plasmid.manifest.domain: [] for plasmid in plasmids}
    for _ in range(setup.rounds):
        swarm.run(ROUND_S)
        for plasmid in plasmids:
            coverage[plasmid.manifest.domain].append(swarm.usable(plasmid.content_id) / setup.agents)
        if all(series[-1] == 1.0 for series in coverage.values()):
            break
    return coverage


def _first_full(series: list[float]) -> int | None:
    return next((number for number, share in enumerate(series, 1) if share == 1.0), None)
