"""`make mutate`: change one thing in a check, run the tests, and see whether any of them notices.

Rules:

- A sample of `--count` places (see `bench/mutants.py` for what counts) is drawn by `--seed` from the rooms, and at each
  place one mutant. Rooms weigh as much as they have places.
- Each mutant is made in a private copy of the tree, whose rooms come first on the path; this tree is never changed. The
  copy's own tests must pass before anything is changed.
- The tests of the mutant's room run, those named like its module first, in a fixed order and with fixed seeds, and end
  at the first failure; where they pass, so do those of other rooms that lean on this one. Killed: a test fails, or they
  take three times as long as unchanged.
- Processes that tests start with an empty environment (sandboxed workers) run the installed code, not the copy's; other
  tests have to notice there.
"""

from __future__ import annotations

import argparse
import itertools
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.mutants import Mutant, mutants_of
from bench.report import Row, finish, show

ROOT = Path(__file__).resolve().parents[1]
GOAL = 85
PATIENCE = 3.0
PATIENCE_LEAST_S = 20.0
BASELINE_S = 600.0


@dataclass(frozen=True, slots=True)
class Room:
    """What is changed, what should notice, and what else may."""

    source: str
    tests: tuple[str, ...]
    leaning: tuple[str, ...]


ATTACKS = tuple(
    f"tests/attacks/test_{name}.py"
    for name in ("bytes", "manifest", "replay", "signatures", "values", "consensus_attacks")
)
ROOMS = {
    "proto": Room("proto/plora/proto", ("tests/proto", "proto"), ("tests/gate", *ATTACKS)),
    "gate": Room("gate/plora/gate", ("tests/gate", "gate"), (*ATTACKS, "tests/node/core")),
    "gossip": Room(
        "node/plora/node/gossip", ("tests/node/gossip", "node/plora/node/gossip"), ("tests/node/core", "tests/sim")
    ),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant and how the tests took it: killed, timeout or survived."""

    room: str
    mutant: Mutant
    outcome: str

    @property
    def killed(self) -> bool:
        """Whether a test noticed."""
        return self.outcome != "survived"


class Tree:
    """A private copy of the working tree in which tests run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        path = os.pathsep.join(str(each.parent) for each in sorted(root.glob("*/plora")))
        self._environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

    def check_is_used(self, module: str) -> None:
        """Raises RuntimeError unless this copy's code is what its processes import."""
        command = [sys.executable, "-c", f"import {module} as it; print(it.__file__)"]
        done = subprocess.run(
            command, cwd=self.root, env=self._environment, stdout=subprocess.PIPE, text=True, check=True
        )
        if not done.stdout.startswith(str(self.root)):
            raise RuntimeError(f"{module} comes from {done.stdout.strip()}, not from the copy")

    def tests_pass(self, tests: Sequence[str], module: str, timeout_s: float) -> bool:
        """Whether these tests pass, those named like the module first. Raises subprocess.TimeoutExpired."""
        shutil.rmtree(self.root / ".hypothesis", ignore_errors=True)
        first = [str(path.relative_to(self.root)) for path in self._named_like(tests, module)]
        options = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--no-header")
        command = [sys.executable, "-m", "pytest", *options, *first, *tests]
        return _run(command, self.root, self._environment, timeout_s) == 0

    def write(self, path: str, text: str) -> None:
        """Replace a file, and forget what was compiled from it: its time and size may be the same."""
        target = self.root / path
        target.write_text(text, encoding="utf-8")
        Path(cache_from_source(str(target))).unlink(missing_ok=True)

    def _named_like(self, tests: Sequence[str], module: str) -> list[Path]:
        files = sorted((self.root / tests[0]).glob("test_*.py"))
        return [path for path in files if module and module in path.stem]


def _run(command: Sequence[str], folder: Path, environment: dict[str, str], timeout_s: float) -> int:
    """The exit code of a command in a process group of its own, which a time-out ends as a whole."""
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=null, stderr=null, start_new_session=True)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def sample(rooms: Sequence[str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """`count` mutants of different places, each with its room."""
    rng = Random(seed)
    places = {(room, *place): mutants for room in rooms for place, mutants in mutants_by_place(room).items()}
    drawn = rng.sample(sorted(places), len(places))
    chosen = ((place[0], _one_that_compiles(places[place], rng)) for place in drawn)
    found = ((room, mutant) for room, mutant in chosen if mutant is not None)
    return list(itertools.islice(found, count))


@cache
def mutants_by_place(room: str) -> Mapping[tuple[str, tuple[int, int, str]], list[Mutant]]:
    """All mutants of a room by path and place."""
    places: dict[tuple[str, tuple[int, int, str]], list[Mutant]] = {}
    for path in sorted((ROOT / ROOMS[room].source).glob("*.py")):
        name = str(path.relative_to(ROOT))
        for mutant in mutants_of(name, path.read_text(encoding="utf-8")):
            places.setdefault((name, mutant.place), []).append(mutant)
    return places


def _one_that_compiles(mutants: list[Mutant], rng: Random) -> Mutant | None:
    return next((mutant for mutant in rng.sample(mutants, len(mutants)) if mutant.code() is not None), None)


def baselines(tree: Tree, rooms: Sequence[str]) -> dict[Sequence[str], float]:
    """Seconds that the tests of each room and those that lean on it take unchanged. RuntimeError where they fail."""
    seconds: dict[Sequence[str], float] = {}
    for room in rooms:
        tree.check_is_used(ROOMS[room].source.partition("/")[2].replace("/", "."))
        for tests in (ROOMS[room].tests, ROOMS[room].leaning):
            started = time.monotonic()
            if not tree.tests_pass(tests, "", BASELINE_S):
                raise RuntimeError(f"{' '.join(tests)} fail before anything is changed")
            seconds[tests] = time.monotonic() - started
    return seconds


def try_mutant(tree: Tree, room: str, mutant: Mutant, timeouts_s: Mapping[Sequence[str], float]) -> Trial:
    """Run the tests with the mutant in its place; the file is as before afterwards."""
    tree.write(mutant.path, mutant.code() or "")
    stages = (ROOMS[room].tests, ROOMS[room].leaning)
    try:
        survived = all(tree.tests_pass(tests, Path(mutant.path).stem, timeouts_s[tests]) for tests in stages)
        return Trial(room, mutant, "survived" if survived else "killed")
    except subprocess.TimeoutExpired:
        return Trial(room, mutant, "timeout")
    finally:
        tree.write(mutant.path, mutant.source)


def run_trials(chosen: list[tuple[str, Mutant]], rooms: Sequence[str], jobs: int, folder: Path) -> list[Trial]:
    """Try all mutants, `jobs` at once, each job in a copy of its own."""
    trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
    first = Tree(folder / "0")
    patience = {tests: max(PATIENCE_LEAST_S, PATIENCE * jobs * each) for tests, each in baselines(first, rooms).items()}
    for tree in (first, *(Tree(folder / str(number)) for number in range(1, jobs))):
        trees.put(tree)

    def one(item: tuple[str, Mutant]) -> Trial:
        room, mutant = item
        tree = trees.get()
        try:
            trial = try_mutant(tree, room, mutant, patience)
        finally:
            trees.put(tree)
        print(f"{trial.outcome:<9} {mutant.path}:{mutant.place[0]}", file=sys.stderr, flush=True)
        return trial

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, chosen))


