"""`make determinism`: runs scenarios again in processes of their own, and sees that everything comes out the same.

- Each run has a process of its own: a swarm's two differ in `PYTHONHASHSEED`, a fleet's three in that or in
  `NUMBA_NUM_THREADS`. What differs from the first is told by round and field, key of the report, or peer's log.
- Scenarios are those that come along, on each engine that can run them, and `FLEET`: each rule of calling, by each
  clock, with so many peers that two threads share them. `expect` and `invariants` only look, so the fleet leaves them.
- `--rounds` and `--peers` make it smaller; fewer rounds leave out what a scenario has happen later.
- A row is printed as soon as it is known. The exit code is 1 if anything differed or a run failed.

Not handled here: other machines and versions (their floating point may differ in the last bit).

>>> first = {"rounds": [{"number": 1, "heard": 7}], "report": {"seed": 1}, "logs": ["ab", "cd"]}
>>> difference(first, {**first, "rounds": [{"number": 1, "heard": 8}], "logs": ["ab", "ef"]})
'round 1: heard'
>>> difference(first, {**first, "logs": ["ab", "ef"]}), difference(first, first)
('log of peer 1', '')
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from plora.proto.errors import PloraError, UsageError
from plora.sim import scenarios
from plora.sim.peer import SimPeer
from plora.sim.run import run
from plora.sim.scenario import Expect, Scenario

CHILD = ("-m", "plora.sim.determinism", "--one")
"""What reads a scenario and prints what its run was: see `show`."""

PEERS = 40_000
"""So many that the fleet gives each of two threads its share."""

SWARM_RUNS = ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
FLEET_RUNS = (
    {"PYTHONHASHSEED": "1", "NUMBA_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "2", "NUMBA_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "1", "NUMBA_NUM_THREADS": "2"},
)
CALLS = ("push-pull", "push", "pull")
CLOCKS: Mapping[str, tuple[bool, Mapping[str, Any]]] = {
    "together": (True, {}),
    "one-after-the-other": (False, {"answers": "one"}),
    "poisson": (False, {"poisson": True, "regard": False}),
}
"""When the peers of a fleet call: whether all at once, and what else is told."""

Seen = Mapping[str, Any]
"""What a run was: each round's figures, the report, and each peer's log by its SHA-256."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of `runs` runs of a scenario: how one `differs` from the first, "" where none does."""

    scenario: Scenario
    runs: int
    differs: str

    def __str__(self) -> str:
        """A line of the table."""
        told = self.scenario
        return f"{told.name:<36} {told.engine:<6} {told.rounds:>6} {self.runs:>4}  {self.differs or 'same'}"


def seen(scenario: Scenario, peer: type[SimPeer] = SimPeer) -> Seen:
    """Run a scenario, and keep what must be equal."""
    outcome = run(scenario, peer=peer)
    peers = outcome.simulation.swarm.peers.values() if outcome.simulation else ()
    return {
        "rounds": [asdict(one) for one in outcome.rounds],
        "report": outcome.report,
        "logs": [hashlib.sha256("".join(one.log).encode()).hexdigest() for one in peers],
    }


def show(peer: type[SimPeer] = SimPeer) -> None:
    """Print what a run of the scenario on standard input was, both as JSON."""
    json.dump(seen(Scenario.model_validate_json(sys.stdin.read()), peer), sys.stdout)


def difference(first: Seen, other: Seen) -> str:
    """Where two runs differ first: "" where they don't."""
    for one, two in zip(first["rounds"], other["rounds"], strict=True):
        if fields := _differing(one, two):
            return f"round {one['number']}: {', '.join(fields)}"
    if keys := _differing(first["report"], other["report"]):
        return f"report: {', '.join(keys)}"
    logs = zip(first["logs"], other["logs"], strict=True)
    return next((f"log of peer {number}" for number, (one, two) in enumerate(logs) if one != two), "")


def compared(scenario: Scenario, child: Sequence[str] = CHILD) -> Row:
    """Run a scenario several times at once, each in a process `python CHILD`; one that fails counts as different."""
    conditions = FLEET_RUNS if scenario.engine == "fleet" else SWARM_RUNS
    try:
        with ThreadPoolExecutor(len(conditions)) as pool:
            first, *others = pool.map(partial(_in_a_process, scenario, child), conditions)
    except PloraError as error:
        return Row(scenario, len(conditions), f"failed: {error}")
    for condition, other in zip(conditions[1:], others, strict=True):
        if found := difference(first, other):
            words = " ".join(f"{name}={value}" for name, value in condition.items())
            return Row(scenario, len(conditions), f"{found}; with {words}")
    return Row(scenario, len(conditions), "")


