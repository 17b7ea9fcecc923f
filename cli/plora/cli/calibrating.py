"""`plora lab probes-calib`: calibrate the gate's detectors for a base, and say what they then find.

Not handled here: measuring and fitting (`python -m plora.lab.calibrate`, a process of its own).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Base, Json, Quiet
from plora.cli.output import Output
from plora.proto.errors import WorkerError

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
    done = _measured(output, arguments)
    output.table(COLUMNS, done["rows"], done)
    for one in done["thresholds"]:
        low, at, high = (f"{one[end]:.3g}" for end in ("low", "threshold", "high"))
        output.hint(f"{one['name']}: {one['worse']} than {at} is held; other draws of the zoo give {low} to {high}")
    output.hint(f"The calibration lies in {done['path']}; a running peer takes it up at `plora reload`")


def _measured(output: Output, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Run `python -m plora.lab.calibrate` with these options (None is left out); returns its last record."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from plora.cli.training import records

    command = [sys.executable, "-m", "plora.lab.calibrate"]
    for name, value in arguments.items():
        command += [] if value is None else [f"--{name}"] if value is True else [f"--{name}", str(value)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=output.quiet or output.as_json) as bar:
        task = bar.add_task("measuring the zoo", total=None)
        for record in records(command, "calibrating"):
            if record["event"] == "measured":
                bar.update(task, completed=record["done"], total=record["of"])
                if record["failure"]:
                    output.hint(f"left out: {record['failure']}")
            elif record["event"] == "done":
                return {name: value for name, value in record.items() if name != "event"}
    raise WorkerError("calibrating ended without a report", mend="run it again with --json to see its output")