def rows_of(trials: Sequence[Trial], command: str) -> list[Row]:
    """A row for all, and one a room."""
    rows = [_row("mutants killed", trials, f">= {GOAL}", command)]
    for room, _ in sorted(Counter(trial.room for trial in trials).items()):
        rows.append(_row(f"mutants killed in {room}", [each for each in trials if each.room == room], "", command))
    return rows


def _row(metric: str, trials: Sequence[Trial], goal: str, command: str) -> Row:
    killed = sum(trial.killed for trial in trials)
    share = 100 * killed / len(trials)
    return Row.of(metric, share, "of 100", goal=goal, peer=f"{killed} of {len(trials)} mutants", command=command)


def survivors(trials: Sequence[Trial]) -> str:
    """Where nothing noticed, with the change."""
    alive = [trial.mutant for trial in trials if not trial.killed]
    return "\n".join(f"{mutant.path}:{mutant.place[0]}  {mutant.operator}\n{mutant.diff()}\n" for mutant in alive)


def main() -> int:
    """Draw, try, report; only a full run over all rooms is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="+", choices=sorted(ROOMS), default=list(ROOMS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    chosen = sample(options.rooms, options.count, options.seed)
    with tempfile.TemporaryDirectory(prefix="plora-mutate-") as folder:
        trials = run_trials(chosen, options.rooms, options.jobs, Path(folder).resolve())
    print(survivors(trials))
    command = "make mutate" if options.seed == 1 else f"python bench/mutate.py --seed {options.seed}"
    rows = rows_of(trials, command)
    return finish("mutate", rows) if options.rooms == list(ROOMS) and options.count >= 100 else show(rows)


if __name__ == "__main__":
    sys.exit(main())
