"""What PEFT calls the tensors of a LoRA file, and what the names mean.

Rules:

- `base_model.model.MODULE.lora_A.weight` (rank, in) and `….lora_B.weight` (out, rank) belong to a linear layer, also
  to a Conv1D, whose base weight lies transposed while its factors don't.
- `base_model.model.MODULE.lora_embedding_A` (rank, vocabulary) and `…_B` (dimension, rank) belong to an embedding:
  the same pair of factors, seen as a linear map from one-hot tokens.
- `base_model.model.MODULE.base_layer.weight` is a copy of the base's own weight. PEFT saves it beside the factors of
  `embed_tokens` and `lm_head` unless told `save_embedding_layers=False`.

Not handled: what the tensors hold.

>>> read_name("base_model.model.model.embed_tokens.lora_embedding_A")
FactorName(module='model.embed_tokens', side='A', embedding=True)
>>> factor_name(FactorName("lm_head", "B"))
'base_model.model.lm_head.lora_B.weight'
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

NAMES_KEPT = 4096
"""As many as a file may have: the names of one adapter are asked for again and again."""
PREFIX = "base_model.model."
_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?:(?P<linear>[AB])\.weight|embedding_(?P<table>[AB]))")
_COPY = re.compile(r"base_model\.model\.(?P<module>.+)\.base_layer\.weight")


@dataclass(frozen=True, slots=True)
class FactorName:
    """A factor: its module without PEFT's prefix, its side (A or B), and whether the module is an embedding."""

    module: str
    side: str
    embedding: bool = False


@lru_cache(NAMES_KEPT)
def read_name(name: str) -> FactorName | None:
    """What a tensor's name means; None where it names no factor."""
    match = _FACTOR.fullmatch(name)
    if match is None:
        return None
    return FactorName(match["module"], match["linear"] or match["table"], match["table"] is not None)


def factor_name(factor: FactorName) -> str:
    """PEFT's name of a factor."""
    kind = f"embedding_{factor.side}" if factor.embedding else f"{factor.side}.weight"
    return f"{PREFIX}{factor.module}.lora_{kind}"


def copied_module(name: str) -> str | None:
    """The module of whose base weight this tensor is a copy; None where it isn't one."""
    match = _COPY.fullmatch(name)
    return None if match is None else match["module"]


def modules_named(names: Iterable[str]) -> tuple[str, ...]:
    """The modules that have a factor among these tensors, sorted."""
    return tuple(sorted({factor.module for name in names if (factor := read_name(name)) is not None}))


def embeddings_named(names: Iterable[str]) -> tuple[str, ...]:
    """Those of them that are embeddings, sorted."""
    factors = (read_name(name) for name in names)
    return tuple(sorted({factor.module for factor in factors if factor is not None and factor.embedding}))
