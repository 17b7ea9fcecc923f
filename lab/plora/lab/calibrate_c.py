"""Calibrates the constant C of t ≈ C ln(n) / λ₂ for a family of graphs: `results/c_calib_FAMILY.json`.

    python -m plora.lab.calibrate_c er ws ba

Rules:

- `SIZES` are seen, `HELD_OUT` are larger and only predicted; each size has as many graphs as there are seeds.
- What the figures mean: `plora.analysis.calibration`. What a round is: `plora.lab.spread`.

>>> document = calibrate("ba", sizes=(32, 64), held_out=(128,), seeds=range(2))
>>> sorted(document)[:4], document["held_out"]["graphs"]
(['C', 'C_bound', 'by_n', 'drift'], 2)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plora.analysis.calibration import calibrated
from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.lab.spread import FAMILIES, ORIGINS, measured

SIZES = (100, 200, 400, 800, 1600)
HELD_OUT = (3200, 6400)
SEEDS = 12
RESULTS = Path("results")


def calibrate(
    family: str,
    *,
    sizes: Sequence[int] = SIZES,
    held_out: Sequence[int] = HELD_OUT,
    seeds: Iterable[int] = range(SEEDS),
) -> dict[str, Any]:
    """The document of one family."""
    drawn = tuple(seeds)
    seen, unseen = ([measured(family, n, seed) for n in some for seed in drawn] for some in (sizes, held_out))
    told = {
        "family": family,
        "graphs": FAMILIES[family][0],
        "laplacian": "normalised",
        "rounds": f"synchronous push-pull, all answered, until all have it; mean of {ORIGINS} origins a graph",
        "sizes": list(sizes),
        "sizes_held_out": list(held_out),
    }
    return {**told, **calibrated(seen, unseen)}


def calibrate_into(folder: Path, family: str, **options: Any) -> Path:
    """Calibrate a family and write its artifact; its path."""
    path = folder / f"c_calib_{family}.json"
    write_json(path, calibrate(family, **options))
    return path


def faults(path: Path) -> list[str]:
    """What is wrong with such an artifact: runs that are missing, figures outside of their own intervals."""
    told = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for name, sizes in (("runs", told["sizes"]), ("runs_held_out", told["sizes_held_out"])):
        graphs = len(told[name])
        if not graphs or graphs % len(sizes):
            found.append(f"{name}: {graphs} graphs of {len(sizes)} sizes")
        found += [f"{name}: λ₂ or rounds of a graph aren't above 0" for run in told[name] if not _positive(run)]
    intervals = {"C": told["C"], "a": told["null"]["a"], "b": told["null"]["b"]}
    found += [f"{name} is outside of its interval" for name, one in intervals.items() if not _inside(one)]
    if told["C_bound"] < told["C"]["value"]:
        found.append("the largest C is below the mean")
    return found


def _positive(run: Mapping[str, float]) -> bool:
    return run["lambda2"] > 0 and run["rounds"] > 0


def _inside(interval: Mapping[str, float]) -> bool:
    return interval["low"] <= interval["value"] <= interval["high"]


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m plora.lab.calibrate_c", description="Calibrate C by family.")
    parser.add_argument("families", nargs="*", default=list(FAMILIES), help=" ".join(FAMILIES))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--held-out", type=int, nargs="+", default=HELD_OUT)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="graphs of each size")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    wanted = _parsed(arguments)

    def work() -> None:
        options = {"sizes": wanted.sizes, "held_out": wanted.held_out, "seeds": range(wanted.seeds)}
        for family in wanted.families:
            emit({"event": "written", "path": str(calibrate_into(wanted.results, family, **options))})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
