"""Ten real daemons and ten cores of the simulator spread statements alike: two one-sided tests, +-0.5 round.

- Real are processes, sockets, TLS, disks. Both have the same graph and the same publishers, peers begin their rounds at
  phases of their own, and one publication comes after the other. Phases stay what they are while a daemon runs,
  so all start anew after each has published once. Tested is the difference of means by publisher, who stands at one
  place of one graph in both.
- Both write the same event log, so that one function reads both. Rounds are counted in fractions from publication.
- Looked at is when peers have a manifest: how long their gates then take is a matter of the machine, and only noted.

Not handled here: n = 1,000 (`tests/sim/test_engines_agree`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plora.analysis.equivalence import equivalence_to
from plora.proto.record_lines import record_from_line
from plora.proto.records import Published, StatementSeen, VerdictGiven
from plora.sim.run import run
from plora.sim.scenario import Scenario
from plora.sim.topology import erdos_renyi_graph

PEERS, P, GRAPH_SEED = 10, 0.3, 4
AT = tuple(3 * number % PEERS for number in range(30))
"""Who publishes, one after the other."""
ROUND_MS = 1000
GAP_ROUNDS, SEEDS = 10, 4
WAIT_S = 60.0
BOUND = 0.5
MARKS = {"50%": 5, "90%": 9, "100%": 10}

Rounds = np.ndarray[Any, np.dtype[np.float64]]


def spreads(logs: Iterable[Iterable[str]]) -> dict[str, Rounds]:
    """Of event logs: means by publisher, in rounds, of when 50, 90 and 100 % had seen it, and when had accepted it."""
    published: dict[str, tuple[str, int]] = {}
    came: dict[str, dict[str, dict[str, int]]] = {"seen": {}, "accepted": {}}
    for record in (record_from_line(line) for log in logs for line in log):
        match record.body:
            case Published(id=content):
                published[content] = (record.peer, record.mono_ns)
            case StatementSeen(id=content, statement_kind="manifest"):
                came["seen"].setdefault(content, {}).setdefault(record.peer, record.mono_ns)
            case VerdictGiven(id=content, outcome="accept"):
                came["accepted"].setdefault(content, {}).setdefault(record.peer, record.mono_ns)
    return {name: _marks(published, found) for name, found in came.items()}


def _marks(published: Mapping[str, tuple[str, int]], came: Mapping[str, Mapping[str, int]]) -> Rounds:
    """(publishers in the order of their logs, marks)."""
    assert published.keys() == came.keys() and {len(peers) for peers in came.values()} == {PEERS}
    places = [count - 1 for count in MARKS.values()]
    took: dict[str, list[Rounds]] = {}
    for content, (publisher, when) in published.items():
        took.setdefault(publisher, []).append(np.sort(list(came[content].values()))[places] - when)
    return np.array([np.mean(rows, axis=0) for rows in took.values()]) / (ROUND_MS * 1e6)


def of_cores(graph: Path) -> dict[str, Rounds]:
    """The simulator's, means over several seeds of luck. The gap between publications is no whole number of rounds."""
    told = {
        "agents": PEERS,
        "rounds": GAP_ROUNDS * (len(AT) + 1),
        "graph": {"kind": "file", "file": str(graph)},
        "publish": {"plasmids": len(AT), "at": AT, "every": GAP_ROUNDS + 0.3},
        "security": {"detectors": False},
    }
    found = []
    for seed in range(SEEDS):
        simulation = run(Scenario.parse(told | {"seed": seed})).simulation
        assert simulation is not None
        found.append(spreads([peer.log for peer in simulation.swarm.peers.values()]))
    return {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}


def start(peers: list[Any], edges: Iterable[tuple[int, int]]) -> None:
    """Start all, and wait until they are linked."""
    for peer in peers:
        peer.spawn()
    for peer in peers:
        peer.ready()
    for a, b in edges:
        peers[a].until(lambda a=a, b=b: (found := peers[a].neighbour(peers[b])) is not None and found.state == "up")


def of_daemons(peers: list[Any], edges: list[tuple[int, int]], folder: Path) -> dict[str, Rounds]:
    """What real peers did, from their logs."""
    for number, at in enumerate(AT):
        if number % PEERS == 0:
            for peer in peers if number else ():
                peer.stop()
            start(peers, edges)  # at new phases
        peers[at].signed_folder(folder / f"p{number}", seed=number)
        peers[at].publish(folder / f"p{number}")
        for peer in peers:
            peer.until(lambda peer=peer, count=number + 1: peer.status.plasmids_accepted == count, within_s=WAIT_S)
    for peer in peers:
        peer.stop()  # now its log is whole
    return spreads([log.read_text().splitlines() for peer in peers for log in peer.logs()])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_daemons_and_cores_take_equally_many_rounds(
    make_peer: Callable[..., Any], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    edges = erdos_renyi_graph(PEERS, P, GRAPH_SEED, connected=True).pairs()
    (tmp_path / "edges.txt").write_text("".join(f"{a} {b}\n" for a, b in edges))
    peers = [make_peer(f"p{number}") for number in range(PEERS)]
    for a, b in edges:
        peers[a].dials(peers[b])
    for peer in peers:
        peer.settings["gossip"] |= {"round_ms": ROUND_MS, "eager_fanout": 0, "heartbeat_ms": ROUND_MS}
        peer.settings["gossip"]["link_timeout_ms"] = 10_000
        peer.settings["subscribe"] = {"carry": True}  # merges are a matter of the machine
        peer.trusts(*(other for other in peers if other is not peer))
    real, simulated = of_daemons(peers, list(edges), tmp_path), of_cores(tmp_path / "edges.txt")
    for name, rounds in real.items():
        apart = rounds - simulated[name]
        found = [equivalence_to(apart[:, mark], 0.0, BOUND) for mark in range(len(MARKS))]
        for mark, one in zip(MARKS, found, strict=True):
            record_property(f"daemons less cores, rounds until {mark} have {name}:", one)
        if name == "seen":
            assert all(one.equivalent for one in found), "\n".join(map(str, found))
