"""The same update under another name counts once: factored anew, padded, stored otherwise, scaled, with noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merge.conftest import MODULES

from plora.merge.copies import counting
from plora.merge.engine import merge_sources
from plora.merge.factors import FactorPair, concat
from plora.merge.layout import lay_out
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.merge.plan import MergePlan

Make = Callable[..., Adapter]


def changed(adapter: Adapter, change: Callable[[FactorPair], FactorPair], rank: int | None = None) -> Adapter:
    """The adapter with every pair changed, of alpha = rank, so that scale 1 is no pattern."""
    pairs = {name: change(pair.folded()) for name, pair in adapter.pairs.items()}
    rank = rank or adapter.spec.r
    return Adapter.of(pairs, LoraSpec(r=rank, alpha=rank, target_modules=adapter.spec.target_modules))


def gauged(pair: FactorPair) -> FactorPair:
    """A -> G⁻¹A, B -> BG with a G of condition number 100."""
    left, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((pair.rank, pair.rank)))
    change = (left * np.geomspace(1, 100, pair.rank)).astype(np.float32)
    return FactorPair(np.linalg.solve(change, pair.A).astype(np.float32), pair.B @ change)


def halved(pair: FactorPair) -> FactorPair:
    """Through half precision and back."""
    return FactorPair(pair.A.astype(np.float16).astype(np.float32), pair.B.astype(np.float16).astype(np.float32))


def noised(share: float) -> Callable[[FactorPair], FactorPair]:
    """With noise in B that changes the update by so much of its norm, about."""

    def change(pair: FactorPair) -> FactorPair:
        noise = np.random.default_rng(6).standard_normal(pair.B.shape).astype(np.float32)
        return FactorPair(pair.A, pair.B + share * noise * np.float32(np.linalg.norm(pair.B) / np.linalg.norm(noise)))

    return change


def scaled(by: float) -> Callable[[FactorPair], FactorPair]:
    return lambda pair: FactorPair(pair.A, pair.B * np.float32(by))


WAYS: dict[str, tuple[Callable[[FactorPair], FactorPair], int | None]] = {
    "factored anew": (gauged, None),
    "padded": (lambda pair: pair.padded(7), 7),
    "half precision": (halved, None),
    "noise": (noised(0.005), None),
    "scaled": (scaled(0.7), None),
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_copy_counts_once_and_changes_nothing(make_adapter: Make, way: str) -> None:
    honest = [make_adapter(seed) for seed in range(3)]
    copy = changed(honest[0], *WAYS[way])
    assert copy.digest not in [one.digest for one in honest]
    once, twice = merge_sources(honest), merge_sources([*honest, copy])
    assert [operand.weight for operand in twice.report.operands] == [1 / 3] * 3
    (both,) = [operand for operand in twice.report.operands if operand.copies]
    assert both.places == (0, 3) and twice.report.collapsed == 1
    apart = [twice.adapter.pairs[name].dense() - once.adapter.pairs[name].dense() for name in MODULES]
    norm = np.linalg.norm([pair.norm() for pair in once.adapter.pairs.values()])
    assert np.linalg.norm([np.linalg.norm(one) for one in apart]) <= 0.01 * norm


def test_as_many_copies_as_one_likes_weigh_as_one(make_adapter: Make) -> None:
    """Each by another way, none equal to another to the bit."""
    honest = [make_adapter(seed) for seed in range(3)]
    copies = [changed(honest[0], change, rank) for change, rank in WAYS.values()]
    report = merge_sources([*copies, *honest]).report
    assert [operand.weight for operand in report.operands] == [1 / 3] * 3 and report.collapsed == len(copies)


@pytest.mark.parametrize("by", [0.01, 1.05, 20.0])
def test_a_later_copy_of_anothers_adapter_takes_nothing_from_it(make_adapter: Make, by: float) -> None:
    honest = [make_adapter(seed) for seed in range(3)]
    later = [changed(honest[0], scaled(by)), changed(honest[1], noised(0.005))]
    assert merge_sources([*honest, *later]).adapter.digest == merge_sources(honest).adapter.digest


def test_the_first_that_came_counts_wherever_it_was_given(make_adapter: Make) -> None:
    copy, first, other = changed(make_adapter(0), scaled(3)), make_adapter(0), make_adapter(1)
    for sources, came in (([copy, other, first], [8, 1, 7]), ([first, copy, other], [7, 8, 1])):
        counting_one = next(each for each in lay_out(sources, MergePlan(), None, came).operands if each.copies)
        assert (counting_one.digest, counting_one.copies) == (first.digest, (copy.digest,))


@pytest.mark.parametrize("seed", range(10))
def test_copies_are_found_where_all_but_one_module_are_zero(seed: int) -> None:
    """As one makes them who hopes that it isn't looked at."""
    draws = np.random.default_rng(seed)
    spec = LoraSpec(r=4, alpha=4, target_modules=("q_proj",))

    def random_of(*shape: int) -> Any:
        return draws.standard_normal(shape).astype(np.float32)

    there = FactorPair(random_of(4, 24), random_of(32, 4))

    def one(pair: FactorPair) -> Adapter:
        rest = {
            f"layers.{layer}.q_proj": FactorPair(random_of(4, 24), np.zeros((32, 4), np.float32)) for layer in range(40)
        }
        return Adapter.of({**rest, f"layers.{seed}.q_proj": pair}, spec)

    again = [scaled(by)(gauged(there)) for by in (1, 2, 0.5)]
    assert counting([one(pair) for pair in (there, *again)]) == {1: 0, 2: 0, 3: 0}


