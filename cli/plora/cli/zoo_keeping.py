"""`plora lab zoo`: grow a zoo of adapters with a progress bar, and say which attacks took.

Not handled here: training (`python -m plora.lab.zoo`, a process of its own).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Base, Json, Quiet
from plora.cli.output import Output
from plora.proto.errors import WorkerError

COLUMNS = ("kind", "part", "adapters", "took", "failed", "success", "failure")


def zoo(
    base: Base = "mini",
    kinds: Annotated[str, typer.Option("--kinds", help="Comma-separated kinds; see docs/detection.md.")] = "all",
    seeds: Annotated[str, typer.Option("--seeds", help="Such as 0-19,40; each a recipe that all kinds share.")] = "0-3",
    out: Annotated[Path | None, typer.Option("--out", help="The zoo's folder.", show_default="in the cache")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Grow a zoo: train clean and poisoned adapters.

    Stop it anywhere; the same command goes on. An attack that doesn't take is listed as failed.
    """
    output = Output(json_, quiet)
    done = _grown(output, {"base": base, "kinds": kinds, "seeds": seeds, "out": out})
    output.table(COLUMNS, [_shown(row) for row in done["rows"]], done)
    output.hint(f"The zoo lies in {done['folder']}")


def _grown(output: Output, arguments: dict[str, object]) -> dict[str, Any]:
    """Run `python -m plora.lab.zoo` with these options (None is left out); returns its last record."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from plora.cli.training import records

    command = [sys.executable, "-m", "plora.lab.zoo"]
    for name, value in arguments.items():
        command += [] if value is None else [f"--{name}", str(value)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=output.quiet or output.as_json) as bar:
        task = bar.add_task("growing the zoo", total=None)
        for record in records(command, "the zoo"):
            if record["event"] == "start":
                bar.update(task, total=record["total"], completed=record["done"])
            elif record["event"] == "step":
                bar.update(task, completed=record["done"])
            elif record["event"] == "adapter":
                bar.update(task, description=record["name"])
            elif record["event"] == "done":
                return {name: value for name, value in record.items() if name != "event"}
    raise WorkerError("the zoo ended without a summary", mend="run it again: what is done is kept")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: "" if value is None else value for name, value in row.items()}
