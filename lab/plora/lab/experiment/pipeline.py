"""The experiment as tasks of doit: which steps have to run, in which order, and what became of each.

Rules:

- A step runs when the contents of an input, a setting that it depends on, its commands, its code, a version of a
  package or the base have changed, or when an output is missing, was changed by somebody else, or doesn't pass the
  step's check. Else it is left alone.
- A step that fails holds up those that need it; all others go on.
- One process does an experiment in a root at a time. A step that outlives its killed pipeline holds the lock, too.

Not handled here: doing a step (`plora.lab.experiment.work`), what people see (`plora.lab.experiment.view`).
"""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol

from doit.control import TaskControl
from doit.runner import Runner
from doit.task import dict_to_task
from doit.tools import config_changed

from plora.base import base_info
from plora.lab.experiment.artifacts import file_digest, remove, result_digest
from plora.lab.experiment.provenance import file_beside
from plora.lab.experiment.records import Records
from plora.lab.experiment.step import Seen, Step, needed
from plora.lab.experiment.work import DRAFTS, LOGS, STATE, Site, carry_out, faults_of, make_owner, recipe
from plora.proto.errors import PloraError, UsageError

RECORDS = f"{STATE}/steps.json"
LOCK = f"{STATE}/lock"

Spent = tuple[float, float]
"""Seconds by the clock, and of all processes together."""

State = Literal["done", "kept", "failed", "waits", "to do"]


@dataclass(frozen=True, slots=True)
class Came:
    """What became of a step, or where it stands: `reason` says why it failed or has to run.

    `seconds` by the clock, `cpu_s` of all its processes together, of the last time where it has to run again; 0 where
    it never ran.
    """

    step: Step
    state: State
    reason: str = ""
    seconds: float = 0.0
    cpu_s: float = 0.0


class Watch(Protocol):
    """Who is told of a run."""

    def begins(self, step: Step) -> None:
        """A step begins."""

    def share(self, step: Step, done: float) -> None:
        """So much of it is done, 0 to 1."""

    def ends(self, came: Came) -> None:
        """A step ended, was left alone, or waits for another."""


def run(site: Site, steps: Sequence[Step], watch: Watch) -> list[Came]:
    """Do what has to be done of these steps, which are closed under what they need."""
    with _locked(site.root) as lock:
        work = _Run(Site(site.root, site.experiment, site.environ, lock), steps, watch)
        make_owner(work.site)
        control = TaskControl([work.task(step) for step in steps])
        control.process([step.label for step in steps])
        Runner(work.records, work, continue_=True).run_all(control.task_dispatcher())
        return work.came


def status(site: Site, steps: Sequence[Step]) -> list[Came]:
    """Where each step stands; nothing is run."""
    work = _Run(site, steps, _Nobody())
    tasks = {step.label: work.task(step) for step in steps}
    stale: set[int] = set()
    found = []
    for step in steps:
        came = work.standing(step, tasks, stale)
        stale |= {step.number} if came.state != "kept" else set()
        found.append(came)
    return found


