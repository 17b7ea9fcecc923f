"""Merging adapters against the dense sum in float64."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.merge.conftest import MODULES

from plora.merge.engine import merge_into, merge_sources
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.outcome import MergeResult
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.plan import MergePlan, Override, TrustRegion
from plora.merge.registry import STRATEGIES, plan_of, strategy
from plora.merge.safetensors_io import read_tensors, write_tensors
from plora.proto.errors import AdapterError, UsageError

Make = Callable[..., Adapter]
Dense = Callable[[Adapter, str], NDArray[np.float64]]

SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"use_rslora": True, "alpha": 3.0},
    {"rank_pattern": {"0.self_attn.q_proj": 2}, "alpha_pattern": {"up_proj": 5.0}},
)


def merge(
    adapters: Sequence[Adapter],
    weights: Sequence[float] | None = None,
    strategy: str = "weighted_sum",
    base_model_name: str | None = None,
    **changes: Any,
) -> MergeResult:
    return merge_sources(adapters, plan_of(strategy, weights, **changes), base_model_name)


def same_bytes(one: Adapter, two: Adapter) -> bool:
    return one.digest == two.digest and one.spec == two.spec


def test_mixed_adapters_sum_exactly_below_the_rank_bound(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed, rank=4, **spec) for seed, spec in enumerate(SPECS)]
    weights = [0.5, 0.3, -0.2]
    result = merge(adapters, weights, rank_max=12)
    for module in adapters[0].pairs:
        total = sum(weight * dense_of(each, module) for weight, each in zip(weights, adapters, strict=True))
        np.testing.assert_allclose(dense_of(result.adapter, module), total, atol=2e-5)
    assert result.report.discarded_energy < 1e-9


def test_default_weights_are_equal_shares(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    result = merge(adapters)
    assert [operand.weight for operand in result.report.operands] == [1 / 3] * 3
    module = next(iter(adapters[0].pairs))
    total = sum(dense_of(each, module) for each in adapters) / 3
    np.testing.assert_allclose(dense_of(result.adapter, module), total, atol=1e-5)


def test_report_agrees_with_the_dense_truth(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    result = merge(adapters, [1, 1, 1], rank_max=5)
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
        merge([adapter for adapter, _ in order], [weight for _, weight in order], rank_max=6)
        for order in itertools.permutations(operands)
    )
    assert all(same_bytes(other.adapter, first.adapter) for other in others)
    assert all(other.report.modules == first.report.modules for other in others)


def test_sequential_keeps_the_order_given(make_adapter: Make) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    one = merge(adapters, strategy="sequential", rank_max=4)
    two = merge(adapters[::-1], strategy="sequential", rank_max=4)
    assert [operand.digest for operand in one.report.operands] == [adapter.digest for adapter in adapters]
    assert one.adapter.digest != two.adapter.digest


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("spec", SPECS)
def test_one_adapter_at_weight_one_is_itself(make_adapter: Make, strategy: str, spec: dict[str, object]) -> None:
    adapter = make_adapter(7, **spec)
    assert same_bytes(merge([adapter], strategy=strategy).adapter, adapter)
    assert same_bytes(merge([adapter], strategy=strategy, rank_max=4).adapter, adapter)
    others = merge([make_adapter(8), adapter, adapter], [0, 1, 1], strategy)
    assert same_bytes(others.adapter, adapter)


def test_identity_of_a_bf16_file(make_adapter: Make, tmp_path: Path, dense_of: Dense) -> None:
    write_adapter(tmp_path, make_adapter(9, use_rslora=True))
    path = tmp_path / "adapter_model.safetensors"
    write_tensors(path, {name: tensor.astype(ml_dtypes.bfloat16) for name, tensor in read_tensors(path).items()})
    adapter = read_adapter(tmp_path)
    assert same_bytes(merge([adapter]).adapter, adapter)


@pytest.mark.parametrize("changes", [{"weights": [0.5]}, {"rank_max": 3}, {"max_delta_fro": 1e-3}])
def test_identity_ends_where_something_changes(make_adapter: Make, changes: dict[str, object]) -> None:
    adapter = make_adapter(7)
    assert merge([adapter], **changes).adapter.digest != adapter.digest  # type: ignore[arg-type]


def test_weight_zero_drops_out(make_adapter: Make) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    with_zero = merge(adapters, [0.5, 0, 0.5])
    without = merge([adapters[0], adapters[2]], [0.5, 0.5])
    assert same_bytes(with_zero.adapter, without.adapter) and len(with_zero.report.operands) == 2


def test_attack_101_the_same_update_counts_once(make_adapter: Make) -> None:
    one, two = make_adapter(1), make_adapter(2)
    plain = merge([one, two])
    doubled = merge([one, two, one, one])
    assert same_bytes(doubled.adapter, plain.adapter) and doubled.report.collapsed == 2
    weighted = merge([one, two, one], [0.2, 0.5, 0.6])
    assert same_bytes(weighted.adapter, merge([one, two], [0.6, 0.5]).adapter)


def test_modules_that_some_lack(make_adapter: Make, dense_of: Dense) -> None:
    both = ("layers.0.q_proj", "layers.0.up_proj")
    one = make_adapter(1, modules=both[:1], targets=("q_proj",))
    two = make_adapter(2, modules=both)
    result = merge([one, two], [0.5, 0.5])
    assert list(result.adapter.pairs) == sorted(both) and result.adapter.spec.target_modules == ("q_proj", "up_proj")
    np.testing.assert_allclose(dense_of(result.adapter, both[1]), 0.5 * dense_of(two, both[1]), atol=1e-5)
    report = {each.module: each for each in result.report.modules}[both[1]]
    assert sorted(report.input_norms)[0] == 0.0 and sorted(report.input_norms)[1] > 0
    assert {pair.rank for pair in result.adapter.pairs.values()} == {8} and result.report.rank == 8
    assert result.adapter.spec.rank_pattern == {} and result.adapter.spec.scale_of(both[0]) == 1.0


def test_trust_region_clips_each_module_after_truncation(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(1), make_adapter(2)]
    free = merge(adapters, rank_max=4)
    bound = sorted(report.norm for report in free.report.modules)[1]
    clipped = merge(adapters, rank_max=4, max_delta_fro=bound)
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
    result = merge([one, minus], [0.5, 0.5])
    assert all(pair.norm() < 1e-4 for pair in result.adapter.pairs.values())


def test_bases(make_adapter: Make) -> None:
    adapters = [make_adapter(1, base="mini"), make_adapter(2, base="smollm2"), make_adapter(3, base=None)]
    with pytest.raises(UsageError, match="mini, smollm2"):
        merge(adapters)
    assert merge(adapters, base_model_name="here").adapter.spec.base_model_name == "here"
    assert merge([adapters[0], adapters[2]]).adapter.spec.base_model_name == "mini"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [1.0]}, "1 weights for 2 adapters"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"weights": [1.0, float("nan")]}, "finite"),
        ({"strategy": "best"}, "one of .*sequential.*weighted_sum"),
        ({"rank_max": 0}, "rank_max"),
        ({"max_delta_fro": 0.0}, "max_delta_fro"),
        ({"max_delta_fro": float("inf")}, "max_delta_fro"),
    ],
)
def test_wrong_arguments(make_adapter: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merge([make_adapter(1), make_adapter(2)], **changes)  # type: ignore[arg-type]


def test_nothing_to_merge_and_misfits(make_adapter: Make) -> None:
    with pytest.raises(UsageError, match="no adapters"):
        merge([])
    small = FactorPair(np.ones((1, 2), np.float32), np.ones((2, 1), np.float32))
    odd = Adapter.of({"layers.0.q_proj": small}, LoraSpec(r=1, alpha=1, target_modules=("q_proj",)))
    with pytest.raises(AdapterError, match=r"module layers\.0\.q_proj: updates of different shapes"):
        merge([odd, make_adapter(1, modules=("layers.0.q_proj",))])


def test_relative_trust_region_needs_the_base(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(1), make_adapter(2)]
    plan = MergePlan(rank_max=4, trust=TrustRegion(max_delta_relative=0.1))
    norms = {module: 10.0 + place * 1000 for place, module in enumerate(adapters[0].pairs)}
    with pytest.raises(UsageError, match="needs the base's weights"):
        merge_sources(adapters, plan)
    with pytest.raises(UsageError, match=list(norms)[-1]):
        merge_sources(adapters, plan, base_norms=dict(list(norms.items())[:-1]))
    free = merge_sources(adapters, replace(plan, trust=TrustRegion()), base_norms=norms)
    bound = merge_sources(adapters, plan, base_norms=norms)
    for before, after in zip(free.report.modules, bound.report.modules, strict=True):
        most = 0.1 * norms[after.module]
        assert after.norm == pytest.approx(min(before.norm, most)) and after.relative_norm == pytest.approx(
            after.norm / (10 * most)
        )
        assert np.linalg.norm(dense_of(bound.adapter, after.module)) == pytest.approx(after.norm, rel=1e-5)
    assert {module.clip < 1 for module in bound.report.modules} == {True, False}


def test_total_trust_region_scales_the_whole_adapter(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(1), make_adapter(2)]
    free = merge(adapters, rank_max=4)
    most = 0.5 * free.report.norm
    result = merge_sources(adapters, MergePlan(rank_max=4, trust=TrustRegion(max_total_fro=most)))
    assert result.report.total_clip == pytest.approx(0.5) and result.report.norm == pytest.approx(most)
    assert result.report.discarded_energy == pytest.approx(free.report.discarded_energy)
    norms = [np.linalg.norm(dense_of(result.adapter, module)) for module in result.adapter.pairs]
    assert np.linalg.norm(norms) == pytest.approx(most, rel=1e-6)
    for module in result.adapter.pairs:
        np.testing.assert_allclose(dense_of(result.adapter, module), 0.5 * dense_of(free.adapter, module), atol=1e-6)


@pytest.mark.parametrize("bound", ["max_delta_fro", "max_total_fro"])
def test_trust_region_holds_for_one_adapter_too(make_adapter: Make, bound: str) -> None:
    adapter = make_adapter(7)
    report = merge([adapter]).report
    norm = report.norm if bound == "max_total_fro" else max(module.norm for module in report.modules)
    for most, same in ((1.01 * norm, True), (0.9 * norm, False)):
        result = merge_sources([adapter], MergePlan(trust=TrustRegion(**{bound: most})))
        assert same_bytes(result.adapter, adapter) == same and result.report.norm <= report.norm


def test_overrides_change_method_weights_and_rank_of_their_modules(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(seed) for seed in range(3)]
    overrides = (Override("layers.0-0", weights=(0.0, 1.0, 0.0)), Override("up_proj", strategy("core"), rank_max=2))
    result = merge_sources(adapters, MergePlan(weights=(0.5, 0.3, 0.2), rank_max=12, overrides=overrides))
    plain = merge(adapters, [0.5, 0.3, 0.2], rank_max=12)
    core = merge(adapters, [0.5, 0.3, 0.2], "core", rank_max=2)
    first, last, middle = sorted(MODULES)
    np.testing.assert_allclose(dense_of(result.adapter, first), dense_of(adapters[1], first), atol=1e-5)
    np.testing.assert_allclose(dense_of(result.adapter, middle), dense_of(plain.adapter, middle), atol=1e-5)
    np.testing.assert_allclose(dense_of(result.adapter, last), dense_of(core.adapter, last), atol=1e-5)
    assert [report.rank for report in result.report.modules] == [4, 2, 10] and result.adapter.spec.r == 10


def test_report_says_how_the_inputs_lie_to_each_other(make_adapter: Make, dense_of: Dense) -> None:
    adapters, weights = [make_adapter(seed) for seed in range(3)], [0.5, 0.3, -0.2]
    report = merge_sources(adapters, MergePlan(weights=tuple(weights), signs=True)).report
    weight_of = {adapter.digest: weight for adapter, weight in zip(adapters, weights, strict=True)}
    ordered = sorted(adapters, key=lambda adapter: adapter.digest)
    stacked = np.array([np.concatenate([dense_of(each, module).ravel() for module in MODULES]) for each in ordered])
    unit = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
    np.testing.assert_allclose(report.cosines, unit @ unit.T, atol=1e-6)
    signed = np.array([weight_of[each.digest] for each in ordered])[:, None] * stacked
    apart = np.linalg.norm(signed, axis=1).sum()
    assert report.cancellation == pytest.approx(np.linalg.norm(signed.sum(axis=0)) / apart, rel=1e-6)
    assert all(0 < module.sign_conflict < 0.5 and 0 < module.sign_disagreement < 1 for module in report.modules)  # type: ignore[operator]
    assert all(module.sign_conflict is None for module in merge(adapters, weights).report.modules)


def test_sign_conflicts_in_full_are_those_of_the_entries(make_adapter: Make, dense_of: Dense) -> None:
    adapters = [make_adapter(1), make_adapter(2)]
    for module in merge(adapters, [1, 1], "ties").report.modules:
        one, two = (dense_of(adapter, module.module) for adapter in adapters)
        against = one * two < 0
        losing = np.minimum(np.abs(one), np.abs(two))[against].sum()
        assert module.sign_disagreement == pytest.approx(against.mean())
        assert module.sign_conflict == pytest.approx(losing / (np.abs(one) + np.abs(two)).sum(), rel=1e-5)


def test_times_are_those_of_the_clock_that_was_given(make_adapter: Make) -> None:
    adapters = [make_adapter(1), make_adapter(2)]
    ticks = itertools.count()
    report = merge_sources(adapters, clock=lambda: float(next(ticks))).report
    assert [module.seconds for module in report.modules] == [1.0, 1.0, 1.0] and report.seconds == 7.0
    assert merge(adapters).report.seconds is None


def test_a_sink_gets_header_modules_and_end_in_this_order(make_adapter: Make) -> None:
    told: list[tuple[Any, ...]] = []

    class Teller:
        def begin(self, spec: LoraSpec, shapes: Any) -> None:
            told.append(("begin", spec.r, dict(shapes)))

        def put(self, module: str, pair: FactorPair) -> None:
            told.append(("put", module, pair.rank, pair.scale))

        def end(self, clip: float) -> None:
            told.append(("end", clip))

    merge_into(Teller(), [make_adapter(1), make_adapter(2)], MergePlan(rank_max=3))
    modules = sorted(MODULES)
    assert told == [
        ("begin", 3, dict.fromkeys(modules, (12, 10, 3))),
        *(("put", module, 3, 1.0) for module in modules),
        ("end", 1.0),
    ]


def test_a_whole_adapter_that_krum_takes_may_lack_a_module(make_adapter: Make) -> None:
    both = ("layers.0.q_proj", "layers.0.up_proj")
    inputs = [make_adapter(seed, modules=both[:1]) for seed in range(3)] + [make_adapter(9, modules=both)]
    result = merge(inputs, strategy="krum")
    taken = next(operand.places[0] for operand in result.report.operands if operand.effective)
    assert (result.adapter.pairs[both[1]].norm() == 0) == (taken != 3)
