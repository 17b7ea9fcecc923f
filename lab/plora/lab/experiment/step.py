"""What a step of the experiment is: declared inputs, outputs and settings, commands, and a check.

Rules:

- A step writes below a draft folder that looks like the root; its outputs are moved into their places once its check
  has nothing to say. Elsewhere it writes only into its caches.
- Its commands are what a person could type: words that run in the root. Their paths into the draft are told without it.
- A check is a function of the outputs alone, and of what they must fit; it returns faults, one sentence each.

Not handled here: which steps there are (`plora.lab.experiment.steps`), when one runs (`plora.lab.experiment.pipeline`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plora.lab.experiment.artifacts import read_document
from plora.lab.experiment.config import Experiment

To = Callable[[str], str]
"""Where a command writes an output, or finds what was laid ready for it, as a path from the root."""


@dataclass(frozen=True, slots=True)
class Command:
    """Words to run in the root; what it prints goes into the file `stdout` of the draft where that is named."""

    words: tuple[str, ...]
    stdout: str = ""

    def __str__(self) -> str:
        into = f" > {self.stdout}" if self.stdout else ""
        return shlex.join(self.words) + into


@dataclass(frozen=True, slots=True)
class Seen:
    """Outputs of a step where they lie now (`folder`), and all else below the `root`."""

    folder: Path
    root: Path

    def path(self, name: str) -> Path:
        """Where a file lies."""
        mine = self.folder / name
        return mine if mine.exists() else self.root / name

    def document(self, name: str) -> Any:
        """What is in a file; see `read_document`."""
        return read_document(self.path(name))


Check = Callable[[Experiment, Seen], list[str]]
Names = Callable[[Experiment], Sequence[str]]
Seeds = Callable[[Experiment, Path], Sequence[int]]
"""The seeds of a step's results, given the root."""


def _no_names(experiment: Experiment) -> Sequence[str]:
    return ()


def _no_seeds(experiment: Experiment, root: Path) -> Sequence[int]:
    return ()


def _nothing_outside(environ: Mapping[str, str]) -> Sequence[Path]:
    return ()


def _nothing_elsewhere(environ: Mapping[str, str]) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Step:
    """One of the specification's nineteen.

    Attributes:
        number, name, title: as a person knows it; the name is what it is called by.
        keys: settings that its results depend on. inputs, outputs: files and folders, as paths from the root.
        commands: what is run, given where outputs go. laid: inputs that are copied into the draft first.
        needs_base: whether results depend on which base it is. goes_on: whether commands go on from an earlier draft.
        aside: fields of outputs that tell times, or are of them. any_order: whether rows stand as they were finished.
        beside: whether provenance lies beside outputs, which can't hold it.
        untold: outputs whose provenance is that of another one.
        caches: where commands keep what they make by its recipe, so that nothing is made twice.
        seeds: of what its commands draw. rooms: packages below `plora` whose code it runs.
        outside: files that it reads outside of the root, given the environment; they may be missing.
        revisions: what it reads of elsewhere, each with its revision, given the environment of its commands.
        sources: patterns of the project's own files that it reads. seconds: what it takes as a dry run, for time left.
    """

    number: int
    name: str
    title: str
    keys: tuple[str, ...]
    outputs: Names
    commands: Callable[[Experiment, To], Sequence[Command]]
    check: Check
    inputs: Names = _no_names
    laid: Names = _no_names
    seeds: Seeds = _no_seeds
    rooms: tuple[str, ...] = ()
    outside: Callable[[Mapping[str, str]], Sequence[Path]] = _nothing_outside
    revisions: Callable[[Mapping[str, str]], Sequence[str]] = _nothing_elsewhere
    sources: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    needs_base: bool = False
    goes_on: bool = False
    aside: frozenset[str] = field(default=frozenset())
    any_order: bool = False
    beside: bool = False
    untold: Names = _no_names
    seconds: float = 10.0

    @property
    def label(self) -> str:
        """Number and name, as folders and tables have them."""
        return f"{self.number:02d}-{self.name}"

    def told(self, experiment: Experiment) -> list[str]:
        """Its commands, with paths as a person would write them."""
        return [str(command) for command in self.commands(experiment, str)]


def needed(step: Step, among: Iterable[Step], experiment: Experiment) -> list[Step]:
    """Those of some steps that make inputs of a step."""
    inputs = step.inputs(experiment)
    return [one for one in among if any(_makes(one, experiment, name) for name in inputs)]


def _makes(step: Step, experiment: Experiment, name: str) -> bool:
    return any(name == output or name.startswith(f"{output}/") for output in step.outputs(experiment))
