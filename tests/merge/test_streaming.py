"""Merging folders module by module: the bytes are those of a merge in memory, whatever is kept between merges."""

import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.api import merge_folders
from plora.merge.engine import merge_into, merge_sources
from plora.merge.factors import FactorPair
from plora.merge.folder_sink import FolderSink
from plora.merge.folder_source import FolderSource
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.plan import MergePlan, Method, TrustRegion

Make = Callable[..., Adapter]

SPECS = ({"rank": 4}, {"rank": 6, "use_rslora": True}, {"rank": 5, "alpha_pattern": {"up_proj": 5.0}}, {"rank": 3})
PLANS = (
    MergePlan(rank_max=6),
    MergePlan(rank_max=40),
    MergePlan(weights=(0.5, 0.3, -0.2, 1.0, 0.1, 0.7, 0.2, 0.4), rank_max=6),
    MergePlan(trust=TrustRegion(max_delta_fro=2.0, max_total_fro=3.0)),
    MergePlan(method=Method("core", "ties"), rank_max=6),
    MergePlan(method=Method("factors", "geometric_median"), rank_max=6),
)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def merge(folders: Sequence[Path], out: Path, plan: MergePlan, store: Path | None = None) -> dict[str, bytes]:
    merge_folders(folders, out, plan, kept=store)
    return bytes_of(out)


def streamed(folders: Sequence[Path], out: Path, plan: MergePlan) -> dict[str, bytes]:
    with FolderSink(out) as sink:
        merge_into(sink, [FolderSource(folder) for folder in folders], plan)
    return bytes_of(out)


@pytest.fixture
def folders(make_adapter: Make, tmp_path: Path) -> list[Path]:
    """Eight adapters whose stacked ranks are enough for Gram matrices, with modules that some lack."""
    found = []
    for seed in range(8):
        modules = ("layers.0.q_proj", "layers.1.up_proj", "layers.2.up_proj")[: 2 + seed % 2]
        found.append(tmp_path / f"in-{seed}")
        write_adapter(found[-1], make_adapter(seed, modules=modules, **SPECS[seed % 4]))
    return found


@pytest.mark.parametrize("plan", PLANS)
def test_streaming_equals_memory(folders: list[Path], tmp_path: Path, plan: MergePlan) -> None:
    write_adapter(tmp_path / "whole", merge_sources([read_adapter(folder) for folder in folders], plan).adapter)
    assert streamed(folders, tmp_path / "stream", plan) == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("plan", PLANS)
def test_a_store_changes_no_bit(folders: list[Path], tmp_path: Path, plan: MergePlan) -> None:
    plain = merge(folders, tmp_path / "plain", plan)
    assert [merge(folders, tmp_path / "out", plan, tmp_path / "store") for _ in range(2)] == [plain, plain]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_arrivals_and_departures(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("swarm")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    spec = LoraSpec(r=8, alpha=8, target_modules=("q_proj",))
    held: list[Path] = []
    for step in range(data.draw(st.integers(2, 7))):
        leaving: bool = data.draw(st.booleans())
        if held and leaving:
            held.pop(data.draw(st.integers(0, len(held) - 1)))
        else:
            held.append(root / f"in-{step}")
            a, b = rng.standard_normal((8, 30)), rng.standard_normal((25, 8))
            pair = FactorPair(a.astype(np.float32), b.astype(np.float32))
            write_adapter(held[-1], Adapter.of({"q_proj": pair}, spec))
        if held:
            plan = MergePlan(rank_max=8)
            assert merge(held, root / "more", plan, root / "store") == merge(held, root / "whole", plan)
    shutil.rmtree(root)


def test_memory_does_not_follow_the_number_of_adapters(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    spec = LoraSpec(r=16, alpha=16, target_modules=("q_proj",))
    modules = [f"layers.{layer}.q_proj" for layer in range(60)]
    folders = [tmp_path / f"in-{number}" for number in range(8)]
    for folder in folders:
        with FolderSink(folder) as sink:
            sink.begin(spec, dict.fromkeys(modules, (600, 600, 16)))
            for module in modules:
                a, b = rng.standard_normal((16, 600), np.float32), rng.standard_normal((600, 16), np.float32)
                sink.put(module, FactorPair(a, b))
            sink.end()
    one = len(modules) * 2 * 16 * 600 * 4
    tracemalloc.start()
    merge(folders, tmp_path / "out", MergePlan())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * one
