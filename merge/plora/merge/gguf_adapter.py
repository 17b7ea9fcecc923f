"""A LoRA adapter as llama.cpp's GGUF file (`llama-server --lora FILE`, or Ollama's `ADAPTER`).

- llama.cpp scales every module by `adapter.lora.alpha` / rank and knows neither rslora nor patterns; whatever else the
  adapter says (`LoraSpec.scale_of`) is folded into B, which is left alone where both agree.
- Names come from the `gguf` package's map for the base's architecture. Where llama.cpp keeps the rows of q and k in
  another order than transformers (llama does, Gemma does not), those of B are put into that order.
- Every module must be one of the base's linear layers, with its shape; anything else, an embedding too, is refused by
  name.
- The file appears whole or not at all, F32, and is the same for an equal adapter.

Needs the extra `export` (the package `gguf`). Not handled: the base itself; llama.cpp's own converter makes its file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plora.base.digest import module_shapes
from plora.merge.factors import Array, FactorPair
from plora.merge.peft_folder import Adapter
from plora.proto.errors import AdapterError, BaseModelError, UsageError


@dataclass(frozen=True, slots=True)
class Architecture:
    """How llama.cpp calls a transformers model type, and whether the rows of q and k are in its own order."""

    name: str
    rotated: bool


ARCHITECTURES: Mapping[str, Architecture] = {
    "gemma3_text": Architecture("gemma3", rotated=False),
    "llama": Architecture("llama", rotated=True),
    "mistral": Architecture("llama", rotated=True),
    "qwen2": Architecture("qwen2", rotated=False),
    "qwen3": Architecture("qwen3", rotated=False),
}
"""By `model_type` in the base's config.json; each one is compared with transformers by a test."""


def write_gguf(adapter: Adapter, base: Path, file: Path, name: str = "") -> None:
    """Write the adapter for the base whose transformers folder is `base`.

    Raises AdapterError for a module that the base lacks, UsageError for an architecture that is not known here.
    """
    config = _config(base)
    architecture = architecture_of(config, base)
    tensors = dict(gguf_tensors(adapter, config, architecture, module_shapes(base)))
    part = file.with_name(f".{file.name}.part")
    try:
        _write(part, architecture.name, adapter.spec.alpha, tensors, name)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def architecture_of(config: Mapping[str, Any], base: Path) -> Architecture:
    """How llama.cpp knows a base. Raises UsageError where it is not known here."""
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UsageError(f"adapters of {kind} models are not exported as GGUF", where=str(base), mend=f"known: {known}")
    return ARCHITECTURES[kind]


def gguf_tensors(
    adapter: Adapter, config: Mapping[str, Any], architecture: Architecture, shapes: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[str, Array]]:
    """Names and F32 values of the file's tensors: A of (rank, in), B of (out, rank). `shapes`: the base's (out, in)."""
    names = _tensor_names(architecture.name, int(config["num_hidden_layers"]))
    for module, pair in adapter.pairs.items():
        if module in adapter.spec.embeddings:
            raise AdapterError(f"module {module} is an embedding, which is not exported", mend="wear it by peft")
        name = names.get_name(module)
        shape = (pair.B.shape[0], pair.A.shape[1])
        if name is None or module not in shapes:
            raise AdapterError(f"module {module} is no linear layer of the base", mend="is it made for this base?")
        if shapes[module] != shape:
            raise AdapterError(f"module {module} has shape {shape}, the base's has {shapes[module]}")
        heads = _heads(module, config) if architecture.rotated else 0
        yield f"{name}.weight.lora_a", np.ascontiguousarray(pair.A, np.float32)
        yield f"{name}.weight.lora_b", _b_of(pair, adapter.spec.alpha, heads)


def _b_of(pair: FactorPair, alpha: float, heads: int) -> Array:
    """B, so that alpha / rank is all that is left to multiply by."""
    fold = np.float32(pair.scale / (alpha / pair.rank))
    b = pair.B if fold == 1 else pair.B * fold
    return np.ascontiguousarray(_rotated(b, heads) if heads else b, np.float32)


def _rotated(rows: Array, heads: int) -> Array:
    """Within each head, rows of the two halves alternate: what transformers rotates by halves, llama.cpp does by pairs.

    >>> _rotated(np.arange(8.0).reshape(8, 1), heads=2).ravel().tolist()
    [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
    """
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _heads(module: str, config: Mapping[str, Any]) -> int:
    """The heads whose rows are in another order; 0 where they are not."""
    if module.endswith(".q_proj"):
        return int(config["num_attention_heads"])
    if module.endswith(".k_proj"):
        return int(config.get("num_key_value_heads") or config["num_attention_heads"])
    return 0


def _write(file: Path, architecture: str, alpha: float, tensors: Mapping[str, Array], name: str) -> None:
    writer = _gguf().GGUFWriter(file, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(alpha))
    if name:
        writer.add_name(name)
    for key, values in sorted(tensors.items()):
        writer.add_tensor(key, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _tensor_names(architecture: str, layers: int) -> Any:
    gguf = _gguf()
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(kinds[architecture], layers)


def _gguf() -> Any:
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise UsageError("GGUF files need the extra `export`", mend="pip install 'plora[export]'") from error
    return gguf


def _config(base: Path) -> dict[str, Any]:
    path = base / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BaseModelError(f"can't be read ({error})", where=str(path), mend="fetch the base again") from error
    return config if isinstance(config, dict) else {}
