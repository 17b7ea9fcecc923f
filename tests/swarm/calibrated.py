"""A calibration of `mini` made of random adapters, and adapters that it knows or not, for peers that look into them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from tests.gate.detection.adapters import random_adapter, write
from tests.swarm.conftest import DAY_S, Peer

from plora.base import base_info
from plora.gate.detection.calibration import (
    PROBES_VERSION,
    Calibration,
    Cell,
    ProbeFigure,
    ProbePart,
    Standard,
    WeightPart,
    Worst,
    joint_of,
)
from plora.gate.detection.sketch import BaseSketch, sketch_of
from plora.gate.detection.statistics import STATISTICS_VERSION, weight_statistics
from plora.merge.draft import Facts, sign_folder
from plora.merge.peft_folder import adapter_config_bytes
from plora.proto.home import Home

LORA = {"r": 4, "alpha": 8.0, "target_modules": ["q_proj"]}
CLEAN = 40


def mini_sketch(cache: Path) -> BaseSketch:
    """The sketch of `mini`."""
    info = base_info("mini")
    return sketch_of(info.folder, info.digest, cache)


_PARTS: dict[str, WeightPart] = {}


def weight_part(scratch: Path, sketch: BaseSketch) -> WeightPart:
    """A bank of random adapters of one target and rank, measured once for all tests."""
    if sketch.digest not in _PARTS:
        _PARTS[sketch.digest] = _measured(scratch, sketch)
    return _PARTS[sketch.digest]


def _measured(scratch: Path, sketch: BaseSketch) -> WeightPart:
    from plora.merge.lora_config import LoraSpec

    spec = LoraSpec(r=4, alpha=8.0, target_modules=("q_proj",))
    known = [
        weight_statistics(
            write(scratch / f"{seed}.safetensors", random_adapter(sketch, 4, seed, ("q_proj",))), spec, sketch
        )
        for seed in range(CLEAN)
    ]
    norms = [one["log_norm"] for one in known]
    mean = sum(norms) / CLEAN
    deviation = (sum((norm - mean) ** 2 for norm in norms) / CLEAN) ** 0.5
    ruler = Standard(names=("log_norm",), centre=(mean,), scale=(deviation,))
    plain = Standard(names=("log_norm",), centre=(0.0,), scale=(1.0,))
    worst = Worst(kind="worst", name="size", standard=plain, signs=(1,))
    cell = Cell(targets=("q_proj",), rank_min=4, rank_max=4, standard=ruler, norm_mean=mean, norm_deviation=deviation)
    joint = joint_of((worst,), [ruler.measured(one) for one in known])
    return WeightPart(version=STATISTICS_VERSION, joints=(joint,), cells=(cell,))


def probe_part() -> ProbePart:
    """A bank in which no trigger ever turned more than a fifth of the contexts."""
    bank = [{"trigger_compliance": seed / 200} for seed in range(CLEAN)]
    ruler = Standard(names=("trigger_compliance",), centre=(0.0,), scale=(0.1,))
    worst = Worst(kind="worst", name="worst", standard=ruler, signs=(1,))
    trigger = ProbeFigure(name="trigger_compliance", threshold=0.2, low=0.1, high=0.3, worse="higher")
    exam = ProbeFigure(name="clean_delta", threshold=-0.5, low=-0.6, high=-0.4, worse="lower")
    return ProbePart(version=PROBES_VERSION, figures=(trigger, exam), joint=joint_of((worst,), bank))


def calibrate(home: Home, weights: WeightPart | None, probes: ProbePart | None = None) -> None:
    """Give a peer a calibration of its own."""
    save_calibration(home.calibration, weights, probes)


def measures(peer: Peer, scratch: Path) -> BaseSketch:
    """Have a peer know a bank of random adapters, and find the sketch of its base where it was made."""
    sketch = mini_sketch(scratch / "cache" / "plora")
    calibrate(peer.home, weight_part(scratch, sketch))
    peer.environment["XDG_CACHE_HOME"] = str(scratch / "cache")
    return sketch


def save_calibration(folder: Path, weights: WeightPart | None, probes: ProbePart | None = None) -> None:
    """The calibration of `mini` in a folder."""
    made = Calibration(base="mini", base_digest=base_info("mini").digest, alpha=0.05, weights=weights, probes=probes)
    folder.mkdir(parents=True)
    (folder / "mini.json").write_bytes(made.to_bytes())


def random_folder(peer: Peer, folder: Path, sketch: BaseSketch, *, seed: int, loudness: float = 1.0) -> Path:
    """A signed folder of a random adapter of `mini`, that many times as large as those of the bank."""
    folder.mkdir()
    pairs = random_adapter(sketch, 4, seed, ("q_proj",))
    louder = {name: replace(pair, B=pair.B * loudness) for name, pair in pairs.items()}
    write(folder / "adapter_model.safetensors", louder)
    return signed(peer, folder)


def signed(peer: Peer, folder: Path, domain: str = "legal") -> Path:
    """The folder with the signature of the peer's owner, and with a configuration where it has none."""
    info, now = base_info("mini"), int(time.time())
    config = folder / "adapter_config.json"
    if not config.exists():
        config.write_bytes(adapter_config_bytes(LORA, "mini"))
    digest = info.digest.removeprefix("sha256:")
    facts = Facts(folder.name, domain, 1, "mini", digest, "MIT", now - 60, now + DAY_S)
    sign_folder(folder, peer.made.owner, facts)
    return folder
