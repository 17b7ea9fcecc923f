"""Figures of the calibration of C and of the bounds of λ₂ (`plora.lab.calibrate_c`, `plora.lab.validate_bounds`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plora.analysis.style import BLACK, BLUE, GREEN, GREY, ORANGE, whiskers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {"er": "Erdős–Rényi", "ws": "Watts–Strogatz", "ba": "Barabási–Albert"}


def constants(figure: Figure, artifacts: Sequence[Mapping[str, Any]]) -> None:
    """Above, rounds against n with both predictions; below, C of each size."""
    axes = figure.subplots(2, len(artifacts), sharex="col", squeeze=False)
    for column, found in enumerate(artifacts):
        _rounds(axes[0][column], found)
        _constants(axes[1][column], found)
        axes[0][column].set_title(NAMES.get(found["family"], found["family"]))
        axes[1][column].set_xlabel("peers n")
    axes[0][0].set_ylabel("rounds until all have it")
    axes[1][0].set_ylabel("C = t λ₂ / ln n")
    (above, names), (below, more) = (axes[row][0].get_legend_handles_labels() for row in (0, 1))
    figure.legend([*above, *below], [*names, *more], loc="outside lower center", ncols=3)


def _rounds(axes: Axes, found: Mapping[str, Any]) -> None:
    for name, face, label in (("runs", BLUE, "a graph"), ("runs_held_out", "white", "a graph, held out")):
        n, rounds = ([run[column] for run in found[name]] for column in ("n", "rounds"))
        axes.plot(n, rounds, "o", markersize=3.5, color=BLUE, markerfacecolor=face, label=label)
    runs = [*found["runs"], *found["runs_held_out"]]
    sizes = np.geomspace(min(run["n"] for run in runs), max(run["n"] for run in runs), 50)
    a, b = (found["null"][name]["value"] for name in ("a", "b"))
    axes.plot(sizes, a + b * np.log(sizes), color=BLACK, label="a + b ln n")
    asked = np.array([*found["sizes"], *found["sizes_held_out"]])
    near = np.abs(np.log(asked)[:, None] - np.log([run["n"] for run in runs])).argmin(axis=0)
    gaps = [
        np.mean([run["lambda2"] for run, size in zip(runs, near, strict=True) if size == k]) for k in range(len(asked))
    ]
    predicted = found["C"]["value"] * np.log(asked) / np.array(gaps)
    axes.plot(asked, predicted, "s--", markersize=4, color=ORANGE, label="C ln n / λ₂, mean λ₂ of each size")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)


def _constants(axes: Axes, found: Mapping[str, Any]) -> None:
    for one in found["by_n"]:
        axes.errorbar(one["n"], one["C"]["value"], whiskers(one["C"]), fmt="o", color=GREEN, markersize=4, capsize=3)
    axes.axhspan(found["C"]["low"], found["C"]["high"], color=ORANGE, alpha=0.25, linewidth=0)
    axes.axhline(found["C"]["value"], color=ORANGE, linestyle="--", label="C, 95 %")
    axes.axhline(found["C_bound"], color=GREY, linestyle=":", label="largest C of a graph")
    axes.set_ylim(bottom=0)


def bounds(figure: Figure, artifacts: Sequence[Mapping[str, Any]]) -> None:
    """On how many graphs each bound was looked at, and on how many it failed."""
    axes, told = figure.subplots(), artifacts[0]["bounds"]
    names = [one["name"] if one["proved"] else f"{one['name']} *" for one in told]
    failed = np.array([len(one["violations"]) for one in told])
    held = np.array([one["graphs"] for one in told]) - failed
    axes.barh(names, held, color=BLUE, label="holds")
    axes.barh(names, failed, left=held, color=ORANGE, hatch="//", edgecolor="white", label="fails")
    for place, (good, bad) in enumerate(zip(held.tolist(), failed.tolist(), strict=True)):
        axes.text(good + bad + 0.5, place, f"{bad} of {good + bad} fail", va="center", fontsize=7, color=GREY)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set(xlabel="graphs", title="Bounds against graphs; * isn't proved")
    figure.legend(loc="outside lower center", ncols=2)
    axes.grid(visible=False, axis="y")
