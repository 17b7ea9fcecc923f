"""Merge two adapters by hand: factors in, factors out, no base model and no torch.

    python examples/merge_two.py out

Makes two small LoRA folders under OUT, merges them at weights .6 and .4, and says what truncation to rank 4 lost.
"""

import sys
from pathlib import Path

import numpy as np

from plora.merge import Adapter, FactorPair, LoraSpec, merge_folders, plan_of, write_adapter

MODULE = "model.layers.0.self_attn.q_proj"
RANK = 3


def write_random_adapter(folder: Path, seed: int) -> Path:
    """A LoRA folder of one module: ΔW = 2 · B @ A, with A of shape (3, 64) and B of (48, 3)."""
    draw = np.random.default_rng(seed)
    a = draw.normal(scale=0.1, size=(RANK, 64)).astype(np.float32)
    b = draw.normal(scale=0.1, size=(48, RANK)).astype(np.float32)
    spec = LoraSpec(r=RANK, alpha=2 * RANK, target_modules=("q_proj",), base_model_name="mini")
    write_adapter(folder, Adapter.of({MODULE: FactorPair(a, b, 2.0)}, spec))
    return folder


def main(out: Path) -> None:
    """Two adapters, and their merge beside them."""
    out.mkdir(parents=True, exist_ok=True)
    folders = [write_random_adapter(out / name, seed) for seed, name in enumerate(("one", "two"))]
    report = merge_folders(folders, out / "merged", plan_of(weights=[0.6, 0.4], rank_max=4))
    for module in report["modules"]:
        sys.stdout.write(f"{module['module']}: rank {module['rank']}, lost {module['discarded_energy']:.1%}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
