"""Members, certificates, evidence, and one peer's count of votes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.council import ISSUED, SWARM, Ballots, X, Y, accuse, council, digest, member, slot, vote_key
from tests.gate.conftest import Owner, World

from plora.gate.consensus import (
    FAULTS,
    Certificate,
    Guilt,
    certificate_fault,
    guilt_in,
    membership,
    quorum_of,
    vote_fault,
    vote_of,
)
from plora.gate.tally import Tally
from plora.gate.voter import Voter
from plora.proto.dsse import StatementKind
from plora.proto.errors import ConfigError
from plora.proto.payloads import Choice, Evidence
from plora.proto.statement import Statement, open_statement, statement_from_json, statement_to_json

MEMBERS = council(4)
SLOT = slot(MEMBERS)
SIGN = Ballots(SLOT)


def tally_of(*votes: Statement) -> Tally:
    tally = Tally(MEMBERS)
    for vote in votes:
        tally.take(vote)
    return tally


def evidence_of(statement: Statement) -> Evidence:
    payload = open_statement(statement)
    assert isinstance(payload, Evidence)
    return payload


@pytest.mark.parametrize("count", range(1, 65))
def test_two_quorums_share_an_honest_member_and_honest_members_make_one(count: int) -> None:
    faults, quorum = (count - 1) // 3, quorum_of(count)
    assert 2 * quorum - count > faults
    assert quorum <= count - faults


@pytest.mark.parametrize(("count", "quorum"), [(4, 2), (4, 5), (4, 0), (7, 4), (10, 6)])
def test_an_unsafe_quorum_is_refused_with_what_would_be_safe(count: int, quorum: int) -> None:
    with pytest.raises(ConfigError, match=f"a quorum of {quorum} of {count} members") as caught:
        council(count, quorum=quorum)
    assert caught.value.where == "consensus.quorum"
    assert f"set {quorum_of(count)} to {count}" in caught.value.mend


def test_a_member_stands_in_it_once() -> None:
    with pytest.raises(ConfigError, match="two members have one key"):
        membership(SWARM, [member(0), replace(member(0), name="other")])
    with pytest.raises(ConfigError, match="two members have one name"):
        membership(SWARM, [member(0), replace(member(1), name="m0")])
    with pytest.raises(ConfigError, match="0 members"):
        membership(SWARM, [])


def test_whatever_the_block_says_is_in_the_epoch() -> None:
    others = [
        council(4, number=2),
        council(4, quorum=4),
        council(5),
        membership(digest("other swarm"), map(member, range(4))),
        membership(SWARM, [replace(member(0), name="ada"), *map(member, range(1, 4))]),
        membership(SWARM, [replace(member(0), peer=""), *map(member, range(1, 4))]),
    ]
    assert len({MEMBERS.epoch, *(one.epoch for one in others)}) == len(others) + 1
    assert membership(SWARM, map(member, (3, 1, 0, 2))).epoch == MEMBERS.epoch


def test_a_quorum_makes_a_certificate_that_anybody_can_check() -> None:
    tally = tally_of(SIGN.vote(0, X), SIGN.vote(1, X))
    assert tally.standing(SLOT, X).accepts == ("m0", "m1") and tally.standing(SLOT, X).certificate is None
    (certificate,) = tally.take(SIGN.vote(2, X))
    assert isinstance(certificate, Certificate) and tally.standing(SLOT, X).certificate == certificate
    assert certificate_fault(certificate, MEMBERS) == ""
    assert tally.standing(SLOT, Y).certificate is None and tally.standing(SLOT, Y).elsewhere == ("m0", "m1", "m2")


@pytest.mark.parametrize(
    ("votes", "fault"),
    [
        ([SIGN.vote(0, X), SIGN.vote(1, X)], "too_few"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), SIGN.vote(1, X, issued="2026-01-02T00:00:00Z")], "counted_twice"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), SIGN.vote(7, X)], "not_a_member"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), SIGN.vote(2, Y)], "other_content"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), SIGN.vote(2, X, Choice.REJECT)], "not_an_accept"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), Ballots(slot(MEMBERS, version=2)).vote(2, X)], "other_slot"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), Ballots(slot(council(number=2))).vote(2, X)], "other_epoch"),
        ([SIGN.vote(0, X), SIGN.vote(1, X), replace(SIGN.vote(2, X), signature=bytes(64))], "bad_signature"),
    ],
)
def test_what_is_no_certificate(votes: list[Statement], fault: str) -> None:
    assert certificate_fault(Certificate(SLOT, X, tuple(votes)), MEMBERS) == fault
    assert fault in FAULTS


def test_a_member_who_accepts_twice_counts_no_more_in_open_slots() -> None:
    tally = tally_of(SIGN.vote(3, X))
    (guilt,) = tally.take(SIGN.vote(3, Y))
    assert isinstance(guilt, Guilt) and guilt.member == vote_key(3).public.key_id
    assert tally.standing(SLOT, X).guilty == ("m3",) and not tally.standing(SLOT, X).accepts
    elsewhere = Ballots(slot(MEMBERS, plasmid_id="other"))
    for number in (0, 1, 3):
        assert not tally.take(elsewhere.vote(number, X))
    assert tally.take(elsewhere.vote(2, X))


def test_a_closed_slot_stays_closed() -> None:
    tally = tally_of(*(SIGN.vote(number, X) for number in (0, 1, 3)))
    assert [type(one) for one in tally.take(SIGN.vote(3, Y))] == [Guilt]
    certificate = tally.standing(SLOT, X).certificate
    assert certificate is not None
    tally.drop(SIGN.vote(0, X))
    assert tally.standing(SLOT, X).certificate == certificate


def test_votes_again_for_the_same_are_no_evidence() -> None:
    tally = tally_of(SIGN.vote(3, X), SIGN.vote(3, X, issued="2026-01-02T00:00:00Z"))
    assert not tally.guilty and tally.standing(SLOT, X).accepts == ("m3",)


def test_reject_is_advice_and_gives_way_to_accept() -> None:
    tally = tally_of(SIGN.vote(0, X, Choice.REJECT, reason="norm_too_large"))
    assert tally.standing(SLOT, X).rejects == (("m0", "norm_too_large"),)
    tally.take(SIGN.vote(0, X))
    tally.take(SIGN.vote(0, X, Choice.REJECT, reason="norm_too_large"))
    assert tally.standing(SLOT, X).accepts == ("m0",) and not tally.standing(SLOT, X).rejects


def test_two_certificates_of_one_slot_break_the_epoch() -> None:
    votes = [SIGN.vote(number, content) for content in (X, Y) for number in (0, 1, 2)]
    tally = tally_of(*votes)
    assert sorted(certificate.content for certificate in tally.broken[SLOT]) == sorted((X, Y))
    assert all(certificate_fault(certificate, MEMBERS) == "" for certificate in tally.broken[SLOT])
    assert tally.standing(slot(MEMBERS, plasmid_id="another"), X).broken


def test_what_was_found_before_a_restart_counts_on() -> None:
    before = tally_of(*(SIGN.vote(number, X) for number in (0, 1, 2)), SIGN.vote(3, X), SIGN.vote(3, Y))
    after = Tally(MEMBERS, before.certificates.values(), before.guilty.values(), before.broken.values())
    assert after.standing(SLOT, X).certificate == before.standing(SLOT, X).certificate
    for number in (0, 1, 2):
        assert not after.take(SIGN.vote(number, X))
    assert not after.take(SIGN.vote(3, Y)) and after.guilty == before.guilty
    after.take(SIGN.vote(0, Y))
    assert after.take(SIGN.vote(1, Y))[-1] == after.broken[SLOT]


def test_a_dropped_vote_is_forgotten() -> None:
    tally = tally_of(SIGN.vote(0, X), SIGN.vote(1, X, Choice.REJECT))
    tally.drop(SIGN.vote(0, X))
    tally.drop(SIGN.vote(1, X, Choice.REJECT))
    assert tally.standing(SLOT, X).accepts == () and tally.standing(SLOT, X).rejects == ()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (accuse(0, 3, SIGN.vote(3, X), Ballots(slot(MEMBERS, version=2)).vote(3, Y)), "two_slots"),
        (accuse(0, 3, SIGN.vote(3, X), SIGN.vote(3, X, issued="2026-01-02T00:00:00Z")), "one_content"),
        (accuse(0, 3, SIGN.vote(3, X), SIGN.vote(2, Y)), "other_member"),
        (accuse(0, 2, SIGN.vote(3, X), SIGN.vote(3, Y)), "other_member"),
        (accuse(0, 3, SIGN.vote(3, X), SIGN.vote(3, Y, Choice.REJECT)), "not_an_accept"),
        (accuse(0, 3, SIGN.vote(3, X), replace(SIGN.vote(3, Y), signature=bytes(64))), "bad_signature"),
        (accuse(0, 7, SIGN.vote(7, X), SIGN.vote(7, Y)), "not_a_member"),
    ],
)
def test_what_proves_nothing(statement: Statement, fault: str) -> None:
    assert guilt_in(evidence_of(statement), MEMBERS) == fault


@pytest.mark.parametrize("content", [X, Y])
def test_both_votes_of_evidence_must_hold_whichever_comes_first(content: str) -> None:
    def proves(spoilt: Statement) -> str | Guilt:
        good = SIGN.vote(3, Y if content == X else X)
        return guilt_in(evidence_of(accuse(0, 3, good, spoilt)), MEMBERS)

    assert isinstance(proves(SIGN.vote(3, content)), Guilt)
    assert proves(replace(SIGN.vote(3, content), signature=bytes(64))) == "bad_signature"
    assert proves(SIGN.vote(3, content, Choice.REJECT)) == "not_an_accept"
    assert proves(SIGN.vote(2, content)) == "other_member"
    assert proves(SIGN.signed(vote_key(3), content, swarm=digest("other swarm"))) == "other_swarm"
    assert proves(Ballots(slot(council(number=2))).vote(3, content)) == "other_epoch"


def test_evidence_brings_its_votes() -> None:
    true = evidence_of(accuse(0, 3, SIGN.vote(3, X), SIGN.vote(3, Y)))
    guilt = guilt_in(true, MEMBERS)
    assert isinstance(guilt, Guilt) and guilt.member == vote_key(3).public.key_id
    assert guilt_in(true.model_copy(update={"statements": None}), MEMBERS) == "no_proof"
    assert true.statements is not None
    swapped = true.model_copy(update={"statements": true.statements[::-1]})
    assert guilt_in(swapped, MEMBERS) == "no_proof"
    envelope = statement_from_json(true.statements[0])
    disguised = statement_to_json(replace(envelope, kind=str(StatementKind.ATTESTATION)))
    assert guilt_in(true.model_copy(update={"statements": (disguised, true.statements[1])}), MEMBERS) == "no_proof"


def test_a_vote_belongs_to_one_slot_epoch_and_swarm() -> None:
    assert vote_fault(SIGN.vote(0, X), MEMBERS) == ""
    assert vote_fault(SIGN.vote(7, X), MEMBERS) == "not_a_member"
    assert vote_fault(SIGN.vote(0, X), council(number=2)) == "other_epoch"
    assert vote_fault(accuse(0, 3, SIGN.vote(3, X), SIGN.vote(3, Y)), MEMBERS) == "not_a_vote"
    elsewhere = SIGN.signed(vote_key(0), X, swarm=digest("other swarm"))
    assert vote_fault(elsewhere, MEMBERS) == "other_swarm"
    assert [Tally(MEMBERS).take(vote) for vote in (elsewhere, SIGN.vote(7, X))] == [[], []]


def test_a_vote_is_about_the_slot_of_the_manifest_that_it_names(world: World, ada: Owner) -> None:
    manifest = world.case(ada).manifest
    own = MEMBERS.slot(manifest)
    assert (own.epoch, own.owner, own.version) == (MEMBERS.epoch, ada.id, manifest.version)
    assert vote_fault(Ballots(own).vote(0, X), MEMBERS, manifest) == ""
    assert vote_fault(SIGN.vote(0, X), MEMBERS, manifest) == "other_slot"
    for field, other in (("version", 2), ("plasmid_id", "other"), ("lineage", "ab" * 32), ("owner", "ab" * 32)):
        changed = manifest.model_copy(update={field: other})
        assert vote_fault(Ballots(own).vote(0, X), MEMBERS, changed) == "other_slot"


def test_a_member_chooses_once_and_only_after_reading() -> None:
    voter = Voter(MEMBERS, vote_key(0).public.key_id)
    assert voter.choose(SLOT, X, ISSUED) is None and voter.missing == 2
    assert not voter.read(digest("peer 1")) and not voter.read(digest("peer 1")) and not voter.read(digest("peer 9"))
    assert not voter.read(digest("peer 0")) and voter.read(digest("peer 2"))
    ballot = voter.choose(SLOT, X, ISSUED)
    assert ballot is not None and voter.choose(SLOT, Y, ISSUED) is None
    voter.not_written(ballot)
    other = voter.choose(SLOT, Y, ISSUED)
    assert other is not None
    vote = voter.written(other)
    assert vote is not None and vote.content == Y and voter.choose(SLOT, X, ISSUED) is None
    assert voter.rejection(SLOT, Y, ISSUED, "expired") is None


def test_a_forgotten_vote_that_comes_back_binds_again() -> None:
    voter = Voter(MEMBERS, vote_key(0).public.key_id)
    voter.read(digest("peer 1"))
    voter.read(digest("peer 2"))
    pending = voter.choose(SLOT, Y, ISSUED)
    assert pending is not None
    (mine, other) = (SIGN.vote(0, X), SIGN.vote(1, X))
    theirs, own = open_statement(other), open_statement(mine)
    assert voter.recall(theirs) is None  # type: ignore[arg-type]
    assert voter.recall(own) is not None  # type: ignore[arg-type]
    assert voter.written(pending) is None and voter.ballots[SLOT].content == X


def test_a_certificate_is_forgotten_when_nothing_of_its_slot_is_left() -> None:
    other = Ballots(slot(MEMBERS, plasmid_id="other"))
    tally = tally_of(*(sign.vote(number, X) for sign in (SIGN, other) for number in (0, 1, 2)))
    tally.take(SIGN.vote(3, Y, Choice.REJECT))
    for number in (0, 1, 2):
        tally.drop(SIGN.vote(number, X))
    assert not tally.forget_empty()
    tally.drop(SIGN.vote(3, Y, Choice.REJECT))
    assert not tally.forget_empty([other.slot])
    assert [one.slot for one in tally.forget_empty()] == [SLOT] and list(tally.certificates) == [other.slot]


def test_how_many_members_there_may_be() -> None:
    assert council(1).quorum == 1 and council(64).quorum == 43
    with pytest.raises(ConfigError, match="65 members, it takes 1 to 64"):
        council(65)


def test_what_was_never_counted_may_be_dropped() -> None:
    tally = tally_of(SIGN.vote(0, X))
    for statement in (SIGN.vote(1, X), SIGN.vote(0, Y), accuse(0, 3, SIGN.vote(3, X), SIGN.vote(3, Y))):
        tally.drop(statement)
    assert tally.standing(SLOT, X).accepts == ("m0",)


def test_a_second_copy_that_is_dropped_takes_no_vote_away() -> None:
    later = "2026-01-02T00:00:00Z"
    tally = tally_of(SIGN.vote(0, X), SIGN.vote(0, X, issued=later), SIGN.vote(1, X, Choice.REJECT))
    tally.drop(SIGN.vote(0, X, issued=later))
    tally.drop(SIGN.vote(1, X, Choice.REJECT, issued=later))
    assert tally.standing(SLOT, X).accepts == ("m0",) and tally.standing(SLOT, X).rejects == (("m1", ""),)


def test_a_proof_from_elsewhere_voids_a_members_votes_in_open_slots_only() -> None:
    closed, opened = Ballots(slot(MEMBERS, plasmid_id="closed")), SIGN
    tally = tally_of(*(closed.vote(number, X) for number in (0, 1, 3)), *(opened.vote(one, X) for one in (0, 3)))
    guilt = guilt_in(evidence_of(accuse(1, 3, closed.vote(3, X), closed.vote(3, Y))), MEMBERS)
    assert isinstance(guilt, Guilt)
    assert (tally.convict(guilt), tally.convict(replace(guilt))) == (True, False)
    assert tally.take(opened.vote(1, X)) == []
    assert tally.standing(SLOT, X).accepts == ("m0", "m1") and tally.standing(SLOT, X).guilty == ("m3",)
    assert tally.standing(closed.slot, X).certificate is not None
    assert len(tally.take(opened.vote(2, X))) == 1


def test_only_an_own_accept_of_this_epoch_is_a_ballot_that_came_back() -> None:
    voter = Voter(MEMBERS, vote_key(0).public.key_id)
    elsewhere = Ballots(slot(council(number=2)))
    for statement in (SIGN.vote(0, X, Choice.REJECT), SIGN.vote(1, X), elsewhere.vote(0, X)):
        vote = vote_of(statement)
        assert vote is not None and voter.recall(vote) is None
    assert not voter.ballots
    own = vote_of(SIGN.vote(0, X))
    assert own is not None
    ballot = voter.recall(own)
    assert ballot is not None and voter.vote(ballot) == own and voter.recall(own) is None
    voter.read(digest("peer 1"))
    voter.read(digest("peer 2"))
    assert voter.choose(SLOT, X, ISSUED) is None and voter.rejection(SLOT, X, ISSUED, "expired") is None


def test_who_abstains_or_is_of_another_epoch_says_nothing_at_all() -> None:
    voter = Voter(MEMBERS, vote_key(0).public.key_id)
    assert voter.rejection(SLOT, X, ISSUED, "expired") is None
    voter.read(digest("peer 1"))
    voter.read(digest("peer 2"))
    elsewhere = slot(council(number=2))
    assert voter.choose(elsewhere, X, ISSUED) is None and voter.rejection(elsewhere, X, ISSUED, "expired") is None
    said = voter.rejection(SLOT, X, ISSUED, "expired")
    assert said is not None and (said.choice, said.reason, said.content) == (Choice.REJECT, "expired", X)
    assert voter.choose(SLOT, X, ISSUED) is not None  # advice binds nobody
    assert voter.rejection(SLOT, Y, ISSUED, "expired") is None


def test_a_key_that_is_no_members_has_no_name() -> None:
    assert MEMBERS.name(vote_key(2).public.key_id) == "m2" and MEMBERS.name("ab" * 32) == "ab" * 6
