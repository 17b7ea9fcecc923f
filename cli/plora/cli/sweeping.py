"""`plora sweep`: many simulations along axes, on all cores or on a Ray cluster; what is done isn't done again."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plora.cli.options import Json, Quiet
from plora.cli.output import Output
from plora.proto.amounts import counted
from plora.proto.errors import PloraError, UsageError

if TYPE_CHECKING:
    from plora.sim.sweep import Run
    from plora.sim.sweep_rows import Rows
    from plora.sim.sweep_work import Failed, Origin, Row

FAILURES_SHOWN = 5
SPEED_OVER_S = 3600.0
"""Time left is told by the runs of the last hour: runs differ by orders of magnitude."""


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="SWEEP", help="A YAML file with `base` and `axes`; see docs/simulator.md.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="JSONL, one row a run.", show_default="results/NAME.jsonl")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes at once.", show_default="all cores")
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="Run on the Ray cluster at ADDRESS instead.", metavar="ADDRESS")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario along axes: topologies, sizes, seeds, policies.

    Rows that are in the file already aren't run again, so the same command goes on after Ctrl-C or a crash.
    """
    from plora.sim.sweep import Sweep
    from plora.sim.sweep_rows import opened
    from plora.sim.sweep_work import Origin

    output = Output(json_, quiet)
    asked = Sweep.read(file)
    runs = asked.runs(str(file))
    path = out or Path("results") / f"{asked.name}.jsonl"
    command = _command(file, path, jobs, ray)
    with opened(path) as rows:
        if rows.repaired_bytes:
            output.hint(f"{path}: cut off a last line that was torn ({rows.repaired_bytes} bytes)")
        todo = [run for run in runs if run.digest not in rows.done]
        if len(todo) < len(runs):
            output.hint(f"{len(runs) - len(todo)} of {counted(len(runs), 'run')} are in {path} already")
        origin = Origin(asked.name, asked.digest, command)
        failed = _carry_out(output, todo, origin, rows, jobs, ray, len(runs))
    done = len(runs) - len(failed)
    otherwise = [(run, rows.otherwise[run.digest]) for run in runs if run.digest in rows.otherwise]
    document = {"file": str(path), "runs": len(runs), "done": done, "failed": len(failed), "otherwise": len(otherwise)}
    output.document(document, [f"{path}: {done} of {counted(len(runs), 'run')}"])
    _raise_if_wrong(output, path, failed, otherwise)


def _raise_if_wrong(output: Output, path: Path, failed: list[Failed], otherwise: list[tuple[Run, str]]) -> None:
    """`PloraError` where a run has no row, or one that says that it ended otherwise than it must."""
    _say(output, [(one.run, one.reason) for one in failed])
    _say(output, otherwise)
    if failed:
        raise UsageError(f"{counted(len(failed), 'run')} failed", mend="the same command tries again")
    if otherwise:
        what = f"{counted(len(otherwise), 'run')} did not end as expected"
        raise PloraError(what, where=str(path), mend="`unexpected` and `broken` of the reports say how")


def _carry_out(
    output: Output, todo: list[Run], origin: Origin, rows: Rows, jobs: int | None, ray: str | None, total: int
) -> list[Failed]:
    """Write a row for each run that is to be done; those that failed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from plora.sim.sweep_work import Failed

    failed: list[Failed] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = output.quiet or output.as_json
    with (
        Progress(*columns, console=Console(stderr=True), disable=hidden, speed_estimate_period=SPEED_OVER_S) as bar,
        closing(_work(todo, origin, jobs, ray)) as results,
    ):
        task = bar.add_task(origin.sweep, total=total, completed=total - len(todo))
        try:
            for result in results:
                if isinstance(result, Failed):
                    failed.append(result)
                else:
                    rows.add(result)
                bar.advance(task)
        except KeyboardInterrupt:
            output.hint(f"\nStopped; the same command goes on: {origin.command}")
            raise
    return failed


def _work(todo: list[Run], origin: Origin, jobs: int | None, ray: str | None) -> Generator[Row | Failed, None, None]:
    import os

    from plora.sim.sweep_work import on_processes, on_ray

    if todo and ray is not None:
        yield from on_ray(todo, origin, ray)
    elif todo:
        yield from on_processes(todo, origin, min(jobs or len(os.sched_getaffinity(0)), len(todo)))


def _say(output: Output, wrong: list[tuple[Run, str]]) -> None:
    """Where on the axes something is wrong, and what: the first of it."""
    from plora.sim.sweep import said_at

    for run, reason in wrong[:FAILURES_SHOWN]:
        output.failure(f"{said_at(run.at)}: {reason}")


def _command(file: Path, out: Path, jobs: int | None, ray: str | None) -> str:
    words = ["plora", "sweep", str(file), "--out", str(out)]
    words += ["--jobs", str(jobs)] if jobs else []
    words += ["--ray", ray] if ray is not None else []
    return shlex.join(words)
