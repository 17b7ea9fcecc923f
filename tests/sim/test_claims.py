"""What the network promises of freshness and time, each claim on whole swarms: C1 to C7 of docs/trust.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.roots import GUARDIANS, ROOT, says

from plora.gate import Outcome, Policy, Trust, TrustedOwner
from plora.node.core import view
from plora.node.core.events import PolicyChanged
from plora.sim.material import ISSUED_S, Owner, Plasmid, attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

SHARED = Shared()
ADA, BEN = make_owner("ada", SWARM_ID), make_owner("ben", SWARM_ID)
TRUST = Trust((ADA.trusted, BEN.trusted))
AGE_MS = 60_000
AGED = Policy(max_trust_age_ms=AGE_MS, clock_skew_ms_max=2_000)
BAD = Links(loss=0.2, duplication=0.2, reorder=0.2)


def swarm_of(count: int, policy: Policy, trust: Trust = TRUST, conditions: Links | None = None) -> Swarm:
    swarm = Swarm(7, conditions, shared=SHARED)
    swarm.add(count, ring(count), policy=policy, trust=trust)
    swarm.boot()
    swarm.run(3)
    return swarm


def peers(swarm: Swarm) -> list[SimPeer]:
    return list(swarm.peers.values())


def publish(peer: SimPeer, plasmid: Plasmid, owner: Owner = ADA) -> None:
    peer.publish((owner.record, plasmid.statement), (plasmid.data,))


def freshen(swarm: Swarm, *numbers: int) -> None:
    for number in numbers:
        peers(swarm)[0].publish(says(number, swarm.clock.now.wall_ms))


def plasmids(count: int) -> list[Plasmid]:
    return [make_plasmid(ADA, f"p{number}", tiny_adapter(number)) for number in range(count)]


def fell(peer: SimPeer, plasmid: Plasmid) -> tuple[Outcome, str]:
    verdict = peer.core.desk.book.live[plasmid.content_id].verdict
    assert verdict is not None
    return verdict.outcome, verdict.reason


def told(peer: SimPeer, kind: str) -> int:
    return sum(f'"kind":"{kind}"' in line for line in peer.log)


@pytest.mark.parametrize("conditions", [None, BAD], ids=["a calm network", "a bad one"])
def test_claim_1_nothing_is_accepted_without_k_owners_under_any_network(conditions: Links | None) -> None:
    swarm = swarm_of(6, Policy(quorum_required=2), conditions=conditions)
    (plasmid,) = plasmids(1)
    publish(peers(swarm)[0], plasmid)
    for _ in range(30):
        swarm.run(1)
        assert swarm.usable(plasmid.content_id) == 0
    eve = make_owner("eve", SWARM_ID)
    peers(swarm)[3].publish((eve.record, attest(eve, plasmid.content_id)))
    swarm.run(20)
    assert swarm.usable(plasmid.content_id) == 0
    peers(swarm)[5].publish((BEN.record, attest(BEN, plasmid.content_id)))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 6, 120)


def test_claim_2_no_peer_goes_back_below_what_it_durably_saw() -> None:
    """Version 2 expires and leaves; version 1, still valid and served by others, doesn't come back after a crash."""
    swarm = swarm_of(2, Policy())
    old = make_plasmid(ADA, "legal", tiny_adapter(1))
    new = make_plasmid(ADA, "legal", tiny_adapter(2), version=2, life_s=2 * 86_400)
    for plasmid in (old, new):
        publish(peers(swarm)[0], plasmid)
    assert swarm.run_until(lambda: swarm.usable(new.content_id) == 2, 30)
    taker = peers(swarm)[1]
    taker.crash()
    swarm.clock.jump_wall(4 * 86_400_000)
    taker.boot()
    publish(peers(swarm)[0], old)
    swarm.run(20)
    assert swarm.usable(old.content_id) == 0
    assert fell(taker, old) == (Outcome.REJECT, "superseded")


