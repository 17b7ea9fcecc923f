"""A long command of the lab under a progress bar.

Not handled here: the work (a process of its own), what is shown of its result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from plora.cli.output import Output
from plora.proto.errors import WorkerError

Told = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What the bar becomes by a record: `total`, `completed`, `description`."""


def work(output: Output, module: str, arguments: Mapping[str, object], doing: str, told: Told) -> dict[str, Any]:
    """Run `python -m MODULE` with these options (None is left out, True is a flag); its last record, "done".

    Raises the error that it ends with, and WorkerError where it ends without that record.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from plora.cli.training import records

    command = [sys.executable, "-m", module]
    for name, value in arguments.items():
        command += [] if value is None else [f"--{name}"] if value is True else [f"--{name}", str(value)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=output.quiet or output.as_json) as bar:
        task = bar.add_task(doing, total=None)
        for record in records(command, doing):
            if record["event"] == "done":
                return {name: value for name, value in record.items() if name != "event"}
            bar.update(task, **told(record))
    raise WorkerError(f"{doing} ended without a report", mend="run it again: what is done is kept")
