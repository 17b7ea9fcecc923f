"""The simulations that findings are made from: run once, kept a line a run, read again.

Rules:

- A run that is in its file already isn't run again, so the same command goes on. Lines of runs that are no longer asked
  for stay and count for nothing.
- Whoever reads gets all runs that are asked for, or a `UsageError` that names the command.

Not handled here: what they show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plora.lab.experiment.config import digest
from plora.lab.findings.settings import Layers, Settings, Sweeps, with_verdicts, worst_kind
from plora.proto.errors import UsageError, WorkerError
from plora.sim import layers
from plora.sim.run import run
from plora.sim.scenario import Scenario, Verdicts
from plora.sim.sweep import Run, Sweep
from plora.sim.sweep_rows import opened
from plora.sim.sweep_work import Failed, Origin, measured, on_processes
from plora.sim.verdicts import VerdictModel

COMMAND = "plora lab findings"
MEND = f"make findings ({COMMAND}) simulates them"

Told = Callable[[Mapping[str, Any]], None]
Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LayerRun:
    """One simulation of `plora.sim.layers`: which layers, which seed."""

    row: layers.Row
    peers: int
    quorum: int
    seed: int
    verdicts: Verdicts | None
    kind: str

    @property
    def digest(self) -> str:
        """Names what was simulated."""
        verdicts = self.verdicts.model_dump() if self.verdicts else None
        return digest([self.row.name, self.peers, self.quorum, self.seed, verdicts, self.kind])


def sweeps_of(settings: Settings, model: VerdictModel | None) -> dict[str, Sweep]:
    """The sweeps by name, with the verdicts that count."""
    found = {name: getattr(settings.sweeps, name) for name in Sweeps.model_fields}
    return {name: with_verdicts(sweep, settings.verdicts, model) for name, sweep in found.items()}


def layer_runs(asked: Layers, assumed: Verdicts, model: VerdictModel | None) -> list[LayerRun]:
    """The runs of all sets of layers."""
    verdicts, kind = (assumed, "rare-token") if model is None else (None, worst_kind(model))
    return [
        LayerRun(row, asked.peers, asked.quorum, seed, verdicts, kind)
        for row in layers.ROWS
        for seed in range(asked.seeds)
    ]


def carry_out(settings: Settings, model: VerdictModel | None, folder: Path, jobs: int, told: Told) -> None:
    """Run what isn't there yet. Raises WorkerError where a run fails."""
    for name, sweep in sweeps_of(settings, model).items():
        origin = Origin(name, sweep.digest, COMMAND)
        asked = sweep.runs(name)
        with opened(folder / f"{name}.jsonl") as rows:
            todo = [one for one in asked if one.digest not in rows.done]
            for done, row in enumerate(_swept(todo, origin, jobs), start=len(asked) - len(todo) + 1):
                rows.add(row)
                told({"event": "run", "sweep": name, "done": done, "of": len(asked)})
    _carry_out_layers(layer_runs(settings.layers, settings.verdicts, model), folder / "layers.jsonl", told)


def layer_row(one: LayerRun) -> dict[str, Any]:
    """What is merged at the end, and how adapters spread."""
    with TemporaryDirectory() as folder:
        graph = Path(folder) / "edges"
        graph.write_text(layers.edges(one.peers, one.seed, one.quorum), encoding="utf-8")
        told = layers.scenario(one.row, one.peers, one.seed, one.verdicts, graph, one.quorum)
        outcome = run(_of_kind(told, one.kind))
    if outcome.simulation is None:
        raise AssertionError("a run of the swarm has a simulation")
    merged = asdict(layers.merged(outcome.simulation))
    return {"layers": one.row.name, "seed": one.seed, "merged": merged, "report": _little(outcome.report)}


def reports(sweep: Sweep, path: Path) -> list[tuple[Run, Report]]:
    """All runs of a sweep with their reports, in its order."""
    asked = sweep.runs(path.stem)
    found = rows_of(path, [one.digest for one in asked])
    return [(one, row["report"]) for one, row in zip(asked, found, strict=True)]


def rows_of(path: Path, digests: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows of these runs."""
    try:
        rows = {row["digest"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    except OSError:
        raise UsageError("no simulations", where=str(path), mend=MEND) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"a line is no simulation ({error})", where=str(path), mend=MEND) from None
    if missing := [one for one in digests if one not in rows]:
        raise UsageError(f"{len(missing)} of {len(digests)} runs are missing", where=str(path), mend=MEND)
    return [rows[one] for one in digests]


def cores() -> int:
    """How many runs at once."""
    return len(os.sched_getaffinity(0))


def _carry_out_layers(asked: Sequence[LayerRun], path: Path, told: Told) -> None:
    with opened(path) as rows:
        for number, one in enumerate(asked, start=1):
            if one.digest not in rows.done:
                rows.add({"digest": one.digest, **layer_row(one)})
                told({"event": "run", "sweep": "layers", "done": number, "of": len(asked)})


def _swept(todo: Sequence[Run], origin: Origin, jobs: int) -> Iterator[Mapping[str, Any]]:
    """The rows of these runs, in processes of their own unless one is enough."""
    here = (measured(one, origin) for one in todo)
    for result in here if jobs == 1 or not todo else on_processes(todo, origin, min(jobs, len(todo))):
        if isinstance(result, Failed):
            raise WorkerError(result.reason, where=origin.sweep, mend="the same command goes on")
        yield result


def _of_kind(told: Scenario, kind: str) -> Scenario:
    return told.model_copy(update={"publish": told.publish.model_copy(update={"trojan_kind": kind})})


def _little(report: Report) -> dict[str, Any]:
    """Of a report what is counted here."""
    return {name: report[name] for name in ("adapters", "gate", "notes")}
