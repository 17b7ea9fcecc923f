"""Fisher information by module: against autograd's own gradients, and what weights come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plora.base import LoadedBase, load_base
from plora.base.prompts import encode_pair
from plora.merge.api import merge_plasmids
from plora.merge.dev_set import DevSet
from plora.merge.engine import merge_sources
from plora.merge.factors import FactorPair
from plora.merge.fisher import fisher_plan, fisher_scalars, fisher_weighted
from plora.merge.injection import fingerprint, injected
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, write_adapter
from plora.merge.plan import MergePlan, Override
from plora.proto.errors import UsageError

UP, DOWN = "model.layers.0.mlp.up_proj", "model.layers.1.mlp.down_proj"
PAIRS = [("What is 2 + 2?", "4"), ("What is 17 plus 25, roughly?", "about 42"), ("Say it", "it")]
POSITIVE = st.floats(1e-3, 1e3)


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


def adapter(base: LoadedBase, seed: int, modules: tuple[str, ...] = (UP, DOWN), gauge: float = 1.0) -> Adapter:
    """A small random update; its A is multiplied by `gauge`, its B divided by it."""
    draw, pairs = np.random.default_rng(seed), {}
    for module in modules:
        layer = base.model.get_submodule(module)
        a, b = draw.standard_normal((2, layer.in_features)), draw.standard_normal((layer.out_features, 2))
        pairs[module] = FactorPair((0.02 * a * gauge).astype(np.float32), (b / gauge).astype(np.float32), 0.5)
    return Adapter.of(pairs, LoraSpec(r=2, alpha=1, target_modules=modules, base_model_name="mini"))


def by_autograd(base: LoadedBase, module: str) -> float:
    """The mean of ‖∂ log p / ∂W‖² with a gradient of W's own size for every pair."""
    weight = base.model.get_submodule(module).weight
    total = 0.0
    for question, answer in PAIRS:
        encoded = encode_pair(base.tokenizer, question, answer)
        labels = torch.tensor([encoded.labels])
        logits = base.model(input_ids=torch.tensor([encoded.ids])).logits[0, :-1].log_softmax(-1)
        chosen = labels[0, 1:] != -100
        nll = -logits[chosen].gather(1, labels[0, 1:][chosen][:, None]).sum()
        [gradient] = torch.autograd.grad(nll, [weight])
        total += float(gradient.double().square().sum())
    return total / len(PAIRS)


def test_the_scalars_are_those_of_full_gradients(mini: LoadedBase) -> None:
    before = fingerprint(mini.model)
    with injected(mini.model, adapter(mini, 1)):
        expected = {module: by_autograd(mini, module) for module in (UP, DOWN)}
        found = fisher_scalars(DevSet(mini.model, mini.tokenizer, PAIRS), [UP, DOWN])
    assert found == pytest.approx(expected, rel=1e-3)
    assert min(found.values()) > 0
    assert fingerprint(mini.model) == before and all(weight.grad is None for weight in mini.model.parameters())
    assert not any(layer._forward_hooks for layer in mini.model.modules())


def test_the_weights_do_not_depend_on_the_factoring(mini: LoadedBase) -> None:
    plans = [
        fisher_weighted(
            mini.model, mini.tokenizer, [adapter(mini, 1, gauge=gauge), adapter(mini, 2)], [PAIRS, PAIRS], MergePlan()
        )
        for gauge in (1.0, 8.0)
    ]
    for one, other in zip(plans[0].overrides, plans[1].overrides, strict=True):
        assert one.weights == pytest.approx(other.weights, rel=1e-4)


def test_an_adapter_that_lacks_a_module_still_has_a_say(mini: LoadedBase) -> None:
    sources = [adapter(mini, 1), adapter(mini, 2, modules=(UP,))]
    plan = fisher_weighted(mini.model, mini.tokenizer, sources, [PAIRS, PAIRS], MergePlan(weights=(0.5, 0.5)))
    [at_down] = [each.weights for each in plan.overrides if each.modules == DOWN]
    assert at_down is not None and 0 < at_down[0] < 1
    merged = merge_sources(sources, plan).adapter.pairs[DOWN].dense()
    np.testing.assert_allclose(merged, at_down[0] * sources[0].pairs[DOWN].dense(), atol=1e-5)


@given(st.lists(st.tuples(POSITIVE, POSITIVE, POSITIVE), min_size=1, max_size=4), POSITIVE)
def test_weights_keep_their_sum_and_forget_an_adapters_size(rows: list[Any], size: float) -> None:
    weights = tuple(row[0] for row in rows)
    scalars = [{"up": up, "down": down} for _, up, down in rows]
    plan = fisher_plan(MergePlan(weights=weights), len(rows), scalars)
    louder = [{name: value * size for name, value in scalars[0].items()}, *scalars[1:]]
    again = fisher_plan(MergePlan(weights=weights), len(rows), louder)
    for one, other in zip(plan.overrides, again.overrides, strict=True):
        assert one.weights == pytest.approx(other.weights)
        assert sum(one.weights or ()) == pytest.approx(sum(weights))


def test_what_the_plan_says_of_a_module_goes_first() -> None:
    own = Override("up", weights=(1.0, 0.0))
    plan = fisher_plan(MergePlan(overrides=(own,)), 2, [{"up": 1.0}, {"up": 3.0}])
    assert plan.choice("up").weights == (1.0, 0.0)


def test_a_module_without_gradient_keeps_its_weights() -> None:
    plan = fisher_plan(MergePlan(weights=(0.3, 0.7)), 2, [{"up": 0.0, "down": 1.0}, {"up": 0.0, "down": 1.0}])
    assert plan.choice("up").weights == (0.3, 0.7)


def test_what_can_not_be_weighed_is_refused(mini: LoadedBase, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="subtracted"):
        fisher_plan(MergePlan(weights=(1.0, -0.5)), 2, [{"up": 1.0}, {"up": 1.0}])
    with pytest.raises(UsageError, match="pairs for 1 of 2"):
        fisher_weighted(mini.model, mini.tokenizer, [adapter(mini, 1), adapter(mini, 2)], [PAIRS], MergePlan())
    write_adapter(tmp_path, adapter(mini, 1))
    with pytest.raises(UsageError, match="ls_dataset"):
        merge_plasmids("mini", [tmp_path], fisher_weighted=True)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_merge_plasmids_weighs_by_module(mini: LoadedBase, tmp_path: Path) -> None:
    folders = [tmp_path / "1", tmp_path / "2"]
    sources = [adapter(mini, 1), adapter(mini, 2)]
    for folder, source in zip(folders, sources, strict=True):
        write_adapter(folder, source)
    model = merge_plasmids("mini", folders, fisher_weighted=True, ls_dataset=PAIRS)
    lora = model.base_model.model.get_submodule(UP)
    update = (lora.lora_B["default"].weight @ lora.lora_A["default"].weight).detach().double().numpy()
    basis = np.stack([source.pairs[UP].dense().ravel() for source in sources], axis=1)
    first, second = np.linalg.lstsq(basis, update.ravel(), rcond=None)[0]
    plan = fisher_weighted(mini.model, mini.tokenizer, sources, [PAIRS, PAIRS], MergePlan())
    weights = plan.choice(UP).weights or ()
    assert first / second == pytest.approx(weights[0] / weights[1], rel=1e-4)  # the line search scales both
    assert abs(first / second - 1) > 1e-3
