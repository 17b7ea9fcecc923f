"""Attacks on the consensus: two contents, two votes, votes from elsewhere, too few of them, forged evidence."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from tests.attacks.conftest import Watched
from tests.council import Ballots, accuse, member, vote_key
from tests.gate.conftest import SWARM, Owner, World, factors
from tests.sim.assembly import (
    ADA,
    LEGAL,
    LIAR,
    OTHER,
    PEERS,
    RIVAL,
    make,
    members,
    own_accepts,
    publish,
    records,
    up,
    vote_as,
    why,
)

from plora.gate import Case, Policy, Verdict, decide
from plora.gate.consensus import Certificate, Membership, membership
from plora.gate.tally import Standing, Tally
from plora.node.core.config import Bounds
from plora.node.gossip.seen import Entrance, SeenSet
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.swarm import Swarm, peer_id

HERE = membership(SWARM, map(member, range(4)))
STRICT = Policy(consensus=True)


def signed(case: Case, numbers: range | tuple[int, ...], council: Membership = HERE) -> tuple[Statement, ...]:
    """ACCEPTs of the case's content."""
    sign = Ballots(council.slot(case.manifest))
    return tuple(sign.signed(vote_key(number), case.statement.id.hex(), swarm=SWARM) for number in numbers)


def counted(case: Case, votes: tuple[Statement, ...], council: Membership = HERE) -> Case:
    """The case with what a peer counts of these votes."""
    tally = Tally(council)
    for vote in votes:
        tally.take(vote)
    standing = tally.standing(council.slot(case.manifest), case.statement.id.hex())
    return replace(case, members=council, standing=standing, seen_ms=case.now_ms)


def shown(case: Case, votes: tuple[Statement, ...]) -> Case:
    """The case with these votes shown as a certificate."""
    certificate = Certificate(HERE.slot(case.manifest), case.statement.id.hex(), votes)
    return replace(case, members=HERE, standing=Standing(certificate), seen_ms=case.now_ms)


def fell(attack: Watched, verdict: Verdict, outcome: str, reason: str, stage: str = "consensus") -> None:
    assert (str(verdict.outcome), verdict.stage, verdict.reason) == (outcome, stage, reason), dict(verdict.evidence)
    assert [one.reason for one in verdict.stages if one.reason] == [reason]
    attack.saw(verdict.outcome, reason)


def gossip(*statements: Statement) -> SeenSet:
    """What a peer of the council's swarm has seen."""
    seen = SeenSet(ADA.swarm, Bounds(), members=members())
    seen.turn(WALL_START_MS // 86_400_000)
    for statement in (ADA.record, LEGAL.statement, *statements):
        admission = seen.admit(statement)
        assert admission.entry is not None, admission
        seen.commit(admission.entry)
    return seen


def refused(attack: Watched, statement: Statement, reason: str) -> None:
    """It doesn't enter, whoever sends it loses no link, and it isn't asked for again."""
    seen = gossip()
    admission = seen.admit(statement)
    assert (admission.entrance, admission.reason) == (Entrance.REFUSED, reason)
    assert not seen.wanted(statement.id) and statement.id not in seen
    attack.saw("reject", reason)


def certificates(swarm: Swarm) -> set[str]:
    """Contents of LEGAL's slot that any peer ever saw a certificate of."""
    both = {LEGAL.content_id.hex(), RIVAL.content_id.hex()}
    found = (record["content"] for peer in swarm.running() for record in records(peer, "certificate"))
    return {content for content in found if content in both}


@pytest.mark.parametrize(("first", "most"), [((0, 1), 0), ((0, 1, 2), 1), ((0, 1, 2, 3), 1), ((0,), 1)])
def test_attack_080_two_contents_for_one_slot(attack: Watched, first: tuple[int, ...], most: int) -> None:
    """Cut in two, each half is shown its own content: however the members are spread, one certificate at most."""
    swarm = up(make())
    swarm.run(8)
    left = [peer_id(number) for number in first]
    right = [peer_id(number) for number in range(PEERS) if number not in first]
    swarm.partition(left, right)
    publish(swarm.peer(left[0]), LEGAL)
    publish(swarm.peer(right[-1]), RIVAL)
    swarm.run(10)
    assert len(certificates(swarm)) == most
    swarm.network.heal_all()
    publish(swarm.peer(left[0]), OTHER)
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == PEERS and swarm.agree(), limit_s=90)
    assert swarm.usable(LEGAL.content_id) == swarm.usable(RIVAL.content_id) == 0
    assert len(certificates(swarm)) == most and not any(records(peer, "alarm") for peer in swarm.running())
    attack.saw("holds", why(swarm, 4)["reason"])


