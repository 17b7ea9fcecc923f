"""Every strategy against dense float64 matrices, and what all of them promise."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from peft.utils.merge_utils import ties as peft_ties
from tests.merge import dense_oracle
from tests.merge.dense_oracle import BAD, DENSITY, ORACLES, best_of_rank, ties_entry

from plora.merge.engine import merge_sources
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.outcome import MergeResult
from plora.merge.peft_folder import Adapter
from plora.merge.plan import MergePlan, Method, Override
from plora.merge.registry import ORDERED, STRATEGIES, check_method
from plora.merge.robust import coefficients
from plora.proto.errors import AdapterError, UsageError

Matrix = NDArray[np.float64]

SHAPES = {"layers.0.q_proj": (9, 12), "layers.1.q_proj": (14, 9)}
WHOLE_RANK = 14
METHODS = {name: replace(method, density=DENSITY, byzantine=BAD) for name, method in STRATEGIES.items()}
RANDOM = frozenset({"dare", "dare_ties"})
MASKED_OR_ORDERED = frozenset({"dare", "dare_ties", "sequential"})
# Where the oracle finds its point by a general minimiser, it is that which isn't exact.
TOLERANCE = {"geometric_median": 1e-5, "centred_clipping": 1e-5, "nnm": 1e-5}

every_strategy = pytest.mark.parametrize("name", sorted(METHODS))
seeds = st.integers(0, 2**20)
a_few = settings(max_examples=5, deadline=None)


def adapters_of(seed: int, count: int = 5, gauge: bool = False, factor: float = 1.0) -> list[Adapter]:
    """Adapters of rank 1 and 2 in float64, around a common update; `gauge` changes the factors and not the updates."""
    draw = np.random.default_rng(seed)
    common = {name: draw.standard_normal((1, into)) for name, (_, into) in SHAPES.items()}
    made = []
    for place in range(count):
        rank = 1 + place % 2
        spec = LoraSpec(r=rank, alpha=1.5 * rank, target_modules=("q_proj",), base_model_name="mini")
        pairs = {}
        for name, (out, into) in SHAPES.items():
            a = factor * (draw.standard_normal((rank, into)) + common[name])
            b = draw.standard_normal((out, rank)) + 1.0
            change = np.eye(rank) * 2.0 + np.tri(rank) if gauge else np.eye(rank)
            pairs[name] = FactorPair(change @ a, b @ np.linalg.inv(change), 1.5)
        made.append(Adapter.of(pairs, spec))
    return made


def weights_of(seed: int, count: int = 5) -> tuple[float, ...]:
    return tuple(np.random.default_rng(seed + 1).uniform(0.2, 1.0, count).tolist())


def merged(adapters: Sequence[Adapter], method: Method, weights: Sequence[float] | None, rank: int) -> MergeResult:
    given_weights = None if weights is None else tuple(weights)
    return merge_sources(adapters, MergePlan(method, given_weights, rank))


def dense(adapter: Adapter) -> list[Matrix]:
    return [np.asarray(adapter.pairs[name].dense()) for name in SHAPES]


def assert_close(ones: list[Matrix], others: list[Matrix], tolerance: float = 1e-9) -> None:
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance * (1.0 + float(np.abs(other).max())))


@pytest.mark.parametrize("name", sorted(ORACLES))
@a_few
@given(seed=seeds)
@example(seed=179)  # nnm makes two operands of one, where the others pull 0.9998 of its weight
def test_equals_the_dense_oracle(name: str, seed: int) -> None:
    adapters, weights = adapters_of(seed), weights_of(seed)
    expected = ORACLES[name]([dense(adapter) for adapter in adapters], weights)
    result = merged(adapters, METHODS[name], weights, WHOLE_RANK)
    assert_close(dense(result.adapter), expected, TOLERANCE.get(name, 1e-8))
    assert result.report.discarded_energy < 1e-9


def test_all_strategies_have_an_oracle_or_a_test_of_their_own() -> None:
    assert set(METHODS) == set(ORACLES) | MASKED_OR_ORDERED


@pytest.mark.parametrize("name", sorted(ORACLES))
@a_few
@given(seed=seeds, rank=st.integers(1, 5))
def test_error_of_truncation_is_the_discarded_singular_values(name: str, seed: int, rank: int) -> None:
    adapters, weights = adapters_of(seed), weights_of(seed)
    exact = dense(merged(adapters, METHODS[name], weights, WHOLE_RANK).adapter)
    result = merged(adapters, METHODS[name], weights, rank)
    lost = total = 0.0
    for module, matrix, got in zip(result.report.modules, exact, dense(result.adapter), strict=True):
        sigma = np.linalg.svd(matrix, compute_uv=False)
        tail, all_of_it = float(np.sum(sigma[rank:] ** 2)), float(np.sum(sigma**2))
        assert np.linalg.norm(matrix - got) ** 2 == pytest.approx(tail, abs=1e-12 * all_of_it)
        assert module.discarded_energy == pytest.approx(tail / all_of_it, abs=1e-12)
        assert module.norm == pytest.approx(np.linalg.norm(got))
        lost, total = lost + tail, total + all_of_it
    assert result.report.discarded_energy == pytest.approx(lost / total, abs=1e-12)


@a_few
@given(seed=seeds)
def test_sequential_follows_its_definition(seed: int) -> None:
    adapters, weights = adapters_of(seed, 3), weights_of(seed, 3)
    result = merged(adapters, METHODS["sequential"], weights, 2)
    for place, report in enumerate(result.report.modules):
        state, kept = np.zeros(list(SHAPES.values())[place]), 1.0
        for adapter, weight in zip(adapters, weights, strict=True):
            exact = state + weight * dense(adapter)[place]
            state = best_of_rank(exact, 2)
            kept *= float(np.sum(state**2) / np.sum(exact**2))
        assert_close([dense(result.adapter)[place]], [state], 1e-7)
        assert report.discarded_energy == pytest.approx(1 - kept, abs=1e-9)


@every_strategy
@a_few
@given(seed=seeds)
def test_the_gauge_of_the_factors_does_not_matter(name: str, seed: int) -> None:
    """A random mask belongs to the bytes of an operand, so that dare keeps everything here."""
    method = replace(METHODS[name], density=1.0) if name in RANDOM else METHODS[name]
    one, two = (merged(adapters_of(seed, gauge=gauge), method, weights_of(seed), WHOLE_RANK) for gauge in (False, True))
    assert one.report.operands != two.report.operands
    assert_close(dense(one.adapter), dense(two.adapter), 1e-7)


@every_strategy
@a_few
@given(seed=seeds, data=st.data())
def test_the_order_of_operands_does_not_matter(name: str, seed: int, data: st.DataObject) -> None:
    adapters, weights = adapters_of(seed), weights_of(seed)
    order = data.draw(st.permutations(range(len(adapters))))
    one = merged(adapters, METHODS[name], weights, 3)
    two = merged([adapters[place] for place in order], METHODS[name], [weights[place] for place in order], 3)
    if METHODS[name].rule not in ORDERED:
        assert one.adapter.digest == two.adapter.digest and one.report.modules == two.report.modules


@every_strategy
def test_the_order_matters_for_sequential_alone(name: str) -> None:
    adapters = adapters_of(3)
    one, two = (merged(each, METHODS[name], None, 2).adapter.digest for each in (adapters, adapters[::-1]))
    assert (one == two) == (name != "sequential")


@every_strategy
def test_one_operand_at_weight_one_is_itself(name: str) -> None:
    for adapter in adapters_of(4, 2):
        result = merged([adapter], METHODS[name], [1.0], WHOLE_RANK)
        assert result.adapter.digest == adapter.digest and result.adapter.spec == adapter.spec
        half = merged([adapter], METHODS[name], [0.5], WHOLE_RANK)
        assert_close(dense(half.adapter), [0.5 * matrix for matrix in dense(adapter)])


@every_strategy
@a_few
@given(seed=seeds)
def test_weight_zero_drops_out_and_twice_the_same_counts_once(name: str, seed: int) -> None:
    adapters, weights = adapters_of(seed, 6), weights_of(seed, 6)
    plain = merged(adapters[:5], METHODS[name], weights[:5], 3)
    more = [*adapters, adapters[1], adapters[0]]
    result = merged(more, METHODS[name], [*weights[:5], 0.0, weights[1], 0.5 * weights[0]], 3)
    assert result.adapter.digest == plain.adapter.digest
    assert result.report.collapsed == 2 and len(result.report.operands) == 5
    assert sorted(operand.places for operand in result.report.operands) == [(0, 7), (1, 6), (2,), (3,), (4,)]


@every_strategy
@a_few
@given(seed=seeds, factor=st.sampled_from([0.25, 3.0, 1e3]))
def test_scale_equivariance(name: str, seed: int, factor: float) -> None:
    """Of weights and of updates alike; factors are powers of 2 or not."""
    adapters, weights = adapters_of(seed), weights_of(seed)
    plain = [factor * matrix for matrix in dense(merged(adapters, METHODS[name], weights, 4).adapter)]
    heavier = merged(adapters, METHODS[name], [factor * weight for weight in weights], 4)
    assert_close(dense(heavier.adapter), plain, 1e-7)
    scaled = merged(adapters, replace(METHODS[name], scaling=factor), weights, 4)
    assert_close(dense(scaled.adapter), plain, 1e-7)
    if name not in RANDOM:
        longer = merged(adapters_of(seed, factor=factor), METHODS[name], weights, 4)
        assert_close(dense(longer.adapter), plain, 1e-7)


@pytest.mark.parametrize("space", ["full", "knots", "core"])
@a_few
@given(seed=seeds)
def test_the_linear_rule_is_the_weighted_sum_in_every_space(space: str, seed: int) -> None:
    adapters, weights = adapters_of(seed), weights_of(seed)
    expected = ORACLES["weighted_sum"]([dense(adapter) for adapter in adapters], weights)
    assert_close(dense(merged(adapters, Method(space, "linear"), weights, WHOLE_RANK).adapter), expected, 1e-8)


@pytest.mark.parametrize("space", ["full", "knots", "core"])
@pytest.mark.parametrize("rule", ["dare", "dare_ties"])
def test_dare_that_keeps_everything_is_the_sum_or_the_mean_of_signs(space: str, rule: str) -> None:
    adapters, weights = adapters_of(5), weights_of(5)
    everything = Method(space, rule, density=1.0)
    same = Method(space, "linear" if rule == "dare" else "ties", density=1.0)
    assert_close(
        dense(merged(adapters, everything, weights, WHOLE_RANK).adapter),
        dense(merged(adapters, same, weights, WHOLE_RANK).adapter),
        1e-8,
    )


@pytest.mark.parametrize("rule", ["dare", "dare_ties"])
@a_few
@given(seed=seeds)
def test_dare_keeps_or_drops_each_entry(rule: str, seed: int) -> None:
    adapters, weights = adapters_of(seed, 2), weights_of(seed, 2)
    ones, others = dense(adapters[0]), dense(adapters[1])
    got = dense(merged(adapters, Method("full", rule, density=0.5), weights, WHOLE_RANK).adapter)
    for one, other, result in zip(ones, others, got, strict=True):
        for place in np.ndindex(result.shape):
            kept = [(2 * one[place] * a, 2 * other[place] * b) for a in (0, 1) for b in (0, 1)]
            if rule == "dare":
                possible = [weights[0] * a + weights[1] * b for a, b in kept]
            else:
                possible = [np.asarray(ties_entry([float(a), float(b)], weights)) for a, b in kept]
            assert min(abs(result[place] - each) for each in possible) < 1e-9


@pytest.mark.parametrize("name", ["ties", "knots", "core"])
@a_few
@given(seed=seeds, data=st.data())
def test_each_input_is_trimmed_to_its_own_density(name: str, seed: int, data: st.DataObject) -> None:
    adapters, weights = adapters_of(seed), weights_of(seed)
    densities = data.draw(st.tuples(*[st.sampled_from([0.1, 0.4, 0.75, 1.0])] * len(adapters)))
    rule = partial(getattr(dense_oracle, name), densities=densities)
    expected = dense_oracle.each_module(rule)([dense(adapter) for adapter in adapters], weights)
    order = data.draw(st.permutations(range(len(adapters))))
    plan = MergePlan(
        METHODS[name],
        tuple(weights[place] for place in order),
        WHOLE_RANK,
        densities=tuple(densities[place] for place in order),
    )
    assert_close(dense(merge_sources([adapters[place] for place in order], plan).adapter), expected, 1e-8)


@pytest.mark.parametrize("rule", ["dare", "dare_ties"])
def test_dare_thins_each_input_by_its_own_density(rule: str) -> None:
    """One input is kept whole and the other one loses about three quarters of its entries."""
    whole, thin = adapters_of(8, 2)
    overrides = (Override("layers.1.q_proj", densities=(1.0, 1.0)),)
    plan = MergePlan(Method("full", rule), (1.0, 1.0), WHOLE_RANK, densities=(1.0, 0.25), overrides=overrides)
    got = dense(merge_sources([whole, thin], plan).adapter)
    one, other = dense(whole), dense(thin)
    dropped = np.isclose(got[0], (1 if rule == "dare" else 2) * one[0], atol=1e-9)
    assert 0.6 < np.mean(dropped) < 0.9
    if rule == "dare":
        np.testing.assert_allclose(got[0][~dropped], (one[0] + 4 * other[0])[~dropped], atol=1e-9)
        assert_close(got[1:], [one[1] + other[1]])


def test_the_same_input_twice_has_the_larger_density() -> None:
    adapters, method = adapters_of(9, 2), METHODS["ties"]
    plan = MergePlan(method, (0.5, 0.5), densities=(0.2, 0.7))
    twice = replace(plan, weights=(0.5, 0.5, 0.1), densities=(0.2, 0.1, 0.7))
    result = merge_sources([adapters[0], adapters[1], adapters[1]], twice)
    assert result.adapter.digest == merge_sources(adapters, plan).adapter.digest
    with pytest.raises(UsageError, match="2 densities for 3 adapters"):
        merge_sources(adapters_of(9, 3), MergePlan(method, densities=(0.2, 0.7)))


def test_dare_is_right_on_average_and_its_seed_decides() -> None:
    adapters = adapters_of(6, 3)
    exact = ORACLES["weighted_sum"]([dense(adapter) for adapter in adapters], [1 / 3] * 3)[0]
    drawn = [
        dense(merged(adapters, Method("full", "dare", density=0.25, seed=seed), None, WHOLE_RANK).adapter)[0]
        for seed in range(300)
    ]
    spread = np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert np.mean(np.abs(np.mean(drawn, axis=0) - exact) < 2 * spread) > 0.85
    assert np.linalg.norm(drawn[0] - drawn[1]) > 0.1


@pytest.mark.parametrize("name", ["krum", "multi_krum", "geometric_median", "centred_clipping", "nnm", "norm_cap"])
def test_one_wild_operand_hardly_moves_a_robust_merge(name: str) -> None:
    adapters = adapters_of(7, 7)
    wild = adapters_of(8, 1, factor=1e3)
    honest = dense(merged(adapters, METHODS["weighted_sum"], None, WHOLE_RANK).adapter)
    attacked = dense(merged([*adapters, *wild], METHODS[name], None, WHOLE_RANK).adapter)
    mean = dense(merged([*adapters, *wild], METHODS["weighted_sum"], None, WHOLE_RANK).adapter)
    size = sum(float(np.linalg.norm(each)) for each in honest)
    moved = sum(float(np.linalg.norm(one - two)) for one, two in zip(attacked, honest, strict=True))
    assert moved < 1.5 * size < sum(float(np.linalg.norm(one - two)) for one, two in zip(mean, honest, strict=True))


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_float32_adapters_of_files_are_merged_as_the_oracle_does(name: str) -> None:
    """Of rank enough for Gram matrices to do the sum; the oracle gets the same rounded factors."""
    draw = np.random.default_rng(21)
    spec = LoraSpec(r=8, alpha=12, target_modules=("q_proj",), base_model_name="mini")
    adapters = []
    for _ in range(5):
        decay = (0.6 ** np.arange(8))[:, None]
        a = [(draw.standard_normal((8, into)) * decay).astype(np.float32) for into in (48, 60)]
        b = [draw.standard_normal((out, 8)).astype(np.float32) for out in (60, 44)]
        pairs = {module: FactorPair(a[place], b[place], 1.5) for place, module in enumerate(SHAPES)}
        adapters.append(Adapter.of(pairs, spec))
    expected = ORACLES[name]([dense(adapter) for adapter in adapters], weights_of(21))
    result = merged(adapters, METHODS[name], weights_of(21), 12)
    for got, exact in zip(dense(result.adapter), expected, strict=True):
        best = best_of_rank(exact, 12)
        assert np.linalg.norm(got - exact) <= 1.001 * np.linalg.norm(best - exact) + 1e-5 * np.linalg.norm(exact)


def huge_adapters(size: float) -> list[Adapter]:
    """Float32 factors of that size, so that entries of ΔW are its square."""
    made = []
    for adapter in adapters_of(31):
        factors = {
            name: FactorPair((size * pair.A).astype(np.float32), (size * pair.B).astype(np.float32), pair.scale)
            for name, pair in adapter.pairs.items()
        }
        made.append(Adapter.of(factors, adapter.spec))
    return made


@every_strategy
def test_updates_beyond_float32_are_merged_or_refused_by_name(name: str) -> None:
    """Factors of 1e25 are finite float32 numbers, and an entry of their product is not."""
    if METHODS[name].space == "full":
        with pytest.raises(AdapterError, match=r"module layers\.0\.q_proj: .*overflow float32"):
            merged(huge_adapters(1e25), METHODS[name], None, 4)
        return
    plain = dense(merged(huge_adapters(1.0), METHODS[name], None, 4).adapter)
    huge = dense(merged(huge_adapters(1e25), METHODS[name], None, 4).adapter)
    assert_close([matrix / 1e50 for matrix in huge], plain, 1e-4)


@every_strategy
def test_one_update_factored_anew_counts_once_whatever_the_rule(name: str) -> None:
    adapters, again = adapters_of(12), adapters_of(12, gauge=True)
    once = merged(adapters, METHODS[name], None, WHOLE_RANK)
    twice = merged([*adapters, again[1]], METHODS[name], None, WHOLE_RANK)
    (both,) = [one for one in twice.report.operands if one.copies]
    assert both.places == (1, 5) and twice.report.collapsed == 1
    if name not in RANDOM:  # their mask goes by the digest
        assert_close(dense(twice.adapter), dense(once.adapter), 1e-5)


@pytest.mark.parametrize("share", [1.0 - 1e-2, 1.0 - 1e-4, 1.0 + 1e-4, 1.0 + 1e-2])
def test_the_median_is_an_operand_exactly_where_the_others_pull_less_than_it_weighs(share: float) -> None:
    """Two of weight 1, at right angles seen from the third, pull by √2, and draw the median off by t."""
    updates = np.array([[0.0, 0.0, 2.0], [1.0, 0.0, 2.0], [0.0, 1.0, 2.0]])
    weights = [share * np.sqrt(2.0), 1.0, 1.0]
    median = coefficients(Method(rule="geometric_median"), updates @ updates.T, weights) @ updates / sum(weights)
    t = 0.5 * (1.0 - np.sqrt(1.0 - 2.0 * (1.0 - share**2) / (2.0 - share**2))) if share < 1.0 else 0.0
    np.testing.assert_allclose(median, [t, t, 2.0], atol=1e-6)


def test_krum_names_the_one_that_it_took() -> None:
    result = merged(adapters_of(9), METHODS["krum"], None, 4)
    assert sorted(operand.effective for operand in result.report.operands) == [0, 0, 0, 0, 1]
    assert {operand.weight for operand in result.report.operands} == {0.2}


@pytest.mark.parametrize(
    ("method", "count", "message"),
    [
        (Method(rule="krum", byzantine=1), 4, "at least 5 adapters, not of 4"),
        (Method(rule="multi_krum", byzantine=2), 5, "at least 7 adapters"),
        (Method(rule="nnm", byzantine=2), 4, "more than 4 adapters"),
    ],
)
def test_too_few_for_a_robust_rule(method: Method, count: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merged(adapters_of(1, count), method, None, 4)


def test_a_mean_takes_no_negative_weights() -> None:
    with pytest.raises(UsageError, match="no negative weights"):
        merged(adapters_of(1), METHODS["geometric_median"], [1, 1, 1, 1, -1], 4)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Method("factors", "ties"), "ties doesn't work in space factors.*full, knots, core"),
        (Method("tsv", "ties"), "doesn't work"),
        (Method("core", "krum"), "use it with space factors"),
        (Method("cores", "ties"), "unknown space 'cores'"),
        (Method("core", "tie"), "unknown rule 'tie'"),
    ],
)
def test_methods_that_make_no_sense(method: Method, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_method(method)
    with pytest.raises(UsageError, match=message):
        merge_sources(adapters_of(1), MergePlan(overrides=(Override("q_proj", method),)))


@pytest.mark.parametrize("count", [2, 5])
def test_ties_on_entries_is_pefts_function_on_dense_updates(count: int) -> None:
    """PEFT's own `ties`, given dense ΔW instead of factors; at its weights 1 it is the mean that weights 1/K make."""
    adapters = adapters_of(11, count)
    mine = dense(merged(adapters, Method("full", "ties", density=0.5), None, WHOLE_RANK).adapter)
    for place, module in enumerate(mine):
        tensors = [torch.from_numpy(dense(adapter)[place]) for adapter in adapters]
        theirs = peft_ties(tensors, torch.ones(count, dtype=torch.float64), density=0.5).numpy()
        np.testing.assert_allclose(module, theirs, atol=1e-9)