def chosen(names: Sequence[str], rounds: int = 0, peers: int = PEERS) -> list[Scenario]:
    """The scenarios of these names, or all, with so many rounds at most; `UsageError` for a name that isn't there."""
    if rounds < 0 or peers < 1:
        raise UsageError("nothing to run", where=f"--rounds {rounds} --peers {peers}", mend="give larger numbers")
    library = [scenarios.find(name) for name in scenarios.names()]
    known = [*library, *filter(None, map(_on_the_fleet, library)), *_fleets(peers)]
    for name in names:
        if name not in {one.name for one in known}:
            raise UsageError("no such scenario", where=name, mend=f"use {', '.join(one.name for one in known)}")
    told = [one for one in known if not names or one.name in names]
    return [one.model_copy(update={"rounds": min(one.rounds, rounds or one.rounds)}) for one in told]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    told = _parser().parse_args(arguments)
    if told.one:
        show()
        return 0
    try:
        wanted = chosen(told.names, told.rounds, told.peers)
    except UsageError as error:
        sys.stderr.write(f"determinism: {error}\n")
        return 2
    sys.stdout.write(f"{'scenario':<36} {'engine':<6} {'rounds':>6} {'runs':>4}\n")
    different = 0
    for scenario in wanted:
        row = compared(scenario)
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        different += bool(row.differs)
    sys.stdout.write(f"{len(wanted)} scenarios, {different} of them different from run to run\n")
    return 1 if different else 0


def _differing(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """The keys whose values aren't written the same: NaN is NaN, and 1 is not 1.0."""
    keys = sorted(one.keys() | two.keys())
    return [key for key in keys if json.dumps(one.get(key)) != json.dumps(two.get(key))]


def _in_a_process(scenario: Scenario, child: Sequence[str], condition: Mapping[str, str]) -> Seen:
    ended = subprocess.run(
        [sys.executable, *child],
        input=scenario.model_dump_json(),
        env={**os.environ, **condition},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise PloraError(last or f"exit code {ended.returncode}")
    found: Seen = json.loads(ended.stdout)
    return found


def _on_the_fleet(scenario: Scenario) -> Scenario | None:
    """The same on the fleet, where it can run it."""
    from plora.sim.fleet.runs import refuse_unknown  # it takes a second to import

    told = scenario.model_copy(update={"engine": "fleet", "expect": Expect(), "invariants": False})
    try:
        refuse_unknown(told)
    except UsageError:
        return None
    return told


def _fleets(peers: int) -> Iterator[Scenario]:
    """Each rule of calling by each clock, and both floods; lost and gated where that may be told."""
    for call in CALLS:
        for clock, (synchronous, fleet) in CLOCKS.items():
            told = {"synchronous": synchronous, "links": {"loss": 0.1}, "fleet": {"call": call, **fleet}}
            yield _fleet(f"{call}-{clock}", peers, told, dropout=0.1)
    yield _fleet("flood", peers, {"fleet": {"call": "flood"}})
    yield _fleet("flood-by-chance", peers, {"fleet": {"call": "flood", "beta": 0.3}})


def _fleet(name: str, peers: int, told: Mapping[str, Any], dropout: float = 0.0) -> Scenario:
    common = {
        "name": f"fleet-{name}",
        "engine": "fleet",
        "agents": peers,
        "rounds": 8,
        "graph": {"kind": "er", "p": min(1.0, 8 / peers), "dropout": dropout},
        "publish": {"plasmids": 70, "trojan_rate": 0.2, "every": 0.1},
        "security": {"verdicts": {"accept_clean": 0.9, "accept_trojan": 0.2, "correlation": 0.5}},
    }
    return Scenario.parse({**common, **told})


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").split("\n", 1)[0]
    parser = argparse.ArgumentParser(prog="python -m plora.sim.determinism", description=about)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all without")
    parser.add_argument("--rounds", type=int, default=0, help="so many at most")
    parser.add_argument("--peers", type=int, default=PEERS, help="of the fleet's own scenarios")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
