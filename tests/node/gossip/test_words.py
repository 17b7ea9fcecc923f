"""Votes and evidence among the seen statements: whose they are, what they may be about, how many are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.council import ISSUED, SWARM, Ballots, accuse, council, slot

from plora.gate.consensus import Membership
from plora.node.core.config import Bounds
from plora.node.gossip.entries import entry_of
from plora.node.gossip.seen import Dropped, Entrance, SeenSet
from plora.proto.payloads import Choice
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid

TODAY = WALL_START_MS // 86_400_000
LATER = "2026-01-02T00:00:00Z"
MEMBERS = council(4)
ADA = make_owner("ada", SWARM)
LEGAL = make_plasmid(ADA, "legal", bytes(2048))
OTHER = make_plasmid(ADA, "legal", bytes(4096))
NEWER = make_plasmid(ADA, "legal", bytes(1024), version=2)
CONTENT = LEGAL.content_id.hex()
SIGN = Ballots(MEMBERS.slot(LEGAL.manifest))


def take(seen: SeenSet, *statements: Statement) -> list[Dropped]:
    """Have statements enter for good."""
    dropped = []
    for statement in statements:
        admission = seen.admit(statement)
        assert admission.entry is not None, admission
        dropped += seen.commit(admission.entry)
    return dropped


def filled(*statements: Statement, members: Membership | None = MEMBERS) -> SeenSet:
    """What a peer has seen of ada."""
    seen = SeenSet(SWARM, Bounds(statements_per_owner=2), members=members)
    seen.turn(TODAY)
    take(seen, ADA.record, *statements)
    return seen


def test_a_members_vote_enters_with_its_manifest() -> None:
    seen, vote = filled(), SIGN.vote(0, CONTENT)
    orphan = seen.admit(vote)
    assert (orphan.entrance, orphan.missing) == (Entrance.ORPHAN, LEGAL.content_id)
    take(seen, LEGAL.statement, vote)
    assert vote.id in seen and seen.admit(vote).entrance is Entrance.DUPLICATE


def test_votes_count_for_no_owners_bound() -> None:
    seen = filled(LEGAL.statement)
    take(seen, *(SIGN.vote(number, CONTENT) for number in range(4)))
    assert seen.strangers == 1 and len(seen) == 6


@pytest.mark.parametrize(
    ("vote", "reason"),
    [
        (SIGN.vote(7, CONTENT), "not_a_member"),
        (Ballots(slot(council(number=2))).vote(0, CONTENT), "other_epoch"),
        (Ballots(MEMBERS.slot(NEWER.manifest)).vote(0, CONTENT), "other_slot"),
        (Ballots(MEMBERS.slot(NEWER.manifest)).vote(0, ADA.id), "other_slot"),
    ],
)
def test_what_is_refused_is_not_asked_for_again_and_costs_no_link(vote: Statement, reason: str) -> None:
    seen = filled(LEGAL.statement)
    admission = seen.admit(vote)
    assert (admission.entrance, admission.reason) == (Entrance.REFUSED, reason)
    assert not seen.wanted(vote.id) and not seen.lacks(vote.id)


def test_a_forged_vote_is_its_senders_fault() -> None:
    forged = replace(SIGN.vote(0, CONTENT), signature=bytes(64))
    seen = filled(LEGAL.statement)
    assert seen.admit(forged).entrance is Entrance.FORGED
    take(seen, SIGN.vote(0, CONTENT))


def test_without_members_no_vote_enters() -> None:
    admission = filled(LEGAL.statement, members=None).admit(SIGN.vote(0, CONTENT))
    assert (admission.entrance, admission.reason) == (Entrance.REFUSED, "no_members")


def test_one_vote_of_a_member_on_a_content_whatever_the_order() -> None:
    twice = sorted((SIGN.vote(0, CONTENT), SIGN.vote(0, CONTENT, issued=LATER)), key=lambda vote: vote.id)
    for order in (twice, twice[::-1]):
        seen = filled(LEGAL.statement)
        take(seen, order[0])
        for late in order[1:]:
            admission = seen.admit(late)
            if admission.entry is not None:
                assert [(each.entry.id, each.by) for each in seen.commit(admission.entry)] == [(order[0].id, late.id)]
        assert twice[0].id in seen and twice[1].id not in seen


def test_accept_and_reject_and_other_contents_stand_side_by_side() -> None:
    votes = [
        SIGN.vote(0, CONTENT),
        SIGN.vote(0, CONTENT, Choice.REJECT),
        SIGN.vote(0, OTHER.content_id.hex()),
    ]
    seen = filled(LEGAL.statement, OTHER.statement, *votes)
    assert all(vote.id in seen for vote in votes)


def test_votes_leave_with_their_manifest_and_evidence_stays() -> None:
    one, two = SIGN.vote(3, CONTENT), SIGN.vote(3, OTHER.content_id.hex())
    seen = filled(LEGAL.statement, OTHER.statement, one, two, accuse(0, 3, one, two))
    gone = {each.entry.id for each in take(seen, NEWER.statement)}
    assert {one.id, two.id} <= gone and accuse(0, 3, one, two).id in seen


def test_evidence_that_proves_nothing_is_refused() -> None:
    seen = filled(LEGAL.statement)
    one = SIGN.vote(3, CONTENT)
    other_slot = Ballots(MEMBERS.slot(NEWER.manifest)).vote(3, NEWER.content_id.hex())
    assert seen.admit(accuse(0, 3, one, other_slot)).reason == "two_slots"
    assert seen.admit(accuse(7, 3, one, SIGN.vote(3, OTHER.content_id.hex()))).reason == "not_a_member"


def test_after_another_epoch_the_old_votes_are_left_out() -> None:
    entries = [entry_of(one) for one in (ADA.record, LEGAL.statement, SIGN.vote(0, CONTENT), SIGN.vote(1, CONTENT))]
    for members, left_out in ((MEMBERS, 0), (council(number=2), 2), (council(5), 2), (None, 2)):
        seen = SeenSet(SWARM, Bounds(), members=members)
        assert len(seen.load(entries)) == left_out
        seen.turn(TODAY)
        assert len(seen) == 4 - left_out == len(seen.view(TODAY))


def test_loaded_in_any_order_the_same_votes_live() -> None:
    statements = [ADA.record, LEGAL.statement, *(SIGN.vote(0, CONTENT, issued=issued) for issued in (ISSUED, LATER))]
    roots = []
    for order in (statements, statements[::-1]):
        seen = SeenSet(SWARM, Bounds(), members=MEMBERS)
        seen.load([entry_of(one) for one in order])
        seen.turn(TODAY)
        roots.append(seen.view(TODAY).root())
        assert len(seen) == 3
    assert roots[0] == roots[1]


def test_what_is_on_its_way_to_the_disk_is_not_held_yet() -> None:
    seen = filled()
    admission = seen.admit(LEGAL.statement)
    assert admission.entry is not None and seen.lacks(LEGAL.content_id) and not seen.wanted(LEGAL.content_id)
    seen.commit(admission.entry)
    assert not seen.lacks(LEGAL.content_id)
