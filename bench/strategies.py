"""`make bench-strategies`: what each strategy of merging costs and what truncation takes from it.

Eight rank-16 adapters of one layer of a 1B-class model (seven modules) through the engine, from memory to memory, with
the report's sign conflicts where the strategy has coordinates. Spectra decay as after training; directions are random,
so nothing is said about quality. Processor time of one thread, the least of three (of one in space `full`), times the
model's 26 layers.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Before anything that imports numpy: it sets one thread.
from bench.merge import COUNT, LAYERS, RANK, SPECTRA, draw_folder, least
from bench.report import Row, finish

from plora.merge.engine import merge_sources
from plora.merge.outcome import MergeResult
from plora.merge.peft_folder import Adapter, read_adapter
from plora.merge.plan import MergePlan, Method
from plora.merge.registry import CATALOGUE

COMMAND = "make bench-strategies"
TURNS = 3


def draw_layers() -> list[Adapter]:
    """Adapters of one layer."""
    with tempfile.TemporaryDirectory(prefix="plora-bench-strategies-") as root:
        folders = [draw_folder(Path(root) / str(seed), seed, SPECTRA["decaying"], layers=1) for seed in range(COUNT)]
        return [read_adapter(folder) for folder in folders]


def rows_of(name: str, method: Method, adapters: list[Adapter]) -> list[Row]:
    """Time and loss of one strategy."""
    results: list[MergeResult] = []
    merge = partial(merge_sources, adapters, MergePlan(method, rank_max=RANK))
    [seconds] = least(1 if method.space == "full" else TURNS, lambda: results.append(merge()))
    lost = results[0].report.discarded_energy
    return [
        Row.of(f"{name}: {COUNT} adapters into one", seconds * LAYERS, "s", command=COMMAND),
        Row.of(f"{name}: energy that truncation to rank {RANK} loses", 100 * lost, "%", command=COMMAND),
    ]


def main() -> int:
    """Measure and write."""
    adapters = draw_layers()
    return finish(
        "strategies", [row for name, each in CATALOGUE.items() for row in rows_of(name, each.method, adapters)]
    )


if __name__ == "__main__":
    sys.exit(main())
