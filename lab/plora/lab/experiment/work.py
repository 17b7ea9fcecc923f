"""Carry out one step: its commands into a draft, its check, provenance, and every output into its place.

Rules:

- Whatever goes wrong leaves the places of outputs as they were; a draft that goes on stays, under the digest of what
  it was begun with, inputs among it, every other is made anew.
- Commands end with this process, also when it is killed (Linux); they hold the lock of the root as long as they run.
- What they print goes into `LOGS/NUMBER-NAME.log`; records of the lab's commands tell of progress.

Not handled here: whether the step has to run (`plora.lab.experiment.pipeline`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from plora.lab.console import ended, read_record
from plora.lab.experiment.artifacts import file_digest, put_in_place, remove
from plora.lab.experiment.config import Experiment, digest, step_environment
from plora.lab.experiment.provenance import file_beside, put_on, stamp, versions
from plora.lab.experiment.sources import outside_digest, room_digest
from plora.lab.experiment.step import Command, Seen, Step
from plora.proto.errors import PloraError, WorkerError

STATE = "results/.experiment"
LOGS = f"{STATE}/logs"
DRAFTS = f"{STATE}/drafts"
LINES_SHOWN = 12
FAULTS_SHOWN = 3

SHARES: tuple[tuple[str, str], ...] = (("done", "of"), ("done", "total"), ("step", "steps"))
"""What a record has done, and of how much."""

Told = Callable[[float], None]
"""Called with the share of a step that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where an experiment is done: the root, its settings, its environment, and the lock that commands inherit."""

    root: Path
    experiment: Experiment
    environ: Mapping[str, str]
    lock: int | None = None


def recipe(step: Step, site: Site, base_digest: str) -> dict[str, Any]:
    """What a step's results depend on beyond its inputs: settings, commands, code, versions, the base."""
    experiment = site.experiment
    told = {
        "settings": experiment.chosen(step.keys),
        "commands": step.told(experiment),
        "rooms": {room: room_digest(room) for room in step.rooms},
        "versions": versions(),
        "outside": [outside_digest(path) for path in step.outside(site.environ)],
        "revisions": list(step.revisions(step_environment(experiment, site.environ))),
    }
    return told | ({"base": experiment.base, "base_digest": base_digest} if step.needs_base else {})


def carry_out(step: Step, site: Site, made_of: Mapping[str, Any], told: Told = lambda share: None) -> None:
    """Do a step. Raises PloraError where a command fails, an output is missing or the check has something to say."""
    inputs = {name: file_digest(site.root / name) for name in step.inputs(site.experiment)}
    draft = f"{DRAFTS}/{step.label}-{digest({**made_of, 'inputs': inputs})[:12]}"
    _prepare(step, site, draft)
    commands = step.commands(site.experiment, lambda path: f"{draft}/{path}")
    (site.root / LOGS).mkdir(parents=True, exist_ok=True)
    with (site.root / LOGS / f"{step.label}.log").open("w", buffering=1, encoding="utf-8") as log:
        for place, command in enumerate(commands):
            _run(command, site, site.root / draft, log, partial(_tell, told, place, len(commands)))
    _finish(step, site, site.root / draft, made_of, inputs)


def make_owner(site: Site) -> None:
    """Make the owner who signs, where there is none yet. Its keys outlive every experiment."""
    if not (site.root / "keys/owner.pem").exists():
        words = ("plora", "keygen", "--name", "owner", "--algorithm", "rsa", "--out", "keys", "--quiet")
        subprocess.run(_program(words), cwd=site.root, check=True, stdout=subprocess.DEVNULL)


