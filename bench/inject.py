"""`make bench-inject`: how long it takes to put an adapter on a model in memory and to take it off, beside peft.

Rank-16 adapters on all linear layers of `mini` and, where it is prepared on this machine, of smollm2 in bfloat16, from
a folder in the page cache. peft: `load_adapter` with `set_adapter`, and `delete_adapter`, on a model that it has
wrapped already. The base's bits are compared before and after.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from bench.report import Row, finish

from plora.base import load_base
from plora.base.registry import find_base, resolve_base
from plora.merge.factors import FactorPair
from plora.merge.folder_source import FolderSource
from plora.merge.injection import BUDGET_MS_DEFAULT, fingerprint, inject
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, write_adapter
from plora.proto.errors import BaseModelError

COMMAND = "make bench-inject"
RANK = 16
TURNS = {"mini": 200, "smollm2": 50}
PEFT_TURNS = 20
Times = list[float]


def draw_folder(model: Any, folder: Path, seed: int) -> Path:
    """A random adapter on all linear layers but the head."""
    draw = np.random.default_rng(seed)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"}
    pairs = {
        name: FactorPair(
            draw.standard_normal((RANK, layer.in_features)).astype(np.float32),
            draw.standard_normal((layer.out_features, RANK)).astype(np.float32),
        )
        for name, layer in layers.items()
    }
    targets = tuple(sorted({name.rpartition(".")[2] for name in pairs}))
    write_adapter(folder, Adapter.of(pairs, LoraSpec(r=RANK, alpha=RANK, target_modules=targets)))
    return folder


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what it gave."""
    began = time.perf_counter()
    given = action()
    return 1000 * (time.perf_counter() - began), given


def ours(model: Any, folder: Path, turns: int) -> tuple[Times, Times]:
    """Times on and off."""
    on, off = [], []
    for _ in range(turns):
        took, injection = timed(lambda: inject(model, FolderSource(folder)))
        on.append(took)
        off.append(timed(injection.remove)[0])
    return on, off


def pefts(model: Any, first: Path, second: Path) -> tuple[Times, Times]:
    """Times on and off with peft, another adapter staying on the model, as it must."""
    from peft import PeftModel

    def put_on() -> None:
        wrapped.load_adapter(str(second), "other")
        wrapped.set_adapter("other")

    on, off = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = PeftModel.from_pretrained(model, str(first))
        for _ in range(PEFT_TURNS):
            on.append(timed(put_on)[0])
            off.append(timed(lambda: wrapped.delete_adapter("other"))[0])
    return on, off


def rows_of(base: str, folder: Path) -> list[Row]:
    """The figures of one base."""
    model = load_base(base).model
    first, second = draw_folder(model, folder / "first", 1), draw_folder(model, folder / "second", 2)
    before = fingerprint(model)
    mine = ours(model, second, TURNS[base])
    changed = float(fingerprint(model) != before)
    theirs = pefts(model, first, second)
    rows = [Row.of(f"{base}: bases changed by it", changed, "", goal="== 0", command=COMMAND)]
    for what, times, peer in zip(("put on", "take off"), mine, theirs, strict=True):
        rows += _percentiles(f"{base}: {what}", times, peer)
    return rows


def _percentiles(what: str, times: Times, peer: Times) -> list[Row]:
    goal = f"<= {BUDGET_MS_DEFAULT:g}"
    return [
        Row.of(
            f"{what}, p{share}",
            float(np.percentile(times, share)),
            "ms",
            goal=goal,
            peer=f"peft {np.percentile(peer, share):.3g} ms",
            command=COMMAND,
        )
        for share in (50, 99)
    ]


def bases() -> Sequence[str]:
    """Those that are on this machine."""
    try:
        find_base(resolve_base("smollm2"))
    except BaseModelError:
        return ["mini"]
    return ["mini", "smollm2"]


def main() -> int:
    """Measure and write."""
    torch.set_num_threads(1)
    rows = []
    for base in bases():
        with tempfile.TemporaryDirectory(prefix="plora-bench-inject-") as folder:
            rows += rows_of(base, Path(folder))
    return finish("inject", rows)


if __name__ == "__main__":
    sys.exit(main())
