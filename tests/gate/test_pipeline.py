"""The pipeline as a whole, and the contract that every stage keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.conftest import Owner, World, factors, forged

from plora.gate import STAGES, Case, Outcome, Policy, Stage, StageResult, Trust, Verdict, decide, layers
from plora.gate.pipeline import run
from plora.gate.reasons import LOOSENED, REASONS, WAITS_ON, reason_of
from plora.gate.report import verdict_from_json, verdict_to_json
from plora.gate.ruling import Ruling, objection, passed, refusal
from plora.gate.sentences import sentence

NAMES = [
    "envelope and size",
    "strict manifest",
    "swarm and base",
    "policy",
    "signatures and quorum",
    "replay",
    "chunks and hash",
    "header",
    "tensor values",
    "weights",
    "weight statistics",
    "reputation",
    "probes",
    "consensus",
]


def says(name: str, ruling: Ruling, *, needs_bytes: bool = False) -> Stage:
    """A stage that always says the same."""
    return Stage(name, lambda case, policy, trust: ruling, needs_bytes=needs_bytes)


@pytest.fixture
def case(world: World, ada: Owner) -> Case:
    return world.case(ada)


# the list


def test_stages_stand_in_the_order_of_the_design() -> None:
    assert [stage.name for stage in STAGES] == NAMES
    assert [stage.name for stage in STAGES if stage.needs_bytes] == NAMES[6:10]


def test_good_adapter_passes_every_stage(case: Case, world: World, ada: Owner, policy: Policy) -> None:
    verdict = decide(case, policy, world.trust(ada))
    assert verdict.outcome is Outcome.ACCEPT and verdict.stage == "weights" and verdict.reason == ""
    assert [result.stage for result in verdict.stages] == NAMES
    assert verdict.servable and not verdict.wants_bytes and not verdict.bytes_only


def test_stages_that_are_off_keep_their_thresholds_in_sight(case: Case, world: World, ada: Owner) -> None:
    policy = Policy(min_reputation=0.5, tau_trigger=0.2, tau_clean_delta=-0.05, tau_norm_z=2.5)
    shown = {layer.stage: layer for layer in layers(decide(case, policy, world.trust(ada)))}
    assert [shown[name].state for name in NAMES[10:]] == ["off"] * 4
    assert shown["weight statistics"].evidence == {"state": "off", "tau_norm_z": 2.5}
    assert shown["reputation"].evidence == {"state": "off", "min_reputation": 0.5}
    assert shown["probes"].evidence == {"state": "off", "tau_trigger": 0.2, "tau_clean_delta": -0.05}


# the contract of every stage


def outcomes(world: World, ada: Owner, bob: Owner) -> list[Verdict]:
    """Verdicts of many kinds."""
    case, trust = world.case(ada), world.trust(ada, bob)
    zero = {name: tensor * 0 for name, tensor in factors().items()}
    return [
        decide(case, Policy(), trust),
        decide(case, Policy(), Trust()),
        decide(case, Policy(quorum_required=2), trust),
        decide(replace(case, features=None), Policy(), trust),
        decide(replace(case, statement=forged(case.statement)), Policy(), trust),
        decide(replace(case, now_ms=0), Policy(), trust),
        decide(world.case(ada, zero), Policy(), trust),
        decide(world.case(ada, b"junk"), Policy(), trust),
        decide(case, Policy(delta_norm_max=1e-9), trust),
    ]


def test_every_result_keeps_the_contract(world: World, ada: Owner, bob: Owner) -> None:
    for verdict in outcomes(world, ada, bob):
        assert verdict.stage in NAMES and verdict.outcome is not Outcome.PASS
        for result in verdict.stages:
            assert (result.reason == "") is (result.outcome is Outcome.PASS)
            assert json.loads(json.dumps(dict(result.evidence), allow_nan=False)) is not None
            if result.reason and result.reason not in LOOSENED:
                assert reason_of(result.reason).outcome is result.outcome


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_each_stage_fails_closed(stage: Stage, world: World, ada: Owner) -> None:
    """A case that makes a stage raise is refused and blamed on nobody; the stages that can't raise must pass it."""
    nothing: Any = ()
    broken = replace(
        world.case(ada),
        manifest=None,  # type: ignore[arg-type]
        features=None,
        members=nothing,
        weight_findings=nothing,
        probe_findings=nothing,
    )
    verdict = run((stage,), broken, Policy(consensus=True, reputation=True, tensor_outliers=True, probes=True), Trust())
    assert verdict.outcome is Outcome.REJECT
    assert verdict.reason in ("internal_error", "manifest_differs")
    assert not verdict.bytes_only and not verdict.servable


