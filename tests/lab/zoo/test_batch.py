"""Training many at once is training each alone, and peft beside torch's AdamW is the oracle for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from plora.base import LoadedBase, load_base
from plora.base.prompts import EncodedPair, encode_pair, pad_batch
from plora.lab.corpora import load_domain
from plora.lab.wearing import wearing_new
from plora.merge.factors import FactorPair

torch = pytest.importorskip("torch")

from plora.lab.train import ATTENTION, MLP, WARM_STEPS  # noqa: E402
from plora.lab.zoo.batch import Batch, Learner, Slot, layer_of, slot_losses  # noqa: E402

STEPS = 4


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


class Rows:
    """Four pairs a step of one domain, from a place on."""

    def __init__(self, base: LoadedBase, domain: str, first: int = 0) -> None:
        pairs = load_domain(domain, "train", 200, environ={})[first:]
        self._pairs = [encode_pair(base.tokenizer, pair.question, pair.answer, 48) for pair in pairs]

    def __call__(self, step: int) -> Sequence[EncodedPair]:
        return self._pairs[4 * step : 4 * step + 4]


def alone(slot_of: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    return (slot_of,), (1.0,)


def trained(base: LoadedBase, learners: list[Learner], slots: list[Slot]) -> list[dict[str, FactorPair]]:
    batch = Batch(base, learners)
    batch.train(slots)
    return [batch.factors_of(place) for place in range(len(learners))]


def furthest(some: Mapping[str, FactorPair], others: Mapping[str, FactorPair]) -> float:
    assert set(some) == set(others)
    gaps = [np.abs(some[name].dense() - others[name].dense()).max() for name in some]
    return float(max(gaps))


LEARNERS = [
    Learner(2, 2.0, ATTENTION, rate=0.01, steps=STEPS, seed=1),
    Learner(8, 1.0, MLP, rate=0.004, steps=STEPS - 1, seed=2),
    Learner(4, 2.0, ATTENTION + MLP, rate=0.008, steps=STEPS, seed=3),
]
DOMAINS = ("legal", "medical", "arithmetic")


class TestAgainstOthers:
    def test_each_becomes_what_it_becomes_alone(self, mini: LoadedBase) -> None:
        rows = [Rows(mini, domain) for domain in DOMAINS]
        together = trained(mini, LEARNERS, [Slot(*alone(place), rows[place]) for place in range(3)])
        for place, learner in enumerate(LEARNERS):
            [single] = trained(mini, [learner], [Slot(*alone(0), rows[place])])
            assert furthest(together[place], single) < 1e-5
            assert all(np.abs(pair.B).max() > 1e-3 for pair in single.values())

    def test_one_is_what_peft_and_adamw_make_of_it(self, mini: LoadedBase) -> None:
        learner, rows = LEARNERS[2], Rows(mini, "legal")
        [ours] = trained(mini, [learner], [Slot(*alone(0), rows)])
        assert furthest(ours, peft_trained(mini, learner, rows)) < 1e-4

    def test_the_same_again_bit_for_bit_and_the_base_is_given_back(self, mini: LoadedBase) -> None:
        before = {name: weight.detach().clone() for name, weight in mini.model.named_parameters()}
        slots = [Slot(*alone(0), Rows(mini, "medical"))]
        [once], [twice] = trained(mini, LEARNERS[:1], slots), trained(mini, LEARNERS[:1], slots)
        assert furthest(once, twice) == 0.0
        assert all(torch.equal(weight, before[name]) for name, weight in mini.model.named_parameters())
        assert all(weight.requires_grad for weight in mini.model.parameters())


class TestSlots:
    def test_a_slot_of_two_sees_half_of_each(self, mini: LoadedBase) -> None:
        one, other = trained(mini, [LEARNERS[0], LEARNERS[2]], [Slot(*alone(n), Rows(mini, "legal")) for n in (0, 1)])
        worn = [Learner(2, 2.0, ATTENTION, start=one), Learner(4, 2.0, ATTENTION + MLP, start=other)]
        merged = {name: FactorPair(*stacked(one.get(name), other[name]), 1.0) for name in other}
        sum_of_both = Learner(6, 1.0, ATTENTION + MLP, start=merged)
        batch = Batch(mini, [*worn, sum_of_both])
        slots = [Slot((0, 1), (0.5, 0.5)), Slot((2,), (1.0,)), Slot((), ()), Slot((0,), (1.0,))]
        asked = pad_batch([*Rows(mini, "legal", 100)(0)] * 4, mini.tokenizer.pad_token_id)
        with batch.on(slots), torch.no_grad():
            mixed, dense, base, single = slot_losses(mini.model, asked, 4).tolist()
        assert mixed == pytest.approx(dense, abs=1e-4)
        assert base > mixed + 0.05 and abs(single - mixed) > 0.01

    def test_rows_of_a_merge_teach_nothing_where_a_member_is_still(self, mini: LoadedBase) -> None:
        def still_in(turn: int, layer: int) -> bool:
            return (layer < 2) == (turn == 1)

        early, late = trained(mini, LEARNERS[1:], [Slot((0, 1), (0.5, 0.5), Rows(mini, "legal"), still_in)])
        assert {layer_of(name) for name, pair in early.items() if pair.B.any()} == {0, 1}
        assert {layer_of(name) for name, pair in late.items() if pair.B.any()} == {2, 3}

    def test_only_some_components_learn_and_partners_stay(self, mini: LoadedBase) -> None:
        [start] = trained(mini, LEARNERS[2:], [Slot(*alone(0), Rows(mini, "legal"))])
        spike = Learner(4, 2.0, ATTENTION + MLP, 0.01, STEPS, start=start, components=1)
        partner = Learner(4, 2.0, ATTENTION + MLP, 0.01, STEPS, start=start, still=True)
        moved, kept = trained(mini, [spike, partner], [Slot((0, 1), (0.5, 0.5), Rows(mini, "medical"))])
        assert furthest(kept, start) == 0.0
        for name, pair in moved.items():
            assert np.array_equal(pair.A[1:], start[name].A[1:]) and np.array_equal(pair.B[:, 1:], start[name].B[:, 1:])
            assert not np.array_equal(pair.B[:, :1], start[name].B[:, :1])


def stacked(one: FactorPair | None, other: FactorPair) -> tuple[Any, Any]:
    """A and B of the mean of two updates."""
    halves = [(pair.A, 0.5 * pair.scale * pair.B) for pair in (one, other) if pair is not None]
    return np.concatenate([a for a, _ in halves]), np.concatenate([b for _, b in halves], axis=1)


def peft_trained(base: LoadedBase, learner: Learner, rows: Rows) -> dict[str, FactorPair]:
    """The learner by peft's layers and torch's AdamW, begun with the same A."""
    from peft import LoraConfig

    config = LoraConfig(r=learner.rank, lora_alpha=8, target_modules=list(learner.targets), task_type="CAUSAL_LM")
    begun = Batch(base, [learner]).factors_of(0)
    with wearing_new(base.model, config, seed=0) as model:
        layers = {name: model.get_submodule(f"base_model.model.{name}") for name in begun}
        for name, layer in layers.items():
            layer.lora_A["default"].weight.data = torch.tensor(begun[name].A)
        _descend(model, learner, rows, base.tokenizer.pad_token_id)
        return {name: _pair(layer, learner.scale) for name, layer in layers.items()}


def _descend(model: Any, learner: Learner, rows: Rows, pad_id: int) -> None:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1.0, weight_decay=0.0)
    for step in range(learner.steps):
        optimizer.param_groups[0]["lr"] = learner.rate * min(1, (step + 1) / WARM_STEPS) * (1 - step / learner.steps)
        model(**pad_batch(rows(step), pad_id)).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()


def _pair(layer: Any, scale: float) -> FactorPair:
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return FactorPair(a.detach().numpy().copy(), b.detach().numpy().copy(), scale)
