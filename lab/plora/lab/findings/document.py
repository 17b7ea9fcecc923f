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
from statistics import fmean
from typing import Any

from plora.lab.experiment.artifacts import file_digest
from plora.lab.experiment.config import Experiment, Rule, digest, read_config
from plora.lab.experiment.provenance import stamp
from plora.lab.findings import diffusion, material, rule, safety, value
from plora.lab.findings.diffusion import Spread
from plora.lab.findings.figures import MAKE, Figure
from plora.lab.findings.runs import Report, layer_runs, reports, rows_of, sweeps_of
from plora.lab.findings.settings import Settings, code_digest, place, worst_kind
from plora.sim.scenario import Security
from plora.sim.sweep import Run
from plora.sim.truth import CLEAN
from plora.sim.verdicts import VerdictModel

FOLDER = Path("findings")
SERVED = "attack success of the merged one"
"""What rows of the bench are called that say which attacks outlast the merge."""
COMMAND = "plora lab findings"
ROUND_MS = 1000
"""What a round of a simulated peer takes unless the scenario says so, as by default of the daemon."""


@dataclass(frozen=True, slots=True)
class Material:
    """What findings are made of. `bench` are rows of `make bench-detection`; none if it has not run."""

    gate: Sequence[tuple[Run, Report]]
    looks: Sequence[tuple[Run, Report]]
    families: Sequence[tuple[Run, Report]]
    passing: Sequence[tuple[Run, Report]]
    layers: Sequence[Mapping[str, Any]]
    calibrations: Mapping[str, Mapping[str, Any]]
    study: Mapping[str, Any]
    bench: Sequence[Mapping[str, Any]]
    inputs: Mapping[str, str]


def gathered(settings: Settings, model: VerdictModel | None, results: Path, bench: Path, root: Path) -> Material:
    """Read it all. Raises UsageError for the first thing that is missing."""
    folder = results / FOLDER / place(model)
    sweeps = sweeps_of(settings, model)
    runs = {name: reports(sweep, folder / f"{name}.jsonl") for name, sweep in sweeps.items()}
    asked = [one.digest for one in layer_runs(settings.layers, settings.verdicts, model)]
    layers = rows_of(folder / "layers.jsonl", asked)
    asked_of = read_config(root / settings.material)
    calibrations, study = material.calibrations(results, asked_of), material.study(results, asked_of)
    found = json.loads(bench.read_text(encoding="utf-8")) if bench.exists() else []
    simulated = (folder / f"{name}.jsonl" for name in (*sweeps, "layers"))
    made = (results / value.SUMMARY, *(material.path_of(results, family) for family in diffusion.FAMILIES))
    read = [*simulated, *made, *([bench] if found else [])]
    inputs = {path.as_posix(): file_digest(path) for path in read}
    return Material(**runs, layers=layers, calibrations=calibrations, study=study, bench=found, inputs=inputs)


def require(results: Path, settings: Settings, root: Path) -> None:
    """Raises UsageError for what the experiment has yet to make: whoever lacks it is told before simulating minutes."""
    asked = read_config(root / settings.material)
    material.calibrations(results, asked)
    material.study(results, asked)


def document(settings: Settings, full: Experiment, model: VerdictModel | None, from_: Material) -> dict[str, Any]:
    """The findings as plain data, by the rule of an experiment."""
    told = full.rule
    on, off = _by_gate(from_.gate)
    gated, open_ = (Spread.of_reports(some) for some in (on, off))
    ratio, deceived = diffusion.t90_ratio(gated, open_), safety.deceived(on)
    kept = value.kept_by_merge(from_.study, settings.merge_lambda)
    found = rule.parts(told, ratio, deceived, kept)
    return {
        "answer": rule.answer(found),
        "rule": told.model_dump(),
        "parts": [rule.to_plain(one) for one in found],
        "verdicts": _verdicts(settings, model),
        "diffusion": _plain(_diffusion(from_, gated, open_, on)),
        "theory": _plain(_theory(from_)),
        "safety": _plain(_safety(from_, on, off)),
        "looks": _looks(from_),
        "layers": {**settings.layers.model_dump(), "command": MAKE, **_layers(from_)},
        "thresholds": _plain(_thresholds(settings, told, model, from_)),
        "percolation": {"command": MAKE, **_swarm(from_.passing), "rows": safety.percolation(from_.passing)},
        "served": [one for one in from_.bench if SERVED in one["metric"]],
        "value": {
            **_value(from_.study),
            "asked": {"ranks": full.ranks, "dev_size": full.dev_size, "seeds": full.seeds},
        },
        "provenance": {
            **stamp(settings_digest(settings), _seeds(from_), COMMAND, from_.inputs),
            "rule": rule_digest(told),
            "code": code_digest(),
        },
    }


def settings_digest(settings: Settings) -> str:
    """Names the settings that findings are of."""
    return digest(settings.model_dump(mode="json"))


def rule_digest(told: Rule) -> str:
    """Names the rule that decided."""
    return digest(told.model_dump(mode="json"))


def _looks(from_: Material) -> dict[str, Any]:
    """T90 with the gate on by that with it off, of the same seeds, by what a look takes; `inspect_ms` is of (a)."""
    on, off = ([one for one in from_.gate if one[0].scenario.security.detectors is wanted] for wanted in (True, False))
    scenario = on[0][0].scenario
    told = {
        "inspect_ms": scenario.security.inspect_ms,
        "round_ms": scenario.core.get("round_ms", ROUND_MS),
    }
    return {**told, "command": MAKE, "rows": diffusion.looks_table([*from_.looks, *on], off)}


def _layers(from_: Material) -> dict[str, Any]:
    """The table by layers, and of what: adapters, trojans among them, and what a look takes."""
    adapters = from_.layers[0]["report"]["adapters"]
    trojans = sum(one["kind"] != CLEAN for one in adapters)
    told = {"adapters": len(adapters), "trojans": trojans, "inspect_ms": Security().inspect_ms}
    return {**told, **safety.layer_table(from_.layers)}


def _swarm(runs: Sequence[tuple[Run, Report]]) -> dict[str, Any]:
    """Of what swarms these runs are."""
    scenario = runs[0][0].scenario
    degree = fmean(float(safety.degrees(run.scenario).mean()) for run, _ in runs)
    return {"peers": scenario.agents, "rounds": scenario.rounds, "family": scenario.graph.kind, "degree": degree}


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


def _plain(figures: Iterator[Figure]) -> list[dict[str, Any]]:
    return [asdict(one) for one in figures]
