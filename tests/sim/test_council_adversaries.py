"""Twenty peers with consensus and reputation on, six of which break rules of the protocol, of replay, of reputation and
of the consensus, two of them members: what is honest arrives in time, certified, and nothing else is ever accepted.

Seven members, of whom two may lie, vote; the liars pass on what eve signs.
"""

from __future__ import annotations

import pytest
from tests.council import vote_key
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
    told,
)

from plora.gate import Policy
from plora.gate.consensus import Member, Membership, certificate_fault, membership
from plora.gate.tally import Tally
from plora.node.core.config import CoreConfig
from plora.sim.adversaries import Corrupter, Forger, Replayer, Withholder, offer
from plora.sim.liars import (
    DoubleVoter,
    FalseAccuser,
    HalfPasser,
    Impostor,
    Silencer,
    StaleVoter,
    Stuffer,
    YesSayer,
)
from plora.sim.material import make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.swarm import SWARM_ID, Swarm, peer_id
from plora.sim.topology import complete

GOOD_MEMBERS = range(5)
LIARS = (HONEST, HONEST + 1)
MEMBERS = (*GOOD_MEMBERS, *LIARS)
POLICY = Policy(reputation=True, consensus=True)
LATER = make_plasmid(EVE, "later", tiny_adapter(10))
"""Nothing is wrong with it but who signed it."""

LYING: tuple[type[SimPeer], ...] = (DoubleVoter, YesSayer, StaleVoter, FalseAccuser, Silencer)
PROTOCOL: tuple[type[SimPeer], ...] = (Withholder, Forger, Corrupter)
REPUTATION: tuple[type[SimPeer], ...] = (Namer, LateCorrupter)
CONSENSUS: tuple[type[SimPeer], ...] = (Impostor, Stuffer, HalfPasser)


def line_up(seed: int) -> list[type[SimPeer]]:
    """Two members who lie, and one peer for each part; the first three seeds bring in every kind."""
    lying = [LYING[(2 * seed + place) % len(LYING)] for place in range(len(LIARS))]
    others = (PROTOCOL[seed % 3], Replayer, REPUTATION[seed % 2], CONSENSUS[(seed + seed // 3) % 3])
    return [*lying, *others]


def council() -> Membership:
    return membership(SWARM_ID, (Member(f"m{one}", vote_key(one).public, peer_id(one)) for one in MEMBERS))


def make(seed: int, kinds: list[type[SimPeer]]) -> Swarm:
    """All are up, and the honest members have read enough of each other to vote."""
    swarm = Swarm(seed, shared=SHARED)
    swarm.add(
        ALL,
        sorted({*edges(seed), *complete(len(GOOD_MEMBERS)).pairs()}),
        trust=TRUST,
        policy=POLICY,
        template=CoreConfig(peer="", swarm=SWARM_ID, boot="", members=council()),
        vote_keys={number: vote_key(number) for number in MEMBERS},
        kinds=dict(enumerate(kinds, start=HONEST)),
    )
    swarm.boot()
    voters = [swarm.peer(peer_id(number)) for number in GOOD_MEMBERS]
    assert swarm.run_until(lambda: all(peer.core.council.voter.missing == 0 for peer in voters), limit_s=90)  # type: ignore[union-attr]
    return swarm


def spread(seed: int, kinds: list[type[SimPeer]]) -> tuple[Swarm, int]:
    """How many rounds it takes until all honest peers have all honest plasmids, while eve's are offered."""
    swarm = make(seed, kinds)
    publish(swarm)
    if kinds:
        for number, bad in zip((*LIARS, LIARS[0]), (*TWINS, JUNK), strict=True):
            offer(swarm.peer(peer_id(number)), EVE.record, bad)
    return swarm, rounds_until_all_have(swarm, GOOD, limit=90)


def tally(peer: SimPeer) -> Tally:
    found = peer.core.council.tally
    assert found is not None
    return found


def check_one(peer: SimPeer, kinds: list[type[SimPeer]]) -> None:
    """One honest peer, long after: what it took up over all this time, on whose word, and whom it holds guilty."""
    good, twins = ({one.hex() for one in contents} for contents in (GOOD, {twin.content_id for twin in TWINS}))
    ever = {one["id"] for one in told(peer, "verdict") if one["outcome"] == "accept"}
    certificates = tally(peer).certificates.values()
    for found in (ever, {one.content for one in certificates}):
        assert good <= found <= good | twins and len(found & twins) <= 1, "of two contents the first may come through"
    assert set(peer.adapters.values()) == good and accepted(peer) == GOOD
    assert not any(certificate_fault(one, council()) for one in certificates)
    double = {vote_key(HONEST + place).public.key_id for place in (0, 1) if kinds[place] is DoubleVoter}
    assert set(tally(peer).guilty) == double
    stale = {f"m{HONEST + place}" for place in (0, 1) if kinds[place] is StaleVoter}
    assert {(one["alarm"], one["subject"]) for one in told(peer, "alarm")} <= {("other_epoch", name) for name in stale}
    assert not blamed(peer) & {peer_id(number) for number in range(HONEST)}
    assert judged(peer, LATER.content_id) in ("low_reputation", "bytes_missing"), "who holds it back gives it to nobody"


def check(seed: int) -> None:
    _, calm = spread(seed, [])
    kinds = line_up(seed)
    swarm, rounds = spread(seed, kinds)
    assert rounds <= 2 * calm, f"seed {seed}: {rounds} rounds instead of {calm}"
    swarm.run(20)
    offer(swarm.peer(peer_id(LIARS[0])), EVE.record, LATER)
    swarm.run(20)
    for peer in honest(swarm):
        check_one(peer, kinds)
    reasons = {judged(peer, bad.content_id) for peer in honest(swarm) for bad in (JUNK, *TWINS, LATER)}
    assert {"rank_mismatch", "two_contents", "low_reputation"} <= reasons, f"seed {seed}: not all of it reached anybody"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_is_honest_is_certified_in_time_and_nothing_else_is_ever_accepted(seed: int) -> None:
    check(seed)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3, 43))
def test_the_same_for_many_seeds(seed: int) -> None:
    check(seed)


def test_the_first_seeds_bring_in_every_kind() -> None:
    met = {kind for seed in range(3) for kind in line_up(seed)}
    assert met == {*LYING, *PROTOCOL, *REPUTATION, *CONSENSUS, Replayer}


@pytest.mark.slow
def test_equal_seeds_give_equal_logs_with_liars_too() -> None:
    assert spread(0, line_up(0))[0].digest() == spread(0, line_up(0))[0].digest()