def test_attack_081_a_member_accepts_twice(attack: Watched) -> None:
    """Found out by everybody, told by a signed proof, and never counted again where no certificate is."""
    swarm = up(make(), (0, 1, 2, 4))
    swarm.run(8)
    for number, plasmid in ((0, LEGAL), (1, RIVAL)):
        peer = swarm.peer(peer_id(number))
        publish(peer, plasmid)
        swarm.run(0.01)
        vote_as(LIAR, plasmid, peer)
    accused = vote_key(LIAR).public.key_id
    for peer in swarm.running():
        assert swarm.run_until(lambda peer=peer: accused in peer.core.council.tally.guilty, limit_s=60)  # type: ignore
        (found,) = (one for one in records(peer, "evidence") if one["offence"] == "two_votes")
        assert found["accused"] == accused
    swarm.peer(peer_id(2)).crash()
    publish(swarm.peer(peer_id(0)), OTHER)
    swarm.run(2)
    witness = swarm.peer(peer_id(4))
    vote_as(LIAR, OTHER, witness)
    swarm.run(10)
    told = why(swarm, 4, OTHER)
    assert told["reason"] == "awaiting_certificate" and "no longer counts: m3" in told["sentence"]
    attack.saw("evidence", "two_votes")


def test_attack_082_a_vote_of_another_slot(attack: Watched) -> None:
    newer = members().slot(LEGAL.manifest).model_copy(update={"version": 2})
    refused(attack, Ballots(newer).vote(0, LEGAL.content_id.hex()), "other_slot")


@pytest.mark.parametrize("elsewhere", [members(number=2), members(quorum=4)], ids=["epoch", "quorum"])
def test_attack_082_a_vote_of_another_epoch_or_policy(attack: Watched, elsewhere: Membership) -> None:
    refused(attack, Ballots(elsewhere.slot(LEGAL.manifest)).vote(0, LEGAL.content_id.hex()), "other_epoch")


def test_attack_082_members_who_diverge_raise_an_alarm(attack: Watched) -> None:
    swarm = make()
    stray = swarm.peer(peer_id(4))
    stray.config = replace(stray.config, members=members(number=2))
    up(swarm)
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: len(stray.core.gossip.diverged) == 4, limit_s=60)
    assert {record["alarm"] for record in records(stray, "alarm")} == {"other_epoch"}
    attack.saw("reject", "other_epoch")


def test_attack_083_a_certificate_below_the_quorum(attack: Watched, world: World, ada: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada)
    assert decide(shown(case, signed(case, range(3))), STRICT, trust).accepted
    repeated = (*signed(case, (0, 1)), *signed(case, (1,)))
    for votes, fault in ((signed(case, (0, 1)), "too_few"), (repeated, "counted_twice")):
        verdict = decide(shown(case, votes), STRICT, trust)
        assert verdict.evidence["fault"] == fault
        fell(attack, verdict, "reject", "bad_certificate")


def test_attack_083_votes_below_the_quorum(attack: Watched, world: World, ada: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada)
    assert decide(counted(case, signed(case, range(3))), STRICT, trust).accepted
    verdict = decide(counted(case, signed(case, (0, 1))), STRICT, trust)
    assert verdict.evidence["accepted_by"] == ["m0", "m1"] and verdict.evidence["silent"] == ["m2", "m3"]
    fell(attack, verdict, "pending", "awaiting_certificate")


def test_attack_084_votes_of_strangers(attack: Watched, world: World, ada: Owner) -> None:
    """They don't enter; where they are handed in all the same, they neither count nor make a certificate."""
    refused(attack, Ballots(members().slot(LEGAL.manifest)).vote(9, LEGAL.content_id.hex()), "not_a_member")
    case, trust = world.case(ada), world.trust(ada)
    among = decide(counted(case, signed(case, (0, 1, 7, 8, 9))), STRICT, trust)
    assert (among.reason, among.evidence["accepted_by"]) == ("awaiting_certificate", ["m0", "m1"])
    verdict = decide(shown(case, signed(case, (0, 1, 9))), STRICT, trust)
    assert verdict.evidence["fault"] == "not_a_member"
    fell(attack, verdict, "reject", "bad_certificate")


def test_attack_085_a_proposal_whose_bytes_are_others(attack: Watched, world: World, ada: Owner) -> None:
    """A certificate is for a content id, and the gate still looks at the bytes: no quorum can vouch for others."""
    case, trust = world.case(ada), world.trust(ada)
    certified = counted(case, signed(case, range(4)))
    assert decide(certified, STRICT, trust).accepted
    verdict = decide(replace(certified, features=world.features(factors(seed=7))), STRICT, trust)
    fell(attack, verdict, "reject", "hash_mismatch", "chunks and hash")


