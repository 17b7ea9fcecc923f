"""Twenty peers, the last six of which break rules; owners who are honest, and one who isn't."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from plora.gate import Trust
from plora.sim.adversaries import Corrupter, Slanderer
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm, peer_id
from plora.sim.topology import Edges, erdos_renyi_graph

SHARED = Shared()
HONEST, ALL = 14, 20
OWNERS = [make_owner(name, SWARM_ID) for name in ("ada", "bob", "cyd")]
EVE = make_owner("eve", SWARM_ID)
TRUST = Trust(owners=tuple(owner.trusted for owner in (*OWNERS, EVE)))
PLASMIDS = [make_plasmid(owner, f"p{number}", tiny_adapter(number)) for number, owner in enumerate(OWNERS)]
GOOD = {plasmid.content_id for plasmid in PLASMIDS}
JUNK = make_plasmid(EVE, "junk", tiny_adapter(7, rank=2))
TWINS = [make_plasmid(EVE, "twin", tiny_adapter(number)) for number in (8, 9)]


class Namer(Slanderer):
    """Names an honest peer."""

    victim = peer_id(0)


class LateCorrupter(Corrupter):
    """Behaves well until everybody knows it."""

    betrays_ns = 8_000_000_000


def edges(seed: int) -> Edges:
    """A connected graph of the honest, and four links of each of the others into it."""
    draws = Random(seed)
    others = [(near, bad) for bad in range(HONEST, ALL) for near in sorted(draws.sample(range(HONEST), 4))]
    return sorted([*erdos_renyi_graph(HONEST, 0.25, seed, connected=True).pairs(), *others])


def publish(swarm: Swarm) -> None:
    """The honest owners publish, each at another honest peer."""
    for number, (owner, plasmid) in enumerate(zip(OWNERS, PLASMIDS, strict=True)):
        swarm.peer(peer_id(4 * number)).publish((owner.record, plasmid.statement), (plasmid.data,))


def honest(swarm: Swarm) -> list[SimPeer]:
    return list(swarm.peers.values())[:HONEST]


def accepted(peer: SimPeer) -> set[bytes]:
    return {key for key, plasmid in peer.core.desk.book.live.items() if plasmid.usable}


def rounds_until_all_have(swarm: Swarm, wanted: set[bytes], limit: int) -> int:
    """How many rounds of a second it takes until all honest peers accepted it all."""
    rounds = 0
    while not all(wanted <= accepted(peer) for peer in honest(swarm)) and rounds < limit:
        swarm.run(1)
        rounds += 1
    return rounds


def judged(peer: SimPeer, content_id: bytes) -> str:
    plasmid = peer.core.desk.book.live.get(content_id)
    return plasmid.verdict.reason if plasmid is not None and plasmid.verdict is not None else ""


def told(peer: SimPeer, kind: str) -> list[dict[str, Any]]:
    return [record for record in map(json.loads, peer.log) if record["kind"] == kind]


def blamed(peer: SimPeer) -> set[str]:
    return {record["subject"] for record in told(peer, "penalty")}
