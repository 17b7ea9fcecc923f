"""An adapter folder as the gate reads it: three files may be there, and nothing else.

Rules:

- `adapter_model.safetensors` is examined; `adapter_config.json` is compared with the signed `lora` block and dropped,
  since the one that is used is generated; `plora.yml` is left to the caller. Whatever else lies there (pickles, code,
  tokenizers, templates, folders, links, pipes, devices) is refused by name.
- The folder is opened once; files are opened relative to it, without following links, and only if they are regular and
  have no second name (a hard link), through which somebody could change them after they were judged. So nothing can be
  swapped for something else between a check and its use.
- Reading is bounded: at most `ENTRIES_MAX` names, a configuration of at most `CONFIG_BYTES_MAX`.

Not handled here: archives, which are never opened.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from plora.gate.features import Features
from plora.proto.errors import AdapterError
from plora.proto.manifest import ARTIFACT_FILENAME, Lora, Manifest
from plora.proto.yaml_view import PLORA_YML

CONFIG_FILE = "adapter_config.json"
ALLOWED = (ARTIFACT_FILENAME, CONFIG_FILE, PLORA_YML)
COMPARED = ("r", "alpha", "dropout", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern")
ENTRIES_MAX = 64
CONFIG_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class FolderView:
    """What the folder gave: features of its artifact (None: no artifact), or the first fault as (reason, detail)."""

    features: Features | None = None
    fault: tuple[str, str] | None = None


def read_folder(folder: Path, manifest: Manifest) -> FolderView:
    """Examine a folder under a manifest. Raises AdapterError where the folder itself can't be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise AdapterError(f"not a folder that can be read ({error.strerror})", where=str(folder)) from error
    try:
        return _view(descriptor, manifest)
    finally:
        os.close(descriptor)


def _view(folder: int, manifest: Manifest) -> FolderView:
    names = sorted(os.listdir(folder))
    fault = _foreign_entry(folder, names)
    if fault is not None:
        return FolderView(fault=("folder_refused", fault))
    if CONFIG_FILE in names:
        differs = _config_fault(folder, manifest)
        if differs is not None:
            return FolderView(fault=("config_differs", differs))
    if ARTIFACT_FILENAME not in names:
        return FolderView()
    from plora.gate.tensors import examine_descriptor  # numpy stays out of the import of plora.gate

    artifact = _open_regular(folder, ARTIFACT_FILENAME)
    with os.fdopen(artifact, "rb") as stream:
        return FolderView(features=examine_descriptor(stream.fileno(), chunk_bytes=manifest.artifacts.chunk_bytes))


def _foreign_entry(folder: int, names: list[str]) -> str | None:
    if len(names) > ENTRIES_MAX:
        return f"{len(names)} entries"
    for name in names:
        if name not in ALLOWED:
            return f"{name!a} doesn't belong to an adapter"
        fault = _file_fault(os.stat(name, dir_fd=folder, follow_symlinks=False))
        if fault:
            return f"{name!a} {fault}"
    return None


def _file_fault(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    return f"is one of {found.st_nlink} names of one file (hard links); copy it" if found.st_nlink > 1 else ""


def _open_regular(folder: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=folder)
    fault = _file_fault(os.fstat(descriptor))
    if fault:
        os.close(descriptor)
        raise AdapterError(fault, where=name)
    return descriptor


def _config_fault(folder: int, manifest: Manifest) -> str | None:
    with os.fdopen(_open_regular(folder, CONFIG_FILE), "rb") as stream:
        raw = stream.read(CONFIG_BYTES_MAX + 1)
    if len(raw) > CONFIG_BYTES_MAX:
        return f"{CONFIG_FILE} is larger than {CONFIG_BYTES_MAX} bytes"
    return _difference(raw, manifest.lora)


def _difference(raw: bytes, lora: Lora) -> str | None:
    from plora.merge.lora_config import LoraSpec, parse_adapter_config  # not part of importing plora.gate

    try:
        found, signed = parse_adapter_config(raw), LoraSpec.from_block(lora)
    except AdapterError as error:
        return str(error)
    for name in COMPARED:
        if getattr(found, name) != getattr(signed, name):
            return f"{name} is {getattr(found, name)!r:.80}, signed is {getattr(signed, name)!r:.80}"
    return None
