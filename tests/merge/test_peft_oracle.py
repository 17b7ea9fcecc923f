"""PEFT and transformers as oracles: logits of written folders, and `cat` for the weighted sum."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM

from plora.merge.api import load_on, merge_paths
from plora.merge.engine import merge_sources
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.registry import plan_of

Dense = Callable[[Adapter, str], NDArray[np.float64]]
# peft 0.21 asks transformers 5 for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TARGETS = ["q_proj", "v_proj", "down_proj"]
TOKENS = torch.arange(24).reshape(2, 12)


def tiny_model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model: LlamaForCausalLM = LlamaForCausalLM(config)
        model.train(False)
    return model


def logits_of(model: Any) -> NDArray[np.float32]:
    with torch.no_grad():
        values: NDArray[np.float32] = model(input_ids=TOKENS).logits.numpy()
    return values


def adapter_on(model: LlamaForCausalLM, seed: int, **block: Any) -> Adapter:
    spec = LoraSpec.from_block({"r": 3, "alpha": 6, "target_modules": TARGETS, **block}, "tiny")
    draw = np.random.default_rng(seed)
    pairs = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and spec.covers(name):
            rank = spec.rank_of(name)
            a = draw.standard_normal((rank, module.in_features)) * 0.3
            b = draw.standard_normal((module.out_features, rank)) * 0.3
            pairs[name] = FactorPair(a.astype(np.float32), b.astype(np.float32), spec.scale_of(name))
    return Adapter.of(pairs, spec)


def logits_by_dense_weights(deltas: dict[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """The oracle: ΔW added to the weights of a fresh model."""
    model = tiny_model()
    with torch.no_grad():
        for name, delta in deltas.items():
            model.get_submodule(name).weight += torch.from_numpy(delta.astype(np.float32))  # type: ignore[operator]
    return logits_of(model)


BLOCKS: list[dict[str, Any]] = [
    {},
    {"use_rslora": True},
    {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"down_proj": 1.5, "0.self_attn.v_proj": 9}},
    {"use_rslora": True, "rank_pattern": {"v_proj": 5}, "alpha_pattern": {"v_proj": 2}},
]


@pytest.mark.parametrize("block", BLOCKS)
def test_peft_applies_a_written_folder_as_the_spec_says(block: dict[str, Any], tmp_path: Path, dense_of: Dense) -> None:
    adapter = adapter_on(tiny_model(), 1, **block)
    write_adapter(tmp_path, adapter)
    expected = logits_by_dense_weights({name: dense_of(adapter, name) for name in adapter.pairs})
    loaded = PeftModel.from_pretrained(tiny_model(), str(tmp_path)).eval()
    np.testing.assert_allclose(logits_of(loaded), expected, atol=1e-5)
    assert np.abs(expected - logits_of(tiny_model())).max() > 1e-2


def test_merged_adapter_on_the_model_is_the_dense_sum(tmp_path: Path, dense_of: Dense) -> None:
    adapters = [adapter_on(tiny_model(), seed, **block) for seed, block in enumerate(BLOCKS)]
    folders = [tmp_path / str(seed) for seed in range(len(adapters))]
    for folder, adapter in zip(folders, adapters, strict=True):
        write_adapter(folder, adapter)
    weights = [0.4, 0.3, 0.2, 0.1]
    result = merge_paths(folders, plan_of(weights=weights))
    expected = logits_by_dense_weights(
        {
            name: np.sum([w * dense_of(each, name) for w, each in zip(weights, adapters, strict=True)], axis=0)
            for name in adapters[0].pairs
        }
    )
    np.testing.assert_allclose(logits_of(load_on(tiny_model(), result)), expected, atol=1e-5)


def test_weighted_sum_is_pefts_cat(tmp_path: Path) -> None:
    names, weights = ["one", "two", "three"], [0.5, 0.3, 0.2]
    for seed, name in enumerate(names):
        write_adapter(tmp_path / name, adapter_on(tiny_model(), seed))
    model = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "one"), adapter_name="one")
    for name in names[1:]:
        model.load_adapter(str(tmp_path / name), adapter_name=name)
    model.add_weighted_adapter(names, weights, "merged", combination_type="cat")
    model.set_adapter("merged")
    merged = merge_paths([tmp_path / name for name in names], plan_of(weights=weights))
    assert merged.report.rank == 9 and merged.report.discarded_energy < 1e-10
    np.testing.assert_allclose(logits_of(load_on(tiny_model(), merged)), logits_of(model.eval()), atol=1e-5)


def test_truncated_merge_is_pefts_svd(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        write_adapter(tmp_path / name, adapter_on(tiny_model(), seed))
    model = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "one"), adapter_name="one")
    model.load_adapter(str(tmp_path / "two"), adapter_name="two")
    model.add_weighted_adapter(["one", "two"], [0.5, 0.5], "merged", combination_type="svd", svd_rank=2)
    model.set_adapter("merged")
    merged = merge_paths([tmp_path / "one", tmp_path / "two"], plan_of(rank_max=2))
    np.testing.assert_allclose(logits_of(load_on(tiny_model(), merged)), logits_of(model.eval()), atol=2e-4)


def test_what_peft_saves_is_read(tmp_path: Path) -> None:
    adapter = adapter_on(tiny_model(), 3, use_rslora=True)
    write_adapter(tmp_path / "in", adapter)
    model = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "in"))
    # "auto" would look the base's configuration up on the hub.
    model.save_pretrained(str(tmp_path / "saved"), save_embedding_layers=False)
    back = read_adapter(tmp_path / "saved")
    assert back.digest == adapter.digest
    assert merge_sources([back]).adapter.digest == adapter.digest
