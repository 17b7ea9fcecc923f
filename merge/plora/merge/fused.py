"""Whether adapters mean the same layers: one kind of a module's name, and no fused layer beside its parts.

Rules:

- A module is an embedding in all adapters that have it, or in none.
- A fused projection (`qkv_proj`) merges with another one as it is: one linear layer whose rows are those of q, k and v.
- Fused in one adapter and in parts in another: of two such adapters at least one was made for another layout of the
  base, so they are refused, unless the fused one is split first (`split`), which is exact: rows of B go to the parts, A
  is shared.
- `query_key_value` (GPT-NeoX, BLOOM, Falcon) mixes the rows of q, k and v by heads and is never split.

Not handled: putting parts together, which triples the rank; which layout a base has (its owner knows).

>>> import numpy as np
>>> pair = FactorPair(np.ones((1, 3)), np.arange(4.0).reshape(4, 1))
>>> {name: part.B.ravel().tolist() for name, part in split("0.qkv_proj", pair, (2, 1, 1)).items()}
{'0.q_proj': [0.0, 1.0], '0.k_proj': [2.0], '0.v_proj': [3.0]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plora.merge.factors import FactorPair
from plora.merge.source import Source
from plora.proto.errors import AdapterError, UsageError

_QKV = ("q_proj", "k_proj", "v_proj")
PARTS: Mapping[str, tuple[str, ...]] = {
    "qkv_proj": _QKV,
    "W_pack": _QKV,
    "gate_up_proj": ("gate_proj", "up_proj"),
}
"""Fused layers by name, with their parts in the order of their rows."""
_MIXED = "query_key_value"


def check_layers(sources: Sequence[Source]) -> None:
    """AdapterError where two adapters can't be of one base: a module of two kinds, or fused here and in parts there."""
    tables: dict[str, bool] = {}
    for source in sources:
        for module in source.modules():
            table = module in source.spec.embeddings
            if tables.setdefault(module, table) != table:
                raise AdapterError(f"module {module} is an embedding in one adapter and a linear layer in another")
    for module in tables:
        for part in _parts_of(module):
            if part in tables:
                raise AdapterError(
                    f"one adapter has {module}, another its part {part}: they are of two layouts of the base",
                    mend="split the fused one (`plora.merge.fused.split`) or train both on one layout",
                )


def split(module: str, pair: FactorPair, rows: Sequence[int]) -> dict[str, FactorPair]:
    """The parts of a fused layer's update, by full names: `rows` of B each, in order; A and scale are shared.

    Raises UsageError for a layer that isn't known as fused, or where `rows` don't add up to those of B.
    """
    names = _parts_of(module)
    if not names or module.rpartition(".")[2] == _MIXED:
        raise UsageError(
            f"{module} is no fused layer whose rows are those of its parts", mend=f"one of {', '.join(PARTS)}"
        )
    if len(rows) != len(names) or min(rows) < 1 or sum(rows) != pair.out_features:
        raise UsageError(
            f"rows {tuple(rows)} are not those of {len(names)} parts of {pair.out_features} rows of {module}"
        )
    parts, start = {}, 0
    for name, count in zip(names, rows, strict=True):
        parts[name] = FactorPair(pair.A, pair.B[start : start + count], pair.scale)
        start += count
    return parts


def _parts_of(module: str) -> list[str]:
    parent, dot, last = module.rpartition(".")
    return [f"{parent}{dot}{part}" for part in PARTS.get(last, _QKV if last == _MIXED else ())]
