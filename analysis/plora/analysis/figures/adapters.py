"""Figures of what adapters are worth: value-add, ablation, alternating training and merging (`plora.lab`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plora.analysis.style import COLOURS, GREY, MARKERS, whiskers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS = {
    "adapter": "adapter",
    "routed": "routed",
    "merged": "merged",
    "monolithic": "monolithic",
    "cross": "cross-domain",
    "placebo_shuffled": "placebo, shuffled answers",
    "placebo_norm": "placebo, equal norm",
}
MEASURES = {"nll": "loss, nats a token", "question_information": "what questions tell, nats", "em": "exact answers"}

Rows = Sequence[Mapping[str, Any]]


def value_add(figure: Figure, artifacts: Sequence[Rows]) -> None:
    """How far each cell is from the base: every domain, seed, rank and scheme is one interval."""
    rows = [row for row in artifacts[0] if row["cell"] != "baseline"]
    domains = sorted({row["domain"] for row in rows})
    cells = [cell for cell in CELLS if any(row["cell"] == cell for row in rows)]
    for axes, (measure, title) in zip(figure.subplots(1, len(MEASURES), sharey=True), MEASURES.items(), strict=True):
        for place, cell in enumerate(cells):
            some = [row for row in rows if row["cell"] == cell]
            for step, row in enumerate(some):
                domain, found = domains.index(row["domain"]), row["difference"][measure]
                at = place + 0.7 * ((step + 0.5) / len(some) - 0.5)
                look: dict[str, Any] = {
                    "color": COLOURS[domain],
                    "marker": MARKERS[domain],
                    "markersize": 3,
                    "linewidth": 0.8,
                }
                label = row["domain"] if row is next(one for one in rows if one["domain"] == row["domain"]) else None
                axes.errorbar(found["value"], at, xerr=whiskers(found), linestyle="", label=label, **look)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_title(title, fontsize=8.5)
        axes.grid(visible=False, axis="y")
    figure.axes[0].set_yticks(range(len(cells)), [CELLS[cell] for cell in cells])
    figure.axes[0].invert_yaxis()
    figure.axes[1].set_xlabel("difference from the base, 95 % intervals over documents")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(domains))


def ablation(figure: Figure, artifacts: Sequence[Rows]) -> None:
    """What each rank and scheme gains in each domain, beside the base."""
    axes, rows = figure.subplots(), artifacts[0]
    kinds = sorted({(row["scheme"], row["rank"]) for row in rows})
    domains = sorted({row["domain"] for row in rows})
    for row in rows:
        domain, kind = domains.index(row["domain"]), kinds.index((row["scheme"], row["rank"]))
        at, found = kind + 0.2 * (domain - (len(domains) - 1) / 2), row["difference"]["nll"]
        look: dict[str, Any] = {
            "color": COLOURS[domain],
            "marker": MARKERS[domain],
            "markersize": 4,
            "capsize": 2,
            "linestyle": "",
        }
        axes.errorbar(at, found["value"], yerr=whiskers(found), label=row["domain"] if kind == 0 else None, **look)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xticks(range(len(kinds)), [f"{scheme}, r = {rank}" for scheme, rank in kinds], rotation=20, ha="right")
    axes.set(ylabel="loss beside the base, nats a token", title="Rank and scheme")
    axes.legend()


def alternation(figure: Figure, artifacts: Sequence[Rows]) -> None:
    """Loss of each domain by round, of its own adapter and of the merge, and how far the merge moved."""
    left, right = figure.subplots(1, 2)
    rows = artifacts[0]
    rounds = [row["round"] for row in rows]
    for number, domain in enumerate(rows[0]["nll"]["merged"]):
        look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 4}
        left.plot(rounds, [row["nll"]["merged"][domain] for row in rows], label=f"{domain}, merged", **look)
        left.plot(rounds, [row["nll"]["own"][domain] for row in rows], "--", label=f"{domain}, own", **look)
        left.axhline(rows[0]["nll"]["base"][domain], color=COLOURS[number], linestyle=":", linewidth=0.9)
    moved = [(row["round"], row["moved"]) for row in rows if row["moved"] is not None]
    right.plot([at for at, _ in moved], [100 * way for _, way in moved], "o-", color=COLOURS[0], markersize=4)
    left.set(title="Loss (dotted: the base)", xlabel="round", ylabel="nats a token")
    right.set(title="How far the merge moved", xlabel="round", ylabel="% of its norm")
    right.set_ylim(bottom=0)
    left.set_xticks(np.array(rounds))
    right.set_xticks(np.array(rounds))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
