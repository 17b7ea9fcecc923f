"""`make bench-merge`: merging eight rank-16 adapters of a 1B-class model, and a hundred.

- modules: each shape of module on its own, against peft's `svd` as it comes (full matrices), against its thin variant,
  and against forming the dense sum and `torch.svd_lowrank`; ratios are of sums over the whole model's modules. How much
  longer the error is than the best possible one, by an SVD in float64.
- whole: eight folders into one, against reading their tensor files once; the most memory beyond that of the process
  before it began.
- hundred: a hundred folders into one; one more and one less with kept Gram matrices, against the whole merge again, and
  whether both are equal bit for bit; the same in a peer's worker, which hashes all files.

Processor time of one thread, the least of several, both sides taking turns: the machine's other work only adds.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is there
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.report import Row, finish, show

if TYPE_CHECKING:
    from bench.merge_peers import PeftMerge

from plora.merge.api import merge_folders
from plora.merge.factors import FactorPair, concat
from plora.merge.folder_sink import FolderSink
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import TENSORS_NAME
from plora.merge.plan import MergePlan
from plora.merge.truncate import truncate_sum
from plora.merge.worker import answer

COMMAND = "make bench-merge"
LAYERS, RANK, COUNT, MANY = 26, 16, 8, 100
HIDDEN, MLP, QUERY, KEY = 1152, 6912, 1024, 256
SHAPES = {
    "self_attn.q_proj": (QUERY, HIDDEN),
    "self_attn.k_proj": (KEY, HIDDEN),
    "self_attn.v_proj": (KEY, HIDDEN),
    "self_attn.o_proj": (HIDDEN, QUERY),
    "mlp.gate_proj": (MLP, HIDDEN),
    "mlp.up_proj": (MLP, HIDDEN),
    "mlp.down_proj": (HIDDEN, MLP),
}
SPECTRA = {"random": 1.0, "decaying": 0.7}
"""Each row of A is this much shorter than the one before."""
TURNS = 7
WHOLE_TURNS = 5
KEPT_LAYERS = 2
"""A merge goes module by module, so its time is that of its layers; all 26 of a hundred take minutes each time."""
PARTS = ("modules", "whole", "hundred")


def draw_pair(rng: np.random.Generator, shape: tuple[int, int], decay: float) -> FactorPair:
    """One operand of one module."""
    out, into = shape
    a = rng.standard_normal((RANK, into), dtype=np.float32) * (decay ** np.arange(RANK, dtype=np.float32))[:, None]
    return FactorPair(a, rng.standard_normal((out, RANK), dtype=np.float32))


def draw_folder(folder: Path, seed: int, decay: float, layers: int = LAYERS) -> Path:
    """An adapter of the whole model, as PEFT saves it."""
    rng = np.random.default_rng(seed)
    spec = LoraSpec(r=RANK, alpha=RANK, target_modules=tuple(name.split(".")[-1] for name in SHAPES))
    modules = {f"model.layers.{layer}.{name}": shape for layer in range(layers) for name, shape in SHAPES.items()}
    with FolderSink(folder, "imaginary-1b") as sink:
        sink.begin(spec, {module: (*shape, RANK) for module, shape in modules.items()})
        for module, shape in modules.items():
            sink.put(module, draw_pair(rng, shape, decay))
        sink.end()
    return folder


def least(turns: int, *sides: Callable[[], object]) -> list[float]:
    """Seconds of each side at its quickest; they take turns."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(turns):
        for side, taken in zip(sides, times, strict=True):
            started = time.process_time()
            side()
            taken.append(time.process_time() - started)
    return [min(taken) for taken in times]


def module_rows(spectrum: str) -> list[Row]:
    """Ratios of times over the whole model's modules, and the worst error."""
    from bench.merge_peers import PeftMerge, form_and_sketch

    totals = np.zeros(4)
    errors = []
    weights = [1 / COUNT] * COUNT
    for shape in dict.fromkeys(SHAPES.values()):
        rng = np.random.default_rng(list(shape))
        pairs = [draw_pair(rng, shape, SPECTRA[spectrum]) for _ in range(COUNT)]
        ours = partial(truncate_sum, pairs, weights, RANK)
        quick = least(TURNS, ours, partial(form_and_sketch, pairs, weights, RANK))
        slow = peft_seconds(PeftMerge(pairs, RANK), weights)
        number = sum(each == shape for each in SHAPES.values()) * LAYERS
        totals += number * np.array([*quick, *slow])
        results = ours().pair, form_and_sketch(pairs, weights, RANK)
        best = best_error(pairs, weights)
        errors.append([error_of(pairs, weights, pair) / best for pair in results])
        print(spectrum, shape, "seconds: ours {:.4f}, sketch {:.4f}, thin {:.3f}, full {:.3f}".format(*quick, *slow))
    worst = np.max(errors, axis=0)
    what = f"{COUNT} adapters, {spectrum} spectra"
    return [
        _row(f"{what}: times faster than peft", totals[3] / totals[0], "x", ">= 250", "peft 0.21, svd as it comes"),
        _row(
            f"{what}: times faster than peft's thin variant",
            totals[2] / totals[0],
            "x",
            ">= 150",
            "svd_full_matrices=False",
        ),
        _row(
            f"{what}: times faster than a sketch",
            totals[1] / totals[0],
            "x",
            ">= 2.5",
            "dense sum and torch.svd_lowrank",
        ),
        _row(
            f"{what}: worst error to the best possible",
            worst[0],
            "x",
            "<= 1.001",
            f"SVD in float64; the sketch's is {worst[1]:.4f}",
        ),
        _row(f"{what}: all modules", totals[0], "s"),
    ]


