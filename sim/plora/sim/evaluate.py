"""Many runs in one document: the last figures of each report under a folder, by path.

Not handled here: intervals over seeds, comparisons (they need more than last figures).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plora.proto.errors import UsageError

REPORT = "report.json"


def summarised(folder: Path) -> dict[str, Any]:
    """Under "runs", what each report below a folder came to; `UsageError` where there is none, or one is broken."""
    paths = sorted(folder.rglob(REPORT))
    if not paths:
        raise UsageError(f"no {REPORT} under this folder", where=str(folder), mend="plora sim --report_dir FOLDER")
    return {"runs": [{"path": str(path.parent), **last_figures(_read(path))} for path in paths]}


def last_figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a run came to."""
    told, last = report["scenario"], report["rounds"][-1]
    return {
        "name": told["name"],
        "engine": told["engine"],
        "seed": told["seed"],
        "detectors": told["security"]["detectors"],
        "rounds": last["round"],
        "graph": {"kind": told["graph"]["kind"], **report["graph"]},
        "coverage": last["coverage"],
        "rounds_to": report["rounds_to"],
        "mutual_information": last["mutual_information"],
        "gate": report["gate"],
        "verdicts": report.get("verdicts", {}).get("source"),
        "traffic": report["traffic"],
        "clean_arrived": report["clean_arrived"],
    }


def _read(path: Path) -> Mapping[str, Any]:
    try:
        report: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return report
    except (OSError, ValueError) as error:
        raise UsageError(f"no report: {error}", where=str(path)) from None
