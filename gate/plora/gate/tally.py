"""The count of an epoch's votes, as one peer sees them: certificates, guilty members, alarms. Pure.

Rules:

- A member's first ACCEPT in a slot counts. A second one for another content is evidence: from then on none of that
  member's votes count in any slot that has no certificate here. n and q never shrink.
- A slot with a certificate stays closed, whatever becomes known of its voters later.
- Two certificates of one slot, guilty voters included, mean that more members lie than may: `broken`. Then nothing is
  to be accepted in this epoch.
- REJECT is advice: it is shown, never counted, and gives way to an ACCEPT of the same member.
- What the order of arrival changes is which vote of a member who voted twice made a certificate here, never the safety.
- Not handled here: signatures, which whoever brings a vote has verified.

A member can make no more than one entry a content here; contents are bounded by whoever brings votes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from plora.gate.consensus import Certificate, Guilt, Membership, vote_fault, vote_of
from plora.proto.payloads import Choice, Slot, Vote
from plora.proto.statement import Statement

Broken = tuple[Certificate, Certificate]
"""Two certificates of one slot, by content."""

Finding = Certificate | Guilt | Broken


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one content's slot. Members by name; `rejects` with what they said.

    `elsewhere` are those who accepted another content of the slot, `guilty` those of the voters whose word no longer
    counts. `broken`: this epoch has two certificates of one slot, this one or another.
    """

    certificate: Certificate | None = None
    accepts: tuple[str, ...] = ()
    rejects: tuple[tuple[str, str], ...] = ()
    elsewhere: tuple[str, ...] = ()
    guilty: tuple[str, ...] = ()
    broken: bool = False


UNHEARD = Standing()
"""Nobody said anything."""


@dataclass(slots=True)
class _Box:
    """The votes for one content, by member."""

    accepts: dict[str, Statement] = field(default_factory=dict)
    rejects: dict[str, tuple[Statement, str]] = field(default_factory=dict)


class Tally:
    """The votes of one epoch. `certificates`, `guilty` and `broken` are what was found before; votes come again."""

    def __init__(
        self,
        members: Membership,
        certificates: Iterable[Certificate] = (),
        guilty: Iterable[Guilt] = (),
        broken: Iterable[Broken] = (),
    ) -> None:
        self.members = members
        self.certificates = {certificate.slot: certificate for certificate in certificates}
        self.guilty = {guilt.member: guilt for guilt in guilty}
        self.broken = {pair[0].slot: pair for pair in broken}
        self._slots: dict[Slot, dict[str, _Box]] = {}

    def take(self, statement: Statement) -> list[Finding]:
        """Count a verified vote; what follows from it. One that belongs to another epoch or to nobody is nothing."""
        vote = vote_of(statement)
        if vote is None or vote_fault(statement, self.members):
            return []
        box = self._box(vote.slot, vote.content)
        if vote.choice is Choice.REJECT:
            if vote.key_id not in box.accepts:
                box.rejects[vote.key_id] = (statement, vote.reason or "")
            return []
        box.rejects.pop(vote.key_id, None)
        box.accepts.setdefault(vote.key_id, statement)
        found: list[Finding] = [*self._two_votes(vote, statement)]
        return [*found, *self._closed(vote.slot), *self._breach(vote.slot)]

    def convict(self, guilt: Guilt) -> bool:
        """Take over a proof against a member; whether it is news."""
        return self.guilty.setdefault(guilt.member, guilt) is guilt

    def drop(self, statement: Statement) -> None:
        """Forget a vote that is no longer live; a certificate that it helped to make stays."""
        vote = vote_of(statement)
        box = self._slots.get(vote.slot, {}).get(vote.content) if vote else None
        if vote is None or box is None:
            return
        if box.accepts.get(vote.key_id) == statement:
            del box.accepts[vote.key_id]
        if vote.key_id in box.rejects and box.rejects[vote.key_id][0] == statement:
            del box.rejects[vote.key_id]
        if not box.accepts and not box.rejects:
            del self._slots[vote.slot][vote.content]
        if not self._slots[vote.slot]:
            del self._slots[vote.slot]

    def forget_empty(self, slots: Iterable[Slot] | None = None) -> list[Certificate]:
        """Forget the certificates of those slots (all by default) that have no live vote left; which they were."""
        looked_at = list(self.certificates) if slots is None else slots
        return [
            self.certificates.pop(slot) for slot in looked_at if slot in self.certificates and slot not in self._slots
        ]

    def standing(self, slot: Slot, content: str) -> Standing:
        """What is known of one content of a slot."""
        boxes = self._slots.get(slot, {})
        box = boxes.get(content, _Box())
        certificate = self.certificates.get(slot)
        others = {member for other, each in boxes.items() if other != content for member in each.accepts}
        voters = [member for member in self.guilty if any(member in each.accepts for each in boxes.values())]
        names = self.members.names
        return Standing(
            certificate=certificate if certificate is not None and certificate.content == content else None,
            accepts=names(member for member in box.accepts if member not in self.guilty),
            rejects=tuple(sorted((self.members.name(one), why) for one, (_, why) in box.rejects.items())),
            elsewhere=names(member for member in others if member not in self.guilty),
            guilty=names(voters),
            broken=bool(self.broken),
        )

    def _box(self, slot: Slot, content: str) -> _Box:
        return self._slots.setdefault(slot, {}).setdefault(content, _Box())

    def _two_votes(self, vote: Vote, statement: Statement) -> list[Guilt]:
        for content, box in self._slots[vote.slot].items():
            other = box.accepts.get(vote.key_id)
            if content != vote.content and other is not None:
                first, second = sorted((statement, other), key=lambda each: each.id)
                guilt = Guilt(vote.key_id, (first, second))
                return [guilt] if self.convict(guilt) else []
        return []

    def _closed(self, slot: Slot) -> list[Certificate]:
        """The slot's certificate, if it has just come about."""
        if slot in self.certificates:
            return []
        for content, box in self._slots[slot].items():
            votes = tuple(box.accepts[member] for member in sorted(box.accepts) if member not in self.guilty)
            if len(votes) >= self.members.quorum:
                self.certificates[slot] = Certificate(slot, content, votes)
                return [self.certificates[slot]]
        return []

    def _breach(self, slot: Slot) -> list[Broken]:
        """Two certificates of the slot, whoever signed them."""
        if slot in self.broken:
            return []
        full = [
            Certificate(slot, content, tuple(box.accepts[member] for member in sorted(box.accepts)))
            for content, box in sorted(self._slots[slot].items())
            if len(box.accepts) >= self.members.quorum
        ]
        if len(full) < 2:
            return []
        self.broken[slot] = (full[0], full[1])
        return [self.broken[slot]]
