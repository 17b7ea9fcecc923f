"""Twenty peers, six of which break rules: nothing false is accepted, what is honest arrives in good time, and nobody
honest is blamed."""

from __future__ import annotations

import json
from random import Random

import pytest

from plora.gate import Policy, Trust
from plora.sim.adversaries import Corrupter, Forger, Replayer, Slanderer, Withholder, offer
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
JUNK = make_plasmid(EVE, "junk", tiny_adapter(7, rank=2))
TWINS = [make_plasmid(EVE, "twin", tiny_adapter(number)) for number in (8, 9)]


class Namer(Slanderer):
    """Names an honest peer."""

    victim = peer_id(0)


class LateCorrupter(Corrupter):
    """Behaves well until everybody knows it."""

    betrays_ns = 8_000_000_000


KINDS: dict[int, type[SimPeer]] = dict(
    enumerate([Withholder, Forger, Corrupter, Replayer, Namer, LateCorrupter], start=HONEST)
)


TELLERS = (HONEST + 3, HONEST + 3, HONEST + 5)
"""Who brings what eve signs: those that pass statements on."""


def edges(seed: int) -> Edges:
    """A connected graph of the honest, and four links of each of the others into it."""
    draws = Random(seed)
    others = [(near, bad) for bad in range(HONEST, ALL) for near in sorted(draws.sample(range(HONEST), 4))]
    return sorted([*erdos_renyi_graph(HONEST, 0.25, seed, connected=True), *others])


def honest(swarm: Swarm) -> list[SimPeer]:
    return list(swarm.peers.values())[:HONEST]


def accepted(peer: SimPeer) -> set[bytes]:
    return {key for key, plasmid in peer.core.desk.book.live.items() if plasmid.usable}


def spread(seed: int, kinds: dict[int, type[SimPeer]]) -> tuple[Swarm, int]:
    """How many rounds it takes until all honest peers have all honest plasmids."""
    swarm = Swarm(seed, shared=SHARED)
    ids = swarm.add(ALL, edges(seed), trust=TRUST, policy=Policy(reputation=True), kinds=kinds)
    swarm.boot()
    swarm.run(5)
    for number, (owner, plasmid) in enumerate(zip(OWNERS, PLASMIDS, strict=True)):
        swarm.peer(ids[4 * number]).publish((owner.record, plasmid.statement), (plasmid.data,))
    if kinds:
        for number, bad in zip(TELLERS, (JUNK, *TWINS), strict=True):
            offer(swarm.peer(ids[number]), EVE.record, bad)
    wanted = {plasmid.content_id for plasmid in PLASMIDS}
    rounds = 0
    while not all(wanted <= accepted(peer) for peer in honest(swarm)) and rounds < 60:
        swarm.run(1)
        rounds += 1
    return swarm, rounds


def judged(peer: SimPeer, content_id: bytes) -> str:
    plasmid = peer.core.desk.book.live.get(content_id)
    return plasmid.verdict.reason if plasmid is not None and plasmid.verdict is not None else ""


def blamed(peer: SimPeer) -> set[str]:
    records = map(json.loads, peer.log)
    return {record["subject"] for record in records if record["kind"] == "penalty"}


def check(seed: int) -> None:
    _, calm = spread(seed, {})
    swarm, rounds = spread(seed, KINDS)
    assert rounds <= 2 * calm, f"seed {seed}: {rounds} rounds instead of {calm}"
    swarm.run(20)
    good, ids = {plasmid.content_id for plasmid in PLASMIDS}, {peer.id for peer in honest(swarm)}
    for peer in honest(swarm):
        assert accepted(peer) == good, f"seed {seed}"
        assert not blamed(peer) & ids, f"seed {seed}: honest peers are blamed"
    assert any(map(blamed, honest(swarm))), f"seed {seed}: nobody noticed anything"
    assert "rank_mismatch" in {judged(peer, JUNK.content_id) for peer in honest(swarm)}, f"seed {seed}"
    assert "equivocation" in {judged(peer, TWINS[0].content_id) for peer in honest(swarm)}, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_is_honest_arrives_and_nothing_else_is_accepted(seed: int) -> None:
    check(seed)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3, 43))
def test_the_same_for_many_seeds(seed: int) -> None:
    check(seed)


def test_equal_seeds_give_equal_logs_with_adversaries_too() -> None:
    assert spread(1, KINDS)[0].digest() == spread(1, KINDS)[0].digest()
