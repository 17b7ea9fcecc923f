"""Random runs of a council of four over several slots: loss, doubling, reordering, crashes at each write, a liar.

The network is a bag of votes from which any peer may be given any vote, any number of times, in any order. A member's
disk is what `Voter` had it write; a crash forgets the rest. A peer that counts may lose what it has not written, too.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.council import ISSUED, Ballots, X, Y, Z, council, digest, slot, vote_key

from plora.gate.consensus import Certificate, certificate_fault
from plora.gate.tally import Tally
from plora.gate.voter import Ballot, Voter
from plora.proto.dsse import StatementKind
from plora.proto.payloads import Slot
from plora.proto.statement import Statement, sign_statement

MEMBERS = council(4)
SLOTS = tuple(slot(MEMBERS, version=version) for version in (1, 2))
HONEST, LIAR = (0, 1, 2), 3
PEERS = (0, 1)

honest = st.sampled_from(HONEST)
peers = st.sampled_from(PEERS)
slots = st.sampled_from(SLOTS)
contents = st.sampled_from((X, Y, Z))


class Council(RuleBasedStateMachine):
    """Three honest members, one liar, two peers who count."""

    def __init__(self) -> None:
        super().__init__()
        self.disks: dict[int, dict[Slot, Ballot]] = {number: {} for number in HONEST}
        self.writing: dict[int, list[Ballot]] = {number: [] for number in HONEST}
        self.voters = {number: self.start(number) for number in HONEST}
        self.tallies = {number: Tally(MEMBERS) for number in PEERS}
        self.kept: dict[int, list[Certificate]] = {number: [] for number in PEERS}
        self.bag: list[Statement] = []
        self.accepted: dict[Slot, dict[str, list[int]]] = {}
        self.certified: dict[Slot, dict[str, Certificate]] = {}

    def start(self, number: int) -> Voter:
        """A member's process on what its disk holds, after it has read what others hold."""
        voter = Voter(MEMBERS, vote_key(number).public.key_id, self.disks[number].values())
        for other in range(4):
            voter.read(digest(f"peer {other}"))
        return voter

    @rule(number=honest, place=slots, content=contents)
    def gate_passes(self, number: int, place: Slot, content: str) -> None:
        ballot = self.voters[number].choose(place, content, ISSUED)
        if ballot is not None:
            self.writing[number].append(ballot)

    @precondition(lambda self: any(self.writing.values()))
    @rule(number=honest, fails=st.booleans())
    def write(self, number: int, fails: bool) -> None:
        if not self.writing[number]:
            return
        ballot = self.writing[number].pop(0)
        if fails:
            self.voters[number].not_written(ballot)
            return
        self.disks[number][ballot.slot] = ballot
        self.send(number, ballot)

    @precondition(lambda self: any(self.writing.values()))
    @rule(number=honest)
    def write_and_crash_before_sending(self, number: int) -> None:
        if self.writing[number]:
            ballot = self.writing[number].pop(0)
            self.disks[number][ballot.slot] = ballot
        self.crash(number)

    @rule(number=honest)
    def crash(self, number: int) -> None:
        self.writing[number] = []
        self.voters[number] = self.start(number)

    @rule(number=honest)
    def say_again(self, number: int) -> None:
        for ballot in self.voters[number].ballots.values():
            self.send(number, ballot)

    @rule(place=slots, content=contents)
    def lie(self, place: Slot, content: str) -> None:
        self.bag.append(Ballots(place).vote(LIAR, content))

    @precondition(lambda self: self.bag)
    @rule(peer=peers, data=st.data())
    def deliver(self, peer: int, data: Any) -> None:
        vote = data.draw(st.sampled_from(self.bag))
        self.note(peer, self.tallies[peer].take(vote))

    @rule(peer=peers)
    def peer_crashes(self, peer: int) -> None:
        guilty = self.tallies[peer].guilty.values()
        self.tallies[peer] = Tally(MEMBERS, self.kept[peer], guilty)

    def send(self, number: int, ballot: Ballot) -> None:
        """A durable ballot becomes a vote that anybody may get from now on."""
        vote = self.voters[number].written(ballot)
        assert vote is not None
        self.bag.append(sign_statement(StatementKind.VOTE, vote, vote_key(number)))
        said = self.accepted.setdefault(vote.slot, {}).setdefault(vote.content, [])
        if number not in said:
            said.append(number)

    def note(self, peer: int, findings: list[Any]) -> None:
        """What a peer found: its certificates are written before they count."""
        for finding in findings:
            if isinstance(finding, Certificate):
                self.kept[peer].append(finding)
                self.certified.setdefault(finding.slot, {})[finding.content] = finding

    @invariant()
    def no_slot_has_two_certificates(self) -> None:
        assert all(len(contents) <= 1 for contents in self.certified.values())
        assert not any(tally.broken for tally in self.tallies.values())

    @invariant()
    def honest_gates_stand_behind_every_certificate(self) -> None:
        for place, contents in self.certified.items():
            for content, certificate in contents.items():
                assert certificate_fault(certificate, MEMBERS) == ""
                behind = self.accepted.get(place, {}).get(content, [])
                assert len(behind) >= MEMBERS.quorum - MEMBERS.faults

    @invariant()
    def only_the_liar_is_found_guilty(self) -> None:
        liar = vote_key(LIAR).public.key_id
        assert all(not tally.guilty or list(tally.guilty) == [liar] for tally in self.tallies.values())

    def teardown(self) -> None:
        """Once everything has arrived, what a quorum of honest members accepted has its certificate."""
        for place, contents in self.accepted.items():
            for content, behind in contents.items():
                if len(behind) >= MEMBERS.quorum:
                    self.check_arrival(place, content)

    def check_arrival(self, place: Slot, content: str) -> None:
        """A peer that comes last gets every vote."""
        tally = Tally(MEMBERS)
        for vote in self.bag:
            tally.take(vote)
        assert tally.standing(place, content).certificate is not None


TestCouncil = Council.TestCase
TestCouncil.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
