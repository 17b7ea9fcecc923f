"""Calibrating the gate's detectors for a base from a zoo, and the command that does it in a process of its own.

    python -m plora.lab.calibrate --base mini --zoo DIR --out mini.json

Rules:

- Readings of the whole zoo are kept beside it, in `ZOO/readings`; a run that was stopped goes on where it was.
- Attacks that didn't take are left out: they are neither clean nor poisoned.
- Detectors are fitted on the part `train`, thresholds and banks come from the part `calibration`. The part `test` is
  judged under the result, for the table that the command prints; nothing of it enters the file.
- A calibration names its base by digest; a peer takes it for no other.

Not handled here: growing a zoo (`plora.lab.zoo`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plora.base import base_info
from plora.gate.detection.calibration import PROBES_VERSION, Calibration, Provenance
from plora.gate.detection.shelf import SHIPPED, file_name, own_folder
from plora.lab.aims import Aims, read_aims
from plora.lab.console import emit, run_command
from plora.lab.detection_fit import fit_weights
from plora.lab.judged import LAYERS, by_kind, judge
from plora.lab.probe_fit import fit_probes
from plora.lab.reading import WORKERS, Listed, measure_zoo
from plora.lab.readings import Reading
from plora.lab.zoo.store import records, zoo_folder
from plora.proto.errors import UsageError

READINGS = "readings"


def listed(zoo: Path, base_digest: str, limit: int = 0) -> list[Listed]:
    """The adapters of a zoo that may be measured: those of this base, without attacks that didn't take.

    `limit`: at most so many of a kind and part; 0 is all. Raises UsageError for a folder without any.
    """
    found: list[Listed] = []
    counted: Counter[tuple[str, str]] = Counter()
    for record in records(zoo):
        place = str(record.get("kind")), str(record.get("part"))
        if record.get("took") and record.get("base_digest") == base_digest and not 0 < limit <= counted[place]:
            counted[place] += 1
            found.append(Listed(zoo / record["name"], record))
    if not found:
        raise UsageError("holds no adapter of this base", where=str(zoo), mend="grow it: plora lab zoo")
    return found


def calibrated(base: str, base_digest: str, readings: Sequence[Reading], aims: Aims, zoo: str = "") -> Calibration:
    """The calibration that these readings give; those with failures are passed over. UsageError where they are few."""
    readings = [one for one in readings if not one.failures]
    return Calibration(
        base=base,
        base_digest=base_digest,
        alpha=aims.alpha,
        weights=fit_weights(readings, aims.alpha),
        probes=fit_probes(readings, aims, PROBES_VERSION),
        provenance=Provenance(
            zoo=zoo,
            clean=sum(one.clean for one in readings if one.part != "test"),
            poisoned=sum(not one.clean for one in readings if one.part != "test"),
            false_alarms_max=aims.false_alarms,
            misses_max=aims.misses,
        ),
    )


def table(calibration: Calibration, readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """What the calibration says of the part `test`: a row a kind, each layer's rate as text."""
    found = [judge(calibration, one) for one in readings if one.part == "test"]
    rates = {name: by_kind(found, layer) for name, layer in LAYERS.items()}
    return [
        {"kind": kind, "adapters": rate.of, **{name: one[kind].text() for name, one in rates.items()}}
        for kind, rate in rates["both"].items()
    ]


def thresholds(calibration: Calibration) -> list[dict[str, Any]]:
    """The probes' thresholds with their intervals."""
    figures = calibration.probes.figures if calibration.probes else ()
    return [one.model_dump(include={"name", "worse", "threshold", "low", "high"}) for one in figures]


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write it beside its place and move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(calibration.to_bytes())
    draft.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.calibrate", description="Calibrate the detectors.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--zoo", type=Path, help="the zoo's folder; below the cache by default")
    parser.add_argument("--aims", type=Path, help="a file like config/detection.yml")
    parser.add_argument("--out", type=Path, help="the calibration; a person's own by default")
    parser.add_argument("--ship", action="store_true", help="write it among those that come with Plora")
    parser.add_argument("--limit", type=int, default=0, help="at most so many of a kind and part")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes, of one thread each")
    args = parser.parse_args(argv)

    def work() -> None:
        aims = read_aims(args.aims) if args.aims else Aims()
        base = base_info(args.base)
        zoo = args.zoo or zoo_folder(base.name, os.environ)
        chosen = listed(zoo, base.digest, args.limit)
        emit({"event": "start", "total": len(chosen)})
        readings = measure_zoo(chosen, base.name, zoo / READINGS, workers=args.workers, progress=_tell)
        calibration = calibrated(base.name, base.digest, readings, aims, zoo.name)
        folder = SHIPPED if args.ship else own_folder(os.environ)
        path = args.out or folder / file_name(base.name)
        write_calibration(calibration, path)
        rows = {"rows": table(calibration, readings), "thresholds": thresholds(calibration)}
        emit({"event": "done", "path": str(path), "digest": calibration.digest, "adapters": len(readings), **rows})

    return run_command(work)


def _tell(done: int, of: int, failure: str) -> None:
    emit({"event": "measured", "done": done, "of": of, "failure": failure})


if __name__ == "__main__":
    sys.exit(main())