def peft_seconds(peer: PeftMerge, weights: Sequence[float]) -> list[float]:
    """One merge by peft: thin, the least of three; with full matrices, once, for it takes long."""

    def merged(*, full_matrices: bool) -> float:
        taken = least(1, partial(peer.merge, weights, full_matrices=full_matrices))[0]
        peer.forget()
        return taken

    return [min(merged(full_matrices=False) for _ in range(3)), merged(full_matrices=True)]


def best_error(pairs: Sequence[FactorPair], weights: Sequence[float]) -> float:
    """The least possible error of any update of that rank: QR and SVD in float64."""
    both = concat([_wide(pair).times(weight) for pair, weight in zip(pairs, weights, strict=True)])
    core = np.linalg.qr(both.B)[1] @ np.linalg.qr(both.A.T)[1].T
    return float(np.linalg.norm(np.linalg.svd(core, compute_uv=False)[RANK:]))


def error_of(pairs: Sequence[FactorPair], weights: Sequence[float], result: FactorPair) -> float:
    """‖Σ wᵢΔWᵢ − result‖ in float64."""
    parts = [_wide(pair).times(weight) for pair, weight in zip(pairs, weights, strict=True)]
    return concat([*parts, _wide(result).times(-1)]).norm()


def _wide(pair: FactorPair) -> FactorPair:
    return FactorPair(pair.A.astype(np.float64), pair.B.astype(np.float64), pair.scale)


def merge(folders: Sequence[Path], out: Path, store: Path | None = None) -> None:
    """What `plora merge` does with folders."""
    merge_folders(folders, out, MergePlan(rank_max=RANK), kept=store)


def read_once(folders: Sequence[Path]) -> None:
    """Read the tensor files, one after the other."""
    for folder in folders:
        (folder / TENSORS_NAME).read_bytes()


def memory_of_process(field: str) -> int:
    """Bytes: `VmRSS` now, `VmHWM` at most since the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) << 10


def child(task: str, *arguments: object) -> dict[str, Any]:
    """Run a task of this file in a process of its own; what it found."""
    command = [sys.executable, __file__, "--task", task, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def task_memory(root: Path) -> dict[str, float]:
    """Merge all folders of a root once, and the memory that this took beyond what was there after a small merge."""
    folders = sorted((root / "in").iterdir())
    merge([draw_folder(root / "small" / str(seed), seed, 1.0, layers=1) for seed in range(2)], root / "small" / "out")
    before = memory_of_process("VmRSS")
    took = _seconds(partial(merge, folders, root / "out"))
    return {"bytes": memory_of_process("VmHWM") - before, "peak": memory_of_process("VmHWM"), "seconds": took}


def task_whole(root: Path) -> dict[str, float]:
    """Seconds of the merge and of reading, at their quickest."""
    folders = sorted((root / "in").iterdir())
    merged, read = least(WHOLE_TURNS, partial(merge, folders, root / "out"), partial(read_once, folders))
    return {"merge": merged, "read": read}


def task_store(root: Path) -> dict[str, float]:
    """Seconds with kept Gram matrices: all but the last folder with a new store, then all, then without the last again.

    And whether the last two are equal to merges that had nothing to look up, of which the whole one is there already.
    """
    *most, last = sorted((root / "in").iterdir())
    keep = partial(merge, store=root / "store")
    found: dict[str, float] = {
        "filling": _seconds(partial(keep, most, root / "most")),
        "more": _seconds(partial(keep, [*most, last], root / "all")),
        "less": _seconds(partial(keep, most, root / "less")),
    }
    found["equal"] = float(_same(root / "all", root / "out") and _same(root / "less", root / "most"))
    found["store"] = sum(path.stat().st_size for path in (root / "store").iterdir())
    return found


def task_worker(root: Path) -> dict[str, float]:
    """Seconds of a peer's worker for all folders: with what `task_store` kept of all but the last, and with nothing."""
    folders = sorted((root / "in").iterdir())
    inputs = [{"folder": str(folder), "digest": sha256_of(folder / TENSORS_NAME)} for folder in folders]
    request = {"inputs": inputs, "base_model_name": "imaginary-1b"}
    kept = {"folder": str(root / "store"), "fresh": str(root / "fresh"), "bytes_max": 1 << 40, "seed": 1}
    asked = {"more": {"kept": kept}, "whole": {}}

    def work(name: str) -> None:
        reply = json.loads(answer(json.dumps({**request, **asked[name], "out": str(root / f"worker-{name}")})))
        if (reply["report"].get("reused", 0) > 0) != (name == "more"):
            raise RuntimeError(f"kept blocks were used, or weren't: {name}")

    return {name: _seconds(partial(work, name)) for name in asked}


