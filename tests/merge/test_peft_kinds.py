"""Every kind of adapter that PEFT makes, by files that PEFT made: read for what it is, or refused in one line."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from tests.merge.tiny import TOKENS, logits_of, save_by_peft, tiny, updated, worn

from plora.merge.api import merge_folders
from plora.merge.lora_config import parse_adapter_config
from plora.merge.peft_folder import Adapter, read_adapter, read_spec
from plora.merge.plan import MergePlan
from plora.proto.errors import AdapterError

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

QV = ["q_proj", "v_proj"]
LORA = {"r": 4, "lora_alpha": 6}

# (kind of model, options of two adapters of it): what is merged.
MERGED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mixed ranks": ("llama", {"r": 2, "target_modules": QV}, {"r": 5, "target_modules": QV}),
    "other targets": ("llama", {**LORA, "target_modules": QV}, {**LORA, "target_modules": ["down_proj"]}),
    "patterns": (
        "llama",
        {
            **LORA,
            "target_modules": QV,
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"layers.1.self_attn.v_proj": 3},
        },
        {**LORA, "target_modules": QV, "alpha_pattern": {"q_proj": 1}},
    ),
    "rslora": ("llama", {**LORA, "target_modules": QV, "use_rslora": True}, {**LORA, "target_modules": QV}),
    "fused qkv": ("phi3", {**LORA, "target_modules": ["qkv_proj"]}, {"r": 3, "target_modules": ["qkv_proj"]}),
    "Conv1D": (
        "gpt2",
        {**LORA, "target_modules": ["c_attn"], "fan_in_fan_out": True},
        {**LORA, "target_modules": ["c_proj", "c_fc"]},
    ),
    "embedding": ("llama", {**LORA, "target_modules": ["embed_tokens", "q_proj"]}, {**LORA, "target_modules": QV}),
    "head": ("llama", {**LORA, "target_modules": ["lm_head"]}, {**LORA, "target_modules": QV}),
    "both of a tied base": ("tied", {**LORA, "target_modules": ["embed_tokens", "lm_head"]}, {"target_modules": QV}),
    "embedding of a tied base": ("tied", {**LORA, "target_modules": ["embed_tokens"]}, {"target_modules": QV}),
    "tied adapters": (
        "tied",
        {**LORA, "target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True},
        {**LORA, "target_modules": QV},
    ),
    "modules by a pattern": ("llama", {**LORA, "target_modules": r".*\.0\..*(q|v)_proj"}, {"target_modules": QV}),
    "all linear layers": ("llama", {**LORA, "target_modules": "all-linear"}, {"target_modules": QV}),
    "some layers": (
        "llama",
        {**LORA, "target_modules": QV, "layers_to_transform": [1]},
        {"target_modules": ["o_proj"]},
    ),
    "some left out": ("llama", {**LORA, "target_modules": QV, "exclude_modules": ["v_proj"]}, {"target_modules": QV}),
    "begun by MiCA": ("llama", {**LORA, "target_modules": QV, "init_lora_weights": "mica"}, {"target_modules": QV}),
    "begun orthogonal": (
        "llama",
        {**LORA, "target_modules": QV, "init_lora_weights": "orthogonal"},
        {"target_modules": QV, "init_lora_weights": "gaussian"},
    ),
}


def dense(adapters: list[Adapter], weights: list[float]) -> dict[str, Any]:
    """Σ wᵢ · scale · B @ A by module, from the files' numbers, in float64."""
    total: dict[str, Any] = {}
    for adapter, weight in zip(adapters, weights, strict=True):
        for module, pair in adapter.pairs.items():
            product = pair.B.astype(np.float64) @ pair.A.astype(np.float64)
            total[module] = total.get(module, 0.0) + weight * adapter.spec.scale_of(module) * product
    return total


