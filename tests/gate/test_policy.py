"""Policy: the specification's fields, honest switches, errors that name the nearest field."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from plora.gate import Policy
from plora.proto.errors import ConfigError

SPECIFIED = {
    "base_model": "google/gemma-3-1b-it",
    "allowed_ranks": [4, 8, 16],
    "allowed_targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "signatures_enabled": True,
    "quorum_required": 2,
    "min_reputation": 0.5,
    "tau_trigger": 0.2,
    "tau_norm_z": 3.0,
    "tau_clean_delta": -0.05,
}


def test_the_specifications_example_is_accepted_and_kept() -> None:
    policy = Policy.parse(SPECIFIED)
    for name, value in SPECIFIED.items():
        kept = getattr(policy, name)
        assert (list(kept) if isinstance(kept, tuple) else kept) == value


def test_unknown_field_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown field 'quorum_requird'; did you mean 'quorum_required'"):
        Policy.parse({"quorum_requird": 2})


def test_unknown_field_with_no_neighbour_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="known: algorithms, allowed_ranks"):
        Policy.parse({"zzzzzz": 2})


@pytest.mark.parametrize("stage", ["tensor_outliers", "probes"])
def test_a_detector_is_off_unless_it_is_switched_on_in_so_many_words(stage: str) -> None:
    assert getattr(Policy(), stage) is False
    assert getattr(Policy.parse({stage: True}), stage) is True
    with pytest.raises(ConfigError, match=stage):
        Policy.parse({stage: "on"})


def test_signatures_off_needs_insecure_beside_it() -> None:
    with pytest.raises(ConfigError, match="signatures are switched off"):
        Policy.parse({"signatures_enabled": False})
    assert Policy.parse({"signatures_enabled": False, "insecure": True}).signatures_enabled is False


@pytest.mark.parametrize("quorum", [0, -1, True, 1.5, "2"])
def test_attack_046_quorum_of_nobody_is_refused(quorum: object) -> None:
    with pytest.raises(ConfigError, match="quorum_required"):
        Policy.parse({"quorum_required": quorum})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowed_ranks", [0]),
        ("allowed_ranks", [True]),
        ("artifact_bytes_max", 0),
        ("rank_max", 513),
        ("scale_max", float("inf")),
        ("delta_norm_max", float("nan")),
        ("delta_norm_max", 0),
        ("tau_trigger", 1.5),
        ("unknown_owner", "believe"),
        ("reputation", "no"),
        ("consensus", 1),
        ("algorithms", ["RSA-PKCS1"]),
        ("base_digests", {"mini": "AB" * 32}),
    ],
)
def test_bad_values_are_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.parse({field: value}, where="peer.yaml, policy")
    assert caught.value.where.startswith(f"peer.yaml, policy.{field}")


def test_a_policy_is_never_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Policy().quorum_required = 3


@settings(max_examples=30, deadline=None)
@given(st.permutations(sorted(SPECIFIED)))
def test_digest_ignores_the_order_of_fields(names: list[str]) -> None:
    shuffled = {name: SPECIFIED[name] for name in names}
    assert Policy.parse(shuffled).policy_digest() == Policy.parse(SPECIFIED).policy_digest()


def test_digest_changes_with_every_field() -> None:
    changes: dict[str, object] = {
        "base_model": "mini",
        "allowed_ranks": [4],
        "allowed_targets": ["q_proj"],
        "quorum_required": 2,
        "min_reputation": 0.5,
        "tau_trigger": 0.2,
        "tau_norm_z": 3.0,
        "tau_clean_delta": -0.1,
        "reputation": True,
        "reputation_half_life_ms": 1000,
        "tensor_outliers": True,
        "probes": True,
        "insecure": True,
        "unknown_owner": "reject",
        "algorithms": ["Ed25519"],
        "base_digests": {"mini": "ab" * 32},
        "artifact_bytes_max": 1,
        "rank_max": 8,
        "scale_max": 2.0,
        "delta_norm_max": 1.0,
        "delta_rms_max": 1.0,
        "clock_skew_ms_max": 0,
    }
    digests = [Policy.parse({name: value}).policy_digest() for name, value in changes.items()]
    assert len({*digests, Policy().policy_digest()}) == len(changes) + 1
