"""This peer's part in the consensus: it counts the members' votes, and votes where it is a member. Pure.

- Without members in the configuration it does nothing, and the gate's stage, if it is on, waits.
- Votes and evidence come verified from gossip. What they prove (certificates, guilty members, two certificates of one
  slot) is durable; the desk judges again what it touches (`SlotMoved`).
- A member votes when its own gate has no objection but a missing certificate: what a person let out of quarantine did
  not pass the gate, so a release is no vote. The ballot is durable before the vote is signed, and the vote durable
  before it is sent, since gossip persists what it spreads.
- A vote that was lost between ballot and sending is signed again, to the same bytes, when its content is judged.
- REJECT, as advice, is said of trusted owners' contents that the gate refuses or quarantines for what they are; of
  what detectors found no more than that it is held.
- After a start a member abstains until a quorum's holdings have been read (`PeerRead`); see `plora.gate.voter`.
- Not handled here: keys (the driver signs), who may vote (`plora.gate.consensus`), the verdict (the gate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from plora.gate import Case, Outcome, Verdict
from plora.gate.certified import CONSENSUS
from plora.gate.consensus import Certificate, Guilt, accusation, guilt_in, vote_of
from plora.gate.reasons import said_to_others
from plora.gate.tally import Broken, Finding, Tally
from plora.gate.voter import Ballot, Voter
from plora.node.core import council_rows as rows
from plora.node.core.config import CoreConfig
from plora.node.core.docket import opened
from plora.node.core.effects import Emit, Persist, SignWord
from plora.node.core.events import Event, Persisted, PersistFailed, Start
from plora.node.core.notices import Judged, Notice, Outputs, PeerRead, SlotMoved, StatementAdded, StatementDropped
from plora.node.core.now import Now
from plora.node.store.disk import RowOp
from plora.node.store.snapshot import Snapshot
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.payloads import Choice, Evidence, Slot, Vote
from plora.proto.records import Certificate as CertificateRecord
from plora.proto.records import ConsensusAlarm, ErrorMet, EvidenceFound, VoteCast
from plora.proto.statement import Statement

SIGNED = "signatures and quorum"
UNSAID = frozenset({"internal_error", "superseded", "expired"})
"""Refusals that say nothing about the content."""


class Council:
    """The votes that this peer knows. `live` gives the statements that gossip took up from the snapshot."""

    def __init__(self, config: CoreConfig, snapshot: Snapshot, live: Callable[[], Iterable[Statement]]) -> None:
        self.members = config.members
        self.tally: Tally | None = None
        self.voter: Voter | None = None
        self._live = live
        self._own: dict[tuple[str, Choice], None] = {}  # what this peer has said, or is about to sign
        self._accused: dict[str, None] = {}
        self._token = 0
        self._pending: dict[int, Ballot] = {}
        if config.members is not None:
            epoch = config.members.epoch
            found = (rows.certificates(snapshot, epoch), rows.guilty(snapshot, epoch), rows.broken(snapshot, epoch))
            self.tally = Tally(config.members, *found)
            if config.members.member(config.vote_key) is not None:
                self.voter = Voter(config.members, config.vote_key, rows.ballots(snapshot, epoch))

    def handle(self, event: Event | Notice, now: Now) -> Outputs:
        """What follows from an event or a notice."""
        if self.tally is None:
            return []
        match event:
            case Start():
                return self._start(self.tally)
            case StatementAdded(statement):
                return self._heard(self.tally, statement)
            case StatementDropped(statement):
                return self._dropped(self.tally, statement)
            case Judged():
                return self._judged(self.tally, event, now)
            case PeerRead(peer):
                return [SlotMoved(None)] if self.voter is not None and self.voter.read(peer) else []
            case Persisted() | PersistFailed():
                return self._persisted(event)
        return []

    def case(self, case: Case, seen_ms: int) -> Case:
        """A case with what the members said of it."""
        if self.members is None or self.tally is None:
            return case
        standing = self.tally.standing(self.members.slot(case.manifest), case.statement.id.hex())
        return replace(case, members=self.members, standing=standing, seen_ms=seen_ms)

    # What members say

    def _start(self, tally: Tally) -> Outputs:
        words = [statement for statement in self._live() if _is_word(statement)]
        news = [item for statement in words for item in self._heard(tally, statement)]
        out = [item for item in news if not isinstance(item, SlotMoved) and not _is_vote_record(item)]
        lost = tally.forget_empty()
        return [*out, *self._persist([rows.forget_certificate(one) for one in lost])]

    def _heard(self, tally: Tally, statement: Statement) -> Outputs:
        payload = opened(statement) if _is_word(statement) else None
        match payload:
            case Vote():
                return self._vote(tally, statement, payload)
            case Evidence(offence="two_votes"):
                self._accused[payload.accused] = None
                guilt = guilt_in(payload, tally.members)
                return self._found(tally, [guilt]) if isinstance(guilt, Guilt) and tally.convict(guilt) else []
        return []

    def _vote(self, tally: Tally, statement: Statement, vote: Vote) -> Outputs:
        name = tally.members.name(vote.key_id)
        out: Outputs = [Emit(VoteCast(statement.id.hex(), name, vote.content, vote.choice.value))]
        if self.voter is not None and vote.key_id == self.voter.key_id:
            self._own[(vote.content, vote.choice)] = None
            ballot = self.voter.recall(vote)
            out += self._persist([rows.ballot_row(ballot)]) if ballot is not None else []
        found = tally.take(statement)
        return [*out, *self._found(tally, found), *([] if found else [SlotMoved(vote.slot)])]

    def _dropped(self, tally: Tally, statement: Statement) -> Outputs:
        vote = vote_of(statement) if statement.kind == StatementKind.VOTE else None
        if vote is None:
            return []
        tally.drop(statement)
        if self.voter is not None and vote.key_id == self.voter.key_id:
            self._own.pop((vote.content, vote.choice), None)
        return self._persist([rows.forget_certificate(one) for one in tally.forget_empty([vote.slot])])

    def _found(self, tally: Tally, findings: list[Finding]) -> Outputs:
        """Write down and tell what votes prove, and have judged again what it touches."""
        out: Outputs = []
        for finding in findings:
            match finding:
                case Certificate():
                    out += self._certified(tally, finding)
                case Guilt():
                    out += self._guilt(tally, finding)
                case _:
                    out += self._broken(finding)
        only = findings[0].slot if len(findings) == 1 and isinstance(findings[0], Certificate) else None
        return [*out, SlotMoved(only)] if findings else []

    def _certified(self, tally: Tally, certificate: Certificate) -> Outputs:
        names = tally.members.names(vote.key_id for vote in certificate.votes)
        row = rows.certificate_row(certificate)
        return [*self._persist([row]), Emit(CertificateRecord(certificate.content, names))]

    def _guilt(self, tally: Tally, guilt: Guilt) -> Outputs:
        first, second = (vote.id.hex() for vote in guilt.votes)
        row = rows.guilt_row(guilt, tally.members.epoch)
        out: Outputs = [*self._persist([row]), Emit(EvidenceFound("two_votes", guilt.member, first, second))]
        return [*out, *self._accuse(guilt)]

    def _accuse(self, guilt: Guilt) -> Outputs:
        """A member tells the others, unless somebody has."""
        if self.voter is None or guilt.member in self._accused:
            return []
        self._accused[guilt.member] = None
        return [SignWord(accusation(*guilt.votes, self.voter.key_id))]

    def _broken(self, broken: Broken) -> Outputs:
        contents = " and ".join(certificate.content[:12] for certificate in broken)
        what = "two certificates of one slot: nothing is accepted until a new epoch"
        return [*self._persist([rows.broken_row(broken)]), Emit(ConsensusAlarm("compromised", contents, what))]

    # What this member says

    def _judged(self, tally: Tally, judged: Judged, now: Now) -> Outputs:
        voter, content = self.voter, judged.content_id.hex()
        if voter is None or tally.broken:
            return []
        slot, issued = tally.members.slot(judged.manifest), format_timestamp(now.wall_ms // 1000)
        if slot in voter.ballots:
            return self._again(voter, voter.ballots[slot], content)
        if _passed(judged.verdict):
            ballot = voter.choose(slot, content, issued)
            return self._write(ballot) if ballot is not None else []
        return self._advise(voter, slot, content, issued, judged.verdict)

    def _write(self, ballot: Ballot) -> Outputs:
        out = self._persist([rows.ballot_row(ballot)])
        self._pending[self._token] = ballot
        return out

    def _again(self, voter: Voter, ballot: Ballot, content: str) -> Outputs:
        if ballot.content != content or (content, Choice.ACCEPT) in self._own:
            return []
        self._own[(content, Choice.ACCEPT)] = None
        return [SignWord(voter.vote(ballot))]

    def _advise(self, voter: Voter, slot: Slot, content: str, issued: str, verdict: Verdict) -> Outputs:
        if (content, Choice.REJECT) in self._own or not _refused(verdict):
            return []
        word = voter.rejection(slot, content, issued, said_to_others(verdict.reason))
        if word is None:
            return []
        self._own[(content, Choice.REJECT)] = None
        return [SignWord(word)]

    # The disk

    def _persist(self, changes: list[RowOp]) -> Outputs:
        if not changes:
            return []
        self._token += 1
        return [Persist(self._token, tuple(changes))]

    def _persisted(self, event: Persisted | PersistFailed) -> Outputs:
        ballot = self._pending.pop(event.token, None)
        if isinstance(event, PersistFailed):
            out: Outputs = [Emit(ErrorMet(f"votes could not be written: {event.reason}", where="state.db"))]
            if self.voter is not None and ballot is not None:
                self.voter.not_written(ballot)
                out.append(SlotMoved(ballot.slot, again=True))
            return out
        if self.voter is None or ballot is None:
            return []
        vote = self.voter.written(ballot)
        if vote is None:
            return []
        self._own[(ballot.content, Choice.ACCEPT)] = None
        return [SignWord(vote)]


def _is_word(statement: Statement) -> bool:
    return statement.kind in (StatementKind.VOTE, StatementKind.EVIDENCE)


def _is_vote_record(item: object) -> bool:
    return isinstance(item, Emit) and isinstance(item.body, VoteCast)


def _passed(verdict: Verdict) -> bool:
    """Whether all stages before the certificate had no objection, and nobody had to overrule one."""
    waits = verdict.outcome is Outcome.PENDING and verdict.stage == CONSENSUS
    return (verdict.accepted or waits) and not any(one.waived for one in verdict.stages)


def _refused(verdict: Verdict) -> bool:
    """Whether a trusted owner's content is refused for what it is."""
    believed = any(one.stage == SIGNED and one.outcome is Outcome.PASS for one in verdict.stages)
    refused = verdict.outcome in (Outcome.REJECT, Outcome.QUARANTINE) and verdict.stage != CONSENSUS
    return believed and refused and verdict.reason not in UNSAID
