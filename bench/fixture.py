"""A LoRA adapter of any size for an imaginary big model: rank 16 on two projections a layer, hidden size 4096."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from plora.merge.peft_folder import CONFIG_NAME, TENSORS_NAME, LoraSpec, adapter_config_bytes
from plora.merge.safetensors_io import write_tensors

RANK = 16
HIDDEN = 4096
TARGETS = ("q_proj", "v_proj")
BASE = "imaginary-70b"
BASE_DIGEST = hashlib.sha256(BASE.encode()).hexdigest()
LAYER_BYTES = len(TARGETS) * 2 * RANK * HIDDEN * 4
DEVIATION = 0.01
"""Of every value; the Frobenius norm of B @ A is then about 1.6, well within what peers accept."""


def make_adapter(folder: Path, *, size_bytes: int, seed: int) -> Path:
    """A PEFT folder whose tensors take `size_bytes` (a multiple of a layer's 1 MiB); the file's path."""
    layers, rest = divmod(size_bytes, LAYER_BYTES)
    if rest or not layers:
        raise ValueError(f"{size_bytes} bytes are no number of layers of {LAYER_BYTES} bytes")
    rng = np.random.default_rng(seed)
    shapes = {"A": (RANK, HIDDEN), "B": (HIDDEN, RANK)}
    tensors = {
        f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_{side}.weight": DEVIATION
        * rng.standard_normal(shape, dtype=np.float32)
        for layer in range(layers)
        for target in TARGETS
        for side, shape in shapes.items()
    }
    folder.mkdir(parents=True)
    spec = LoraSpec(r=RANK, alpha=float(RANK), target_modules=TARGETS)
    (folder / CONFIG_NAME).write_bytes(adapter_config_bytes(spec, BASE))
    path = folder / TENSORS_NAME
    write_tensors(path, {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()})
    return path
