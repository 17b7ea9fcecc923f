"""Bodies of the event-log records that the desk emits, and the verdict on bytes that no worker could read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plora.gate import Outcome, StageResult, Trust, Verdict
from plora.node.core.effects import Emit
from plora.node.core.merge_report import read_report
from plora.node.core.merge_rows import MergeRow
from plora.proto.payloads import Revocation
from plora.proto.records import Body, ErrorMet, MergeDone, Revoked, Stage, TrustChanged, VerdictGiven

Tell = Callable[[bytes, Verdict, str], Sequence[Emit]]
"""`verdict_records`, or a memo of it that many peers share."""


def verdict_records(content_id: bytes, verdict: Verdict, policy_digest: str) -> tuple[Emit, ...]:
    """One `stage` for every stage that was reached, then the `verdict`, with the digest of the policy."""
    name = content_id.hex()
    stages: list[Body] = [
        Stage(name, result.stage, result.outcome.value, result.reason, result.evidence) for result in verdict.stages
    ]
    given = VerdictGiven(name, verdict.outcome.value, verdict.stage, verdict.reason, policy_digest)
    return tuple(map(Emit, (*stages, given)))


def spoilt_body(digest: str) -> ErrorMet:
    """Bytes changed since they were examined."""
    return ErrorMet(
        "bytes on the disk are no longer those that were examined; they were dropped",
        where=f"blobs: {digest}",
        mend="check the disk; publish your own again",
    )


def revoked_body(revocation: Revocation) -> Revoked:
    """A revocation became known here."""
    return Revoked(revocation.target_kind, revocation.target, revocation.reason)


def trust_body(old: Trust, new: Trust) -> TrustChanged:
    """Whom a person added (or changed), removed and struck out."""
    before = {owner.owner: owner for owner in old.owners}
    added = [owner.nickname for owner in new.owners if before.get(owner.owner) != owner or old.distrusts(owner.owner)]
    now = {owner.owner for owner in new.owners}
    removed = [owner.nickname for owner in old.owners if owner.owner not in now]
    struck = [one.name or one.entry[:12] for one in new.distrusted if not old.distrusts(one.entry)]
    return TrustChanged(new.version, tuple(added), tuple(removed), tuple(struck))


def merge_body(row: MergeRow, before: int) -> MergeDone:
    """A merge stands: weights and discarded energy are the worker's; a report without figures means equal shares, 0.

    Of inputs whose tensors are equal the first has their weight, the others have none.
    """
    facts = read_report(row.report)
    share = 1.0 / max(1, len(row.inputs))
    return MergeDone(
        base=row.base,
        inputs=row.inputs,
        weights=tuple(one.weight for one in facts.inputs) or (share,) * len(row.inputs),
        discarded_energy=facts.discarded_energy,
        before=before,
        after=row.serving,
        reused=facts.reused,
    )


def stands_without_bytes(verdict: Verdict, *, asked: bool) -> bool:
    """Whether what was found of bytes that are gone holds: a refusal does, quarantine until a person asks for them.

    What was good must come again, and be in use only with its bytes.
    """
    return verdict.outcome is Outcome.REJECT or (verdict.outcome is Outcome.QUARANTINE and not asked)


def unexamined(verdict: Verdict, outcome: Outcome, reason: str) -> Verdict:
    """The verdict where a worker failed over the bytes: what passed before stays, the header did not."""
    code = "examination_failed" if outcome is Outcome.QUARANTINE else "internal_error"
    result = StageResult("header", outcome, code, {"worker": reason})
    stages = (*(stage for stage in verdict.stages if stage.outcome is Outcome.PASS), result)
    return Verdict(outcome, result.stage, result.reason, stages)
