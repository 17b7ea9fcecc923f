"""Figures of simulated swarms: the sweep over topologies (`plora sweep`), verdicts (`plora sim --summarise`).

A run in which a clean adapter never came to 90 % took longer than it lasted: it counts as infinite. So lines of rounds
go through medians, and the legend says how many runs those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plora.analysis.outcomes import OUTCOMES
from plora.analysis.style import BLUE, COLOURS, GREY, MARKERS, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def sweep(figure: Figure, artifacts: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Rounds until 90 % had the clean adapters, with detectors and without; and the share of trojans accepted."""
    left, right = figure.subplots(1, 2)
    groups = _grouped(artifacts[0])
    for number, ((kind, detectors), reports) in enumerate(sorted(groups.items())):
        family = sorted({name for name, _ in groups}).index(kind)
        look: dict[str, Any] = {
            "color": COLOURS[family],
            "marker": MARKERS[family],
            "linestyle": "-" if detectors else "--",
        }
        label = f"{kind.upper()}, detectors {'on' if detectors else 'off'}"
        rounds = [(one["graph"]["peers"], clean_t90(one)) for one in reports]
        if never := sum(value == np.inf for _, value in rounds):
            label = f"{label} ({never} of {len(rounds)} runs never)"
        _line(left, rounds, look, label, number, np.median)
        _line(right, [(one["graph"]["peers"], _trojans(one)) for one in reports], look, label, number, np.mean)
    left.set(title="Clean adapters", xlabel="peers", ylabel="rounds until 90 % have it")
    right.set(title="Trojans", xlabel="peers", ylabel="accepted, % of pairs")
    left.margins(y=0.12)
    left.set_ylim(bottom=0)
    right.set_ylim(-3, 103)
    for axes in (left, right):
        axes.set_xticks(sorted({one["graph"]["peers"] for reports in groups.values() for one in reports}))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _grouped(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, bool], list[Mapping[str, Any]]]:
    found: dict[tuple[str, bool], list[Mapping[str, Any]]] = {}
    for row in rows:
        told = row["report"]["scenario"]
        found.setdefault((told["graph"]["kind"], told["security"]["detectors"]), []).append(row["report"])
    return found


def clean_t90(report: Mapping[str, Any]) -> float | None:
    """The mean over clean adapters, infinite where one of them never came so far; None where there are none."""
    took = [one["rounds_to"]["90%"] for one in report["adapters"] if one["kind"] == "clean"]
    return float(np.mean([np.inf if one is None else one for one in took])) if took else None


def _trojans(report: Mapping[str, Any]) -> float | None:
    reachable = sum(one["reachable"] for one in report["adapters"] if one["kind"] != "clean")
    return 100 * report["gate"]["pairs"]["accepted"]["trojan"] / reachable if reachable else None


def _line(
    axes: Axes,
    points: Iterable[tuple[int, float | None]],
    look: Mapping[str, Any],
    label: str,
    number: int,
    middle: Callable[[Sequence[float]], Any],
) -> None:
    """A line through the middle over seeds where it is finite, and each seed as a point, groups a little apart."""
    by_size: dict[int, list[float]] = {}
    for size, value in points:
        if value is not None:
            by_size.setdefault(size, []).append(value)
    sizes = np.array(sorted(by_size))
    if len(sizes):
        middles = np.array([middle(by_size[size]) for size in sizes.tolist()])
        axes.plot(sizes, np.where(np.isfinite(middles), middles, np.nan), markersize=5, label=label, **look)
    for size, found in by_size.items():
        values = [value for value in found if np.isfinite(value)]
        at = [size * (1 + 0.012 * (number - 2.5))] * len(values)
        axes.plot(at, values, look["marker"], color=look["color"], markersize=3, alpha=0.5)


def gate(figure: Figure, artifacts: Sequence[Mapping[str, Any]]) -> None:
    """Pairs of peer and adapter by verdict, clean and trojan, means over runs with each run as a point."""
    axes, runs = figure.subplots(), artifacts[0]["runs"]
    for kind, colour, shift in (("clean", BLUE, -0.2), ("trojan", ORANGE, 0.2)):
        totals = [sum(run["gate"]["pairs"][outcome][kind] for outcome in OUTCOMES) or 1 for run in runs]
        for place, outcome in enumerate(OUTCOMES):
            shares = [
                100 * run["gate"]["pairs"][outcome][kind] / total for run, total in zip(runs, totals, strict=True)
            ]
            look: dict[str, Any] = {"hatch": "//" if kind == "trojan" else "", "edgecolor": "white", "color": colour}
            axes.bar(place + shift, np.mean(shares), 0.38, label=kind if place == 0 else None, **look)
            axes.plot([place + shift] * len(shares), shares, "o", color=GREY, markersize=3)
    axes.set_xticks(range(len(OUTCOMES)), OUTCOMES)
    axes.set(ylabel="% of pairs of its kind", title=f"Verdicts at the end, {len(runs)} run{'s' * (len(runs) != 1)}")
    axes.legend()
    axes.grid(visible=False, axis="x")
