"""An adapter put on a model in memory and taken off: PEFT's numbers while it is on, the base's own bits after."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.merge.tiny import logits_of, save_by_peft, tiny, worn

from plora.merge.factors import FactorPair
from plora.merge.folder_source import FolderSource
from plora.merge.injection import Budget, fingerprint, inject, injected
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.proto.errors import AdapterError, ConfigError, LatencyError

TARGETS = {"llama": ["q_proj", "down_proj"], "tied": ["v_proj", "up_proj"], "phi3": ["qkv_proj"], "gpt2": ["c_attn"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_by_peft(tmp_path / "adapter", "tied", 3, r=3, lora_alpha=7, target_modules=TARGETS["tied"])
    return tmp_path / "adapter"


@pytest.mark.parametrize("kind", TARGETS)
def test_a_worn_adapter_gives_what_peft_gives(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"fan_in_fan_out": True} if kind == "gpt2" else {}
    save_by_peft(tmp_path, kind, 3, r=3, lora_alpha=7, target_modules=TARGETS[kind], **options)
    model = tiny(kind)
    alone = logits_of(model)
    with injected(model, FolderSource(tmp_path)):
        on = logits_of(model)
    np.testing.assert_allclose(on, worn(tmp_path, kind), rtol=1e-5, atol=1e-6)
    assert np.abs(on - alone).max() > 0.01
    np.testing.assert_array_equal(logits_of(model), alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_base_keeps_every_bit(folder: Path, dtype: Any) -> None:
    model = tiny("tied").to(dtype)
    before, hooks = fingerprint(model), hooks_of(model)
    for _ in range(3):
        with injected(model, FolderSource(folder)):
            assert model(input_ids=torch.arange(6)[None]).logits.dtype == dtype
            assert fingerprint(model) == before
        assert (fingerprint(model), hooks_of(model)) == (before, hooks)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_a_changed_bit_changes_the_fingerprint() -> None:
    model = tiny("tied").to(torch.bfloat16)
    before = fingerprint(model)
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nextafter(model.model.norm.weight[3], torch.tensor(9.0).bfloat16())
    assert fingerprint(model) != before


def test_an_error_while_it_is_on_leaves_the_base(folder: Path) -> None:
    model = tiny("tied")
    before, hooks = fingerprint(model), hooks_of(model)
    with pytest.raises(KeyboardInterrupt), injected(model, FolderSource(folder)):
        raise KeyboardInterrupt
    assert (fingerprint(model), hooks_of(model)) == (before, hooks)


def test_a_file_that_breaks_midway_leaves_the_base(folder: Path) -> None:
    model, source = tiny("tied"), FolderSource(folder)
    before, hooks = fingerprint(model), hooks_of(model)

    class Breaking:
        """The folder, whose file is written to after the first layer was read."""

        spec, digest, modules, shape = source.spec, source.digest, source.modules, source.shape

        def pair(self, module: str) -> FactorPair:
            pair = source.pair(module)
            with (folder / "adapter_model.safetensors").open("ab") as file:
                file.write(b"\0")
            return pair

    with pytest.raises(AdapterError, match="changed"):
        inject(model, Breaking())
    assert (fingerprint(model), hooks_of(model)) == (before, hooks)


@pytest.mark.parametrize(
    ("module", "out", "said"),
    [
        ("model.layers.9.mlp.up_proj", 24, "no such layer"),
        ("model.layers.1.mlp.up_proj", 25, "weight is"),
        ("model.norm", 16, "can't wear"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_put_on(module: str, out: int, said: str) -> None:
    fine = "model.layers.0.mlp.up_proj"
    pairs = {
        name: FactorPair(np.ones((1, 16), np.float32), np.ones((rows, 1), np.float32))
        for name, rows in ((fine, 24), (module, out))
    }
    model = tiny("llama")
    hooks = hooks_of(model)
    with pytest.raises(AdapterError, match=said) as caught:
        inject(model, Adapter.of(pairs, LoraSpec(r=1, alpha=1, target_modules=(fine, module))))
    assert caught.value.where == module and hooks_of(model) == hooks


def test_factors_may_lie_backwards_in_memory() -> None:
    module, spec = "model.layers.0.mlp.up_proj", LoraSpec(r=2, alpha=2, target_modules=("up_proj",))
    a, b = np.arange(32, dtype=np.float32).reshape(2, 16) / 32, np.ones((24, 2), np.float32)
    model, shown = tiny("llama"), []
    for pair in (FactorPair(a, b), FactorPair(a[::-1].copy()[::-1], b)):
        with injected(model, Adapter.of({module: pair}, spec)):
            shown.append(logits_of(model))
    np.testing.assert_array_equal(shown[0], shown[1])


def test_times_scales_the_update_while_it_is_on(folder: Path) -> None:
    model = tiny("tied")
    alone = logits_of(model)
    with injected(model, FolderSource(folder)) as injection:
        full = logits_of(model)
        injection.times = 0.0
        np.testing.assert_array_equal(logits_of(model), alone)
        injection.times = 1.0
        np.testing.assert_array_equal(logits_of(model), full)


class TestBudget:
    def test_over_the_budget_it_comes_off_again(self, folder: Path) -> None:
        model = tiny("tied")
        before, hooks = fingerprint(model), hooks_of(model)
        with pytest.raises(LatencyError, match="putting on an adapter took 40 ms of 30 ms"):
            injected(model, FolderSource(folder), Budget(30, ticks(0, 0.04))).__enter__()
        assert (fingerprint(model), hooks_of(model)) == (before, hooks)

    def test_slow_to_come_off_is_said_when_it_is_off(self, folder: Path) -> None:
        model = tiny("tied")
        hooks = hooks_of(model)
        with (
            pytest.raises(LatencyError, match="taking off an adapter took 300 ms of 250 ms"),
            injected(model, FolderSource(folder), Budget(250, ticks(0, 0.2, 1, 1.3))),
        ):
            assert hooks_of(model) > hooks
        assert hooks_of(model) == hooks

    def test_the_environment_sets_it(self) -> None:
        clock = count().__next__
        assert Budget.of({}, clock).limit_ms == Budget.of({"PLORA_LATENCY_BUDGET_MS": ""}, clock).limit_ms == 250
        assert Budget.of({"PLORA_LATENCY_BUDGET_MS": "12.5"}, clock).limit_ms == 12.5
        for wrong in ("0", "-1", "nan", "soon"):
            with pytest.raises(ConfigError, match=wrong) as caught:
                Budget.of({"PLORA_LATENCY_BUDGET_MS": wrong}, clock)
            assert caught.value.where == "PLORA_LATENCY_BUDGET_MS"


def hooks_of(model: Any) -> int:
    return sum(len(layer._forward_hooks) for layer in model.modules())


def ticks(*seconds: float) -> Any:
    times: Iterator[float] = iter(seconds)
    return lambda: next(times)
