"""All runs of a council of four, one of them a liar: no slot ever gets two certificates.

Members influence each other by nothing but their votes, so the reachable sets of votes are the product of what each
member can send. What one member can send is found by visiting every state of the real `Voter` under: look at a content,
write, send, crash. Then every order of every subset of those votes is given to the real `Tally`: that is what any
number of peers could see. Three mutants show that the search would find what the rules are there to prevent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import pytest
from tests.council import ISSUED, SWARM, Ballots, X, Y, council, digest, member, slot, vote_key

from plora.gate.consensus import Certificate, Membership, certificate_fault
from plora.gate.tally import Tally
from plora.gate.voter import Ballot, Voter
from plora.proto.payloads import Slot
from plora.proto.statement import Statement

HONEST, LIAR = (0, 1, 2), 3
CONTENTS = (X, Y)


@dataclass(frozen=True)
class Process:
    """A member between two steps: what its memory and its disk hold, and what it has sent."""

    unwritten: str = ""
    written: str = ""
    disk: str = ""
    sent: frozenset[str] = frozenset()


def voter_in(state: Process, members: Membership, place: Slot) -> Voter:
    """The real voter in that state, after it has read what others hold."""
    ballots = [Ballot(place, state.written, ISSUED)] if state.written else []
    voter = Voter(members, vote_key(0).public.key_id, ballots)
    for other in (1, 2):
        voter.read(digest(f"peer {other}"))
    if state.unwritten:
        assert voter.choose(place, state.unwritten, ISSUED) is not None
    return voter


def steps(state: Process, members: Membership, place: Slot, *, fsync: bool) -> Iterator[Process]:
    """Whatever may happen next to a member."""
    for content in CONTENTS:
        if voter_in(state, members, place).choose(place, content, ISSUED) is not None:
            yield Process(content, state.written, state.disk, state.sent)
    if state.unwritten:
        vote = voter_in(state, members, place).written(Ballot(place, state.unwritten, ISSUED))
        assert vote is not None
        yield Process("", vote.content, vote.content if fsync else state.disk, state.sent)
    if state.written:
        yield Process(state.unwritten, state.written, state.disk, state.sent | {state.written})
    yield Process("", state.disk, state.disk, state.sent)  # a crash, and the start after it


def sendable(members: Membership, *, fsync: bool = True) -> frozenset[frozenset[str]]:
    """Every set of ACCEPTs that one honest member may have sent in a slot."""
    place = slot(members)
    found, todo = {Process()}, [Process()]
    while todo:
        for state in steps(todo.pop(), members, place, fsync=fsync):
            if state not in found:
                found.add(state)
                todo.append(state)
    return frozenset(state.sent for state in found)


def certifiable(members: Membership, votes: tuple[Statement, ...]) -> dict[str, Certificate]:
    """Every certificate of the slot that some order of some of these votes leads to."""
    found: dict[str, Certificate] = {}
    seen: dict[tuple[frozenset[bytes], frozenset[str], frozenset[str]], None] = {}
    todo: list[tuple[Statement, ...]] = [()]
    while todo:
        path = todo.pop()
        tally = Tally(members)
        for vote in path:
            tally.take(vote)
        made = {one.content: one for one in tally.certificates.values()}
        found |= made
        state = (frozenset(vote.id for vote in path), frozenset(made), frozenset(tally.guilty))
        if state not in seen:
            seen[state] = None
            todo += [(*path, vote) for vote in votes if vote not in path]
    return found


def networks(members: Membership, *, fsync: bool = True) -> Iterator[tuple[Statement, ...]]:
    """The votes of every run: what the honest sent, and all that the liar can say."""
    sign = Ballots(slot(members))
    sent = sorted(sendable(members, fsync=fsync), key=sorted)
    lies = tuple(sign.vote(LIAR, content) for content in CONTENTS)
    for said in product(sent, repeat=len(HONEST)):
        honest = [
            sign.vote(who, content) for who, contents in zip(HONEST, said, strict=True) for content in sorted(contents)
        ]
        yield (*honest, *lies)


def contradictions(members: Membership, *, fsync: bool = True) -> int:
    """In how many runs two peers can get two certificates of one slot."""
    return sum(len(certifiable(members, votes)) > 1 for votes in networks(members, fsync=fsync))


def test_an_honest_member_sends_one_accept_whenever_it_crashes() -> None:
    assert sendable(council()) == {frozenset(), frozenset({X}), frozenset({Y})}


def test_no_run_gives_two_certificates_and_every_certificate_holds() -> None:
    members = council()
    runs = list(networks(members))
    assert len(runs) == 27
    for votes in runs:
        certificates = certifiable(members, votes)
        assert len(certificates) <= 1
        assert all(certificate_fault(one, members) == "" for one in certificates.values())


def test_three_who_accept_the_same_are_enough_whatever_the_liar_does() -> None:
    members = council()
    sign = Ballots(slot(members))
    honest = tuple(sign.vote(number, X) for number in HONEST)
    for lies in ((), (sign.vote(LIAR, Y),), (sign.vote(LIAR, X), sign.vote(LIAR, Y))):
        tally = Tally(members)
        for vote in (*lies, *honest):
            tally.take(vote)
        assert tally.standing(slot(members), X).certificate is not None


def test_mutant_a_quorum_that_is_one_smaller_is_caught() -> None:
    careless = Membership(SWARM, tuple(map(member, range(4))), council().quorum - 1)
    assert contradictions(careless) > 0


def test_mutant_a_ballot_that_is_not_synced_is_caught() -> None:
    assert frozenset({X, Y}) in sendable(council(), fsync=False)
    assert contradictions(council(), fsync=False) > 0


class Timeless(Membership):
    """A membership whose epoch leaves everything out."""

    @cached_property
    def epoch(self) -> str:
        return digest("one for all")


def carried_over(kind: type[Membership]) -> int:
    """How many certificates a new epoch finds in votes that were cast before it began.

    Seven members, of whom three accepted X: no certificate, it takes five. Then three of the seven leave, and of the
    four that stay three are a quorum.
    """
    old = kind(SWARM, tuple(map(member, range(7))), council(7).quorum, 1)
    new = kind(SWARM, tuple(map(member, range(4))), council(4).quorum, 2)
    votes = tuple(Ballots(slot(old)).vote(number, X) for number in range(3))
    assert not certifiable(old, votes)
    return len(certifiable(new, votes))


@pytest.mark.parametrize(("kind", "found"), [(Membership, 0), (Timeless, 1)])
def test_mutant_an_epoch_that_is_left_out_is_caught(kind: type[Membership], found: int) -> None:
    assert carried_over(kind) == found
