"""What a stage's check returns: no objection, or one reason from the table, with evidence that fits into JSON.

>>> passed(rank=4)
Ruling(reason='', outcome=<Outcome.PASS: 'pass'>, evidence={'rank': 4})
>>> objection("too_large", size_bytes=9).outcome
<Outcome.REJECT: 'reject'>
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.gate.policy import Policy
from plora.gate.reasons import reason_of
from plora.gate.verdict import Evidence, Outcome


@dataclass(frozen=True, slots=True)
class Ruling:
    """A stage's word. `reason` is empty exactly where the outcome is PASS."""

    reason: str
    outcome: Outcome
    evidence: Evidence = field(default_factory=dict)


def passed(**evidence: object) -> Ruling:
    """No objection."""
    return Ruling("", Outcome.PASS, evidence)


def switched_off(policy: Policy, *thresholds: str) -> Ruling:
    """No objection, for the policy doesn't want this stage; thresholds that it names all the same stay in sight."""
    kept = {name: getattr(policy, name) for name in thresholds if getattr(policy, name) is not None}
    return passed(state="off", **kept)


def objection(reason: str, **evidence: object) -> Ruling:
    """The objection of that name, with the outcome that the table of reasons gives it."""
    return Ruling(reason, reason_of(reason).outcome, evidence)


def refusal(reason: str, **evidence: object) -> Ruling:
    """The objection of that name as REJECT, where a policy doesn't want to wait."""
    return Ruling(reason, Outcome.REJECT, evidence)
