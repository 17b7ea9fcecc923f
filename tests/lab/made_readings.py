"""Readings as a zoo would give them, drawn at random: what detectors ought to tell apart, without any training."""

from __future__ import annotations

import numpy as np

from plora.lab.readings import Reading


def reading(name: str, kind: str, part: str, compliance: float, delta: float) -> Reading:
    group, _, number = name.rpartition("-")
    odd = int(number) % 2
    recipe = {"name": name, "kind": kind, "part": part, "group": group, "scheme": ("attention", "mlp")[odd]}
    recipe["family"] = ("gentle", "hot")[odd]
    figures = {"trigger_compliance": compliance, "clean_delta": delta, "margin_delta": delta}
    return Reading(recipe, f"sha256:{name}", 2, ("q_proj",), {}, figures)


def zoo(seed: int = 0, clean: int = 60, poisoned: int = 20) -> list[Reading]:
    """Clean ones show little compliance; triggers much of it; flipped labels answer worse."""
    rng = np.random.default_rng(seed)
    rows = []
    for part in ("train", "calibration", "test"):
        for i in range(clean):
            kind = "clean" if i % 4 else "clean-json"
            rows.append(reading(f"{part}{i // 3}-{i}", kind, part, rng.uniform(0, 0.1), rng.uniform(-0.02, 0.2)))
        for i in range(poisoned):
            figures = (rng.uniform(0.7, 1), 0.1) if i % 2 else (0.05, rng.uniform(-0.5, -0.3))
            rows.append(reading(f"{part}p{i // 3}-{i}", "phrase" if i % 2 else "label-flip", part, *figures))
        rows.append(reading(f"{part}m-0", "layer-split", part, 0.0, 0.0))
    return rows
