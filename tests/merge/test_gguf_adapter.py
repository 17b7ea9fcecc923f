"""Adapters in llama.cpp's format: llama.cpp computes what PEFT computes, and what can't be exported is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from peft import PeftModel
from tests.merge.llama_cpp import LlamaCpp, Values, write_base
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from plora.base.digest import module_shapes
from plora.base.registry import MINI_FOLDER
from plora.merge import Adapter, FactorPair, LoraSpec, merge_folders, write_adapter
from plora.merge.gguf_adapter import ARCHITECTURES, write_gguf
from plora.merge.peft_folder import read_adapter
from plora.proto.errors import AdapterError, UsageError

# peft 0.21 asks transformers 5 for a property that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
PROMPT = (5, 17, 33, 99, 120, 44, 7)
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SPECS = {
    "plain": LoraSpec(r=4, alpha=8, target_modules=TARGETS),
    "rslora": LoraSpec(r=4, alpha=3, target_modules=TARGETS, use_rslora=True),
    "patterns": LoraSpec(
        r=4,
        alpha=8,
        target_modules=TARGETS,
        rank_pattern={"layers.0.self_attn.q_proj": 2, "down_proj": 8},
        alpha_pattern={"k_proj": 24, "layers.1.mlp.up_proj": 1},
    ),
}
TINY = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
# llama.cpp looks GELU up in a table of half precision; the others use SiLU.
TOLERANCE = {"gemma3_text": 5e-3}


def random_adapter(base: Path, folder: Path, spec: LoraSpec, seed: int, size: float = 0.1) -> Path:
    """A PEFT folder for all linear layers of a base; strong enough to change every answer."""
    draw, pairs = np.random.default_rng(seed), {}
    for module, (outputs, inputs) in module_shapes(base).items():
        if spec.covers(module):
            rank = spec.rank_of(module)
            a = draw.normal(scale=1 / math.sqrt(inputs), size=(rank, inputs)).astype(np.float32)
            b = draw.normal(scale=size, size=(outputs, rank)).astype(np.float32)
            pairs[module] = FactorPair(a, b, spec.scale_of(module))
    write_adapter(folder, Adapter.of(pairs, spec), "base")
    return folder


def tiny_base(kind: str, folder: Path) -> Path:
    if kind == "gemma3_text":
        return MINI_FOLDER
    config = TINY[kind](
        vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=0.15)
    model.save_pretrained(folder)
    return folder


def in_peft(base: Path, folder: Path | None) -> Values:
    """Log-probabilities of the next token, by transformers and PEFT."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    model = PeftModel.from_pretrained(model, folder) if folder else model
    with torch.no_grad():
        logits = model(torch.tensor([PROMPT])).logits[0, -1]
    values: Values = torch.log_softmax(logits, -1).numpy()
    return values


def compare(base: Path, adapters: dict[Path, Path], out: Path, tolerance: float) -> float:
    """The largest difference between llama.cpp with GGUF files and PEFT with the folders they were made of."""
    write_base(base, out / "base.gguf")
    server, worst = LlamaCpp(out / "base.gguf", list(adapters)), 0.0
    bare = in_peft(base, None)
    answers = [(None, bare), *((number, in_peft(base, folder)) for number, folder in enumerate(adapters.values()))]
    for number, want in answers:
        got = server.log_probabilities(PROMPT, number, len(want))
        worst = max(worst, float(np.abs(got - want).max()))
        assert worst < tolerance and got.argmax() == want.argmax(), number
        assert number is None or np.abs(want - bare).max() > 50 * tolerance, "the adapter does too little to tell"
    return worst


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_llama_cpp_computes_what_peft_computes(kind: str, tmp_path: Path) -> None:
    base = tiny_base(kind, tmp_path / "base")
    folders = {
        name: random_adapter(base, tmp_path / name, spec, seed) for seed, (name, spec) in enumerate(SPECS.items())
    }
    folders["merged"] = tmp_path / "merged"
    merge_folders(list(folders.values())[:3], folders["merged"])
    for name, folder in folders.items():
        write_gguf(read_adapter(folder), base, tmp_path / f"{name}.gguf")
    files = {tmp_path / f"{name}.gguf": folder for name, folder in folders.items()}
    compare(base, files, tmp_path, TOLERANCE.get(kind, 1e-3))


# The file


def read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and tensors of a GGUF file, by name."""
    reader = gguf.GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {tensor.name: np.array(tensor.data) for tensor in reader.tensors}


def test_what_llama_cpp_scales_right_itself_is_left_alone(tmp_path: Path) -> None:
    adapter = read_adapter(random_adapter(MINI_FOLDER, tmp_path / "plain", SPECS["plain"], 1))
    write_gguf(adapter, MINI_FOLDER, tmp_path / "a.gguf", "ada/legal@1")
    write_gguf(adapter, MINI_FOLDER, tmp_path / "b.gguf", "ada/legal@1")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    fields, tensors = read(tmp_path / "a.gguf")
    said = {name: fields[name] for name in ("general.type", "adapter.type", "adapter.lora.alpha", "general.name")}
    assert said == {
        "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0, "general.name": "ada/legal@1",
    }  # fmt: skip
    assert len(tensors) == 2 * len(adapter.pairs) == 2 * 7 * 4
    pair = adapter.pairs["model.layers.3.mlp.down_proj"]
    assert np.array_equal(tensors["blk.3.ffn_down.weight.lora_a"], pair.A)
    assert np.array_equal(tensors["blk.3.ffn_down.weight.lora_b"], pair.B)


def test_the_true_scale_is_folded_into_b(tmp_path: Path) -> None:
    adapter = read_adapter(random_adapter(MINI_FOLDER, tmp_path / "rslora", SPECS["rslora"], 1))
    write_gguf(adapter, MINI_FOLDER, tmp_path / "a.gguf")
    _, tensors = read(tmp_path / "a.gguf")
    pair = adapter.pairs["model.layers.0.self_attn.v_proj"]
    assert np.allclose(tensors["blk.0.attn_v.weight.lora_b"], 2 * pair.B)  # 3 / √4 is twice 3 / 4


def one_module(name: str, outputs: int = 160, inputs: int = 160) -> Adapter:
    spec = LoraSpec(r=2, alpha=2, target_modules=(name.rpartition(".")[2],))
    a, b = np.ones((2, inputs), np.float32), np.ones((outputs, 2), np.float32)
    return Adapter.of({name: FactorPair(a, b, 1.0)}, spec)


def embedding(name: str) -> Adapter:
    linear = one_module(name)
    return Adapter.of(linear.pairs, replace(linear.spec, embeddings=(name,)))


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (one_module("model.layers.9.self_attn.q_proj"), "is no linear layer of the base; is it made for this base?"),
        (one_module("model.layers.0.self_attn.query"), "is no linear layer of the base"),
        (one_module("lm_head"), "lm_head is no linear layer"),
        (embedding("model.embed_tokens"), "is an embedding, which is not exported; wear it by peft"),
        (one_module("model.layers.0.self_attn.q_proj", inputs=32), r"has shape \(160, 32\), the base's has \(160, 160"),
    ],
)
def test_what_does_not_fit_the_base_is_refused(adapter: Adapter, said: str, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=said):
        write_gguf(adapter, MINI_FOLDER, tmp_path / "a.gguf")
    assert not list(tmp_path.iterdir())


def test_an_architecture_that_was_never_compared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UsageError, match=r"gpt2 models are not exported as GGUF; known: gemma3_text, llama"):
        write_gguf(one_module("lm_head"), tmp_path, tmp_path / "a.gguf")
