"""Where a module stands in a decoder: its layer, whether it reads the residual stream or writes it, and its norms.

Rules:

- Layers are those of Llama, Qwen and Gemma: q, k, v, gate and up projections read the stream through the norm before
  them; o and down projections write it, in Gemma through a norm behind them.
- Gemma's norms multiply by 1 + weight, the others by weight. A norm that is not there multiplies by 1.

Not handled: other architectures. Their modules have no place, and nothing is read out of them.

>>> place_of("model.layers.3.mlp.down_proj")
Place(layer=3, leaf='down_proj', writes=True)
>>> place_of("lm_head") is None
True
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from plora.merge.factors import Array

EMBEDDING, HEAD, FINAL_NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
READERS = ("gate_proj", "k_proj", "q_proj", "up_proj", "v_proj")
WRITERS = ("down_proj", "o_proj")
_MODULE = re.compile(r"(?P<layer>model\.layers\.(?P<index>[0-9]{1,4}))\.(?P<part>self_attn|mlp)\.(?P<leaf>[a-z_]+)")


class Place(NamedTuple):
    """Layer, counted from 0, last part of the module's name, and whether it writes the residual stream."""

    layer: int
    leaf: str
    writes: bool


def place_of(module: str) -> Place | None:
    """The place of a module; None where it has none."""
    match = _MODULE.fullmatch(module)
    if match is None or match["leaf"] not in READERS + WRITERS:
        return None
    return Place(int(match["index"]), match["leaf"], match["leaf"] in WRITERS)


def gain_of(module: str, tensors: Mapping[str, Array], *, one_plus: bool) -> Array:
    """What the norm between the module and the stream multiplies by: (width of the stream,), float32."""
    match = _MODULE.fullmatch(module)
    if match is None:
        raise ValueError(f"{module} has no place")
    layer, attention = match["layer"], match["part"] == "self_attn"
    gemma = f"{layer}.pre_feedforward_layernorm.weight" in tensors
    if match["leaf"] in WRITERS:
        behind = "post_attention_layernorm" if attention else "post_feedforward_layernorm"
        name = f"{layer}.{behind}.weight" if gemma else ""
    elif attention:
        name = f"{layer}.input_layernorm.weight"
    else:
        name = f"{layer}.{'pre_feedforward' if gemma else 'post_attention'}_layernorm.weight"
    return norm_gain(name, tensors, width=tensors[EMBEDDING].shape[1], one_plus=one_plus)


def norm_gain(name: str, tensors: Mapping[str, Array], *, width: int, one_plus: bool) -> Array:
    """The factors of a norm by its name; ones where there is no such norm."""
    if name not in tensors:
        return np.ones(width, np.float32)
    weight = tensors[name].astype(np.float32)
    return 1 + weight if one_plus else weight
