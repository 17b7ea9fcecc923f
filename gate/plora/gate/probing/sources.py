"""What is probed and on what: an artifact or a folder, and a base in the precision that probes compare in."""

from __future__ import annotations

from pathlib import Path

from plora.base import LoadedBase, load_base
from plora.base.loading import folder_of
from plora.base.registry import BaseSpec, resolve_base
from plora.gate.detection.spectra import read_pairs
from plora.merge.folder_source import FolderSource
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.merge.source import Source

SMALL_BYTES = 64 << 20
"""A base of up to so many bytes is probed in float32, where adding an update to its weights loses nothing."""


def source_of(path: Path, lora: object = None) -> Source:
    """A PEFT folder, or an artifact with its signed `lora` block. Raises AdapterError."""
    if path.is_dir():
        return FolderSource(path)
    spec = lora if isinstance(lora, LoraSpec) else LoraSpec.from_block(lora)
    return Adapter.of(read_pairs(path, spec), spec)


def load_probed(base: BaseSpec | str) -> LoadedBase:
    """A base by name or folder, on this machine already. Raises BaseModelError."""
    spec = base if isinstance(base, BaseSpec) else resolve_base(base)
    size = sum(file.stat().st_size for file in folder_of(spec).glob("*.safetensors")) if spec.folder else 0
    return load_base(spec, dtype="float32" if 0 < size <= SMALL_BYTES else None)
