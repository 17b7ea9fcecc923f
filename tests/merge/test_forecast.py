"""Forecasts against the merges that follow: rank and size exactly, time and memory about."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plora.merge.engine import merge_into
from plora.merge.factors import FactorPair
from plora.merge.folder_sink import FolderSink
from plora.merge.folder_source import FolderSource
from plora.merge.forecast import SPREAD, Forecast, Machine, forecast
from plora.merge.layout import lay_out
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.plan import MergePlan, Method, Override, TrustRegion
from plora.merge.registry import STRATEGIES

WRITE_BYTES_S = 1e12
"""Tests of time don't wait for the disk."""

Make = Callable[..., Adapter]


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def foretold(folders: list[Path], plan: MergePlan) -> Forecast:
    machine = Machine(time.perf_counter, WRITE_BYTES_S, peak_of)
    began_s = time.perf_counter()
    layout = lay_out([FolderSource(folder) for folder in folders], plan)
    return forecast(layout, None, machine, laid_s=time.perf_counter() - began_s)


def merged(folders: list[Path], plan: MergePlan, out: Path) -> float:
    """Merge for real; the seconds that it took."""
    began_s = time.perf_counter()
    with FolderSink(out) as sink:
        merge_into(sink, [FolderSource(folder) for folder in folders], plan)
    return time.perf_counter() - began_s


PLANS = {
    **{name: MergePlan(method, rank_max=5) for name, method in STRATEGIES.items()},
    "rank is not reached": MergePlan(rank_max=64),
    "one adapter alone": MergePlan(weights=(0.0, 1.0, 0.0)),
    "one adapter, bounded": MergePlan(weights=(0.0, 1.0, 0.0), trust=TrustRegion(max_delta_fro=0.1)),
    "one adapter, in its bounds": MergePlan(weights=(0.0, 1.0, 0.0), trust=TrustRegion(max_total_fro=1e6)),
    "other ranks in places": MergePlan(rank_max=3, overrides=(Override("up_proj", rank_max=7),)),
}


@pytest.mark.parametrize("name", PLANS)
def test_rank_and_size_are_exact(make_adapter: Make, tmp_path: Path, out: Path, name: str) -> None:
    folders = [tmp_path / str(seed) for seed in range(3)]
    for seed, folder in enumerate(folders):
        block = {"rank_pattern": {"layers.1.self_attn.q_proj": 6}} if seed == 1 else {}
        write_adapter(folder, make_adapter(seed, rank=2 + seed, use_rslora=seed == 2, **block))
    found = foretold(folders, PLANS[name])
    merged(folders, PLANS[name], out)
    adapter = read_adapter(out)
    assert found.size_bytes == (out / "adapter_model.safetensors").stat().st_size
    assert found.rank == adapter.spec.r
    assert found.modules == len(adapter.pairs)


def test_duplicates_and_samples_are_counted(make_adapter: Make, tmp_path: Path) -> None:
    folders = [tmp_path / str(place) for place in range(3)]
    for seed, folder in zip((1, 2, 1), folders, strict=True):
        write_adapter(folder, make_adapter(seed))
    found = foretold(folders, MergePlan())
    assert (found.operands, found.collapsed) == (2, 1)
    # The two q_proj are alike, up_proj has the same shape.
    assert (found.modules, found.sampled) == (3, 1)


def write_big(folder: Path, seed: int, width: int = 256) -> Path:
    draw = np.random.default_rng(seed)
    spec = LoraSpec(r=8, alpha=8, target_modules=("q_proj", "up_proj"), base_model_name="mini")
    pairs = {}
    for layer in range(8):
        for name, out in (("self_attn.q_proj", width), ("mlp.up_proj", 2 * width)):
            a, b = draw.standard_normal((8, width)), draw.standard_normal((out, 8))
            pairs[f"model.layers.{layer}.{name}"] = FactorPair(a.astype(np.float32), b.astype(np.float32), 1.0)
    write_adapter(folder, Adapter.of(pairs, spec))
    return folder


@pytest.mark.parametrize("method", [Method(), Method("core", "ties")])
def test_time_is_within_the_range(tmp_path: Path, method: Method) -> None:
    """Other processes may take the machine away in either half: one of a few attempts must be undisturbed."""
    folders = [write_big(tmp_path / str(seed), seed) for seed in range(3)]
    ratios = []
    for attempt in range(5):
        found = foretold(folders, MergePlan(method))
        ratios.append(merged(folders, MergePlan(method), tmp_path / f"out{attempt}") / found.seconds)
        if 1 / SPREAD <= ratios[-1] <= SPREAD:
            return
    pytest.fail(f"it took {ratios} times what was foretold")


def test_memory_is_that_of_a_few_modules(tmp_path: Path, out: Path) -> None:
    folders = [write_big(tmp_path / str(seed), seed, width=2048) for seed in range(4)]
    found = foretold(folders, MergePlan())
    taken = peak_of(lambda: merged(folders, MergePlan(), out))
    assert taken / 2 <= found.memory_bytes <= taken * 2
