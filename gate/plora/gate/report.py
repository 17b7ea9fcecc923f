"""A verdict for people and files: JSON in and out, and the layers that `plora why` and `plora gate` print.

>>> verdict = Verdict(Outcome.PENDING, "replay", "", (StageResult("replay", Outcome.PASS),))
>>> verdict_from_json(verdict_to_json(verdict)) == verdict
True
>>> [layer.state for layer in layers(verdict)][5:7]
['pass', 'not reached']
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from plora.gate.pipeline import STAGES
from plora.gate.sentences import sentence
from plora.gate.verdict import Evidence, Outcome, StageResult, Verdict

NOT_REACHED = "not reached"
OFF = "off"


@dataclass(frozen=True, slots=True)
class Layer:
    """One stage in the view of a verdict. `state` is an outcome, "off", or "not reached"."""

    stage: str
    state: str
    reason: str = ""
    sentence: str = ""
    evidence: Evidence = field(default_factory=dict)


def layers(verdict: Verdict) -> tuple[Layer, ...]:
    """All stages in order, also those that are off or were not reached."""
    seen = {result.stage: result for result in verdict.stages}
    return tuple(_layer(stage.name, seen.get(stage.name)) for stage in STAGES)


def verdict_to_json(verdict: Verdict) -> str:
    """One line of JSON with sorted keys."""
    return verdict.line


def verdict_from_json(text: str) -> Verdict:
    """The inverse of `verdict_to_json`. Raises ValueError, KeyError or TypeError for anything else."""
    raw = json.loads(text)
    stages = tuple(_stage_result(entry) for entry in raw.pop("stages"))
    return Verdict(**raw | {"outcome": Outcome(raw["outcome"]), "stages": stages})


def _stage_result(raw: dict[str, object]) -> StageResult:
    return StageResult(**raw | {"outcome": Outcome(str(raw["outcome"]))})  # type: ignore[arg-type]


def _layer(name: str, result: StageResult | None) -> Layer:
    if result is None:
        return Layer(name, NOT_REACHED)
    if result.off:
        return Layer(name, OFF, evidence=result.evidence)
    return Layer(name, str(result.outcome), result.reason, sentence(result.reason), result.evidence)
