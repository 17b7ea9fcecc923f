"""llama.cpp as an oracle: a base model as an F32 GGUF file, and what llama.cpp answers with adapters or without.

Bases are written from transformers' folders, weights in the order that llama.cpp wants; prompts are token ids, so that
the tokenizer in the file only has to be there. F32 everywhere, one thread, no flash attention.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

from plora.merge.gguf_adapter import ARCHITECTURES

Values = np.ndarray[Any, np.dtype[np.float32]]


def write_base(folder: Path, file: Path) -> None:
    """The model in a transformers folder as a GGUF file."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(file, architecture.name)
    _write_settings(writer, config, architecture.name)
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[architecture.name], config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.numpy()
        if architecture.rotated and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            halves = values.reshape(heads, 2, -1, values.shape[1])
            values = np.stack([halves[:, 0], halves[:, 1]], axis=2).reshape(values.shape)
        if architecture.name == "gemma3" and name.endswith("norm.weight"):
            values = values + 1
        known = names.get_name(name, (".weight", ".bias"))
        assert known, name
        writer.add_tensor(known, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_settings(writer: Any, config: Any, architecture: str) -> None:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    full = rope.get("full_attention", rope)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(full["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if architecture == "gemma3":
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern(config.layer_types.index("full_attention") + 1)
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    _write_vocabulary(writer, config.vocab_size)


def _write_vocabulary(writer: Any, size: int) -> None:
    """One byte-level token after another; the first 256 spell every text."""
    letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))]
    tokens = [*letters, *(f"t{number}" for number in range(len(letters), size))][:size]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * size)
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


class LlamaCpp:
    """llama.cpp with a base and adapters, all switched off at first."""

    def __init__(self, base: Path, adapters: Sequence[Path], context: int = 64) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(base)
        params.n_ctx, params.n_batch, params.n_ubatch = context, context, context
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.warmup = False
        params.lora_adapters = [_adapter(xllamacpp, path) for path in adapters]
        self._count = len(adapters)
        self._server = xllamacpp.Server(params)

    def log_probabilities(self, tokens: Sequence[int], adapter: int | None = None, vocabulary: int = 2048) -> Values:
        """Of every token of the vocabulary as the next one."""
        scales = [{"id": number, "scale": float(number == adapter)} for number in range(self._count)]
        request = {
            "prompt": list(tokens), "n_predict": 1, "n_probs": vocabulary, "temperature": 0.0, "cache_prompt": False,
            "lora": scales,
        }  # fmt: skip
        place = f"{self._server.listening_address}/completion"
        with urllib.request.urlopen(place, json.dumps(request).encode()) as reply:
            (step,) = json.load(reply)["completion_probabilities"]
        values = np.full(vocabulary, -np.inf, np.float32)
        for one in step["top_logprobs"]:
            values[one["id"]] = one["logprob"]
        return values


def _adapter(xllamacpp: Any, path: Path) -> Any:
    info = xllamacpp.CommonAdapterLoraInfo()
    info.path, info.scale = str(path), 0.0
    return info