@pytest.mark.parametrize("what", MERGED)
def test_merge_of_pefts_own_files_is_the_dense_sum(what: str, tmp_path: Path) -> None:
    kind, *options = MERGED[what]
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, (folder, option) in enumerate(zip(folders, options, strict=True)):
        save_by_peft(folder, kind, seed, **option)
    adapters = [read_adapter(folder) for folder in folders]
    for folder, adapter in zip(folders, adapters, strict=True):
        alone = updated(kind, dense([adapter], [1.0]), adapter.spec.embeddings)
        np.testing.assert_allclose(worn(folder, kind), alone, atol=2e-5)
    weights = [0.7, -0.4]
    merge_folders(folders, tmp_path / "out", MergePlan(weights=tuple(weights)))
    expected = updated(kind, dense(adapters, weights), {m for a in adapters for m in a.spec.embeddings})
    np.testing.assert_allclose(worn(tmp_path / "out", kind), expected, atol=2e-5)
    assert np.abs(expected - logits_of(tiny(kind))).max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_as_peft_saves_it(dtype: torch.dtype, tmp_path: Path) -> None:
    save_by_peft(tmp_path, "llama", 1, dtype=dtype, target_modules=QV, **LORA)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    (name, tensor), *_ = sorted(stored.items())
    assert tensor.dtype == dtype
    module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
    assert np.array_equal(read_adapter(tmp_path).pairs[module].A, tensor.float().numpy())