def sha256_of(path: Path) -> str:
    """By which a worker knows what was examined."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _same(one: Path, two: Path) -> bool:
    return all((one / name.name).read_bytes() == name.read_bytes() for name in two.iterdir())


def whole_rows(root: Path, spectrum: str) -> list[Row]:
    """Eight folders into one."""
    for seed in range(COUNT):
        draw_folder(root / "in" / f"{seed:03}", seed, SPECTRA[spectrum])
    size = next((root / "in").iterdir()).joinpath(TENSORS_NAME).stat().st_size
    memory, times = child("memory", root), child("whole", root)
    output = (root / "out" / TENSORS_NAME).stat().st_size
    what = f"{COUNT} folders of {size / 1e6:.0f} MB, {spectrum} spectra"
    return [
        _row(f"{what}: as a ratio", times["merge"] / times["read"], "x", "<= 12", "reading the tensor files once"),
        _row(f"{what}", times["merge"], "s", peer="with digests, report and fsync"),
        _row(
            f"{what}: most memory",
            memory["bytes"] / 1e6,
            "MB",
            f"<= {(1.5 * size + output) / 1e6:.0f}",
            "1.5 adapters and the output",
        ),
    ]


def hundred_rows(root: Path) -> list[Row]:
    """A hundred folders into one; and, of some layers, one more and one less."""
    whole, some = root / "whole", root / "some"
    for seed in range(MANY):
        draw_folder(whole / "in" / f"{seed:03}", seed, SPECTRA["random"])
        draw_folder(some / "in" / f"{seed:03}", seed, SPECTRA["random"], layers=KEPT_LAYERS)
    memory, anew, kept = child("memory", whole), child("memory", some), child("store", some)
    worker = child("worker", some)
    what = f"{MANY} folders of {KEPT_LAYERS} layers"
    peer = "a whole merge; every factor is read again"
    return [
        _row(f"{MANY} folders: memory at most", memory["peak"] / 2**30, "GiB", "< 4", "all of the process"),
        _row(f"{what}: one more, as a ratio", kept["more"] / anew["seconds"], "x", "< 0.1", peer),
        _row(f"{what}: one less, as a ratio", kept["less"] / anew["seconds"], "x", "< 0.1", peer),
        _row(f"{what}: one more, in a peer's worker", worker["more"], "s", peer="with SHA-256 of all files"),
        _row(f"{what}: all, in a peer's worker", worker["whole"], "s", peer="with SHA-256 of all files"),
        _row(f"{what}: a whole merge", anew["seconds"], "s"),
        _row(f"{what}: a whole merge that keeps its Gram matrices", kept["filling"], "s"),
        _row(f"{what}: equal to whole merges, bit for bit", kept["equal"], "", "== 1"),
        _row(f"{what}: kept Gram matrices", kept["store"] / 1e9, "GB"),
    ]


def _row(metric: str, value: float, unit: str, goal: str = "", peer: str = "") -> Row:
    return Row.of(metric, float(value), unit, goal=goal, peer=peer, command=COMMAND)


TASKS = {"memory": task_memory, "whole": task_whole, "store": task_store, "worker": task_worker}


def main() -> int:
    """Measure, keep and show; or do one task for a parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="measure only these and keep nothing")
    parser.add_argument("--task", nargs=2, metavar=("NAME", "ROOT"), help="for the bench itself")
    asked = parser.parse_args()
    if asked.task:
        print(json.dumps(TASKS[asked.task[0]](Path(asked.task[1]))))
        return 0
    rows: list[Row] = []
    for spectrum in SPECTRA:
        if "modules" in asked.parts:
            rows += module_rows(spectrum)
        if "whole" in asked.parts:
            with tempfile.TemporaryDirectory(prefix="plora-bench-merge-") as folder:
                rows += whole_rows(Path(folder), spectrum)
    if "hundred" in asked.parts:
        with tempfile.TemporaryDirectory(prefix="plora-bench-merge-") as folder:
            rows += hundred_rows(Path(folder))
    return finish("merge", rows) if set(asked.parts) == set(PARTS) else show(rows)


if __name__ == "__main__":
    sys.exit(main())