def test_claim_3_a_frozen_peer_is_misled_for_max_trust_age_and_then_says_stale() -> None:
    swarm = swarm_of(3, AGED, replace(TRUST, root=ROOT))
    first, second, third = plasmids(3)
    victim = peers(swarm)[2]
    publish(peers(swarm)[0], first)
    swarm.run(5)
    assert fell(victim, first) == (Outcome.DEFER, "stale")
    freshen(swarm, 0, 1)
    spoken_ms = swarm.clock.now.wall_ms
    assert swarm.run_until(lambda: swarm.usable(first.content_id) == 3, 20)
    swarm.run((spoken_ms + AGE_MS - 10_000 - swarm.clock.now.wall_ms) / 1000)
    publish(peers(swarm)[0], second)
    assert swarm.run_until(lambda: swarm.usable(second.content_id) == 3, 9)

    stale = told(victim, "freshness")
    assert swarm.run_until(lambda: told(victim, "freshness") > stale, 15)
    assert swarm.clock.now.wall_ms <= spoken_ms + AGE_MS + AGED.clock_skew_ms_max
    publish(peers(swarm)[0], third)
    swarm.run(10)
    assert fell(victim, third) == (Outcome.DEFER, "stale")
    assert swarm.usable(second.content_id) == 3, "what was accepted stays"
    freshen(swarm, 0)
    swarm.run(5)
    assert fell(victim, third) == (Outcome.DEFER, "stale"), "one of two is not enough"
    freshen(swarm, 2)
    assert swarm.run_until(lambda: swarm.usable(third.content_id) == 3, 20)


def test_claim_4_a_revocation_takes_the_time_of_dissemination_on_connected_peers() -> None:
    """Every peer within the rounds of a push."""
    swarm = swarm_of(12, Policy())
    (plasmid,) = plasmids(1)
    publish(peers(swarm)[0], plasmid)
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 12, 60)
    start_ms = swarm.clock.now.wall_ms
    peers(swarm)[0].publish((revoke(ADA, "content", plasmid.content_id.hex()),))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 0, 30)
    rounds = (swarm.clock.now.wall_ms - start_ms) / 1000
    assert rounds <= 12, "one round a hop of a ring, and no more"


def test_claim_5_equivocation_is_found_once_two_victims_are_connected_by_honest_peers() -> None:
    swarm = swarm_of(4, Policy())
    names = list(swarm.peers)
    swarm.partition(names[:2], names[2:])
    one, other = (make_plasmid(ADA, "legal", tiny_adapter(seed)) for seed in (1, 2))
    publish(peers(swarm)[0], one)
    publish(peers(swarm)[2], other)
    assert swarm.run_until(lambda: (swarm.usable(one.content_id), swarm.usable(other.content_id)) == (2, 2), 30)
    swarm.network.heal_all()
    assert swarm.run_until(lambda: swarm.usable(one.content_id) + swarm.usable(other.content_id) == 0, 60)
    assert all(told(peer, "evidence") for peer in peers(swarm))


def test_claim_6_the_clock_is_floored_by_the_latest_time_that_a_quorum_signed() -> None:
    """After a crash with the clock set back, old statements look fresh, and nothing new is accepted all the same."""
    swarm = swarm_of(2, AGED, replace(TRUST, root=ROOT))
    first, second = plasmids(2)
    freshen(swarm, 0, 1)
    publish(peers(swarm)[0], first)
    assert swarm.run_until(lambda: swarm.usable(first.content_id) == 2, 20)
    swarm.clock.jump_wall(-20_000)
    victim = peers(swarm)[1]
    victim.crash()
    victim.boot()
    publish(peers(swarm)[0], second)
    swarm.run(3)
    assert fell(victim, second) == (Outcome.DEFER, "clock_behind")
    assert swarm.usable(first.content_id) == 2
    swarm.clock.jump_wall(20_000)
    assert swarm.run_until(lambda: swarm.usable(second.content_id) == 2, 30)


