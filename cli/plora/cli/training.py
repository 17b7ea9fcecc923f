"""The lab's work in processes of its own, started and followed from here; `plora train` with a progress bar."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from plora.cli.output import Output
from plora.lab.console import ended, read_record
from plora.proto.errors import WorkerError


def train_with_progress(output: Output, arguments: Mapping[str, object]) -> dict[str, object]:
    """Run `python -m plora.lab.train` with these options (None is left out); returns its report."""
    command = [sys.executable, "-m", "plora.lab.train", "--json-progress"]
    for name, value in arguments.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    silent = output.quiet or output.as_json
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=silent) as bar:
        task = bar.add_task(f"training {arguments['domain']}", total=None, loss="loading the base")
        for record in records(command, "training"):
            if record["event"] == "start":
                bar.update(task, total=record["steps"])
            elif record["event"] == "step":
                bar.update(task, completed=record["step"], loss=f"loss {record['loss']:.3f}")
            elif record["event"] == "done":
                return {name: value for name, value in record.items() if name != "event"}
    raise WorkerError("training ended without a report", mend="run it again with --json to see its output")


def figure(value: object) -> str:
    """A value of the report as people read it: four digits are more than a run repeats.

    >>> figure([-12.345678, 0.25])
    '-12.35, 0.25'
    """
    if isinstance(value, list):
        return ", ".join(map(figure, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def records(command: list[str], what: str) -> Iterator[dict[str, Any]]:
    """What a command of the lab says, record by record. Raises the error that it ends with; `what` names the work."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            yield read_record(line, what)
    if process.returncode:
        raise ended(process.returncode, what)