def test_ranks_that_eva_deals_out(tmp_path: Path) -> None:
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=3,
        lora_alpha=6,
        target_modules=QV,
        init_lora_weights="eva",
        eva_config=peft.EvaConfig(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(tiny("llama"), config)
        peft.initialize_lora_eva_weights(model, [{"input_ids": TOKENS}] * 2, show_progress_bar=False)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
        model.save_pretrained(str(tmp_path), save_embedding_layers=False)
    adapter = read_adapter(tmp_path)
    np.testing.assert_allclose(worn(tmp_path, "llama"), updated("llama", dense([adapter], [1.0]), set()), atol=2e-5)


# What PEFT calls another method, or plain LoRA and more: a call that makes it, and what the refusal says.
OTHER: dict[str, tuple[Callable[[], Any], str]] = {
    "DoRA": (lambda: lora(use_dora=True), "use_dora = True: DoRA"),
    "modules_to_save": (lambda: lora(modules_to_save=["lm_head"]), "modules_to_save"),
    "all biases": (lambda: lora(bias="all"), "bias = 'all'"),
    "biases of targets": (lambda: lora(bias="lora_only"), "bias = 'lora_only'"),
    "bias of B": (lambda: lora(lora_bias=True), "lora_bias = True"),
    "PiSSA": (lambda: lora(init_lora_weights="pissa"), "PiSSA"),
    "OLoRA": (lambda: lora(init_lora_weights="olora"), "OLoRA"),
    "layer replication": (lambda: lora(layer_replication=[(0, 2), (1, 2)]), "layer_replication"),
    "trainable tokens": (lambda: lora(trainable_token_indices=[1, 2]), "trainable_token_indices"),
    "parameters": (lambda: lora(target_parameters=["q_proj.weight"], target_modules=["v_proj"]), "target_parameters"),
    "activated LoRA": (lambda: lora(alora_invocation_tokens=[1]), "alora_invocation_tokens"),
    "classifier": (lambda: lora(task_type="FEATURE_EXTRACTION"), "task_type"),
    "AdaLoRA": (lambda: peft.AdaLoraConfig(target_modules=QV, total_step=10), "ADALORA"),
    "LoKr": (lambda: peft.LoKrConfig(target_modules=QV), "Kronecker"),
    "LoHa": (lambda: peft.LoHaConfig(target_modules=QV), "product by elements"),
    "IA3": (lambda: peft.IA3Config(target_modules=QV, feedforward_modules=[]), "rescales activations"),
    "VeRA": (lambda: peft.VeraConfig(target_modules=QV), "random and shared"),
    "RandLoRA": (lambda: peft.RandLoraConfig(target_modules=QV), "random and shared"),
    "OFT": (lambda: peft.OFTConfig(target_modules=QV, oft_block_size=4), "rotation"),
    "BOFT": (lambda: peft.BOFTConfig(target_modules=QV, boft_block_size=4), "rotation"),
    "HRA": (lambda: peft.HRAConfig(target_modules=QV), "rotation"),
    "FourierFT": (lambda: peft.FourierFTConfig(target_modules=QV, n_frequency=8), "isn't B @ A"),
    "MiSS": (lambda: peft.MissConfig(target_modules=QV, r=4), "isn't B @ A"),
    "layer norms": (lambda: peft.LNTuningConfig(target_modules=["input_layernorm"]), "layer norms"),
    "prompt tuning": (lambda: causal(peft.PromptTuningConfig, num_virtual_tokens=3), "virtual tokens"),
    "prefix tuning": (lambda: causal(peft.PrefixTuningConfig, num_virtual_tokens=3), "virtual tokens"),
    "p-tuning": (lambda: causal(peft.PromptEncoderConfig, num_virtual_tokens=3), "virtual tokens"),
    "tokens alone": (lambda: peft.TrainableTokensConfig(token_indices=[1]), "rows of the embedding"),
    "C3A": (lambda: peft.C3AConfig(target_modules=QV, block_size=8), "'C3A' is no LoRA"),
}


def lora(**options: Any) -> Any:
    return causal(peft.LoraConfig, **{**LORA, "target_modules": QV, **options})


def causal(kind: Any, **options: Any) -> Any:
    return kind(**{"task_type": "CAUSAL_LM", **options})


@pytest.mark.parametrize("what", OTHER)
def test_what_is_no_plain_lora_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    make, message = OTHER[what]
    save_by_peft(tmp_path, "llama", 1, config=make())
    for read in (read_adapter, read_spec):
        with pytest.raises(AdapterError) as caught:
            read(tmp_path)
        line = str(caught.value)
        assert message in line and line.startswith(f"{tmp_path}/adapter_config.json: ") and "\n" not in line
        assert caught.value.mend


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "XLORA", "adapters": {"a": "x"}, "hidden_size": 16}, "mixes several adapters"),
        ({**LORA, "peft_type": "LORA", "target_modules": QV, "corda_config": {"corda_method": "ipm"}}, "corda_config"),
        ({**LORA, "peft_type": "LORA", "target_modules": QV, "init_lora_weights": "corda"}, "CorDA"),
        ({**LORA, "peft_type": "LORA", "target_modules": QV, "init_lora_weights": "loftq"}, "LoftQ"),
        ({**LORA, "peft_type": "LORA", "target_modules": QV, "init_lora_weights": "lora_ga"}, "LoRA-GA"),
        ({"peft_type": "NEVER_HEARD_OF"}, "NEVER_HEARD_OF"),
    ],
)
def test_what_a_tiny_model_cannot_make(config: dict[str, Any], message: str) -> None:
    for names in (None, ["base_model.model.0.q_proj.lora_A.weight"]):
        with pytest.raises(AdapterError, match=message):
            parse_adapter_config(json.dumps(config).encode(), names)


def test_lokr_is_read_once_peft_made_lora_of_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(
            tiny("llama"), peft.LoKrConfig(target_modules=["q_proj"], r=2, init_weights=False)
        ).eval()
        peft.save_as_lora(str(tmp_path), model, rank=16)
    np.testing.assert_allclose(worn(tmp_path, "llama"), logits_of(model), atol=1e-4)
    adapter = read_adapter(tmp_path)
    np.testing.assert_allclose(updated("llama", dense([adapter], [1.0]), set()), logits_of(model), atol=1e-4)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    save_by_peft(tmp_path, "llama", 1, target_modules=QV)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"adapter_model\.bin: a pickle may run code and is never opened; save"):
        read_adapter(tmp_path)


LOCAL_ONLY = ["Conv1D", "tied adapters", "modules by a pattern", "some layers", "some left out", "begun by MiCA"]


@pytest.mark.parametrize("what", LOCAL_ONLY)
def test_what_peers_do_not_exchange_is_refused_where_peers_read(what: str, tmp_path: Path) -> None:
    kind, options, _ = MERGED[what]
    save_by_peft(tmp_path, kind, 1, **options)
    read_adapter(tmp_path)
    with pytest.raises(AdapterError):
        read_spec(tmp_path)
