"""Who accepted a trojan, layer by layer, and what percolation says: from how many peers on a trojan comes to many.

Rules:

- Counted are honest peers: those that publish no trojan, and are in a component of the graph that somebody publishes
  in.
- Peers of one run aren't independent: they run the same checks on the same trojans, and pass on what they accept. So
  the limit that decides counts whole runs, each by the share of its peers that were deceived
  (`plora.lab.rates.grouped`): few deceived runs can't bring it below that of none. The exact limit of peers taken as
  independent stands beside it; the higher one counts.
- Theory is site percolation with verdicts that stick, on a random graph of the same degrees, from a publisher that
  passes its own: q of the peers let a trojan through, and it comes to S(q) of all where its publisher has an edge into
  those, the chance of which is S(q) / q. Alike verdicts draw q anew for each trojan.

Not handled here: which layer of a real gate finds what (`docs/detection.md`).

>>> expected_share([8] * 100, 0.05, 0.0), round(expected_share([8] * 100, 0.05, 0.9), 3)
(0.0, 0.049)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plora.analysis.percolation import outbreak_chance, passing_needed, reached_share, with_correlation
from plora.lab.findings.diffusion import FAMILIES, Spread, t90
from plora.lab.findings.figures import Figure, finite
from plora.lab.rates import Rate, clopper_pearson, grouped
from plora.sim import topology
from plora.sim.scenario import Scenario
from plora.sim.sweep import Run
from plora.sim.truth import CLEAN

Report = Mapping[str, Any]
END = 0.975
"""Confidence of each end of a 95 % interval."""
HALVINGS = 14


def deceived(reports: Sequence[Report]) -> tuple[Rate, Rate]:
    """The share of honest peers that accepted a trojan: limits by whole runs, and of peers taken as independent."""
    counts = [report["gate"]["peers"] for report in reports]
    outcomes = [number < one["accepted_trojan"] for one in counts for number in range(one["publish_no_trojan"])]
    runs = [number for number, one in enumerate(counts) for _ in range(one["publish_no_trojan"])]
    return grouped(outcomes, runs, confidence=END), clopper_pearson(sum(outcomes), len(outcomes), END)


def deceived_figures(named: str, reports: Sequence[Report]) -> list[Figure]:
    """Both limits, and in how many runs there was any."""
    by_runs, as_if = deceived(reports)
    any_ = clopper_pearson(sum(one["gate"]["peers"]["accepted_trojan"] > 0 for one in reports), len(reports), END)
    of = f"{by_runs.of:,} peers in {len(reports)} runs"
    return [
        _rate(f"{named}: honest peers that accepted a trojan", by_runs, of),
        _rate("… as if peers were independent", as_if, of),
        _rate("… runs in which any did", any_, f"{len(reports)} runs"),
    ]


def degrees(scenario: Scenario) -> NDArray[np.int64]:
    """How many neighbours each peer has."""
    graph = topology.of(scenario.graph, scenario.agents, scenario.seed)
    return np.bincount(np.asarray(graph.edges).ravel(), minlength=scenario.agents)


def expected_share(of: ArrayLike, q: float, correlation: float) -> float:
    """The share of peers that a trojan comes to on a graph of these degrees."""

    def share(passing: float) -> float:
        return reached_share(of, passing) ** 2 / passing if passing else 0.0

    return with_correlation(share, q, correlation) if correlation else share(q)


def tolerable(of: ArrayLike, correlation: float, trojans: int, limit: float) -> float:
    """The largest share of peers that may let a trojan through, so that at most `limit` get one of so many trojans."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = 1 - (1 - expected_share(of, middle, correlation)) ** trojans <= limit
        low, high = (middle, high) if fits else (low, middle)
    return low


def thresholds(
    family: str, of: ArrayLike, accept: float, correlation: float, trojans: int, limit: float
) -> list[Figure]:
    """What a family of graphs asks of its peers' gates."""
    asked = f"so that at most {100 * limit:g} % of peers get one of {trojans}"
    told = (
        ("peers that must be fooled before a trojan comes to many", min(1.0, passing_needed(of))),
        ("chance that a trojan comes to many, verdicts as above", outbreak_chance(of, accept, correlation)),
        (f"trojans that may pass {asked}, each peer judging alone", tolerable(of, 0.0, trojans, limit)),
        (f"trojans that may pass {asked}, verdicts alike as above", tolerable(of, correlation, trojans, limit)),
    )
    return [Figure(f"{FAMILIES[family]}: {what}", value, unit="share", of="its degrees") for what, value in told]


def percolation(runs: Sequence[tuple[Run, Report]]) -> list[dict[str, Any]]:
    """For each way of judging: the share of peers that a trojan came to, seen with its interval, and by theory."""
    places: dict[tuple[float, float], list[tuple[Run, Report]]] = {}
    for run, report in runs:
        told = run.scenario.security.verdicts
        if told is not None:
            places.setdefault((told.correlation, told.accept_trojan), []).append((run, report))
    return [_place(correlation, q, some) for (correlation, q), some in sorted(places.items(), key=lambda one: one[0])]


def layer_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By layers, those with none first and those with all last: who serves a trojan, trojans and clean ones that are
    merged, in means and ranges over seeds, and T90; `t90_ratio` is T90 with all layers by that with none.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["layers"], []).append(row)
    told = [{"layers": name, **_of_layers(some)} for name, some in found.items()]
    first, last = told[0]["t90"], told[-1]["t90"]
    return {"rows": told, "t90_ratio": last / first if first and last else None}


def _of_layers(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    spread = Spread.of_reports([row["report"] for row in some])
    return {"runs": len(some), **_ranges([row["merged"] for row in some]), "t90": finite(t90(spread).value)}


def _ranges(some: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    names = ("peers", "trojans", "clean")
    values = {name: [one[name] for one in some] for name in names}
    return {name: {"mean": fmean(one), "least": min(one), "most": max(one)} for name, one in values.items()}


def _place(correlation: float, q: float, some: Sequence[tuple[Run, Report]]) -> dict[str, Any]:
    shares = np.array([_mean_share(report) for _, report in some])
    picks = np.random.default_rng(0).integers(len(shares), size=(2000, len(shares)))
    low, high = np.quantile(shares[picks].mean(axis=1), [0.025, 0.975])
    theory = fmean(expected_share(degrees(run.scenario), q, correlation) for run, _ in some)
    seen = {"value": float(shares.mean()), "low": float(low), "high": float(high)}
    return {
        "accept": q,
        "correlation": correlation,
        "runs": len(some),
        "seen": seen,
        "theory": theory,
        "within": bool(low <= theory <= high),
    }


def _mean_share(report: Report) -> float:
    trojans = [one for one in report["adapters"] if one["kind"] != CLEAN]
    return fmean(one["holders"][-1] / one["reachable"] for one in trojans)


def _rate(what: str, rate: Rate, of: str) -> Figure:
    return Figure(what, rate.value, rate.low, rate.high, "share", of)
