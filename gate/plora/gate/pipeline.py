"""The gate's pipeline: one visible list of stages, cheapest first, and the one function that runs it.

Rules:

- `STAGES` is the whole gate, in order. Stages that the policy switches off stand in it and say "off" in their
  evidence.
- REJECT and DEFER end the run; so does PENDING, unless only signatures are missing: a co-signer needs the bytes before
  they can sign, so the byte stages still run. QUARANTINE goes on, since a later stage may refuse.
- The verdict is the most severe objection (REJECT, DEFER, QUARANTINE, PENDING), the earliest where several are equal.
  Without objection it is ACCEPT, and ends at the last stage that is switched on.
- What a person released from quarantine is judged as if no stage had quarantined it; the evidence says which one did.
- An exception in a stage is REJECT "internal_error": the gate fails closed, and nobody is blamed.
- `decide` is pure: equal arguments, equal verdict, whatever was judged before.

Not handled here: fetching, caching verdicts, penalties (room `node`).

>>> [stage.name for stage in STAGES][:4]
['envelope and size', 'strict manifest', 'swarm and base', 'policy']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plora.gate import byte_stages, certified, detector_stages, stages
from plora.gate.case import Case
from plora.gate.policy import Policy
from plora.gate.reasons import WAITS_ON, reason_of
from plora.gate.ruling import Ruling
from plora.gate.trust import Trust
from plora.gate.verdict import RELEASED, Outcome, StageResult, Verdict

Check = Callable[[Case, Policy, Trust], Ruling]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what people call it, its check, whether it looks at the artifact's bytes alone."""

    name: str
    check: Check
    needs_bytes: bool = False


STAGES: tuple[Stage, ...] = (
    Stage("envelope and size", stages.envelope),
    Stage("strict manifest", stages.strict_manifest),
    Stage("swarm and base", stages.swarm_and_base),
    Stage("policy", stages.policy_bounds),
    Stage("signatures and quorum", stages.signatures),
    Stage("replay", stages.replay),
    Stage("chunks and hash", byte_stages.chunks_and_hash, needs_bytes=True),
    Stage("header", byte_stages.header, needs_bytes=True),
    Stage("tensor values", byte_stages.tensor_values, needs_bytes=True),
    Stage("weights", byte_stages.weights, needs_bytes=True),
    Stage(detector_stages.WEIGHT_STATISTICS, detector_stages.weight_statistics),
    Stage("reputation", byte_stages.reputation),
    Stage(detector_stages.PROBES, detector_stages.probes),
    Stage(certified.CONSENSUS, certified.consensus),
)

_SEVERITY = (Outcome.REJECT, Outcome.DEFER, Outcome.QUARANTINE, Outcome.PENDING)


def decide(case: Case, policy: Policy, trust: Trust) -> Verdict:
    """The verdict on a case under one peer's policy and trust. Never raises for anything in the case."""
    verdict = run(STAGES, case, policy, trust)
    return _let_out(verdict) if case.released and verdict.outcome is Outcome.QUARANTINE else verdict


def decide_bytes(case: Case) -> Verdict:
    """What the bytes alone come to, whoever signed them: `bytes_only` in it means that no peer can ever take them."""
    return run(tuple(stage for stage in STAGES if stage.needs_bytes), case, Policy(), Trust())


def run(pipeline: tuple[Stage, ...], case: Case, policy: Policy, trust: Trust) -> Verdict:
    """`decide` with another list of stages, as tests need it."""
    results: list[StageResult] = []
    for stage in pipeline:
        result = _result(stage, case, policy, trust)
        results.append(result)
        if _ends(result):
            break
    return _conclude(pipeline, tuple(results))


def _result(stage: Stage, case: Case, policy: Policy, trust: Trust) -> StageResult:
    try:
        ruling = stage.check(case, policy, trust)
    except Exception as error:  # fail closed: whatever went wrong, the plasmid isn't accepted
        evidence = {"exception": type(error).__name__, "message": str(error)[:200]}
        return StageResult(stage.name, Outcome.REJECT, "internal_error", evidence)
    return StageResult(stage.name, ruling.outcome, ruling.reason, ruling.evidence)


def _let_out(verdict: Verdict) -> Verdict:
    results = (
        StageResult(one.stage, Outcome.PASS, "", {**one.evidence, RELEASED: one.reason})
        if one.outcome is Outcome.QUARANTINE
        else one
        for one in verdict.stages
    )
    return _conclude(STAGES, tuple(results))


def _ends(result: StageResult) -> bool:
    if result.outcome in (Outcome.REJECT, Outcome.DEFER):
        return True
    return result.outcome is Outcome.PENDING and result.reason not in WAITS_ON


def _conclude(pipeline: tuple[Stage, ...], results: tuple[StageResult, ...]) -> Verdict:
    objections = [result for result in results if result.outcome is not Outcome.PASS]
    if not objections:
        last = next((result.stage for result in reversed(results) if not result.off), results[-1].stage)
        return Verdict(Outcome.ACCEPT, last, stages=results, servable=True)
    decided = min(objections, key=lambda result: _SEVERITY.index(result.outcome))
    pending = decided.outcome is Outcome.PENDING
    passed = {result.stage for result in results if result.outcome is Outcome.PASS}
    whole = all(stage.name in passed for stage in pipeline if stage.needs_bytes)
    return Verdict(
        decided.outcome,
        decided.stage,
        decided.reason,
        results,
        bytes_only=decided.outcome is Outcome.REJECT and reason_of(decided.reason).bytes_only,
        wants_bytes=pending and any(result.reason == "bytes_missing" for result in results),
        servable=pending and whole,
    )
