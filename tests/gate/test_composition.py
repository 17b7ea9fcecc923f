"""Whether a merge fails its probes: what wasn't looked at whole never passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plora.gate.composition import fault_of
from plora.gate.findings import Figure, Findings
from plora.gate.policy import Policy

GOOD = Findings("mini/probes", (Figure("trigger_compliance", 0.0), Figure("clean_delta", 0.0)), None)


@pytest.mark.parametrize(
    ("findings", "fault"),
    [
        (GOOD, ""),
        (replace(GOOD, figures=(Figure("trigger_compliance", 0.9), GOOD.figures[1])), "trigger_found"),
        (replace(GOOD, figures=(GOOD.figures[0], Figure("clean_delta", float("nan")))), "clean_regression"),
        (replace(GOOD, failure="not done within its budget"), "examination_failed"),
        (Findings("", note="this peer can't probe merges"), "no_calibration"),
        (replace(GOOD, calibration=""), "no_calibration"),
        (replace(GOOD, figures=GOOD.figures[:1]), "no_calibration"),
    ],
)
def test_a_merge_passes_only_with_both_figures_within_their_thresholds(findings: Findings, fault: str) -> None:
    assert fault_of(findings, Policy(probes=True)) == fault
