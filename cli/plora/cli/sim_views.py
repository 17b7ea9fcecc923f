"""Ways to see a simulation's run, all from the folder that it left: pictures, a page, a replay in the terminal.

Not handled here: how they look (`plora.sim.picture`, `plora.sim.page`, `sim_replay`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from plora.cli.output import Output
from plora.proto.errors import UsageError

PAGE_NAME = "run.html"


@dataclass(frozen=True, slots=True)
class Views:
    """What was asked for."""

    plot: bool
    page: bool
    trace: bool

    @contextmanager
    def folder(self, report_dir: Path | None) -> Iterator[Path | None]:
        """Where the run is to be kept: the report's folder, or for a while if only the terminal wants it."""
        if report_dir is not None or not (self.plot or self.page or self.trace):
            yield report_dir
        elif self.plot or self.page:
            flag = "--plot" if self.plot else "--page"
            raise UsageError("no folder to write into", where=flag, mend="add --report_dir FOLDER")
        else:
            with TemporaryDirectory() as kept:
                yield Path(kept)

    def show(self, output: Output, folder: Path | None) -> None:
        """Make what was asked for of the run in this folder; `UsageError` where a library or the run is missing."""
        if folder is None:
            return
        if self.plot:
            from plora.sim.picture import write_pictures
            from plora.sim.trace import read_report

            for path in write_pictures(folder, read_report(folder)):
                output.hint(f"wrote {path}")
        if self.page:
            _write_page(output, folder)
        if self.trace:
            _replay(folder)


def _write_page(output: Output, folder: Path) -> None:
    from plora.cli.sim_replay import Sayings
    from plora.sim.page import write_page
    from plora.sim.trace import read_trace

    trace = read_trace(folder)
    write_page(folder / PAGE_NAME, trace, Sayings(trace))
    output.hint(f"wrote {folder / PAGE_NAME}: open it in a browser")


def _replay(folder: Path) -> None:
    from rich.console import Console

    from plora.cli.sim_replay import replay
    from plora.cli.top import keys
    from plora.sim.trace import read_trace

    trace = read_trace(folder)
    if not trace.frames:
        raise UsageError("this run kept no event logs to be replayed", where="--trace", mend="use the engine swarm")
    with suppress(KeyboardInterrupt), keys() as pressed:
        replay(trace, Console(highlight=False), pressed)
