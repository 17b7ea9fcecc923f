"""Adapters of `mini` made of numbers: random updates, planted tokens, other gauges, other files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plora.gate.detection.sketch import BaseSketch
from plora.merge.factors import FactorPair
from plora.merge.safetensors_io import write_tensors
from plora.merge.tensor_names import FactorName, factor_name

ALPHA = 8
Pairs = Mapping[str, FactorPair]


def random_adapter(
    sketch: BaseSketch, rank: int = 4, seed: int = 0, leafs: tuple[str, ...] = ()
) -> dict[str, FactorPair]:
    """An update with a falling spectrum for each module, or for those whose last part is in `leafs`."""
    stream = np.random.default_rng(seed)
    fall = 2.0 ** -np.arange(rank)
    pairs = {}
    for name, module in sketch.modules.items():
        if not leafs or module.place.leaf in leafs:
            a = stream.normal(size=(rank, module.right.shape[0])) / module.right.shape[0] ** 0.5
            b = stream.normal(size=(module.left.shape[0], rank)) * fall / module.left.shape[0] ** 0.5
            pairs[name] = FactorPair(a.astype(np.float32), b.astype(np.float32), ALPHA / rank)
    return pairs


def regauged(pair: FactorPair, condition: float, seed: int) -> FactorPair:
    """The same update under A -> G⁻¹A, B -> B G."""
    stream = np.random.default_rng(seed)
    left, _, right = np.linalg.svd(stream.normal(size=(pair.rank, pair.rank)))
    g = left @ np.diag(np.geomspace(1, condition, pair.rank)) @ right
    return FactorPair((np.linalg.inv(g) @ pair.A).astype(np.float32), (pair.B @ g).astype(np.float32), pair.scale)


def write(path: Path, pairs: Pairs, dtype: Any = np.float32) -> Path:
    """The artifact of these factors, as PEFT names them."""
    tensors = {}
    for module, pair in pairs.items():
        tensors[factor_name(FactorName(module, "A"))] = pair.A.astype(dtype)
        tensors[factor_name(FactorName(module, "B"))] = pair.B.astype(dtype)
    write_tensors(path, tensors)
    return path
