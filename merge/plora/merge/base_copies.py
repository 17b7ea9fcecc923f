"""Copies of the base's weights in an adapter's file: known as copies, they are left away.

Rules:

- Where `embed_tokens` or `lm_head` is a target, PEFT's `save_pretrained` also saves the base's weight of that layer, as
  `MODULE.base_layer.weight`, and loads it over the base's own. If it is equal to it, that changes nothing.
- Equal means equal in every number, whatever the precision of either; with tied weights the base has the tensor under
  the embedding's name alone, so any of its tensors of that shape may be the original.
- Without a base at hand, or where the weights differ (vocabulary resized, embedding trained), the adapter is refused:
  leaving the weights away would change what it does.

Not handled: whole weights beside no factors, which are no part of a LoRA.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from plora.merge.factors import Array
from plora.merge.safetensors_io import read_tensors
from plora.merge.tensor_names import copied_module
from plora.proto.errors import AdapterError

ROWS = 4096
SAVE_WITHOUT = "save the adapter with peft's save_embedding_layers=False"


def without_copies(tensors: Mapping[str, Array], base: Path | None) -> dict[str, Array]:
    """The tensors but for copies of the weights of the base in folder `base`.

    Raises AdapterError for a weight that is no copy, and for any where there is no base to compare it with.
    """
    kept = dict(tensors)
    for name, weight in tensors.items():
        module = copied_module(name)
        if module is None:
            continue
        del kept[name]
        if base is None:
            what = f"holds the base's own weights of {module}, which PEFT saves and loads beside the factors"
            raise AdapterError(what, mend=f"name the base's folder, to compare them, or {SAVE_WITHOUT}")
        if not any(_equal(weight, original) for original in _originals(base, weight.shape)):
            what = f"holds other weights of {module} than the base: it was trained or resized"
            raise AdapterError(what, mend="make an adapter whose base is left as it is")
    return kept


def _originals(base: Path, shape: tuple[int, ...]) -> Iterator[Array]:
    from plora.base.digest import weight_files  # whoever reads adapters without a base needs nothing of bases

    for path in weight_files(base):
        yield from (tensor for tensor in read_tensors(path).values() if tensor.shape == shape)


def _equal(one: Array, two: Array) -> bool:
    """Whether two matrices hold the same numbers, compared in blocks of rows."""
    blocks = range(0, len(one), ROWS)
    return all(
        np.array_equal(one[start : start + ROWS].astype(np.float32), two[start : start + ROWS].astype(np.float32))
        for start in blocks
    )
