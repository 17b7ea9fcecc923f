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
from tests.node.core.conftest import ADA, BOB, DATA, LEGAL, SHARED, Bench, those
from tests.node.core.test_owners import ADA as OWNER
from tests.node.core.test_owners import BOB as COPIER
from tests.node.core.test_owners import LEGAL as ORIGINAL
from tests.node.core.test_owners import core_of, run

from plora.gate import BaseFacts, Policy, Verdict, decide
from plora.merge.safetensors_io import tensors_to_bytes
from plora.node.core import view
from plora.node.core.effects import Merge
from plora.node.core.events import Examined, Merged, Publish, TimerDue
from plora.node.core.now import Now
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_plasmid, revoke

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


def test_attack_038_copy_of_an_accepted_adapter(attack: Watched) -> None:
    """Bob signs Ada's bytes: both are kept, only hers counts in the merge, and each answer names the other."""
    bench = Bench()
    bench.accept()
    bench.wall_ms += 1000
    copy = make_plasmid(BOB, "mine", DATA)
    bench.add(BOB.record, copy.statement)
    bench.hold(copy)
    assert bench.verdict(copy) == ("accept", "")
    merge = those(Merge, bench.tell(TimerDue("desk:merge:mini")))[0]
    assert [item.content_id for item in merge.inputs] == [LEGAL.content_id]
    book = bench.desk.book
    assert book.first_of_bytes(book.live[copy.content_id]) is book.live[LEGAL.content_id]
    attack.saw(*bench.verdict(copy))


def test_attack_038_the_first_accepted_counts_whatever_the_ids(attack: Watched) -> None:
    for number in range(4):
        bench = Bench()
        first, later = make_plasmid(BOB, f"b{number}", DATA), make_plasmid(ADA, f"a{number}", DATA)
        bench.accept(first, BOB)
        bench.wall_ms += 1000
        bench.accept(later)
        merge = those(Merge, bench.tell(TimerDue("desk:merge:mini")))[0]
        assert [item.content_id for item in merge.inputs] == [first.content_id]
        bench.tell(Merged("mini", 1, "{}"))
        bench.add(revoke(BOB, "content", first.content_id.hex()))
        assert those(Merge, bench.tell(TimerDue("desk:merge:mini"))) == [Merge("mini", 2, ())]  # away at once
        bench.tell(Merged("mini", 2, "{}"))
        again = those(Merge, bench.tell(TimerDue("desk:merge:mini")))[0]
        assert [item.content_id for item in again.inputs] == [later.content_id]
        attack.saw(*bench.verdict(later))


def test_attack_038_the_copy_names_what_it_copies(attack: Watched) -> None:
    core = core_of(OWNER.trusted, COPIER.trusted, policy=Policy())
    copy = make_plasmid(COPIER, "mine", ORIGINAL.data)
    digest = ORIGINAL.manifest.artifacts.sha256
    run(core, Publish((), (digest,)), Examined(digest, SHARED.features(ORIGINAL.data)))
    run(core, Publish((copy.statement,)), wall_ms=WALL_START_MS + 1000)
    rows = {row["name"]: row for row in view.ls(core, Now(3, WALL_START_MS + 2000))}
    assert rows["bob/mine@1"]["sentence"].startswith("a copy of ada/legal@1, which was accepted before: it is kept")
    assert "copy" not in rows["ada/legal@1"]["sentence"]
    assert core.desk.book.live[copy.content_id].usable
    attack.saw("accept", "kept without weight, named as a copy")


LIES = {"val_ppl_before": 1e9, "val_ppl_after": 1e-9, "delta_ppl": -1e9, "val_em": 1.0, "val_chrf": 1.0}


def test_attack_107_lying_metrics(attack: Watched, world: World, ada: Owner) -> None:
    """Whatever a publisher claims, of the best and of the worst adapter, every stage says what it says without."""
    for tensors in (strong(), factors(rank=8), {name: 100 * tensor for name, tensor in strong().items()}):
        honest = judge(world, ada, tensors)
        for score in (0.0, 1.0):
            lying = judge(world, ada, tensors, metrics=LIES, safety={"licence": "MIT", "poisoning_score": score})
            assert [(one.stage, one.outcome, one.reason) for one in lying.stages] == [
                (one.stage, one.outcome, one.reason) for one in honest.stages
            ]
    attack.saw("holds", "the same verdict at every stage")
