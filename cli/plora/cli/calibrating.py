"""`plora lab probes-calib`: calibrate the gate's detectors for a base, and say what they then find.

Not handled here: measuring and fitting (`python -m plora.lab.calibrate`, a process of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.lab_work import work
from plora.cli.options import Base, Json, Quiet
from plora.cli.output import Output

COLUMNS = ("kind", "adapters", "weights", "probes", "both")


def probes_calib(
    base: Base = "mini",
    zoo: Annotated[Path | None, typer.Option("--zoo", help="The zoo's folder.", show_default="in the cache")] = None,
    aims: Annotated[
        Path | None,
        typer.Option("--aims", help="False alarms and misses aimed at.", show_default="as config/detection.yml"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The calibration's file.", show_default="where peers look first")
    ] = None,
    ship: Annotated[bool, typer.Option("--ship", help="Write it among those that come with Plora.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many of a kind and part; 0: all.")] = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Calibrate weight statistics and probes on a zoo.

    Stop it anywhere; the same command goes on. The table is of the part of the zoo that the calibration never saw.
    """
    output = Output(json_, quiet)
    arguments = {"base": base, "zoo": zoo, "aims": aims, "out": out, "limit": limit, "ship": ship or None}
    done = work(output, "plora.lab.calibrate", arguments, "measuring the zoo", partial(_told, output))
    output.table(COLUMNS, done["rows"], done)
    for one in done["thresholds"]:
        low, at, high = (f"{one[end]:.3g}" for end in ("low", "threshold", "high"))
        output.hint(f"{one['name']}: {one['worse']} than {at} is held; other draws of the zoo give {low} to {high}")
    output.hint(f"The calibration lies in {done['path']}; a running peer takes it up at `plora reload`")


def _told(output: Output, record: Mapping[str, Any]) -> Mapping[str, Any]:
    if record["event"] != "measured":
        return {}
    if record["failure"]:
        output.hint(f"left out: {record['failure']}")
    return {"completed": record["done"], "total": record["of"]}
