"""Where the merge engine puts a merged adapter, module by module, so that nothing has to be in memory at once.

`plora.merge.folder_sink.FolderSink` writes a PEFT folder; `Memory` keeps the adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from plora.merge.factors import FactorPair
from plora.merge.layout import Shape
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter


class Sink(Protocol):
    """Where a merged adapter goes: `begin` once, `put` for each module sorted by name, `end` once."""

    def begin(self, spec: LoraSpec, shapes: Mapping[str, Shape]) -> None:
        """The spec of the result, and (out, in, rank) of each of its modules."""

    def put(self, module: str, pair: FactorPair) -> None:
        """The update of one module, with the scale and the rank that the spec gives it."""

    def end(self, clip: float) -> None:
        """Nothing follows; every B that was put is to be multiplied by `clip` (1: as it is)."""


class Memory:
    """The sink that keeps the adapter."""

    def __init__(self) -> None:
        self._spec: LoraSpec | None = None
        self._pairs: dict[str, FactorPair] = {}

    def begin(self, spec: LoraSpec, shapes: Mapping[str, Shape]) -> None:
        """The result begins."""
        self._spec = spec

    def put(self, module: str, pair: FactorPair) -> None:
        """A module is ready."""
        self._pairs[module] = pair

    def end(self, clip: float) -> None:
        """Nothing follows."""
        if clip != 1.0:
            self._pairs = {module: pair.times(clip).folded() for module, pair in self._pairs.items()}

    def adapter(self) -> Adapter:
        """What was put; to be asked after `end`."""
        assert self._spec is not None  # noqa: S101 - begin comes first
        return Adapter.of(self._pairs, self._spec)
