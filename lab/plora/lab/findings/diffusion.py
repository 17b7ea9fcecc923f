"""How fast clean adapters spread: rounds until 90 % have what is clean, with the gate on against off, and theory.

Rules:

- T90 is of all pairs of an honest peer and a clean adapter, over all runs: when 90 % of them were accepted,
  interpolated within the round. A clean adapter that most gates hold by mistake counts as one that never comes.
- Intervals draw whole runs with replacement. Runs with the gate on and off have the same seeds, hence graphs and
  publishers; a draw takes both of a seed. A draw in which 90 % is never reached is one of infinitely many rounds.
- Theory is of rounds until all have it, gates off: C ln(n) / λ₂ with the C of the family (`results/c_calib_*.json`),
  the largest C that was seen, and a + b ln n, which knows no graph.

Not handled here: trojans (`plora.lab.findings.safety`).

>>> fast = Spread.of([[[4, 8, 10], 10]])
>>> round(t90(fast).value, 2)
2.5
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from plora.analysis.spectra import predicted_rounds_spectral
from plora.base import Interval
from plora.lab.findings.figures import MAKE, Figure, finite
from plora.proto.errors import UsageError
from plora.sim.sweep import Run
from plora.sim.truth import CLEAN

Floats = NDArray[np.float64]
Report = Mapping[str, Any]
DRAWS = 2000
WANTED = 0.9
FAMILIES = {"er": "Erdős–Rényi", "ws": "Watts–Strogatz", "ba": "Barabási–Albert"}


@dataclass(frozen=True, slots=True)
class Spread:
    """Pairs of an honest peer and a clean adapter: accepted by the end of each round (runs, rounds), all (runs,)."""

    accepted: Floats
    pairs: Floats

    @classmethod
    def of_reports(cls, reports: Sequence[Report]) -> Self:
        """Of runs with as many rounds each, whose adapters are all published at once."""
        return cls.of([_pairs(report) for report in reports])

    @classmethod
    def of(cls, runs: Sequence[Sequence[Any]]) -> Self:
        """Of (accepted by round, of all) for each run."""
        return cls(np.array([run[0] for run in runs], float), np.array([run[1] for run in runs], float))

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.pairs)

    def rounds(self, picks: NDArray[np.int64]) -> Floats:
        """T90 of each draw of runs, picks (draws, runs); infinity where it was never reached."""
        shares = self.accepted[picks].sum(axis=1) / self.pairs[picks].sum(axis=1, keepdims=True)
        return np.array([_crossing(row) for row in shares])


def t90(spread: Spread) -> Interval:
    """T90 in rounds with its interval; infinity where it was never reached."""
    return _interval(spread.rounds, spread.runs)


def t90_ratio(on: Spread, off: Spread) -> Interval:
    """T90 with the gate on by that with it off, run by run of the same seeds in the same order.

    Infinite where either is.
    """
    if on.runs != off.runs:
        raise ValueError(f"{on.runs} runs with the gate on and {off.runs} with it off are no pairs")

    def ratio(picks: NDArray[np.int64]) -> Floats:
        above, below = on.rounds(picks), off.rounds(picks)
        return np.asarray(np.divide(above, below, out=np.full(len(above), np.inf), where=np.isfinite(below)))

    return _interval(ratio, on.runs)


def looks_table(on: Sequence[tuple[Run, Report]], off: Sequence[tuple[Run, Report]]) -> list[dict[str, Any]]:
    """By what a look takes, the quickest first: T90 with its interval, and by that of runs of the same seeds without a
    gate. None is what was never reached within the rounds.
    """
    places: dict[float, dict[int, tuple[Run, Report]]] = {}
    for run, report in on:
        places.setdefault(run.scenario.security.inspect_ms, {})[run.scenario.seed] = run, report
    without = {run.scenario.seed: report for run, report in off}
    return [_look(ms, some, without) for ms, some in sorted(places.items())]


def _look(ms: float, some: Mapping[int, tuple[Run, Report]], without: Mapping[int, Report]) -> dict[str, Any]:
    gated = Spread.of_reports([report for _, report in some.values()])
    found = {"on": t90(gated), "ratio": t90_ratio(gated, Spread.of_reports([without[seed] for seed in some]))}
    rounds = max(run.scenario.rounds for run, _ in some.values())
    plain = {
        name: {"value": finite(one.value), "low": finite(one.low), "high": finite(one.high)}
        for name, one in found.items()
    }
    return {"inspect_ms": ms, "runs": len(some), "rounds": rounds, **plain}


def figures(named: str, on: Spread, off: Spread) -> list[Figure]:
    """T90 off, on, and by one another."""
    told = (
        (f"{named}: T90, gate off", t90(off), "rounds"),
        (f"{named}: T90, gate on", t90(on), "rounds"),
        (f"{named}: on by off", t90_ratio(on, off), "x"),
    )
    return [_figure(what, found, unit, f"{on.runs} runs") for what, found, unit in told]


def held_up(reports: Sequence[Report]) -> Figure:
    """The share of clean adapters that never came to 90 % of those whom they could reach."""
    late = [[one["rounds_to"]["90%"] is None for one in _clean(report)] for report in reports]
    of = [len(one) for one in late]
    missed = np.array([sum(one) for one in late], float)

    def share(picks: NDArray[np.int64]) -> Floats:
        return np.asarray(missed[picks].sum(axis=1) / np.array(of, float)[picks].sum(axis=1))

    found = _interval(share, len(reports))
    what = "clean adapters that 90 % never accept, gate on"
    return _figure(what, found, "share", f"{sum(of)} adapters in {len(of)} runs")


def against_theory(family: str, reports: Sequence[Report], calibration: Mapping[str, Any]) -> list[Figure]:
    """Rounds until all have it, seen and foretold, of runs without a gate."""
    runs = [one for one in reports if one["theory"]["observed"] is not None]
    if not runs:
        raise UsageError(f"no run of {family} came to everybody", where="sweeps.families", mend="give it more rounds")
    seen = np.array([one["theory"]["observed"] for one in runs], float)
    spectra = [one["graph"]["spectrum"] for one in runs]
    null = calibration["null"]
    foretold = {
        "C ln(n) / λ₂": [_spectral(one, calibration["C"]["value"]) for one in spectra],
        "the bound, by the largest C": [_spectral(one, calibration["C_bound"]) for one in spectra],
        "a + b ln n": [null["a"]["value"] + null["b"]["value"] * log(one["peers"]) for one in spectra],
    }
    name, of = FAMILIES[family], f"{len(runs)} runs"
    found = [_figure(f"{name}: T100, seen", _mean(seen), "rounds", of)]
    command = calibration.get("provenance", {}).get("command", "make calibrate-c")
    for what, values in foretold.items():
        found.append(_figure(f"{name}: T100, {what}", _mean(np.array(values)), "rounds", of, command))
    return found


def _spectral(spectrum: Mapping[str, Any], constant: float) -> float:
    return predicted_rounds_spectral(spectrum["peers"], spectrum["lambda2_normalized"], C=constant)


def _pairs(report: Report) -> tuple[Sequence[int], int]:
    clean = _clean(report)
    return np.sum([one["holders"] for one in clean], axis=0).tolist(), sum(one["reachable"] for one in clean)


def _clean(report: Report) -> list[Mapping[str, Any]]:
    return [one for one in report["adapters"] if one["kind"] == CLEAN]


def _crossing(shares: Floats) -> float:
    """When a share that grows by rounds passed 90 %, from 0 before the first."""
    after = int(np.argmax(shares >= WANTED))
    if shares[after] < WANTED:
        return np.inf
    before = shares[after - 1] if after else 0.0
    return float(after + (WANTED - before) / (shares[after] - before))


def _mean(values: Floats) -> Interval:
    return _interval(lambda picks: np.asarray(values[picks].mean(axis=1)), len(values))


def _interval(statistic: Callable[[NDArray[np.int64]], Floats], runs: int) -> Interval:
    picks = np.random.default_rng(0).integers(runs, size=(DRAWS, runs))
    low, high = np.quantile(statistic(picks), [0.025, 0.975], method="inverted_cdf")
    return Interval(float(statistic(np.arange(runs)[None])[0]), float(low), float(high))


def _figure(what: str, found: Interval, unit: str, of: str, command: str = MAKE) -> Figure:
    return Figure(what, finite(found.value), finite(found.low), finite(found.high), unit, of, command)
