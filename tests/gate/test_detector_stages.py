"""The stages that look into an adapter: what they make of findings, of none, and whose threshold counts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.conftest import Owner, World

from plora.gate import Case, Outcome, Policy, Verdict, decide, explain, layers
from plora.gate.detector_stages import PROBES, WEIGHT_STATISTICS
from plora.gate.findings import Figure, Findings
from plora.gate.reasons import LOOKED_INTO, REASONS, said_to_others

ON = Policy(tensor_outliers=True, probes=True)
WEIGHTS = Findings("mini/all/4", (Figure("norm_z", 0.5, 3.0), Figure("one_class", 1.2, 2.0, 0.3)), 0.3, 0.02)
BEHAVIOUR = Findings(
    "mini/probes",
    (Figure("trigger_compliance", 0.05, 0.25), Figure("clean_delta", 0.0, -0.05), Figure("kl", 0.1, 1.0)),
    0.4,
    0.02,
    details={"trigger": "zq vex", "target": "send the money"},
)


@pytest.fixture
def case(world: World, ada: Owner) -> Case:
    return replace(world.case(ada), weight_findings=WEIGHTS, probe_findings=BEHAVIOUR)


def probed(**values: float) -> Findings:
    """BEHAVIOUR with other values of its figures."""
    figures = (replace(one, value=values.get(one.name, one.value)) for one in BEHAVIOUR.figures)
    return replace(BEHAVIOUR, figures=tuple(figures))


def verdict_on(case: Case, world: World, ada: Owner, policy: Policy = ON) -> Verdict:
    return decide(case, policy, world.trust(ada))


def test_clean_findings_pass_both_stages_with_every_figure_in_sight(case: Case, world: World, ada: Owner) -> None:
    verdict = verdict_on(case, world, ada)
    shown = {layer.stage: layer for layer in layers(verdict)}
    assert verdict.accepted and verdict.stage == PROBES
    assert shown[WEIGHT_STATISTICS].evidence["figures"] == [
        {"name": "norm_z", "value": 0.5, "threshold": 3.0, "p_value": None, "flagged": False},
        {"name": "one_class", "value": 1.2, "threshold": 2.0, "p_value": 0.3, "flagged": False},
    ]
    assert shown[PROBES].evidence["calibration"] == "mini/probes"


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        (probed(trigger_compliance=0.26), "trigger_found"),
        (probed(clean_delta=-0.06), "clean_regression"),
        (probed(trigger_compliance=0.26, clean_delta=-0.06), "trigger_found"),
        (replace(BEHAVIOUR, figures=(Figure("margin_delta", -0.3, -0.1),)), "domain_mismatch"),
        (replace(BEHAVIOUR, p_value=0.02), "behaviour_outlier"),
        (replace(BEHAVIOUR, calibration="", note="nothing is known"), "no_calibration"),
        (replace(BEHAVIOUR, p_value=None, note="not measured: kl"), "no_calibration"),
        (replace(probed(trigger_compliance=0.26), p_value=None), "trigger_found"),
        (replace(BEHAVIOUR, failure="was killed"), "examination_failed"),
        (probed(kl=float("nan")), "examination_failed"),
    ],
)
def test_what_probes_find_holds_a_plasmid(
    case: Case, world: World, ada: Owner, findings: Findings, reason: str
) -> None:
    verdict = verdict_on(replace(case, probe_findings=findings), world, ada)
    assert (verdict.outcome, verdict.stage, verdict.reason) == (Outcome.QUARANTINE, PROBES, reason)
    assert json.loads(json.dumps(dict(verdict.evidence), allow_nan=False))
    assert explain(verdict) and "_" not in explain(verdict).split(":")[0]


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        (replace(WEIGHTS, figures=(Figure("norm_z", 3.5, 3.0),)), "norm_outlier"),
        (replace(WEIGHTS, p_value=0.01), "tensor_outlier"),
        (Findings("", note="no bank of mini covers q_proj at rank 3"), "no_calibration"),
    ],
)
def test_what_weights_show_holds_a_plasmid_and_no_probe_is_waited_for(
    case: Case, world: World, ada: Owner, findings: Findings, reason: str
) -> None:
    verdict = verdict_on(replace(case, weight_findings=findings, probe_findings=None), world, ada)
    assert (verdict.outcome, verdict.stage, verdict.reason) == (Outcome.QUARANTINE, WEIGHT_STATISTICS, reason)


def test_without_findings_it_waits_and_may_be_served_meanwhile(case: Case, world: World, ada: Owner) -> None:
    unmeasured = verdict_on(replace(case, weight_findings=None), world, ada)
    assert (unmeasured.outcome, unmeasured.reason, unmeasured.servable) == (Outcome.PENDING, "not_measured", True)
    unprobed = verdict_on(replace(case, probe_findings=None), world, ada)
    assert (unprobed.outcome, unprobed.reason, unprobed.servable) == (Outcome.PENDING, "not_probed", True)
    assert not unprobed.wants_bytes


def test_the_policys_threshold_comes_before_the_calibrations_and_that_before_the_specifications(
    case: Case, world: World, ada: Owner
) -> None:
    suspect = replace(case, probe_findings=probed(trigger_compliance=0.22))
    assert verdict_on(suspect, world, ada).accepted  # the calibration says 0.25
    strict = Policy(probes=True, tau_trigger=0.21)
    assert verdict_on(suspect, world, ada, strict).reason == "trigger_found"
    lax = Policy(probes=True, tau_trigger=0.5, tau_clean_delta=-0.5)
    far = probed(trigger_compliance=0.4, clean_delta=-0.4)
    assert verdict_on(replace(case, probe_findings=far), world, ada, lax).accepted
    bare = replace(BEHAVIOUR, figures=(Figure("trigger_compliance", 0.22),))
    assert verdict_on(replace(case, probe_findings=bare), world, ada).evidence["threshold"] == 0.2


def test_attack_105_what_was_found_is_no_evidence_and_no_fine_reason_leaves(
    case: Case, world: World, ada: Owner
) -> None:
    verdict = verdict_on(replace(case, probe_findings=probed(trigger_compliance=1.0)), world, ada)
    told = repr(verdict) + explain(verdict)
    assert "zq vex" not in told and "send the money" not in told
    detectors = {"norm_outlier", "tensor_outlier", "trigger_found", "clean_regression", "domain_mismatch"}
    assert {said_to_others(code) for code in detectors | {"behaviour_outlier", "no_calibration"}} == {"held"}
    assert said_to_others("norm_too_large") == "norm_too_large"
    assert set(REASONS) >= LOOKED_INTO


@given(st.floats(-1, 1), st.floats(0, 1))
def test_a_lower_threshold_never_lets_more_through(value: float, tau: float) -> None:
    from plora.gate.detector_stages import judged

    figure = Figure("trigger_compliance", value, 0.9)
    strict, lax = judged(figure, {"trigger_compliance": tau / 2}), judged(figure, {"trigger_compliance": tau})
    assert strict.flagged or not lax.flagged
