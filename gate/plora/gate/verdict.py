"""What the gate says: one frozen value, with the stage that decided, the reason, and the evidence of every stage.

| outcome | means | may be cached under |
|---|---|---|
| ACCEPT | may be used and merged | content id, policy, trust version, signature set |
| QUARANTINE | kept apart; a person or a later merge decides | likewise |
| PENDING | not yet: bytes, a signature, trust or a certificate are missing | likewise, judged again when one arrives |
| DEFER | not valid yet, or own overload | never |
| REJECT | never | content id alone, only if `bytes_only` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property

Evidence = Mapping[str, object]

RELEASED = "released"
"""Where the evidence of a stage that a person overruled says what it had objected to."""


class Outcome(StrEnum):
    """The five outcomes of a verdict; PASS is what a stage says when it has no objection."""

    PASS = "pass"  # noqa: S105 - an outcome
    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    PENDING = "pending"
    DEFER = "defer"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage saw. `reason` is a lower-case code such as "hash_mismatch"; empty when the stage passed."""

    stage: str
    outcome: Outcome
    reason: str = ""
    evidence: Evidence = field(default_factory=dict)

    @property
    def off(self) -> bool:
        """Whether the stage is switched off, and so had nothing to object."""
        return self.outcome is Outcome.PASS and self.evidence.get("state") == "off"

    @property
    def waived(self) -> str:
        """The reason for which the stage quarantined, where a person here let it pass; empty where nobody did."""
        return str(self.evidence.get(RELEASED, ""))


@dataclass(frozen=True)
class Verdict:
    """The end of a run through the pipeline.

    `stage` and `reason` are those of the stage that decided (for ACCEPT the last one that is on). `bytes_only`: the
    reason is a function of the bytes alone. `wants_bytes`: the artifact should be fetched, since only it (or a
    signature, which others can give only after they saw it) is missing. `servable`: the bytes passed every byte stage
    under at least one known signature, so they may be served to others even while PENDING.
    """

    outcome: Outcome
    stage: str
    reason: str = ""
    stages: tuple[StageResult, ...] = ()
    bytes_only: bool = False
    wants_bytes: bool = False
    servable: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the plasmid may be used and merged."""
        return self.outcome is Outcome.ACCEPT

    @property
    def evidence(self) -> Evidence:
        """Evidence of the stage that decided."""
        return next((s.evidence for s in self.stages if s.stage == self.stage), {})

    @cached_property
    def line(self) -> str:
        """One line of JSON with sorted keys: made once, for it is written in more than one place."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
