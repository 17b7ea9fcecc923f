"""How often the gate's detectors pass an adapter, and how alike peers' verdicts are: what simulations draw by.

    python -m plora.lab.verdict_rates --base mini --table bench/data/detection/mini-adapters.jsonl.xz \\
        --out sim/plora/sim/assets/verdicts.json

Rules:

- Only adapters of the part `test` count: nothing of them entered the calibration. Hard negatives are clean; kinds that
  act in a merge alone (`plora.lab.judged.MERGED_KINDS`) are left out.
- Shares of what passes both layers come from the table of readings, by kind.
- Peers differ in their secret probes. So a few adapters of each kind are probed with several secrets, and the
  correlation is that within an adapter (one-way ANOVA, kinds apart; 1 where no two peers disagree). There is one for
  clean adapters and one for all trojans: a few adapters tell little of a single kind.
- The file says what it was made of, and is written beside its place and moved there.

Not handled here: drawing by it (`plora.sim.verdicts`), measuring a zoo (`plora.lab.reading`).

>>> correlation({"a": [[True, True], [False, False]], "b": [[True, True]]})
1.0
>>> correlation({"a": [[True, False], [False, True]]})
0.0
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from plora.base import base_info
from plora.base.cache import cache_folder
from plora.gate.detection.calibration import Calibration
from plora.gate.detection.shelf import SHIPPED, find_calibration, own_folder
from plora.gate.detection.sketch import sketch_of
from plora.gate.probing import ProbePlan, load_probed, probe
from plora.lab.console import emit, run_command
from plora.lab.judged import MERGED_KINDS, judge
from plora.lab.readings import Reading, read_table
from plora.lab.zoo.store import zoo_folder
from plora.proto.errors import UsageError

CLEAN = "clean"
"""What all clean adapters are together, hard negatives too."""

Votes = Mapping[str, Sequence[Sequence[bool]]]
"""By kind, for each adapter what each peer's gate says: True passes it."""


def correlation(votes: Votes) -> float:
    """The correlation of two peers' verdicts on one adapter, in [0, 1]; peers as many for each, two at least."""
    rows = [(row, fmean(fmean(one) for one in kind)) for kind in votes.values() for row in kind]
    if not rows:
        raise UsageError("nothing was probed", where="verdict_rates", mend="a zoo with adapters of the part test")
    peers, freedom = len(rows[0][0]), len(rows) - len(votes)
    within = sum((vote - fmean(row)) ** 2 for row, _ in rows for vote in row) / (len(rows) * (peers - 1))
    if within == 0:
        return 1.0
    between = sum(peers * (fmean(row) - mean) ** 2 for row, mean in rows) / max(freedom, 1)
    return min(1.0, max(0.0, (between - within) / (between + (peers - 1) * within)))


def group_of(reading: Reading) -> str:
    """ "clean", or the kind of trojan."""
    return CLEAN if reading.clean else reading.kind


def counted(readings: Iterable[Reading]) -> list[Reading]:
    """Those that count."""
    return [one for one in readings if one.part == "test" and one.kind not in MERGED_KINDS]


def passed(calibration: Calibration, readings: Iterable[Reading]) -> dict[str, list[bool]]:
    """By kind, whether the gate passes each adapter."""
    found: dict[str, list[bool]] = {}
    for one in readings:
        found.setdefault(group_of(one), []).append(not judge(calibration, one).quarantined)
    return found


def few(readings: Iterable[Reading], per_kind: int) -> list[Reading]:
    """The first so many of each kind, by name."""
    seen: dict[str, int] = {}
    chosen = []
    for one in sorted(readings, key=lambda reading: reading.name):
        seen[group_of(one)] = seen.get(group_of(one), 0) + 1
        if seen[group_of(one)] <= per_kind:
            chosen.append(one)
    return chosen


def table_of(alone: Mapping[str, Sequence[bool]], votes: Votes, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The file's content."""
    trojans = {kind: rows for kind, rows in votes.items() if kind != CLEAN}
    alike = {CLEAN: correlation({CLEAN: votes.get(CLEAN, ())}), "": correlation(trojans)}
    kinds = {
        kind: {"accept": fmean(all_), "correlation": alike[kind if kind == CLEAN else ""], "adapters": len(all_)}
        for kind, all_ in sorted(alone.items())
    }
    return {"kinds": kinds, "provenance": dict(provenance)}


def polled(
    readings: Sequence[Reading], calibration: Calibration, base: str, zoo: Path, secrets: int
) -> dict[str, list[list[bool]]]:
    """What the gates of so many peers, each with a secret of its own, say of these adapters; tells how far it is."""
    info, loaded = base_info(base), load_probed(base)
    sketch = sketch_of(info.folder, info.digest, cache_folder(os.environ))
    votes: dict[str, list[list[bool]]] = {}
    for done, one in enumerate(readings, start=1):
        row = []
        for peer in range(secrets):
            plan = ProbePlan(f"verdict rates {peer}".encode(), str(one.recipe.get("domain", "")))
            found = probe(loaded, zoo / one.name, plan, sketch)
            failures = {} if found.complete else {"probes": "not done within its budget"}
            row.append(not judge(calibration, replace(one, probes=found.raw, failures=failures)).quarantined)
        votes.setdefault(group_of(one), []).append(row)
        emit({"event": "polled", "adapter": one.name, "passed": sum(row), "of": secrets, "done": done})
    return votes


def main(argv: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.verdict_rates", description="Measure verdicts.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--table", type=Path, required=True, help="the readings of a zoo (bench/data/detection)")
    parser.add_argument("--zoo", type=Path, help="the zoo's folder; below the cache by default")
    parser.add_argument("--secrets", type=int, default=5, help="peers whose secrets are tried on each adapter")
    parser.add_argument("--per-kind", type=int, default=4, help="adapters of each kind that are probed")
    parser.add_argument("--out", type=Path, required=True, help="the file; a simulator reads its assets/verdicts.json")
    args = parser.parse_args(argv)

    def work() -> None:
        if args.secrets < 2:
            raise UsageError("one peer agrees with itself", where="--secrets", mend="2 at least")
        readings, info = _read(args.table), base_info(args.base)
        found = find_calibration(info.name, info.digest, (own_folder(os.environ), SHIPPED))
        if found is None:
            raise UsageError(f"no calibration of {info.name}", where="--base", mend="make one: plora lab probes-calib")
        zoo = args.zoo or zoo_folder(info.name, os.environ)
        chosen = few(readings, args.per_kind)
        votes = polled(chosen, found[1], info.name, zoo, args.secrets)
        provenance = {
            "base": info.name,
            "base_digest": info.digest,
            "calibration": found[1].digest,
            "readings_sha256": hashlib.sha256(args.table.read_bytes()).hexdigest(),
            "secrets": args.secrets,
            "polled": [one.name for one in chosen],
        }
        table = table_of(passed(found[1], readings), votes, provenance)
        _write(table, args.out)
        emit({"event": "done", "path": str(args.out), "kinds": table["kinds"]})

    return run_command(work)


def _read(path: Path) -> list[Reading]:
    try:
        return counted(read_table(path))
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UsageError(f"no table of readings: {error}", where=str(path), mend="make bench-detection") from None


def _write(table: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
