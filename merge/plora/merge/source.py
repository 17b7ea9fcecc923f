"""An adapter as the merge engine reads it: module by module, so that nothing has to be in memory at once.

`plora.merge.peft_folder.Adapter` is one that is in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec


class Source(Protocol):
    """One adapter. `digest` is its content digest: operands of equal digest are one operand."""

    @property
    def spec(self) -> LoraSpec:
        """What the numbers mean."""

    @property
    def digest(self) -> str:
        """64 hex digits, equal for equal content."""

    def modules(self) -> Sequence[str]:
        """Names of the modules, sorted."""

    def pair(self, module: str) -> FactorPair:
        """The factors of one module, read when asked for."""

    def shape(self, module: str) -> tuple[int, int, int]:
        """(out, in, rank) of a module, without reading its factors."""
