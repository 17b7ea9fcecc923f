"""Attacks by the numbers in an adapter: what is not finite, too large, hidden in the factors, or nothing at all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.attacks.conftest import Watched
from tests.attacks.inputs import with_base
from tests.gate.conftest import MODULE, Owner, World, a_name, b_name, factors

from plora.gate import BaseFacts, Policy, Verdict, decide
from plora.merge.safetensors_io import tensors_to_bytes

A, B = a_name(), b_name()
LOOSE = Policy(delta_norm_max=1e12)


def judge(world: World, owner: Owner, tensors: Any, policy: Policy | None = None, **changes: Any) -> Verdict:
    return decide(world.case(owner, tensors, **changes), policy or Policy(), world.trust(owner))


def fell(attack: Watched, verdict: Verdict, outcome: str, stage: str, reason: str) -> None:
    """It fell at this stage for this reason, and for no other."""
    assert (str(verdict.outcome), verdict.stage, verdict.reason) == (outcome, stage, reason), dict(verdict.evidence)
    assert [one.reason for one in verdict.stages if one.reason] == [reason]
    attack.saw(verdict.outcome, verdict.reason)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_attack_034_not_finite(attack: Watched, world: World, ada: Owner, value: float, dtype: str) -> None:
    tensors = factors(dtype=dtype)
    tensors[B][5, 1] = value
    fell(attack, judge(world, ada, tensors), "reject", "tensor values", "non_finite")


def test_attack_034_not_finite_in_bfloat16(attack: Watched, world: World, ada: Owner) -> None:
    tensors = {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in factors().items()}
    tensors[A][0, 3] = math.nan
    fell(attack, judge(world, ada, tensors_to_bytes(tensors)), "reject", "tensor values", "non_finite")


def loud(dtype: str) -> dict[str, Any]:
    """No element over 200 in size, and every element of the scaled product 320,000."""
    return {name: np.full_like(tensor, 200, dtype=dtype) for name, tensor in factors().items()}


def test_attack_035_product_overflows_half_precision(attack: Watched, world: World, ada: Owner) -> None:
    stored = judge(world, ada, loud("float16"), LOOSE)
    fell(attack, stored, "reject", "weights", "fp16_overflow")
    case, trust = world.case(ada, loud("float32")), world.trust(ada)
    on_half = decide(with_base(case, BaseFacts("mini", "ba" * 32, dtype="F16")), LOOSE, trust)
    fell(attack, on_half, "reject", "weights", "fp16_overflow")
    fell(attack, decide(case, LOOSE, trust), "quarantine", "weights", "fp16_overflow_possible")


@pytest.mark.parametrize("missing", [A, B])
def test_attack_037_factor_without_partner(attack: Watched, world: World, ada: Owner, missing: str) -> None:
    alone = {name: tensor for name, tensor in factors().items() if name != missing}
    fell(attack, judge(world, ada, alone), "reject", "header", "unpaired_factor")


def test_attack_037_wrong_dimensions(attack: Watched, world: World, ada: Owner) -> None:
    mixed = {A: factors()[A], B: factors(rank=3)[B]}
    fell(attack, judge(world, ada, mixed), "reject", "header", "unpaired_factor")
    turned = {A: factors()[A].reshape(-1), B: factors()[B]}
    fell(attack, judge(world, ada, turned), "reject", "header", "unpaired_factor")
    case, trust = world.case(ada), world.trust(ada)
    fits = BaseFacts("mini", "ba" * 32, dims={MODULE: (16, 12)})
    assert decide(with_base(case, fits), Policy(), trust).accepted
    for dims in ({MODULE: (12, 16)}, {MODULE: (16, 13)}, {"model.layers.7.self_attn.q_proj": (16, 12)}):
        fell(
            attack,
            decide(with_base(case, replace(fits, dims=dims)), Policy(), trust),
            "reject",
            "header",
            "dims_mismatch",
        )


def test_attack_039_one_huge_element(attack: Watched, world: World, ada: Owner) -> None:
    spiked = factors(in_dim=64)
    spiked[A][0, 0] = 6.0
    fell(attack, judge(world, ada, spiked), "quarantine", "tensor values", "huge_element")
    vast = factors()
    vast[B][0, 0] = 1001.0
    fell(attack, judge(world, ada, vast, LOOSE), "quarantine", "tensor values", "huge_element")


def test_attack_039_flood_of_denormals(attack: Watched, world: World, ada: Owner) -> None:
    tensors = factors()
    tensors[A][0, :] = 1e-41
    fell(attack, judge(world, ada, tensors), "quarantine", "tensor values", "denormals")


@pytest.mark.parametrize("zeroed", [(A,), (B,), (A, B)])
def test_attack_039_nothing_but_zeros(attack: Watched, world: World, ada: Owner, zeroed: tuple[str, ...]) -> None:
    tensors = factors()
    for name in zeroed:
        tensors[name][:] = 0
    fell(attack, judge(world, ada, tensors), "quarantine", "tensor values", "all_zero")


def test_attack_039_zero_product_of_factors_that_are_not(attack: Watched, world: World, ada: Owner) -> None:
    tensors = factors()
    tensors[A][2:] = 0
    tensors[B][:, :2] = 0
    fell(attack, judge(world, ada, tensors), "quarantine", "tensor values", "all_zero")


def strong(seed: int = 0) -> dict[str, Any]:
    """An adapter whose scaled change has a norm of about 1, like one that was trained."""
    tensors = factors(in_dim=64, out_dim=64, seed=seed)
    return {name: tensor * np.float32(0.8) for name, tensor in tensors.items()}


def test_attack_069_hundredfold_scale(attack: Watched, world: World, ada: Owner) -> None:
    assert judge(world, ada, strong()).accepted
    by_factors = {name: tensor * np.float32(10) for name, tensor in strong().items()}
    fell(attack, judge(world, ada, by_factors), "reject", "weights", "norm_too_large")
    by_one = {A: strong()[A], B: strong()[B] * np.float32(100)}
    fell(attack, judge(world, ada, by_one), "reject", "weights", "norm_too_large")
    by_alpha = judge(world, ada, strong(), lora={"alpha": 800.0})
    fell(attack, by_alpha, "reject", "policy", "scale_too_large")


def norm_of(verdict: Verdict) -> float:
    """The norm that the weights stage judged."""
    return float(str(next(one for one in verdict.stages if one.stage == "weights").evidence["delta_norm"]))


def turned(plain: dict[str, Any], condition: float, seed: int) -> dict[str, Any]:
    """The same product through A -> inverse(G) A and B -> B G, with G of this condition number."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    right, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    gauge = left @ np.diag(np.geomspace(1, condition, 4) / math.sqrt(condition)) @ right
    a = np.linalg.inv(gauge) @ plain[A].astype(np.float64)
    b = plain[B].astype(np.float64) @ gauge
    return {A: a.astype(np.float32), B: b.astype(np.float32)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("condition", [1.0, 10.0, 100.0])
def test_attack_073_rescaled_factors(attack: Watched, world: World, ada: Owner, condition: float, seed: int) -> None:
    plain = judge(world, ada, strong())
    other = judge(world, ada, turned(strong(), condition, seed))
    assert plain.accepted and other.accepted
    assert norm_of(other) == pytest.approx(norm_of(plain), rel=1e-3)
    attack.saw(other.outcome, "the same norm within 1e-3")


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_attack_073_other_dtype(attack: Watched, world: World, ada: Owner, dtype: Any) -> None:
    plain = judge(world, ada, strong())
    stored = {name: tensor.astype(dtype) for name, tensor in strong().items()}
    other = judge(world, ada, tensors_to_bytes(stored))
    assert other.accepted and norm_of(other) == pytest.approx(norm_of(plain), rel=1e-3)
    attack.saw(other.outcome, "the same norm within 1e-3")


def test_attack_073_padded_to_a_larger_rank(attack: Watched, world: World, ada: Owner) -> None:
    plain = judge(world, ada, strong())
    padded = {A: np.pad(strong()[A], ((0, 12), (0, 0))), B: np.pad(strong()[B], ((0, 0), (0, 12)))}
    other = judge(world, ada, padded, lora={"r": 16, "alpha": 32.0})
    assert other.accepted and norm_of(other) == pytest.approx(norm_of(plain), rel=1e-3)
    attack.saw(other.outcome, "the same norm within 1e-3")


@pytest.mark.parametrize("seed", range(3))
def test_attack_073_beyond_the_limit_of_imbalance(attack: Watched, world: World, ada: Owner, seed: int) -> None:
    quiet = {name: tensor * np.float32(0.3) for name, tensor in strong().items()}
    verdict = judge(world, ada, turned(quiet, 1e6, seed))
    fell(attack, verdict, "quarantine", "weights", "imbalanced_factors")
