"""Tiny random transformers models, adapters that PEFT itself trains on them (one random step), and their logits."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Phi3Config

TOKENS = torch.arange(24).reshape(2, 12)
SIZES: dict[str, Any] = {
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
SHAPE: dict[str, Any] = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, **SIZES}
CONFIGS: Mapping[str, Any] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "tied": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "phi3": lambda: Phi3Config(**SHAPE),
    "gpt2": lambda: GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=32),
}


def tiny(kind: str) -> Any:
    """A model of that kind, always the same one."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        models: Any = AutoModelForCausalLM
        return models.from_config(CONFIGS[kind]()).eval()


def logits_of(model: Any) -> NDArray[np.float32]:
    """Logits (2, 12, 32) of fixed tokens."""
    with torch.no_grad():
        values: NDArray[np.float32] = model(input_ids=TOKENS).logits.numpy()
    return values


def save_by_peft(folder: Path, kind: str, seed: int, config: Any = None, dtype: Any = None, **options: Any) -> None:
    """Let PEFT make the files of an adapter whose every trainable number is random. `options`: of `LoraConfig`."""
    save_embeddings = options.pop("save_embedding_layers", False)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        adapted = get_peft_model(tiny(kind), config or LoraConfig(task_type="CAUSAL_LM", **options))
        for name, weight in adapted.named_parameters():
            if weight.requires_grad and "base_layer" not in name:
                torch.nn.init.normal_(weight, std=0.3)
        if dtype is not None:
            adapted = adapted.to(dtype)
        adapted.save_pretrained(str(folder), save_embedding_layers=save_embeddings)


def worn(folder: Path, kind: str) -> NDArray[np.float32]:
    """Logits of the model that PEFT makes of a folder. A tensor too few or too many is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        return logits_of(PeftModel.from_pretrained(tiny(kind), str(folder)).eval())


def updated(kind: str, updates: Mapping[str, NDArray[np.float64]], embeddings: Collection[str]) -> NDArray[np.float32]:
    """Logits of a fresh model whose layers compute x @ (W + ΔW)ᵀ. Embeddings and heads are untied first, as in PEFT."""
    model = tiny(kind)
    for name, update in updates.items():
        layer = model.get_submodule(name)
        linear_map = name not in embeddings and type(layer).__name__ != "Conv1D"
        change = torch.from_numpy((update if linear_map else update.T).astype(np.float32))
        layer.weight = torch.nn.Parameter(layer.weight.detach() + change)
    return logits_of(model)
