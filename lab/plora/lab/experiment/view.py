"""What people see of an experiment: a bar while it runs, a line a step, a table of where everything stands.

Rules:

- Progress goes to standard error; where that is no terminal, a line when a step begins and one when it ends.
- Time left is what the steps that are left took the last time, else what they take as a dry run, stretched by how much
  longer than that this run's steps have taken so far.

Not handled here: what became of a step (`plora.lab.experiment.pipeline`).

>>> span(42), span(3725)
('42 s', '1 h 02 min')
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from plora.lab.experiment.pipeline import Came
from plora.lab.experiment.step import Step

STYLES = {"done": "green", "kept": "green", "failed": "bold red", "waits": "yellow", "to do": "yellow"}
WIDTH_WITHOUT_TERMINAL = 120


def span(seconds: float) -> str:
    """A span of time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Left:
    """How long a run still takes. `known` has what steps took the last time, by number."""

    def __init__(self, steps: Iterable[Step], known: Mapping[int, float]) -> None:
        self._expected = {step.number: known.get(step.number) or step.seconds for step in steps}
        self._seen = self._should = 0.0

    def ended(self, step: Step, seconds: float | None) -> None:
        """A step took so long; None if nothing was done."""
        expected = self._expected.pop(step.number, 0.0)
        if seconds is not None and expected:
            self._seen, self._should = self._seen + seconds, self._should + expected

    def seconds(self, step: Step | None = None, done: float = 0.0) -> float:
        """What is left, `done` of `step` being behind us.

        >>> from plora.lab.experiment.steps import STEPS
        >>> left = Left(STEPS[:2], {1: 100.0, 2: 10.0})
        >>> left.ended(STEPS[0], 200.0)
        >>> left.seconds(STEPS[1], 0.5)
        10.0
        """
        stretch = self._seen / self._should if self._should else 1.0
        behind = done * self._expected.get(step.number, 0.0) if step else 0.0
        return stretch * (sum(self._expected.values()) - behind)


def left_of(standing: Iterable[Came]) -> Left:
    """How long steps that stand like this take together."""
    going = [one for one in standing if one.state != "kept"]
    return Left([one.step for one in going], {one.step.number: one.seconds for one in going})


class Bar:
    """Shows a run as it goes. `standing` says where its steps stood before: those that are kept take no time."""

    def __init__(self, standing: Sequence[Came]) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._left, self._total, self._ended = left_of(standing), len(standing), 0
        self._task = self._progress.add_task("begins", total=self._total, left="")
        self._began = 0.0

    def __enter__(self) -> Bar:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begins(self, step: Step) -> None:
        """A step begins."""
        self._began = time.monotonic()
        self._say(step, 0.0)
        if not self._console.is_terminal:
            self._console.print(f"{step.number:>2} {step.title} … ({self._about()})")

    def share(self, step: Step, done: float) -> None:
        """So much of it is done."""
        self._say(step, done)

    def ends(self, came: Came) -> None:
        """A step ended."""
        self._ended += 1
        self._left.ended(came.step, time.monotonic() - self._began if came.state == "done" else None)
        self._progress.update(self._task, completed=self._ended, left=self._about())
        self._console.print(line(came))

    def _say(self, step: Step, done: float) -> None:
        self._progress.update(
            self._task,
            completed=self._ended + done,
            description=f"{step.number} {step.title}",
            left=self._about(step, done),
        )

    def _about(self, step: Step | None = None, done: float = 0.0) -> str:
        return f"about {span(self._left.seconds(step, done))} left"


def line(came: Came) -> Text:
    """What became of a step, in a line."""
    took = f" ({span(came.seconds)})" if came.state == "done" else ""
    text = Text(f"{came.step.number:>2} {came.step.title}: ")
    text.append(came.state, style=STYLES[came.state]).append(took)
    return text.append(f": {came.reason}" if came.reason else "")


def table(came: Iterable[Came]) -> Table:
    """Where every step stands."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("step", "name", "state", "took", "cpu", "why"):
        shown.add_column(name, overflow="fold", no_wrap=name in ("step", "name", "state"))
    for one in came:
        took, cpu = (span(spent) if spent else "" for spent in (one.seconds, one.cpu_s))
        state = Text(one.state, style=STYLES[one.state])
        shown.add_row(str(one.step.number), one.step.name, state, took, cpu, Text(one.reason))
    return shown


def show(content: object) -> None:
    """Print on standard output."""
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    Console(highlight=False, width=width).print(content)