def faults_of(step: Step, experiment: Experiment, seen: Seen) -> list[str]:
    """What is wrong with the outputs of a step: what is missing, else what its check says of them."""
    missing = [name for name in step.outputs(experiment) if not (seen.folder / name).exists()]
    if missing:
        return [f"{name} is missing" for name in missing]
    try:
        return step.check(experiment, seen)
    except PloraError as error:
        return [str(error)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        return [f"can't be read as what it must be ({type(error).__name__}: {error})"]


def _prepare(step: Step, site: Site, draft: str) -> None:
    """The draft folder, with what is laid into it; drafts of the same step that were begun otherwise go."""
    folder = site.root / draft
    for other in folder.parent.glob(f"{step.label}-*"):
        if other != folder or not step.goes_on:
            remove(other)
    for name in (*step.outputs(site.experiment), *step.laid(site.experiment)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name in step.laid(site.experiment):
        shutil.copy2(site.root / name, folder / name)


def _finish(step: Step, site: Site, draft: Path, made_of: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    seen = Seen(draft, site.root)
    if faults := faults_of(step, site.experiment, seen):
        more = f" and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
        what = "; ".join(faults[:FAULTS_SHOWN]) + more
        raise PloraError(what, where=step.label, mend=f"the draft lies in {draft}, the log in {LOGS}/{step.label}.log")
    outputs = step.outputs(site.experiment)
    seeds = step.seeds(site.experiment, site.root)
    signed = stamp(digest(made_of), seeds, " && ".join(step.told(site.experiment)), inputs)
    for name in (one for one in outputs if one not in step.untold(site.experiment)):
        where = put_on(draft / name, signed, beside=step.beside or (draft / name).is_dir())
        if where != draft / name:
            put_in_place(where, file_beside(site.root / name))
    for name in outputs:
        put_in_place(draft / name, site.root / name)
    remove(draft)


def _tell(told: Told, place: int, of: int, share: float) -> None:
    told((place + share) / of)


def _run(command: Command, site: Site, draft: Path, log: IO[str], told: Told) -> None:
    log.write(f"$ {command}\n")
    log.flush()
    start = log.tell()
    words = [sys.executable, "-m", "plora.lab.experiment.child", *_program(command.words)]
    environ = step_environment(site.experiment, site.environ)
    held = () if site.lock is None else (site.lock,)
    with (
        _output(command, draft) as stdout,
        subprocess.Popen(
            words, cwd=site.root, env=environ, stdout=stdout, stderr=log, text=True, pass_fds=held
        ) as child,
    ):
        try:
            follower = _Follower(log, told)
            for line in child.stdout or ():
                follower.hear(line)
            code = child.wait()
        finally:
            child.terminate()
    if code:
        raise _failed(command, code, log, start)


def _failed(command: Command, code: int, log: IO[str], start: int) -> WorkerError:
    log.flush()
    lines = Path(log.name).read_bytes()[start:].decode("utf-8", "replace").splitlines()
    last = " / ".join(line.strip() for line in lines[-LINES_SHOWN:] if line.strip())
    told = ended(code, " ".join(command.words[:3]))
    return WorkerError(f"{told.what}: {last or 'it said nothing'}", where=told.where, mend=f"see {log.name}")


@contextmanager
def _output(command: Command, draft: Path) -> Iterator[IO[str] | int]:
    if not command.stdout:
        yield subprocess.PIPE
        return
    with (draft / command.stdout).open("w", encoding="utf-8") as file:
        yield file


class _Follower:
    """Reads what a command prints: a record tells of progress or of an error, and every line is kept.

    `done` of so many is of the whole command; so is a `step`, unless the command began by counting something else.
    """

    def __init__(self, log: IO[str], told: Told) -> None:
        self._log, self._told, self._shares = log, told, SHARES

    def hear(self, line: str) -> None:
        """One line."""
        self._log.write(line)
        record = _record(line)
        if record is None:
            return
        if record["event"] == "error":
            read_record(line)
        if record["event"] == "start" and "steps" not in record:
            self._shares = SHARES[:-1]
        for done, total in self._shares:
            if isinstance(record.get(done), int) and isinstance(record.get(total), int) and record[total]:
                self._told(min(1.0, record[done] / record[total]))
                return


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "event" in record else None


def _program(words: Sequence[str]) -> Sequence[str]:
    """The words with `python` and `plora` as those of this environment."""
    if words[0] == "python":
        return sys.executable, *words[1:]
    beside = Path(sys.executable).with_name(words[0])
    return str(beside) if os.access(beside, os.X_OK) else words[0], *words[1:]
