"""A PEFT folder that is written module by module, for `plora.merge.engine`.

Rules:

- Header first, since ranks are known before anything is computed; then each module at its place, in whatever order.
- The files are byte-identical to those of `write_adapter` for an equal adapter: the reference writer's order.
- Nobody sees half a file: both are written under other names, synced, and renamed at the end. A merge that fails leaves
  none; those that were there before stay.
- A folder has one writer at a time: the file under way is locked until both have their names, and who comes meanwhile
  is refused. A lock ends with its process, so what a killed merge left is in nobody's way.

Not handled: a power cut between the two renames, over an adapter that was there before; file systems without `flock`.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from plora.merge.factors import Array, FactorPair
from plora.merge.lora_config import LoraSpec, adapter_config_bytes
from plora.merge.peft_folder import CONFIG_NAME, FILE_METADATA, TENSORS_NAME, name_of
from plora.merge.safetensors_io import Layout, header_to_bytes, write_synced
from plora.proto.durable import sync
from plora.proto.errors import AdapterError

PART_SUFFIX = ".part"


def artifact_bytes(
    spec: LoraSpec, shapes: Mapping[str, tuple[int, int, int]], metadata: Mapping[str, str] | None = None
) -> int:
    """The size of the tensor file that a sink writes of modules of these (out, in, rank), without writing it."""
    layout = _layout_of(spec, shapes)
    header, _ = header_to_bytes(layout, {**FILE_METADATA, **(metadata or {})})
    return len(header) + sum(math.prod(shape) * dtype.itemsize for dtype, shape in layout.values())


def _layout_of(spec: LoraSpec, shapes: Mapping[str, tuple[int, int, int]]) -> Layout:
    layout = {}
    for module, (out, into, rank) in shapes.items():
        layout[name_of(module, "A", spec)] = (np.dtype(np.float32), (rank, into))
        layout[name_of(module, "B", spec)] = (np.dtype(np.float32), (out, rank))
    return layout


class FolderSink:
    """A sink of the merge engine, to be used in `with`: what wasn't ended is taken away."""

    def __init__(
        self, folder: Path, base_model_name_or_path: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._base = base_model_name_or_path
        self._metadata = {**FILE_METADATA, **(metadata or {})}
        self._part = folder / (TENSORS_NAME + PART_SUFFIX)
        self._config_part = folder / (CONFIG_NAME + PART_SUFFIX)
        self._file: BinaryIO | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._begins: dict[str, int] = {}
        self._missing: set[str] = set()
        self._left: list[str] = []

    def __enter__(self) -> FolderSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._part.unlink()
            self._config_part.unlink(missing_ok=True)
            self._file.close()

    def begin(self, spec: LoraSpec, shapes: Mapping[str, tuple[int, int, int]]) -> None:
        """Write the header. `shapes`: (out, in, rank) of each module. AdapterError while another one writes there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._spec = spec
        self._left = [name_of(module, "B", spec) for module in shapes]
        layout = _layout_of(spec, shapes)
        self._shapes = {name: shape for name, (_, shape) in layout.items()}
        header, self._begins = header_to_bytes(layout, self._metadata)
        self._missing = set(self._shapes)
        self._file = _claimed(self._part)
        self._file.write(header)

    def put(self, module: str, pair: FactorPair) -> None:
        """Write a module. Raises AdapterError for one that doesn't have the shape that `begin` was told."""
        for side, values in (("A", pair.A), ("B", pair.B)):
            name = name_of(module, side, self._spec)
            if self._shapes.get(name) != values.shape:
                raise AdapterError(f"tensor {name} of shape {values.shape} has no place in the file")
            self._write(name, values)
            self._missing.discard(name)

    def end(self, clip: float = 1.0) -> None:
        """Multiply every B by `clip`, sync, and give the files their places."""
        if self._missing:
            raise AdapterError(f"{len(self._missing)} tensors were never written", where=min(self._missing))
        file = self._opened()
        if clip != 1.0:
            self._clip(np.float32(clip))
        file.flush()
        os.fsync(file.fileno())
        name = self._spec.base_model_name if self._base is None else self._base
        write_synced(self._config_part, adapter_config_bytes(self._spec, name or ""))
        self._config_part.replace(self._folder / CONFIG_NAME)
        self._part.replace(self._folder / TENSORS_NAME)
        file.close()
        self._file = None
        sync(self._folder)

    def _clip(self, factor: np.float32) -> None:
        for name in self._left:
            self._opened().seek(self._begins[name])
            values = np.fromfile(self._opened(), np.float32, math.prod(self._shapes[name]))
            self._write(name, values * factor)

    def _write(self, name: str, values: Array) -> None:
        file = self._opened()
        file.seek(self._begins[name])
        file.write(np.ascontiguousarray(values, np.float32).data)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise AdapterError("nothing can be written before `begin` or after `end`", where=str(self._folder))
        return self._file


def _claimed(part: Path) -> BinaryIO:
    """The empty file that this writer alone has under that name. Raises AdapterError while another one has it."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if part.exists() and os.path.samestat(part.stat(), os.fstat(file.fileno())):
                file.truncate()
                return file
        except BlockingIOError as error:
            file.close()
            mend = "wait until it is done, or name another folder"
            raise AdapterError("another merge is being written here", where=str(part.parent), mend=mend) from error
        file.close()  # Its writer was done between the two calls: by now it has another name, or none.