def missing(site: Site, steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """Each artifact that isn't there, with the step that makes it."""
    return [(name, step) for step in steps for name in step.outputs(site.experiment) if not (site.root / name).exists()]


def reset(site: Site, steps: Sequence[Step]) -> list[str]:
    """Forget these steps and take their outputs, drafts and logs away; the names of what was there. Keys stay."""
    with _locked(site.root):
        records = Records(site.root / RECORDS)
        gone = []
        for step in steps:
            records.remove(step.label)
            for draft in (site.root / DRAFTS).glob(f"{step.label}-*"):
                remove(draft)
            for other in (f"{LOGS}/{step.label}.log", *step.caches):
                remove(site.root / other)
            gone += [name for name in step.outputs(site.experiment) if _remove_output(site.root / name)]
        records.close()
        return gone


def results(site: Site, steps: Sequence[Step]) -> dict[str, str]:
    """The digest of each result that is there, times aside: equal for equal work."""
    return {
        name: result_digest(site.root / name, step.aside, any_order=step.any_order)
        for step in steps
        for name in step.outputs(site.experiment)
        if (site.root / name).exists()
    }


def _remove_output(path: Path) -> bool:
    remove(file_beside(path))
    return remove(path)


@contextmanager
def _locked(root: Path) -> Iterator[int]:
    """The lock of a root; UsageError while another run, or a step that outlives one, has it."""
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "wait for it; a step of a run that was killed ends by itself"
            raise UsageError("an experiment is under way here", where=str(root.resolve()), mend=mend) from None
        os.set_inheritable(file.fileno(), True)
        yield file.fileno()


def _children_cpu_s() -> float:
    """CPU time of all processes that this one has waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Nobody:
    def begins(self, step: Step) -> None:
        pass

    def share(self, step: Step, done: float) -> None:
        pass

    def ends(self, came: Came) -> None:
        pass


class _Run:
    """One run: the tasks, and the reporter that doit tells of them."""

    def __init__(self, site: Site, steps: Sequence[Step], watch: Watch) -> None:
        self.site, self.watch = site, watch
        self.steps = {step.label: step for step in steps}
        self.records = Records(site.root / RECORDS)
        self.came: list[Came] = []
        self._failures: dict[str, str] = {}
        self._began = (0.0, 0.0)
        self.base_digest = cache(lambda: base_info(site.experiment.base, site.environ).digest)

    def task(self, step: Step) -> Any:
        """The step as a task of doit."""
        site, made_of = self.site, self._recipe(step)
        inputs = [str(site.root / name) for name in step.inputs(site.experiment)]
        sources = [str(path) for pattern in step.sources for path in sorted(site.root.glob(pattern))]
        known = [one.label for one in needed(step, self.steps.values(), site.experiment)]
        task = dict_to_task(
            {
                "name": step.label,
                "actions": [(self._act, [step, made_of])],
                "file_dep": inputs + sources,
                "targets": [str(site.root / name) for name in step.outputs(site.experiment)],
                "task_dep": known,
                "uptodate": [config_changed(made_of), lambda task, values: self._stands(step, values)],
                "io": {"capture": False},
            }
        )
        task.value_savers.append(partial(self._remembered, step))
        return task

    def standing(self, step: Step, tasks: Mapping[str, Any], stale: set[int]) -> Came:
        """Where a step stands, if the steps of these numbers have to run."""
        makers = needed(step, self.steps.values(), self.site.experiment)
        waits = [one.label for one in makers if one.number in stale]
        if waits:
            return Came(step, "waits", f"needs {', '.join(waits)}", *self._last(step))
        found = self.records.get_status(tasks[step.label], tasks, get_log=True)
        if found.status == "up-to-date":
            return Came(step, "kept", "", *self._last(step))
        return Came(step, "to do", self._why(step, found), *self._last(step))

    def _why(self, step: Step, found: Any) -> str:
        reasons = found.reasons
        if found.error_reason:
            return str(found.error_reason)
        if not self.records.get_values(step.label):
            return "was never done"
        if gone := reasons.get("missing_target"):
            return f"{self._name(gone[0])} is missing"
        changed = [*reasons.get("changed_file_dep", ()), *reasons.get("added_file_dep", ())]
        if changed or reasons.get("removed_file_dep"):
            return f"{self._name(changed[0])} has changed" if changed else "it has other inputs"
        if not self._stands(step, self.records.get_values(step.label)):
            faults = faults_of(step, self.site.experiment, Seen(self.site.root, self.site.root))
            return faults[0] if faults else "an output was changed by somebody else"
        return "its settings, code, versions or a file outside have changed"

    def _name(self, path: str) -> str:
        return Path(path).relative_to(self.site.root).as_posix()

    def _act(self, step: Step, made_of: Mapping[str, Any]) -> bool:
        try:
            carry_out(step, self.site, made_of, partial(self.watch.share, step))
        except PloraError as error:
            self._failures[step.label] = str(error)
            return False
        return True

    def _stands(self, step: Step, values: Mapping[str, Any]) -> bool:
        """Whether the outputs are those that the step left, and still pass its check."""
        if values.get("outputs") != self._digests(step):
            return False
        return not faults_of(step, self.site.experiment, Seen(self.site.root, self.site.root))

    def _digests(self, step: Step) -> dict[str, str]:
        names = step.outputs(self.site.experiment)
        return {name: file_digest(self.site.root / name) for name in names if (self.site.root / name).exists()}

    def _recipe(self, step: Step) -> dict[str, Any]:
        return recipe(step, self.site, self.base_digest() if step.needs_base else "")

    def _last(self, step: Step) -> Spent:
        """What the step took the last time."""
        values = self.records.get_values(step.label)
        return float(values.get("seconds", 0)), float(values.get("cpu_s", 0))

    def _spent(self) -> Spent:
        """What the step under way has taken."""
        return time.monotonic() - self._began[0], _children_cpu_s() - self._began[1]

    def _remembered(self, step: Step) -> dict[str, Any]:
        """What is kept of a step that was done."""
        seconds, cpu_s = self._spent()
        return {"outputs": self._digests(step), "seconds": seconds, "cpu_s": cpu_s}

    # What doit tells its reporter.

    def initialize(self, tasks: Any, selected: Any) -> None:
        """Before anything runs."""

    def get_status(self, task: Any) -> None:
        """A step is looked at."""

    def execute_task(self, task: Any) -> None:
        """A step begins."""
        self._began = (time.monotonic(), _children_cpu_s())
        self.watch.begins(self.steps[task.name])

    def add_success(self, task: Any) -> None:
        """A step ended well."""
        self._ended(task, "done", "", self._spent())

    def add_failure(self, task: Any, fail: Any) -> None:
        """A step failed, or needs one that did."""
        reason = self._failures.get(task.name)
        if reason is None and type(fail).__name__ == "UnmetDependency":
            self._ended(task, "waits", f"needs {fail.message}")
        else:
            self._ended(task, "failed", reason or " ".join(fail.get_msg().split()))

    def skip_uptodate(self, task: Any) -> None:
        """A step is left alone."""
        self._ended(task, "kept", "", self._last(self.steps[task.name]))

    def _ended(self, task: Any, state: State, reason: str = "", spent: Spent = (0.0, 0.0)) -> None:
        came = Came(self.steps[task.name], state, reason, *spent)
        self.came.append(came)
        self.watch.ends(came)

    def skip_ignore(self, task: Any) -> None:
        """Nothing is ignored."""

    def cleanup_error(self, exception: Any) -> None:
        """Nothing is torn down."""

    def runtime_error(self, message: str) -> None:
        """The tasks make no sense together."""
        raise PloraError(message)

    def teardown_task(self, task: Any) -> None:
        """Nothing is torn down."""

    def complete_run(self) -> None:
        """After everything."""
