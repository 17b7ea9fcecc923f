"""`plora sim --until-failure`: draws scenarios until an invariant breaks, and keeps the smallest that breaks it.

- The folder that it leaves has `scenario.toml`, which `plora sim` runs to the same end, and that run's report, truth
  and logs, which `--trace` plays. What an earlier run left in it goes first.
- What was found is there before it is made smaller, so that whoever stops that has it.

Not handled here: what is drawn, run and made smaller (`plora.sim.search`).
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.cli.output import Output
from plora.proto.amounts import counted
from plora.proto.errors import PloraError, UsageError

if TYPE_CHECKING:
    from plora.sim.peer import SimPeer
    from plora.sim.run import Outcome
    from plora.sim.search import Found

TRIES = 100
MEND = "docs/simulator.md says what always holds"
FOLDER = Path("failure")
NOT_TOLD = ("seed", "name", "about")
OWN_FILES = ("scenario.toml", "report.json", "truth.json", "run.png", "run.pdf", "run.html")

Write = Callable[["Outcome", Path], None]


@dataclass(frozen=True, slots=True)
class Hunt:
    """How long to search, and where to keep what is found: tries, minutes, a mutant's name, a folder.

    `beside` are other flags by name, none of which may be set.
    """

    tries: int | None
    minutes: float | None
    mutant: str
    folder: Path | None
    beside: Mapping[str, object] = field(default_factory=dict)

    def go(self, output: Output, told: Mapping[str, Any], write: Write) -> None:
        """Search scenarios that have all that is told; `PloraError` if one fails, kept by `write`."""
        self._check(told)
        found, tried = self._search(output, told)
        if found is None:
            output.document({"tries": tried, "broken": None}, [f"{counted(tried, 'scenario')}, and nothing broke"])
            return
        path = self._keep(found)
        self._show_again(path, write)
        replay = shlex.join(["plora", "sim", str(path), *(["--mutant", self.mutant] if self.mutant else [])])
        size = f"{counted(found.scenario.agents, 'peer')}, {counted(found.scenario.rounds, 'round')}"
        document = {"tries": tried, "broken": str(found.broken), "scenario": str(path), "replay": replay}
        output.document(document, [str(found.broken), f"the smallest scenario: {path} ({size})", f"replay: {replay}"])
        raise PloraError(f"scenario {tried} breaks an invariant", where=str(path), mend=MEND)

    def _check(self, told: Mapping[str, Any]) -> None:
        """`UsageError` for what a search can't do."""
        if self.tries is not None and self.tries < 1:
            raise UsageError(f"{self.tries} tries are no search", where="--tries", mend="use 1 or more")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(f"{self.minutes:g} minutes are no search", where="--minutes", mend="use more than 0")
        if told.get("engine") == "fleet":
            mend = "leave the engine out: only the swarm has invariants"
            raise UsageError("the fleet can't be searched", where="--engine", mend=mend)
        for flag in (flag for flag, value in self.beside.items() if value):
            mend = "leave it out, and run the scenario that was found with it"
            raise UsageError("a search has no use for it", where=flag, mend=mend)

    def _search(self, output: Output, told: Mapping[str, Any]) -> tuple[Found | None, int]:
        from plora.sim.search import search

        until = None if self.minutes is None else time.monotonic() + 60 * self.minutes
        most = TRIES if self.tries is None and self.minutes is None else self.tries
        values = {name: value for name, value in told.items() if name not in NOT_TOLD}
        tried = 0

        def in_time() -> bool:
            return until is None or time.monotonic() < until

        with _bar(output, most) as (advance, say):

            def more(number: int) -> bool:
                nonlocal tried
                tried = number
                advance(number)
                return (most is None or number < most) and in_time()

            def keep(found: Found) -> None:
                output.hint(f"{found.broken}: kept in {self._keep(found)}")
                say(f"making it smaller: {found.broken.invariant}")

            found = search(more, told.get("seed", 0), values, peer_class(self.mutant), keep, in_time)
        return found, tried + (found is not None)

    def _keep(self, found: Found) -> Path:
        """Write the scenario in place of whatever an earlier run left."""
        from plora.sim.search import as_toml

        folder = self.folder or FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*map(folder.joinpath, OWN_FILES), *(folder / "logs").glob("[0-9]*.jsonl")):
            old.unlink(missing_ok=True)
        path = folder / "scenario.toml"
        path.write_text(as_toml(found), encoding="utf-8")
        return path

    def _show_again(self, path: Path, write: Write) -> None:
        from plora.sim.run import run
        from plora.sim.scenario import Scenario

        write(run(Scenario.read(path), peer=peer_class(self.mutant)), path.parent)


def peer_class(mutant: str) -> type[SimPeer]:
    """The class of peers that `MODULE:NAME` means, by the module's table `MUTANTS`; the usual one for ""."""
    from plora.sim.peer import SimPeer

    if not mutant:
        return SimPeer
    module, _, name = mutant.partition(":")
    try:
        found: type[SimPeer] = import_module(module).MUTANTS[name]
    except (ImportError, AttributeError, KeyError, ValueError) as error:
        raise UsageError(f"no mutant {mutant!r}: {error}", where="--mutant", mend="MODULE:NAME") from None
    return found


def raise_if_broken(report: Mapping[str, Any]) -> None:
    """`PloraError` where the run of a scenario that asks for invariants broke one."""
    broken = report.get("broken", ())
    if broken:
        raise PloraError(f"an invariant broke: {broken[0]}", mend="plora sim FOLDER --trace plays the run")


@contextmanager
def _bar(output: Output, most: int | None) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """What is told the number of each try, and a sentence."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("scenario"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    words = TextColumn("{task.description}", markup=False)
    hidden = output.quiet or output.as_json
    with Progress(*columns, words, console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=most)
        yield (
            lambda number: bar.update(task, completed=number),
            lambda sentence: bar.update(task, description=sentence),
        )
