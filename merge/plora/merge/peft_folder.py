"""PEFT LoRA folders in and out: `adapter_config.json` and `adapter_model.safetensors`.

Rules:

- The configuration is read and made by `plora.merge.lora_config`: plain LoRA on linear layers only.
- Every tensor belongs to a pair (A, B) of a module that `target_modules` covers, with the rank that the spec gives it.
- Half precision is widened to float32 on reading (exact); writing makes F32.
- Written folders are byte-identical for equal adapters, and synced to disk.

Not handled: embeddings, convolutions, quantised layers, names of the base's modules (the gate compares shapes).

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
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plora.merge.factors import Array, FactorPair
from plora.merge.lora_config import (
    CONFIG_BYTES_MAX,
    LoraSpec,
    adapter_config_bytes,
    is_plain_name,
    names_module,
    parse_adapter_config,
)
from plora.merge.safetensors_io import read_tensors, write_synced, write_tensors
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
    "read_spec",
    "write_adapter",
]

CONFIG_NAME = "adapter_config.json"
TENSORS_NAME = "adapter_model.safetensors"
FILE_METADATA: Mapping[str, str] = {"format": "pt"}

_TENSOR_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


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
        return cls(ordered, spec, digest_of(ordered.items()))

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
    """The spec of an adapter folder. Raises AdapterError."""
    path = folder / CONFIG_NAME
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise AdapterError(error.strerror or "can't be read", where=str(path)) from error
    with blaming(path):
        return parse_adapter_config(raw)


def read_adapter(folder: Path, spec: LoraSpec | None = None) -> Adapter:
    """Read a PEFT folder; with a `spec` (from a signed block) its `adapter_config.json` is not looked at.

    Raises AdapterError (TensorFileError for the file's format) with the file that is at fault.
    """
    meaning = spec if spec is not None else read_spec(folder)
    path = folder / TENSORS_NAME
    tensors = read_tensors(path)
    with blaming(path):
        return Adapter.of(pairs_of(tensors, meaning), meaning)


def pairs_of(tensors: Mapping[str, Array], spec: LoraSpec) -> dict[str, FactorPair]:
    """Group PEFT's tensors into float32 factor pairs by module. Raises AdapterError for a stray or single tensor."""
    sides: dict[str, dict[str, Array]] = {}
    for name, tensor in sorted(tensors.items()):
        module, side = side_of(name)
        values = np.asarray(tensor).astype(np.float32)
        if not _finite(values):
            raise AdapterError(f"tensor {name} holds NaN or infinity")
        sides.setdefault(module, {})[side] = values
    pairs: dict[str, FactorPair] = {}
    for module, both in sides.items():
        if len(both) != 2:
            raise AdapterError(f"module {module} has lora_{next(iter(both))} alone")
        pairs[module] = FactorPair(both["A"], both["B"], spec.scale_of(module))
    return pairs


def side_of(name: str) -> tuple[str, str]:
    """Module and side (A or B) that a tensor's name means. Raises AdapterError."""
    match = _TENSOR_NAME.fullmatch(name)
    if match is None:
        raise AdapterError(f"tensor {name} is not a lora_A or lora_B weight of a linear layer")
    return match["module"], match["side"]


def name_of(module: str, side: str) -> str:
    """The tensor's name of a module's factor, side A or B."""
    return f"base_model.model.{module}.lora_{side}.weight"


def write_adapter(folder: Path, adapter: Adapter, base_model_name_or_path: str | None = None) -> None:
    """Write a PEFT folder (made if need be) and sync files and folder to disk; byte-identical for an equal adapter.

    `base_model_name_or_path` defaults to the spec's name, else to the empty text.
    """
    name = adapter.spec.base_model_name if base_model_name_or_path is None else base_model_name_or_path
    tensors: dict[str, Array] = {}
    for module, pair in adapter.pairs.items():
        for side, factor in (("A", pair.A), ("B", pair.B)):
            tensors[name_of(module, side)] = factor.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    write_synced(folder / CONFIG_NAME, adapter_config_bytes(adapter.spec, name or ""))
    write_tensors(folder / TENSORS_NAME, tensors, FILE_METADATA)
    sync_folder(folder)


def _finite(values: Array) -> bool:
    # A sum of squares is finite only if every value is; where it overflows, each is looked at.
    flat = values.reshape(-1)
    return math.isfinite(np.vdot(flat, flat)) or bool(np.isfinite(values).all())


def check_pair(module: str, pair: FactorPair, spec: LoraSpec) -> None:
    """Raises AdapterError where a module's name, rank or scale is not what the spec says."""
    if not is_plain_name(module) or not spec.covers(module):
        raise AdapterError(f"module {module} is not among target_modules {', '.join(spec.target_modules)}")
    if pair.rank != spec.rank_of(module):
        raise AdapterError(f"module {module} has rank {pair.rank}, its configuration says {spec.rank_of(module)}")
    if pair.scale != spec.scale_of(module):
        raise AdapterError(f"module {module} has scale {pair.scale}, its configuration says {spec.scale_of(module)}")


def digest_of(pairs: Iterable[tuple[str, FactorPair]]) -> str:
    """The content digest of pairs by module, which come sorted by name; see `Adapter`."""
    digest = hashlib.sha256()
    for module, pair in pairs:
        digest.update(json.dumps([module, pair.A.shape, pair.B.shape, str(pair.A.dtype), pair.scale]).encode())
        digest.update(np.ascontiguousarray(pair.A).data)
        digest.update(np.ascontiguousarray(pair.B).data)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Return when the folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Errors about contents get the file's name."""
    try:
        yield
    except AdapterError as error:
        raise AdapterError(error.what, where=str(path), mend=error.mend) from error
