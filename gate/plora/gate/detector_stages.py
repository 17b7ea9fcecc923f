"""The two stages that look into an adapter, by way of what detectors found: weight statistics, and probes.

Rules:

- Both are off unless the policy switches them on (`tensor_outliers`, `probes`). On and without findings a plasmid waits
  (`not_measured`, `not_probed`); with findings that no calibration covers, or of a detector that gave up half way and
  found nothing until then, it is held: what can't be judged never passes quietly.
- A threshold is the policy's own where it names one, else the calibration's, else the specification's (`THRESHOLDS`).
- A joined p-value at or under the calibration's alpha is an outlier, whatever single figures say; where there is none,
  something that the calibration wants was not measured, and the plasmid is held.
- What was found to blame for a merge that failed its probes is held as long as that is known, whatever its own say,
  and also after the policy switched probes off.
- Evidence holds every figure with the threshold that was used and its p-value. What a detector found in so many words
  (`Findings.details`) is no evidence: it would reach the event log, and who submits again and again would learn of it.

Not handled here: who measures, when, and at whose cost (`plora.node.core.detectors`).

>>> from plora.gate.findings import Figure
>>> over(Figure("trigger_compliance", 0.3), 0.2), over(Figure("clean_delta", -0.1), -0.05)
(True, True)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from plora.gate.case import Case
from plora.gate.findings import Figure, Findings
from plora.gate.policy import Policy
from plora.gate.ruling import Ruling, objection, passed, switched_off
from plora.gate.trust import Trust

WEIGHT_STATISTICS, PROBES = "weight statistics", "probes"
NORM_Z, TRIGGER, CLEAN_DELTA, DOMAIN = "norm_z", "trigger_compliance", "clean_delta", "margin_delta"

THRESHOLDS: Mapping[str, float] = {NORM_Z: 3.0, TRIGGER: 0.2, CLEAN_DELTA: -0.05}
"""The specification's, where neither policy nor calibration has one."""
LOWER_IS_WORSE = frozenset({CLEAN_DELTA, DOMAIN})


def weight_statistics(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The norm is one of clean adapters, and so is the shape of what the factors change."""
    if not policy.tensor_outliers:
        return switched_off(policy, "tau_norm_z")
    if case.weight_findings is None:
        return objection("not_measured")
    return weights_ruling(case.weight_findings, policy)


def weights_ruling(findings: Findings, policy: Policy) -> Ruling:
    """What the stage makes of what was measured."""
    return _ruling(findings, {NORM_Z: policy.tau_norm_z}, {NORM_Z: "norm_outlier"}, "tensor_outlier")


def probes(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """No merge failed for its sake, nothing brings forth what the base wouldn't say, it does what its manifest says."""
    if case.blamed_beside is not None:
        return objection("merge_culprit", beside=list(case.blamed_beside))
    if not policy.probes:
        return switched_off(policy, "tau_trigger", "tau_clean_delta")
    if case.probe_findings is None:
        return objection("not_probed")
    return probes_ruling(case.probe_findings, policy)


def probes_ruling(findings: Findings, policy: Policy) -> Ruling:
    """What the stage makes of what probes found."""
    asked = {TRIGGER: policy.tau_trigger, CLEAN_DELTA: policy.tau_clean_delta, DOMAIN: None}
    reasons = {TRIGGER: "trigger_found", CLEAN_DELTA: "clean_regression", DOMAIN: "domain_mismatch"}
    return _ruling(findings, asked, reasons, "behaviour_outlier")


def over(figure: Figure, threshold: float) -> bool:
    """Whether a figure is on the wrong side of a threshold: below it for those where less is worse, else above."""
    return figure.value < threshold if figure.name in LOWER_IS_WORSE else figure.value > threshold


def judged(figure: Figure, asked: Mapping[str, float | None]) -> Figure:
    """The figure by the threshold that counts: the policy's, the calibration's, or the specification's."""
    own = asked.get(figure.name)
    threshold = own if own is not None else figure.threshold
    if threshold is None and figure.name in asked:
        threshold = THRESHOLDS.get(figure.name)
    flagged = figure.flagged if threshold is None or figure.name not in asked else over(figure, threshold)
    return Figure(figure.name, figure.value, threshold, figure.p_value, flagged)


def _ruling(
    findings: Findings, asked: Mapping[str, float | None], reasons: Mapping[str, str], otherwise: str
) -> Ruling:
    """The first of `reasons` whose figure is over its threshold; `otherwise` where the whole is an outlier."""
    failure = findings.failure or _nonsense(findings)
    if not findings.calibration and not failure:
        return objection("no_calibration", note=findings.note)
    figures = tuple(judged(one, asked) for one in findings.figures if math.isfinite(one.value))
    evidence = _evidence(findings, figures)
    flagged = {figure.name: figure for figure in figures if figure.flagged}
    for name, reason in reasons.items():
        if name in flagged:
            figure = flagged[name]
            return objection(reason, **evidence, figure=name, value=figure.value, threshold=figure.threshold)
    if failure:
        return objection("examination_failed", **evidence, worker=failure)
    if findings.p_value is None:
        note = findings.note or f"{findings.calibration} says nothing of what was measured"
        return objection("no_calibration", **{**evidence, "note": note})
    return objection(otherwise, **evidence) if findings.outlier else passed(**evidence)


def _nonsense(findings: Findings) -> str:
    wrong = next((one.name for one in findings.figures if not math.isfinite(one.value)), None)
    return f"the detector gave no number for {wrong}" if wrong is not None else ""


def _evidence(findings: Findings, figures: tuple[Figure, ...]) -> dict[str, object]:
    shown = [
        {
            "name": one.name,
            "value": one.value,
            "threshold": one.threshold,
            "p_value": one.p_value,
            "flagged": one.flagged,
        }
        for one in figures
    ]
    evidence: dict[str, object] = {
        "calibration": findings.calibration,
        "p_value": findings.p_value,
        "alpha": findings.alpha,
        "figures": shown,
    }
    return evidence | ({"note": findings.note} if findings.note else {})