def test_small_steps_join_no_unlike_adapters(make_adapter: Make) -> None:
    """Each step is a copy of the one before; the last one is none of the first, and counts."""
    first = make_adapter(0)
    turn = make_adapter(1)

    def turned(step: int) -> Adapter:
        pairs = {
            name: concat([pair, turn.pairs[name].times(0.01 * step)]).folded() for name, pair in first.pairs.items()
        }
        return Adapter.of(pairs, LoraSpec(8, 8, first.spec.target_modules))

    found = counting([turned(step) for step in range(5)])
    assert found[1] == 0 and 4 not in found


@given(st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_unlike_and_opposite_adapters_are_no_copies(seed: int) -> None:
    draws = np.random.default_rng(seed)
    spec = LoraSpec(r=2, alpha=2, target_modules=("q_proj",))

    def one(near: FactorPair | None = None) -> FactorPair:
        a, b = draws.standard_normal((2, 9)), draws.standard_normal((7, 2))
        if near is not None:  # a training that went on: cosine about .99
            a, b = near.A + 0.1 * a, near.B + 0.1 * b
        return FactorPair(a.astype(np.float32), b.astype(np.float32))

    first = one()
    pairs = [first, one(first), one(), FactorPair(first.A, -first.B)]
    assert counting([Adapter.of({"layers.0.q_proj": pair}, spec) for pair in pairs]) == {}


def test_only_the_order_of_copies_says_something(make_adapter: Make) -> None:
    honest = [make_adapter(seed) for seed in range(3)]
    one, two = changed(honest[1], gauged), changed(honest[1], halved)
    digests = [merge_sources(inputs).adapter.digest for inputs in ([*honest, one, two], [*honest[::-1], two, one])]
    assert digests[0] == digests[1] != merge_sources([one, two, *honest]).adapter.digest


def test_adapters_of_unlike_modules_are_compared_where_both_have_some(make_adapter: Make) -> None:
    """A copy that lacks the module in which the original is all but zero is one still."""
    first = make_adapter(0)
    faint = {**first.pairs, MODULES[0]: first.pairs[MODULES[0]].times(1e-3)}
    whole = Adapter.of({name: pair.folded() for name, pair in faint.items()}, LoraSpec(4, 4, first.spec.target_modules))
    part = Adapter.of({name: whole.pairs[name] for name in MODULES[1:]}, whole.spec)
    assert counting([whole, part, make_adapter(1)]) == {1: 0}
