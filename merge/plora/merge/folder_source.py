"""A PEFT folder that is read module by module: one module is in memory, however big the file is.

Rules:

- Everything is as `plora.merge.peft_folder` reads it, but later: configuration, header, names and shapes at the start,
  values when their module is asked for.
- The file is read by offset, not mapped: pages of a map count as memory of the process until the kernel takes them
  back, and a file that shrinks under a map kills the process. It isn't kept open, so a merge may have any number.
- A file that was replaced or written to since the start is an AdapterError.
- `digest` is the content digest, equal to `Adapter.digest`: one pass over the file, when it is first asked for.

Not handled: signatures, the artifact's own digest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from plora.merge.base_copies import without_copies
from plora.merge.factors import Array, FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import (
    blaming,
    check_pair,
    config_of,
    digest_of,
    factor_of,
    own_spec,
    paired,
    pairs_of,
    tensors_of,
)
from plora.merge.safetensors_io import DTYPES, Header, TensorEntry, read_header, read_tensors
from plora.merge.tensor_names import copied_module
from plora.proto.errors import AdapterError

_Identity = tuple[int, int, int, int]


class FolderSource:
    """One adapter folder, a `plora.merge.source.Source`.

    With a `spec` (from a signed block) its `adapter_config.json` is not looked at; `base` is the base's folder, with
    which copies of its weights are compared. `path` is the tensor file, `metadata` what its header says of it beside
    tensors. Raises AdapterError (TensorFileError for the format) with the file that is at fault, here and wherever
    values are read.
    """

    def __init__(self, folder: Path, spec: LoraSpec | None = None, base: Path | None = None) -> None:
        raw = b"" if spec is not None else config_of(folder)
        self.path = tensors_of(folder)
        self._identity = _identity_at(self.path)  # Before the file is read, so that any later change is noticed.
        header = read_header(self.path)
        meaning = spec if spec is not None else own_spec(folder, raw, header)
        self.metadata = header.metadata
        self._start = header.data_start
        self._names: dict[str, dict[str, TensorEntry]] = {}
        with blaming(self.path):
            self.spec = meaning.wears(header.tensors)
            for name in _factors(self.path, header, base):
                self._names.setdefault(factor_of(name).module, {})[name] = header.tensors[name]
            self._shapes = {module: self._checked(module) for module in sorted(self._names)}

    def modules(self) -> Sequence[str]:
        """Names of the modules, sorted."""
        return list(self._shapes)

    def shape(self, module: str) -> tuple[int, int, int]:
        """(out, in, rank)."""
        return self._shapes[module]

    def pair(self, module: str) -> FactorPair:
        """The factors, float32, read anew with each call."""
        entries = self._names[module]
        with blaming(self.path), self.path.open("rb", buffering=0) as file:
            if _identity(os.fstat(file.fileno())) != self._identity:
                raise AdapterError("the file changed while it was being merged")
            tensors = {name: self._read(file.fileno(), entry) for name, entry in entries.items()}
            return pairs_of(tensors, self.spec)[module]

    @cached_property
    def digest(self) -> str:
        """The content digest, 64 hex digits."""
        return digest_of(((module, self.pair(module)) for module in self._shapes), self.spec.embeddings)

    def _checked(self, module: str) -> tuple[int, int, int]:
        """The shape of a module whose names, shapes, rank and scale were checked, by a pair of zeros without memory."""
        zero = np.zeros((), np.float32)
        tensors = {name: np.broadcast_to(zero, entry.shape) for name, entry in self._names[module].items()}
        pair = paired(tensors, self.spec)[module]
        check_pair(module, pair, self.spec)
        return pair.out_features, pair.in_features, pair.rank

    def _read(self, descriptor: int, entry: TensorEntry) -> Array:
        values = np.empty(entry.shape, DTYPES[entry.dtype])
        raw = values.reshape(-1).view(np.uint8)
        if os.preadv(descriptor, [raw.data], self._start + entry.begin) != raw.size:
            raise AdapterError("the file ends too early")
        return values


def _factors(path: Path, header: Header, base: Path | None) -> list[str]:
    """The tensors that are no copies of the base's weights, by name."""
    if any(copied_module(name) is not None for name in header.tensors):
        return sorted(without_copies(read_tensors(path), base))
    return sorted(header.tensors)


def _identity_at(path: Path) -> _Identity:
    try:
        return _identity(path.stat())
    except OSError as error:
        raise AdapterError(error.strerror or "can't be read", where=str(path)) from error


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