def test_attack_085_a_certificate_of_another_content(attack: Watched, world: World, ada: Owner) -> None:
    case, other = world.case(ada), world.case(ada, factors(seed=7))
    certificate = Certificate(HERE.slot(other.manifest), other.statement.id.hex(), signed(other, range(3)))
    assert HERE.slot(other.manifest) == HERE.slot(case.manifest)
    borrowed = replace(case, members=HERE, standing=Standing(certificate), seen_ms=case.now_ms)
    verdict = decide(borrowed, STRICT, world.trust(ada))
    assert verdict.evidence["fault"] == "other_content"
    fell(attack, verdict, "reject", "bad_certificate")


def test_attack_093_a_restored_vote_store(attack: Watched) -> None:
    """The member's disk goes back to before its vote, and it is shown another content first."""
    swarm = up(make())
    swarm.run(8)
    victim = swarm.peer(peer_id(1))
    before = copy.deepcopy(victim.disk)
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: bool(own_accepts(swarm, 1)), limit_s=60)
    swarm.run(5)
    victim.crash()
    victim.disk = before
    victim.boot()
    publish(victim, RIVAL)
    swarm.run(30)
    assert own_accepts(swarm, 1) == {LEGAL.content_id.hex()}
    assert not any(one["offence"] == "two_votes" for peer in swarm.running() for one in records(peer, "evidence"))
    attack.saw("holds", "abstained until it had read its vote back")


def test_attack_108_withheld_votes(attack: Watched) -> None:
    """Two members vote for what they like and say nothing of the rest: it waits, says for whom, and blocks nothing."""
    swarm = make(wait_ms=10_000)
    for number in (2, 3):
        peer = swarm.peer(peer_id(number))
        peer.config, peer.vote_key = replace(peer.config, vote_key=""), None
    up(swarm)
    publish(swarm.peer(peer_id(0)), LEGAL)
    publish(swarm.peer(peer_id(0)), OTHER)
    assert swarm.run_until(lambda: swarm.holding(OTHER.manifest.artifacts.sha256) == PEERS, limit_s=60)
    for number in (2, 3):
        vote_as(number, OTHER, swarm.peer(peer_id(number)))
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == PEERS, limit_s=60)
    told = why(swarm, 4)
    assert (told["state"], told["reason"]) == ("pending", "awaiting_certificate")
    attack.saw("pending", told["reason"])
    swarm.run(10)
    told = why(swarm, 4)
    assert told["sentence"] == "overdue: 2 of 3 members accepted it (m0, m1); not heard: m2, m3"
    attack.saw("pending", told["reason"])


def test_attack_109_evidence_forged_from_two_slots(attack: Watched) -> None:
    """What every member says every day, put together to look like a lie."""
    here, there = (Ballots(members().slot(plasmid.manifest)) for plasmid in (LEGAL, OTHER))
    one, other = here.vote(3, LEGAL.content_id.hex()), there.vote(3, OTHER.content_id.hex())
    gossip(accuse(0, 3, one, here.vote(3, RIVAL.content_id.hex())))  # a true one enters
    refused(attack, accuse(0, 3, one, other), "two_slots")


def test_attack_110_two_certificates_of_one_slot(attack: Watched) -> None:
    """Nothing is accepted any more, also after a restart; with another epoch it goes on."""
    swarm = up(make())
    publish(swarm.peer(peer_id(4)), OTHER)
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == PEERS, limit_s=60)
    first = swarm.peer(peer_id(4))
    for plasmid in (LEGAL, RIVAL):
        publish(first, plasmid)
    swarm.run(0.01)
    for number in range(3):
        for plasmid in (LEGAL, RIVAL):
            vote_as(number, plasmid, first)
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == 0, limit_s=60)
    for peer in swarm.running():
        assert [record["alarm"] for record in records(peer, "alarm")] == ["compromised"]
    first.crash()
    first.boot()
    swarm.run(5)
    told = why(swarm, 4, OTHER)
    assert (told["state"], told["reason"]) == ("pending", "consensus_compromised") and not records(first, "error")
    attack.saw("pending", told["reason"])
    for number in range(PEERS):
        peer = swarm.peer(peer_id(number))
        peer.crash()
        peer.config = replace(peer.config, members=members(number=2))
    up(swarm)
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == PEERS, limit_s=60)