def test_an_exception_is_internal_error_and_ends_the_run(case: Case) -> None:
    def broken(case: Case, policy: Policy, trust: Trust) -> Ruling:
        raise ZeroDivisionError("x" * 500)

    verdict = run((Stage("a", broken), says("b", passed())), case, Policy(), Trust())
    assert (verdict.outcome, verdict.stage, verdict.reason) == (Outcome.REJECT, "a", "internal_error")
    assert verdict.evidence == {"exception": "ZeroDivisionError", "message": "x" * 200}
    assert not verdict.bytes_only
    assert len(verdict.stages) == 1


def test_a_reason_that_no_table_knows_is_a_bug_and_fails_closed(case: Case) -> None:
    def invents(case: Case, policy: Policy, trust: Trust) -> Ruling:
        return objection("never_heard_of")

    assert run((Stage("a", invents),), case, Policy(), Trust()).reason == "internal_error"


# how results become a verdict

RANK = [Outcome.REJECT, Outcome.DEFER, Outcome.QUARANTINE, Outcome.PENDING]
SAMPLES = ["", "too_large", "non_finite", "not_yet_valid", "all_zero", "unknown_owner", "below_quorum", "bytes_missing"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=6))
def test_the_most_severe_objection_decides_and_the_earliest_of_equals(
    tmp_path_factory: pytest.TempPathFactory, reasons: list[str]
) -> None:
    rulings = [objection(reason) if reason else passed() for reason in reasons]
    pipeline = tuple(says(f"s{index}", ruling) for index, ruling in enumerate(rulings))
    verdict = run(pipeline, None, Policy(), Trust())  # type: ignore[arg-type]
    ends = [i for i, r in enumerate(reasons) if r not in ("", "all_zero", "below_quorum")]
    reached = rulings[: ends[0] + 1] if ends else rulings
    assert len(verdict.stages) == len(reached)
    worst = [r for outcome in RANK for r in reached if r.outcome is outcome]
    if not worst:
        assert verdict.accepted and verdict.servable
        return
    assert (verdict.outcome, verdict.reason) == (worst[0].outcome, worst[0].reason)
    assert verdict.bytes_only is (verdict.reason == "non_finite")
    assert verdict.wants_bytes is (verdict.outcome is Outcome.PENDING and "bytes_missing" in reasons[: len(reached)])


@pytest.mark.parametrize(
    ("before", "byte_stage", "servable"),
    [
        ("below_quorum", "", True),
        ("below_quorum", "all_zero", False),
        ("below_quorum", "non_finite", False),
        ("below_quorum", "bytes_missing", False),
        ("unknown_owner", "", False),
        ("not_yet_valid", "", False),
        ("", "", True),
        ("", "all_zero", False),
    ],
)
def test_only_bytes_that_passed_under_a_signature_are_served(
    case: Case, before: str, byte_stage: str, servable: bool
) -> None:
    first = objection(before) if before else passed()
    second = objection(byte_stage) if byte_stage else passed()
    pipeline = (says("signatures", first), says("bytes", second, needs_bytes=True))
    assert run(pipeline, case, Policy(), Trust()).servable is servable


