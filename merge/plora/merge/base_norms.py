"""‖W‖_F of the base's weights, for the relative trust region: read from its safetensors files, without torch.

- A weight is read a block of rows at a time, and summed in float64.
- A module whose weight no file holds (an `lm_head` that is tied to the embedding) has no norm here.

Not handled: finding the base (`plora.base.registry`), quantised weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

import numpy as np

from plora.base.digest import weight_files
from plora.merge.factors import Array
from plora.merge.safetensors_io import read_tensors

BLOCK_VALUES = 1 << 20


def base_norms(folder: Path, modules: Collection[str]) -> dict[str, float]:
    """‖W‖_F by module, of those that the base in `folder` has.

    Raises BaseModelError where no weights are, AdapterError for a file that is no plain safetensors.
    """
    norms: dict[str, float] = {}
    for path in weight_files(folder):
        for name, tensor in read_tensors(path).items():
            module = name.removesuffix(".weight")
            if module in modules and module != name:
                norms[module] = frobenius_norm(tensor)
    return dict(sorted(norms.items()))


def frobenius_norm(tensor: Array) -> float:
    """‖W‖_F of an array of any float type, block by block.

    >>> frobenius_norm(np.full((3, 3), 2.0, np.float16))
    6.0
    """
    flat = tensor.reshape(-1)
    blocks = (flat[start : start + BLOCK_VALUES].astype(np.float64) for start in range(0, flat.size, BLOCK_VALUES))
    return math.sqrt(sum(float(block @ block) for block in blocks))
