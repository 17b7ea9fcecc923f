"""A member's own votes: at most one ACCEPT a slot, ever, and none that isn't durable. Pure.

Rules:

- `choose` says yes to one content of a slot and gives the ballot that must be written down; only `written` turns it
  into a vote that may be signed and sent. A slot in which something was chosen, written or not, gets no other choice.
- After a crash the ballots that were written are all that counts: the vote is signed again, to the same bytes, since
  the ballot says when it was issued.
- A member *abstains* after every start until it has read what others hold, itself among a quorum of members: its own
  store may be older than what it once sent. A vote of its own that comes back is a ballot again (`recall`). A vote that
  none of those others got is not found: it counts as a lie, of which f are borne.
- An ACCEPT is never taken back; a REJECT may be followed by an ACCEPT.
- Not handled here: when a gate has passed, signing, sending (room `node`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plora.gate.consensus import Membership
from plora.proto.payloads import Choice, Slot, Vote


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a member chose in a slot: a content id in hex, and when, as the vote says it."""

    slot: Slot
    content: str
    issued: str


class Voter:
    """One member, by the id of its vote key. `ballots` are those that were written before."""

    def __init__(self, members: Membership, key_id: str, ballots: Iterable[Ballot] = ()) -> None:
        self.members = members
        self.key_id = key_id
        self.ballots = {ballot.slot: ballot for ballot in ballots}
        self._unwritten: dict[Slot, Ballot] = {}
        self._read: dict[str, None] = {}

    @property
    def missing(self) -> int:
        """From how many more members it must read before it votes."""
        return max(0, self.members.quorum - 1 - len(self._read))

    def read(self, peer: str) -> bool:
        """All that a peer holds has been read; whether that ends the abstention."""
        others = {one.peer for one in self.members.members if one.peer and one.key.key_id != self.key_id}
        if peer not in others or peer in self._read:
            return False
        self._read[peer] = None
        return self.missing == 0

    def choose(self, slot: Slot, content: str, issued: str) -> Ballot | None:
        """The ballot to write down, if the member may still choose here."""
        if self.missing or slot.epoch != self.members.epoch or slot in self.ballots or slot in self._unwritten:
            return None
        self._unwritten[slot] = Ballot(slot, content, issued)
        return self._unwritten[slot]

    def written(self, ballot: Ballot) -> Vote | None:
        """The vote that a durable ballot stands for, to be signed; None if an older one came back meanwhile."""
        if self.ballots.setdefault(ballot.slot, ballot) != ballot:
            return None
        self._unwritten.pop(ballot.slot, None)
        return self.vote(ballot)

    def not_written(self, ballot: Ballot) -> None:
        """A ballot could not be written: the slot is open again."""
        if self._unwritten.get(ballot.slot) == ballot:
            del self._unwritten[ballot.slot]

    def vote(self, ballot: Ballot) -> Vote:
        """What is signed for a ballot: always the same bytes."""
        return Vote(
            swarm=self.members.swarm,
            issued=ballot.issued,
            key_id=self.key_id,
            slot=ballot.slot,
            content=ballot.content,
            choice=Choice.ACCEPT,
        )

    def rejection(self, slot: Slot, content: str, issued: str, reason: str) -> Vote | None:
        """The advice not to accept a content, unless this member chose in the slot."""
        if self.missing or slot.epoch != self.members.epoch or slot in self.ballots or slot in self._unwritten:
            return None
        return Vote(
            swarm=self.members.swarm,
            issued=issued,
            key_id=self.key_id,
            slot=slot,
            content=content,
            choice=Choice.REJECT,
            reason=reason,
        )

    def recall(self, vote: Vote) -> Ballot | None:
        """An own ACCEPT that came back from others: the ballot to write down again, if it was forgotten."""
        own = vote.key_id == self.key_id and vote.slot.epoch == self.members.epoch
        if not own or vote.choice is not Choice.ACCEPT or vote.slot in self.ballots:
            return None
        self._unwritten.pop(vote.slot, None)
        ballot = Ballot(vote.slot, vote.content, vote.issued)
        self.ballots[vote.slot] = ballot
        return ballot
