"""Merging adapters against the dense sum in float64."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plora.merge.engine import merge_adapters
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.safetensors_io import read_tensors, write_tensors
from plora.merge.strategies import STRATEGIES
from plora.proto.errors import AdapterError, UsageError

Make = Callable[..., Adapter]
Dense = Callable[[Adapter, str], NDArray[np.float64]]

SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"use_rslora": True, "alpha": 3.0},
    {"rank_pattern": {"0.self_attn.q_proj": 2}, "alpha_pattern": {"up_proj": 5.0}},
)


def same_bytes(one: Adapter, two: Adapter) -> bool:
    return one.digest == two.digest and one.spec == two.spec


def test_mixed_adapters_sum_exactly_below_the_rank_bound(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed, rank=4, **spec) for seed, spec in enumerate(SPECS)]
    weights = [0.5, 0.3, -0.2]
    result = merge_adapters(adapters, weights, rank_max=12)
    for module in adapters[0].pairs:
        total = sum(weight * dense_of(each, module) for weight, each in zip(weights, adapters, strict=True))
        np.testing.assert_allclose(dense_of(result.adapter, module), total, atol=2e-5)
    assert result.report.discarded_energy < 1e-9


def test_default_weights_are_equal_shares(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    result = merge_adapters(adapters)
    assert [operand.weight for operand in result.report.operands] == [1 / 3] * 3
    module = next(iter(adapters[0].pairs))
    total = sum(dense_of(each, module) for each in adapters) / 3
    np.testing.assert_allclose(dense_of(result.adapter, module), total, atol=1e-5)


def test_report_agrees_with_the_dense_truth(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    result = merge_adapters(adapters, [1, 1, 1], rank_max=5)
    lost = total = 0.0
    by_digest = {adapter.digest: adapter for adapter in adapters}
    for report in result.report.modules:
        dense = sum(dense_of(each, report.module) for each in adapters)
        sigma = np.linalg.svd(dense, compute_uv=False)
        assert report.rank == 5
        assert report.discarded_energy == pytest.approx((sigma[5:] ** 2).sum() / (sigma**2).sum(), rel=1e-3)
        assert report.norm == pytest.approx(np.linalg.norm(sigma[:5]), rel=1e-5)
        for operand, norm in zip(result.report.operands, report.input_norms, strict=True):
            assert norm == pytest.approx(np.linalg.norm(dense_of(by_digest[operand.digest], report.module)), rel=1e-6)
        lost += float((sigma[5:] ** 2).sum())
        total += float((sigma**2).sum())
    assert result.report.discarded_energy == pytest.approx(lost / total, rel=1e-3)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), weights=st.lists(st.floats(-2, 2).filter(bool), min_size=3, max_size=3))
def test_order_of_operands_does_not_matter(make_adapter: Make, seed: int, weights: list[float]) -> None:
    operands = [(make_adapter(seed + index), weight) for index, weight in enumerate(weights)]
    first, *others = (
        merge_adapters([adapter for adapter, _ in order], [weight for _, weight in order], rank_max=6)
        for order in itertools.permutations(operands)
    )
    assert all(same_bytes(other.adapter, first.adapter) and other.report == first.report for other in others)


def test_sequential_keeps_the_order_given(make_adapter: Make) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    one = merge_adapters(adapters, strategy="sequential", rank_max=4)
    two = merge_adapters(adapters[::-1], strategy="sequential", rank_max=4)
    assert [operand.digest for operand in one.report.operands] == [adapter.digest for adapter in adapters]
    assert one.adapter.digest != two.adapter.digest


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("spec", SPECS)
def test_one_adapter_at_weight_one_is_itself(make_adapter: Make, strategy: str, spec: dict[str, object]) -> None:
    adapter = make_adapter(7, **spec)
    assert same_bytes(merge_adapters([adapter], strategy=strategy).adapter, adapter)
    assert same_bytes(merge_adapters([adapter], strategy=strategy, rank_max=4).adapter, adapter)
    others = merge_adapters([make_adapter(8), adapter, adapter], [0, 1, 1], strategy)
    assert same_bytes(others.adapter, adapter)


def test_identity_of_a_bf16_file(make_adapter: Make, tmp_path: Path, dense_of: Dense) -> None:
    write_adapter(tmp_path, make_adapter(9, use_rslora=True))
    path = tmp_path / "adapter_model.safetensors"
    write_tensors(path, {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in read_tensors(path).items()})
    adapter = read_adapter(tmp_path)
    assert same_bytes(merge_adapters([adapter]).adapter, adapter)


@pytest.mark.parametrize("changes", [{"weights": [0.5]}, {"rank_max": 3}, {"max_delta_fro": 1e-3}])
def test_identity_ends_where_something_changes(make_adapter: Make, changes: dict[str, object]) -> None:
    adapter = make_adapter(7)
    assert merge_adapters([adapter], **changes).adapter.digest != adapter.digest  # type: ignore[arg-type]


def test_weight_zero_drops_out(make_adapter: Make) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    with_zero = merge_adapters(adapters, [0.5, 0, 0.5])
    without = merge_adapters([adapters[0], adapters[2]], [0.5, 0.5])
    assert same_bytes(with_zero.adapter, without.adapter) and len(with_zero.report.operands) == 2


def test_attack_101_the_same_update_counts_once(make_adapter: Make) -> None:
    one, two = make_adapter(1), make_adapter(2)
    plain = merge_adapters([one, two])
    doubled = merge_adapters([one, two, one, one])
    assert same_bytes(doubled.adapter, plain.adapter) and doubled.report.collapsed == 2
    weighted = merge_adapters([one, two, one], [0.2, 0.5, 0.6])
    assert same_bytes(weighted.adapter, merge_adapters([one, two], [0.6, 0.5]).adapter)


def test_modules_that_some_lack(make_adapter: Make, dense_of: Dense) -> None:
    both = ("layers.0.q_proj", "layers.0.up_proj")
    one = make_adapter(1, modules=both[:1], targets=("q_proj",))
    two = make_adapter(2, modules=both)
    result = merge_adapters([one, two], [0.5, 0.5])
    assert list(result.adapter.pairs) == sorted(both) and result.adapter.spec.target_modules == ("q_proj", "up_proj")
    np.testing.assert_allclose(dense_of(result.adapter, both[1]), 0.5 * dense_of(two, both[1]), atol=1e-5)
    report = {each.module: each for each in result.report.modules}[both[1]]
    assert sorted(report.input_norms)[0] == 0.0 and sorted(report.input_norms)[1] > 0
    assert {pair.rank for pair in result.adapter.pairs.values()} == {8} and result.report.rank == 8
    assert result.adapter.spec.rank_pattern == {} and result.adapter.spec.scale_of(both[0]) == 1.0


def test_trust_region_clips_each_module_after_truncation(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(1), make_adapter(2)]
    free = merge_adapters(adapters, rank_max=4)
    bound = sorted(report.norm for report in free.report.modules)[1]
    clipped = merge_adapters(adapters, rank_max=4, max_delta_fro=bound)
    assert sorted(report.clip == 1.0 for report in clipped.report.modules) == [False, True, True]
    for report in clipped.report.modules:
        norm = np.linalg.norm(dense_of(clipped.adapter, report.module))
        assert norm == pytest.approx(report.norm, rel=1e-5) and norm <= bound * (1 + 1e-6)
        np.testing.assert_allclose(
            dense_of(clipped.adapter, report.module), report.clip * dense_of(free.adapter, report.module), atol=1e-5
        )
    assert clipped.report.discarded_energy == pytest.approx(free.report.discarded_energy)


def test_a_cancelling_sum_is_zero_not_an_error(make_adapter: Make) -> None:
    one = make_adapter(1)
    minus = Adapter.of(
        {module: FactorPair(-pair.A, pair.B, pair.scale) for module, pair in one.pairs.items()}, one.spec
    )
    result = merge_adapters([one, minus], [0.5, 0.5])
    assert all(pair.norm() < 1e-4 for pair in result.adapter.pairs.values())


def test_bases(make_adapter: Make) -> None:
    adapters = [make_adapter(1, base="mini"), make_adapter(2, base="smollm2"), make_adapter(3, base=None)]
    with pytest.raises(UsageError, match="mini, smollm2"):
        merge_adapters(adapters)
    assert merge_adapters(adapters, base_model_name="here").adapter.spec.base_model_name == "here"
    assert merge_adapters([adapters[0], adapters[2]]).adapter.spec.base_model_name == "mini"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [1.0]}, "1 weights for 2 adapters"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"weights": [1.0, float("nan")]}, "finite"),
        ({"strategy": "ties"}, "one of sequential, weighted_sum"),
        ({"rank_max": 0}, "rank_max"),
        ({"max_delta_fro": 0.0}, "max_delta_fro"),
        ({"max_delta_fro": float("inf")}, "max_delta_fro"),
    ],
)
def test_wrong_arguments(make_adapter: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merge_adapters([make_adapter(1), make_adapter(2)], **changes)  # type: ignore[arg-type]


def test_nothing_to_merge_and_misfits(make_adapter: Make) -> None:
    with pytest.raises(UsageError, match="no adapters"):
        merge_adapters([])
    small = FactorPair(np.ones((1, 2), np.float32), np.ones((2, 1), np.float32))
    odd = Adapter.of({"layers.0.q_proj": small}, LoraSpec(r=1, alpha=1, target_modules=("q_proj",)))
    with pytest.raises(AdapterError, match=r"module layers\.0\.q_proj: updates of different shapes"):
        merge_adapters([odd, make_adapter(1, modules=("layers.0.q_proj",))])
