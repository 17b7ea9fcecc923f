"""results/findings.json: every number of the findings with its interval and the command that made it.

Rules:

- It is made of what is there: simulations (`plora.lab.findings.runs`), `c_calib_*.json` and `value_add/summary.json` of
  the experiment, and the rows of `make bench-detection` where they are. What is missing is a `UsageError` with the step
  that makes it; only the bench's rows may be missing, since they take hours, and then the document says so.
- Every file that was read is named with its SHA-256.

Not handled here: words and tables (`plora.lab.findings.page`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plora.lab.experiment.artifacts import file_digest
from plora.lab.experiment.config import Rule, digest
from plora.lab.experiment.provenance import stamp
from plora.lab.findings import diffusion, rule, safety, value
from plora.lab.findings.diffusion import Spread
from plora.lab.findings.figures import MAKE, Figure
from plora.lab.findings.runs import Report, layer_runs, reports, rows_of, sweeps_of
from plora.lab.findings.settings import Settings, place, worst_kind
from plora.proto.errors import UsageError
from plora.sim.sweep import Run
from plora.sim.verdicts import VerdictModel

FOLDER = Path("findings")
SERVED = "attack success of the merged one"
"""What rows of the bench are called that say which attacks outlast the merge."""
COMMAND = "plora lab findings"


@dataclass(frozen=True, slots=True)
class Material:
    """What findings are made of. `bench` are rows of `make bench-detection`; none if it has not run."""

    gate: Sequence[tuple[Run, Report]]
    families: Sequence[tuple[Run, Report]]
    passing: Sequence[tuple[Run, Report]]
    layers: Sequence[Mapping[str, Any]]
    calibrations: Mapping[str, Mapping[str, Any]]
    study: Mapping[str, Any]
    bench: Sequence[Mapping[str, Any]]
    inputs: Mapping[str, str]


def gathered(settings: Settings, model: VerdictModel | None, results: Path, bench: Path) -> Material:
    """Read it all. Raises UsageError for the first thing that is missing."""
    folder = results / FOLDER / place(model)
    sweeps = sweeps_of(settings, model)
    runs = {name: reports(sweep, folder / f"{name}.jsonl") for name, sweep in sweeps.items()}
    asked = [one.digest for one in layer_runs(settings.layers, settings.verdicts, model)]
    layers = rows_of(folder / "layers.jsonl", asked)
    calibrated = {family: results / f"c_calib_{family}.json" for family in diffusion.FAMILIES}
    calibrations = {family: _calibration(path) for family, path in calibrated.items()}
    study = value.read(results)
    found = json.loads(bench.read_text(encoding="utf-8")) if bench.exists() else []
    simulated = (folder / f"{name}.jsonl" for name in (*sweeps, "layers"))
    made = (results / value.SUMMARY, *calibrated.values())
    read = [*simulated, *made, *([bench] if found else [])]
    inputs = {path.as_posix(): file_digest(path) for path in read}
    return Material(**runs, layers=layers, calibrations=calibrations, study=study, bench=found, inputs=inputs)


def require(results: Path) -> None:
    """Raises UsageError for what the experiment has yet to make: whoever lacks it is told before simulating minutes."""
    for family in diffusion.FAMILIES:
        _calibration(results / f"c_calib_{family}.json")
    value.read(results)


def document(settings: Settings, told: Rule, model: VerdictModel | None, from_: Material) -> dict[str, Any]:
    """The findings as plain data."""
    on, off = _by_gate(from_.gate)
    gated, open_ = (Spread.of_reports(some) for some in (on, off))
    ratio, deceived = diffusion.t90_ratio(gated, open_), safety.deceived(on)
    kept = value.kept_by_merge(from_.study, settings.merge_lambda)
    found = rule.parts(told, ratio, deceived, kept)
    return {
        "answer": rule.answer(found),
        "parts": [rule.to_plain(one) for one in found],
        "verdicts": _verdicts(settings, model),
        "diffusion": _plain(_diffusion(from_, gated, open_, on)),
        "theory": _plain(_theory(from_)),
        "safety": _plain(_safety(from_, on, off)),
        "layers": {**settings.layers.model_dump(), "command": MAKE, **safety.layer_table(from_.layers)},
        "thresholds": _plain(_thresholds(settings, told, model, from_)),
        "percolation": {"command": MAKE, "rows": safety.percolation(from_.passing)},
        "served": [one for one in from_.bench if SERVED in one["metric"]],
        "value": _value(from_.study),
        "provenance": stamp(digest(settings.model_dump(mode="json")), _seeds(from_), COMMAND, from_.inputs),
    }


def _diffusion(from_: Material, gated: Spread, open_: Spread, on: Sequence[Report]) -> Iterator[Figure]:
    yield from diffusion.figures(_real(from_), gated, open_)
    yield diffusion.held_up(on)
    for family, name in diffusion.FAMILIES.items():
        both = (Spread.of_reports(some) for some in _by_gate(_of(family, from_.families)))
        yield from diffusion.figures(_fast(name, from_), *both)


def _theory(from_: Material) -> Iterator[Figure]:
    for family, calibration in from_.calibrations.items():
        _, off = _by_gate(_of(family, from_.families))
        yield from diffusion.against_theory(family, off, calibration)


def _safety(from_: Material, on: Sequence[Report], off: Sequence[Report]) -> Iterator[Figure]:
    yield from safety.deceived_figures(f"{_real(from_)}, gate on", on)
    yield from safety.deceived_figures(f"{_real(from_)}, gate off", off)[:1]
    for family, name in diffusion.FAMILIES.items():
        gated, _ = _by_gate(_of(family, from_.families))
        yield from safety.deceived_figures(f"{_fast(name, from_)}, gate on", gated)[:1]


def _thresholds(settings: Settings, told: Rule, model: VerdictModel | None, from_: Material) -> Iterator[Figure]:
    accept, correlation = settings.verdicts.accept_trojan, settings.verdicts.correlation
    if model is not None:
        rate = model.rates[worst_kind(model)]
        accept, correlation = rate.accept, rate.correlation
    for family in diffusion.FAMILIES:
        run, report = _of(family, from_.families)[0]
        trojans = sum(one["kind"] != "clean" for one in report["adapters"])
        limit = told.trojan_accepted_upper_max
        yield from safety.thresholds(family, safety.degrees(run.scenario), accept, correlation, trojans, limit)


def _verdicts(settings: Settings, model: VerdictModel | None) -> dict[str, Any]:
    if model is None:
        return {**settings.verdicts.model_dump(), "assumed": True}
    kinds = {kind: {"accept": rate.accept, "correlation": rate.correlation} for kind, rate in model.rates.items()}
    return {"assumed": False, "worst": worst_kind(model), "kinds": kinds}


def _value(study: Mapping[str, Any]) -> dict[str, Any]:
    command = study.get("provenance", {}).get("command", "plora lab value-add")
    about = {"command": command, "seeds": value.seeds(study), "documents": value.documents(study)}
    return {**about, "kept": value.kept_table(study), "cells": value.cells(study)}


def _by_gate(runs: Sequence[tuple[Run, Report]]) -> tuple[list[Report], list[Report]]:
    """Reports of runs with detectors, and of those without, each in order of the seeds."""
    ordered = sorted(runs, key=lambda one: one[0].scenario.seed)
    on, off = (
        [report for run, report in ordered if run.scenario.security.detectors is wanted] for wanted in (True, False)
    )
    return on, off


def _real(from_: Material) -> str:
    return f"{from_.gate[0][0].scenario.agents:,} real cores"


def _fast(family: str, from_: Material) -> str:
    return f"{family}, fleet of {from_.families[0][0].scenario.agents:,}"


def _of(family: str, runs: Sequence[tuple[Run, Report]]) -> list[tuple[Run, Report]]:
    return [(run, report) for run, report in runs if run.scenario.graph.kind == family]


def _seeds(from_: Material) -> list[int]:
    return sorted({run.scenario.seed for run, _ in (*from_.gate, *from_.families, *from_.passing)})


def _calibration(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except OSError:
        raise UsageError("no calibration of C", where=str(path), mend="make calibrate-c") from None
    except ValueError as error:
        raise UsageError(f"no calibration of C ({error})", where=str(path), mend="make calibrate-c") from None


def _plain(figures: Iterator[Figure]) -> list[dict[str, Any]]:
    return [asdict(one) for one in figures]