def test_decide_is_pure(case: Case, world: World, ada: Owner, bob: Owner) -> None:
    trust = world.trust(ada)
    first = decide(case, Policy(), trust)
    decide(case, Policy(quorum_required=2), world.trust(bob))
    assert decide(case, Policy(), trust) == first


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)))
def test_order_of_statements_doesnt_matter(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    world = World(tmp_path_factory.mktemp("order"))
    ada, others = world.owner("ada"), [world.owner(f"o{index}") for index in range(6)]
    case = world.case(ada)
    trust = world.trust(ada, *others)
    attestations = [world.attestation(other, case.statement) for other in others]
    revocations = [world.revocation(other, "key", other.key.public.key_id) for other in others[:2]]
    plain = replace(case, attestations=tuple(attestations), revocations=tuple(revocations))
    shuffled = replace(
        case,
        attestations=tuple(attestations[index] for index in order),
        revocations=tuple(revocations[index] for index in order if index < 2),
    )
    assert decide(shuffled, Policy(quorum_required=5), trust) == decide(plain, Policy(quorum_required=5), trust)
    assert decide(plain, Policy(quorum_required=5), trust).accepted
    assert not decide(plain, Policy(quorum_required=6), trust).accepted


# reasons


def test_reasons_are_codes_with_sentences() -> None:
    for code, reason in REASONS.items():
        assert code == code.lower() and code.replace("_", "").isalnum()
        assert reason.sentence and not reason.sentence.endswith(".")
        assert reason.outcome not in (Outcome.PASS, Outcome.ACCEPT)
        assert not reason.bytes_only or reason.outcome is Outcome.REJECT


def test_what_depends_on_peer_or_sender_is_never_cached_under_the_content() -> None:
    """Attack 94: content that was first shown too early, garbled or to a stranger must be acceptable later."""
    personal = (
        "too_large wrong_base base_digest_mismatch rank_not_allowed target_not_allowed bad_signature revoked_key "
        "expired superseded two_contents size_mismatch hash_mismatch norm_too_large dims_mismatch internal_error"
    )
    assert not any(reason_of(code).bytes_only for code in personal.split())
    of_bytes = "bad_manifest non_finite rank_mismatch unpaired_factor unexpected_tensor header_hole fp16_overflow"
    assert all(reason_of(code).bytes_only for code in of_bytes.split())


def test_waiting_reasons_are_pending() -> None:
    assert all(reason_of(code).outcome is Outcome.PENDING for code in sorted(LOOSENED | WAITS_ON))
    assert refusal("unknown_owner").outcome is Outcome.REJECT


# the report


def test_layers_list_all_stages(world: World, ada: Owner, bob: Owner) -> None:
    verdict = decide(world.case(ada), Policy(rank_max=1), world.trust(ada))
    shown = layers(verdict)
    assert [layer.stage for layer in shown] == NAMES
    assert [layer.state for layer in shown] == [*["pass"] * 3, "reject", *["not reached"] * 10]
    assert shown[3].reason == "rank_too_large" and shown[3].sentence == "the rank is above policy.rank_max"
    assert shown[3].evidence == {"ranks": [4], "rank_max": 1}


def test_verdicts_survive_json(world: World, ada: Owner, bob: Owner) -> None:
    for verdict in outcomes(world, ada, bob):
        text = verdict_to_json(verdict)
        assert verdict_from_json(text) == verdict
        assert "\n" not in text


def test_a_stage_that_failed_is_never_shown_as_off() -> None:
    failed = StageResult("probes", Outcome.REJECT, "internal_error", {})
    shown = {layer.stage: layer.state for layer in layers(Verdict(Outcome.REJECT, "probes", stages=(failed,)))}
    assert (shown["probes"], shown["consensus"]) == ("reject", "not reached")


def test_sentences() -> None:
    assert sentence("") == "" and sentence("from_the_future_version") == ""
    assert sentence("header_hole") == "the file is not a strict safetensors file"