def test_claim_7_there_is_no_instant_global_latest() -> None:
    """Two versions under way: peers that are linked, honest and fresh use different ones, and none of them is wrong."""
    swarm = swarm_of(12, AGED, replace(TRUST, root=ROOT))
    freshen(swarm, 0, 1)
    old, new = (make_plasmid(ADA, "legal", tiny_adapter(number), version=number) for number in (1, 2))
    publish(peers(swarm)[0], old)
    assert swarm.run_until(lambda: swarm.usable(old.content_id) == 12, 60)
    freshen(swarm, 0, 1)
    swarm.run(10)
    publish(peers(swarm)[0], new)
    assert swarm.run_until(lambda: swarm.usable(new.content_id) > 0, 10)
    assert swarm.usable(old.content_id) > 0
    assert swarm.usable(old.content_id) + swarm.usable(new.content_id) <= 12, "a peer has one latest"
    assert {view.status(peer.core, swarm.clock.now)["freshness"]["state"] for peer in peers(swarm)} == {"fresh"}
    assert swarm.run_until(lambda: swarm.usable(new.content_id) == 12, 30)
    assert swarm.usable(old.content_id) == 0


def test_what_waits_for_something_else_is_held_once_the_clock_proves_wrong() -> None:
    """At once, not when what it waits for comes: `plora why` names the clock, as it would after a restart."""
    swarm = swarm_of(2, AGED.model_copy(update={"quorum_required": 2}), replace(TRUST, root=ROOT))
    (plasmid,) = plasmids(1)
    freshen(swarm, 0, 1)
    publish(peers(swarm)[0], plasmid)
    swarm.run(5)
    assert fell(peers(swarm)[1], plasmid) == (Outcome.PENDING, "below_quorum")
    for number in (0, 1):
        peers(swarm)[0].publish(says(number, swarm.clock.now.wall_ms + 20_000))
    swarm.run(5)
    assert fell(peers(swarm)[1], plasmid) == (Outcome.DEFER, "clock_behind")


def test_the_signed_time_is_raised_by_two_owners_and_by_no_single_one() -> None:
    swarm = swarm_of(2, Policy(quorum_required=2))
    (plasmid,) = plasmids(1)
    publish(peers(swarm)[0], plasmid)
    peers(swarm)[0].publish((BEN.record, attest(BEN, plasmid.content_id)))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 2, 30)
    assert all(peer.core.desk.docket.signed_time_ms == ISSUED_S * 1000 for peer in peers(swarm))
    alone = swarm_of(2, Policy())
    publish(peers(alone)[0], plasmid)
    assert alone.run_until(lambda: alone.usable(plasmid.content_id) == 2, 30)
    assert all(peer.core.desk.docket.signed_time_ms == 0 for peer in peers(alone))


def test_a_root_that_is_pinned_later_holds_what_comes_next_and_takes_nothing_away() -> None:
    swarm = swarm_of(2, AGED)
    first, second = plasmids(2)
    publish(peers(swarm)[0], first)
    assert swarm.run_until(lambda: swarm.usable(first.content_id) == 2, 20)
    for peer in peers(swarm):
        peer.handle(PolicyChanged(AGED, replace(TRUST, root=ROOT)))
    publish(peers(swarm)[0], second)
    swarm.run(5)
    assert (swarm.usable(first.content_id), swarm.usable(second.content_id)) == (2, 0)


def test_trusted_owners_are_not_of_the_root_by_that() -> None:
    stray = TrustedOwner.of_record(GUARDIANS[0].owner.record)
    swarm = swarm_of(2, AGED, replace(TRUST.with_owner(stray), root=replace(ROOT, members=ROOT.members[1:])))
    (plasmid,) = plasmids(1)
    freshen(swarm, 0, 1)
    publish(peers(swarm)[0], plasmid)
    swarm.run(5)
    assert fell(peers(swarm)[1], plasmid) == (Outcome.DEFER, "stale")
