"""A council for tests: members with keys that their number determines, and votes as they sign them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from plora.gate.consensus import Member, Membership, membership
from plora.proto.dsse import StatementKind
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.payloads import Choice, Evidence, Slot, Vote
from plora.proto.statement import Statement, sign_statement, statement_to_json

SWARM = hashlib.sha256(b"plora/sim/swarm").hexdigest()
ISSUED = "2026-01-01T00:00:00Z"
X, Y, Z = (hashlib.sha256(name.encode()).hexdigest() for name in "XYZ")


def digest(text: str) -> str:
    """A digest to fill a field with."""
    return hashlib.sha256(text.encode()).hexdigest()


def vote_key(number: int) -> PrivateKey:
    """The vote key of a member."""
    return private_key_from_seed(hashlib.sha256(f"vote key {number}".encode()).digest())


def member(number: int) -> Member:
    """The member of that number, who runs the peer of that number."""
    return Member(f"m{number}", vote_key(number).public, digest(f"peer {number}"))


def council(count: int = 4, *, number: int = 1, quorum: int | None = None) -> Membership:
    """Members 0 … count-1."""
    return membership(SWARM, map(member, range(count)), quorum, number)


def slot(members: Membership, *, version: int = 1, plasmid_id: str = "legal") -> Slot:
    """A slot of an owner who doesn't exist."""
    owner = digest("owner")
    return Slot(epoch=members.epoch, owner=owner, lineage=owner, plasmid_id=plasmid_id, version=version)


@dataclass(frozen=True)
class Ballots:
    """Signs votes of any member in one slot."""

    slot: Slot

    def vote(
        self,
        number: int,
        content: str,
        choice: Choice = Choice.ACCEPT,
        *,
        issued: str = ISSUED,
        reason: str | None = None,
    ) -> Statement:
        """What member `number` says of a content."""
        return self.signed(vote_key(number), content, choice, issued=issued, reason=reason)

    def signed(
        self,
        key: PrivateKey,
        content: str,
        choice: Choice = Choice.ACCEPT,
        *,
        swarm: str = SWARM,
        issued: str = ISSUED,
        reason: str | None = None,
    ) -> Statement:
        """What whoever holds a key says of a content."""
        payload = Vote(
            swarm=swarm,
            issued=issued,
            key_id=key.public.key_id,
            slot=self.slot,
            content=content,
            choice=choice,
            reason=reason,
        )
        return sign_statement(StatementKind.VOTE, payload, key)


def accuse(accuser: int, accused: int, one: Statement, other: Statement) -> Statement:
    """Evidence of two votes, signed by a member, true or not."""
    key = vote_key(accuser)
    first, second = sorted((one, other), key=lambda each: each.id)
    payload = Evidence(
        swarm=SWARM,
        issued=ISSUED,
        key_id=key.public.key_id,
        offence="two_votes",
        accused=vote_key(accused).public.key_id,
        first=first.id.hex(),
        second=second.id.hex(),
        statements=(statement_to_json(first), statement_to_json(second)),
    )
    return sign_statement(StatementKind.EVIDENCE, payload, key)
