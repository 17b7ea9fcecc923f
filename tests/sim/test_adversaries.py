"""Twenty peers, six of which break rules: nothing false is accepted, what is honest arrives in good time, and nobody
honest is blamed."""

from __future__ import annotations

import pytest
from tests.sim.crowd import (
    ALL,
    EVE,
    GOOD,
    HONEST,
    JUNK,
    SHARED,
    TRUST,
    TWINS,
    LateCorrupter,
    Namer,
    accepted,
    blamed,
    edges,
    honest,
    judged,
    publish,
    rounds_until_all_have,
)

from plora.gate import Policy
from plora.sim.adversaries import Corrupter, Forger, Replayer, Withholder, offer
from plora.sim.peer import SimPeer
from plora.sim.swarm import Swarm

KINDS: dict[int, type[SimPeer]] = dict(
    enumerate([Withholder, Forger, Corrupter, Replayer, Namer, LateCorrupter], start=HONEST)
)


TELLERS = (HONEST + 3, HONEST + 3, HONEST + 5)
"""Who brings what eve signs: those that pass statements on."""


def spread(seed: int, kinds: dict[int, type[SimPeer]]) -> tuple[Swarm, int]:
    """How many rounds it takes until all honest peers have all honest plasmids."""
    swarm = Swarm(seed, shared=SHARED)
    ids = swarm.add(ALL, edges(seed), trust=TRUST, policy=Policy(reputation=True), kinds=kinds)
    swarm.boot()
    swarm.run(5)
    publish(swarm)
    if kinds:
        for number, bad in zip(TELLERS, (JUNK, *TWINS), strict=True):
            offer(swarm.peer(ids[number]), EVE.record, bad)
    return swarm, rounds_until_all_have(swarm, GOOD, limit=60)


def check(seed: int) -> None:
    _, calm = spread(seed, {})
    swarm, rounds = spread(seed, KINDS)
    assert rounds <= 2 * calm, f"seed {seed}: {rounds} rounds instead of {calm}"
    swarm.run(20)
    ids = {peer.id for peer in honest(swarm)}
    for peer in honest(swarm):
        assert accepted(peer) == GOOD, f"seed {seed}"
        assert not blamed(peer) & ids, f"seed {seed}: honest peers are blamed"
    assert any(map(blamed, honest(swarm))), f"seed {seed}: nobody noticed anything"
    assert "rank_mismatch" in {judged(peer, JUNK.content_id) for peer in honest(swarm)}, f"seed {seed}"
    assert "two_contents" in {judged(peer, TWINS[0].content_id) for peer in honest(swarm)}, f"seed {seed}"


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
