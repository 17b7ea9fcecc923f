"""PEFT LoRA folders in and out: `adapter_config.json` and `adapter_model.safetensors`.

Rules:

- The configuration is read and made by `plora.merge.lora_config`: plain LoRA on linear layers (Conv1D, too) and
  embeddings.
- Every tensor belongs to a pair (A, B) of a module that `target_modules` covers, with the rank that the spec gives it.
  The factors of an embedding are a pair like any other: A (rank, vocabulary), B (dimension, rank).
- Copies of the base's weights, which PEFT saves beside the factors of embeddings and heads, are left away once they are
  known to be copies (`plora.merge.base_copies`).
- Half precision is widened to float32 on reading (exact); writing makes F32.
- Written folders are byte-identical for equal adapters and equal metadata, and synced to disk.

Not handled: convolutions, quantised layers, names of the base's modules (the gate compares shapes).

>>> import numpy as np
>>> spec = LoraSpec(r=1, alpha=2, target_modules=("q_proj",))
>>> tensors = {
...     "base_model.model.layers.0.q_proj.lora_A.weight": np.ones((1, 3), np.float32),
...     "base_model.model.layers.0.q_proj.lora_B.weight": np.ones((2, 1), np.float32),
... }
>>> {module: (pair.rank, pair.scale) for module, pair in pairs_of(tensors, spec).items()}
{'layers.0.q_proj': (1, 2.0)}
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plora.merge.base_copies import without_copies
from plora.merge.factors import Array, FactorPair
from plora.merge.lora_config import (
    CONFIG_BYTES_MAX,
    LoraSpec,
    adapter_config_bytes,
    is_plain_name,
    names_module,
    parse_adapter_config,
)
from plora.merge.safetensors_io import Header, read_header, read_tensors, write_synced, write_tensors
from plora.merge.tensor_names import FactorName, factor_name, read_name
from plora.proto.durable import sync
from plora.proto.errors import AdapterError

__all__ = [
    "CONFIG_NAME",
    "TENSORS_NAME",
    "Adapter",
    "LoraSpec",
    "adapter_config_bytes",
    "names_module",
    "pairs_of",
    "parse_adapter_config",
    "read_adapter",
    "read_own_spec",
    "read_spec",
    "write_adapter",
]

CONFIG_NAME = "adapter_config.json"
TENSORS_NAME = "adapter_model.safetensors"
PICKLE_NAME = "adapter_model.bin"
FILE_METADATA: Mapping[str, str] = {"format": "pt"}


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """An adapter in memory: module name (without PEFT's prefix) -> factors, sorted by name; the spec; a content digest.

    `digest` is 64 hex digits over modules, shapes and float values of A, B and scale: the same for F32 and BF16 files
    of equal values. It orders and tells apart the operands of a merge; it is not the artifact's digest.
    """

    pairs: Mapping[str, FactorPair]
    spec: LoraSpec
    digest: str

    @classmethod
    def of(cls, pairs: Mapping[str, FactorPair], spec: LoraSpec) -> Adapter:
        """The adapter of these pairs. Raises AdapterError where a pair contradicts the spec, or there is none."""
        if not pairs:
            raise AdapterError("an adapter without any module")
        ordered = dict(sorted(pairs.items()))
        for module, pair in ordered.items():
            check_pair(module, pair, spec)
        return cls(ordered, spec, digest_of(ordered.items(), spec.embeddings))

    def modules(self) -> list[str]:
        """Names of the modules, sorted."""
        return list(self.pairs)

    def pair(self, module: str) -> FactorPair:
        """The factors of one module."""
        return self.pairs[module]

    def shape(self, module: str) -> tuple[int, int, int]:
        """(out, in, rank) of a module."""
        pair = self.pairs[module]
        return pair.out_features, pair.in_features, pair.rank


def read_spec(folder: Path) -> LoraSpec:
    """The spec of an adapter folder as peers exchange it: linear layers, targets by name. Raises AdapterError."""
    raw = config_of(folder)
    with blaming(folder / CONFIG_NAME):
        return parse_adapter_config(raw)


def read_own_spec(folder: Path) -> LoraSpec:
    """The spec of a folder of one's own, which the tensor file's names complete. Raises AdapterError."""
    raw = config_of(folder)
    return own_spec(folder, raw, read_header(tensors_of(folder)))


def own_spec(folder: Path, config: bytes, header: Header) -> LoraSpec:
    """The spec of a folder of one's own of which both were read. Raises AdapterError."""
    with blaming(folder / CONFIG_NAME):
        return parse_adapter_config(config, header.tensors)


def read_adapter(folder: Path, spec: LoraSpec | None = None, base: Path | None = None) -> Adapter:
    """Read a PEFT folder; with a `spec` (from a signed block) its `adapter_config.json` is not looked at.

    `base`: the base's folder, with which copies of its weights are compared. Raises AdapterError (TensorFileError for
    the file's format) with the file that is at fault.
    """
    meaning = read_own_spec(folder) if spec is None else spec
    path = tensors_of(folder)
    tensors = read_tensors(path)
    with blaming(path):
        meaning = meaning.wears(tensors)
        return Adapter.of(pairs_of(without_copies(tensors, base), meaning), meaning)


def pairs_of(tensors: Mapping[str, Array], spec: LoraSpec) -> dict[str, FactorPair]:
    """Group PEFT's tensors into float32 factor pairs by module.

    Raises AdapterError for a stray or single tensor, and for values that are not finite.
    """
    return paired({name: _finite32(name, tensor) for name, tensor in sorted(tensors.items())}, spec)


def paired(tensors: Mapping[str, Array], spec: LoraSpec) -> dict[str, FactorPair]:
    """Float32 tensors grouped by module, by names and shapes alone: no value is looked at. Errors as `pairs_of`."""
    sides: dict[str, dict[str, Array]] = {}
    for name, values in tensors.items():
        factor = factor_of(name)
        if factor.embedding != (factor.module in spec.embeddings):
            raise AdapterError(f"tensor {name} is not a lora_A or lora_B weight of a linear layer")
        if values.ndim > 2:
            raise AdapterError(f"tensor {name} has {values.ndim} axes: convolutions are not merged")
        sides.setdefault(factor.module, {})[factor.side] = values
    pairs: dict[str, FactorPair] = {}
    for module, both in sides.items():
        if len(both) != 2:
            raise AdapterError(f"module {module} has lora_{next(iter(both))} alone")
        pairs[module] = FactorPair(both["A"], both["B"], spec.scale_of(module))
    return pairs


def factor_of(name: str) -> FactorName:
    """What a tensor's name means. Raises AdapterError where it names no factor."""
    factor = read_name(name)
    if factor is None:
        raise AdapterError(f"tensor {name} is not a lora_A or lora_B weight of a layer")
    return factor


def write_adapter(
    folder: Path,
    adapter: Adapter,
    base_model_name_or_path: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a PEFT folder (made if need be) and sync files and folder to disk; byte-identical for an equal adapter.

    `base_model_name_or_path` defaults to the spec's name, else to the empty text; `metadata` goes into the tensor
    file's header (`plora.merge.provenance`).
    """
    name = adapter.spec.base_model_name if base_model_name_or_path is None else base_model_name_or_path
    tensors: dict[str, Array] = {}
    for module, pair in adapter.pairs.items():
        for side, values in (("A", pair.A), ("B", pair.B)):
            tensors[name_of(module, side, adapter.spec)] = values.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    write_synced(folder / CONFIG_NAME, adapter_config_bytes(adapter.spec, name or ""))
    write_tensors(folder / TENSORS_NAME, tensors, {**FILE_METADATA, **(metadata or {})})
    sync(folder)


def name_of(module: str, side: str, spec: LoraSpec) -> str:
    """The tensor's name of a module's factor, side A or B."""
    return factor_name(FactorName(module, side, module in spec.embeddings))


def _finite32(name: str, tensor: Array) -> Array:
    # What is mapped is copied: it must outlive the file.
    values = np.asarray(tensor).astype(np.float32, copy=isinstance(tensor, np.memmap))
    flat = values.reshape(-1)
    # A sum of squares is finite only if every value is; where it overflows, each is looked at.
    if not math.isfinite(np.vdot(flat, flat)) and not np.isfinite(values).all():
        raise AdapterError(f"tensor {name} holds NaN or infinity")
    return values


def config_of(folder: Path) -> bytes:
    """The bytes of the configuration, not more than are looked at. Raises AdapterError."""
    path = folder / CONFIG_NAME
    try:
        with path.open("rb") as file:
            return file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise AdapterError(error.strerror or "can't be read", where=str(path)) from error


def tensors_of(folder: Path) -> Path:
    """The tensor file's path; AdapterError where the folder has a pickle instead, which is never opened."""
    path = folder / TENSORS_NAME
    if not path.exists() and (folder / PICKLE_NAME).exists():
        mend = "save the adapter anew with peft, which writes safetensors"
        raise AdapterError("a pickle may run code and is never opened", where=str(folder / PICKLE_NAME), mend=mend)
    return path


def check_pair(module: str, pair: FactorPair, spec: LoraSpec) -> None:
    """Raises AdapterError where a module's name, rank or scale is not what the spec says."""
    if not is_plain_name(module) or not spec.covers(module):
        raise AdapterError(f"module {module} is not among target_modules {', '.join(spec.target_modules)}")
    if pair.rank != spec.rank_of(module):
        raise AdapterError(f"module {module} has rank {pair.rank}, its configuration says {spec.rank_of(module)}")
    if pair.scale != spec.scale_of(module):
        raise AdapterError(f"module {module} has scale {pair.scale}, its configuration says {spec.scale_of(module)}")


def digest_of(pairs: Iterable[tuple[str, FactorPair]], embeddings: Collection[str] = ()) -> str:
    """The content digest of pairs by module, which come sorted by name; see `Adapter`."""
    digest = hashlib.sha256()
    for module, pair in pairs:
        about = [module, pair.A.shape, pair.B.shape, str(pair.A.dtype), pair.scale]
        digest.update(json.dumps([*about, "embedding"] if module in embeddings else about).encode())
        digest.update(np.ascontiguousarray(pair.A).data)
        digest.update(np.ascontiguousarray(pair.B).data)
    return digest.hexdigest()


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Errors about contents get the file's name."""
    try:
        yield
    except AdapterError as error:
        raise AdapterError(error.what, where=str(path), mend=error.mend) from error
