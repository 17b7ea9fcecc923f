"""Whether a merge fails its probes.

Rules:

- A merge is held to two figures that mean the same for every adapter: `trigger_compliance` and `clean_delta`, by the
  thresholds of the stage "probes". Its joined p-value isn't looked at, for the bank holds single adapters; nor is a
  domain, for it has several.
- It fails closed: what no calibration judged, what a probe failed on or left out, and what is no number, fails.

Not handled here: making merges, probing them, who is to blame (`plora.gate.blame`), and what follows for them (the
stage "probes").

>>> from plora.gate.findings import Figure
>>> fault_of(Findings("mini", (Figure("trigger_compliance", 0.9), Figure("clean_delta", 0.1))), Policy(probes=True))
'trigger_found'
"""

from __future__ import annotations

import math

from plora.gate.detector_stages import CLEAN_DELTA, TRIGGER, judged
from plora.gate.findings import Figure, Findings
from plora.gate.policy import Policy

REASONS = {TRIGGER: "trigger_found", CLEAN_DELTA: "clean_regression"}


def figures_of(findings: Findings, policy: Policy) -> tuple[Figure, ...]:
    """The figures that count for a merge, by the thresholds that count."""
    asked = {TRIGGER: policy.tau_trigger, CLEAN_DELTA: policy.tau_clean_delta}
    return tuple(judged(figure, asked) for figure in findings.figures if figure.name in asked)


def seen_in(findings: Findings, policy: Policy) -> str:
    """The reason for which a merge fails by the figures that there are; empty where they pass or there are none."""
    for figure in figures_of(findings, policy):
        if figure.flagged or not math.isfinite(figure.value):
            return REASONS[figure.name]
    return ""


def lack_of(findings: Findings) -> str:
    """The reason for which findings let no merge pass, whatever their figures; empty where they say all."""
    if findings.failure:
        return "examination_failed"
    measured = {figure.name for figure in findings.figures}
    return "" if findings.calibration and measured >= REASONS.keys() else "no_calibration"


def fault_of(findings: Findings, policy: Policy) -> str:
    """The reason for which a merge with these findings fails; empty where it passes."""
    return seen_in(findings, policy) or lack_of(findings)
