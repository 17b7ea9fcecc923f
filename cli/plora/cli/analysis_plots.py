"""The plots of `plora analyze` as one picture: who was still without, steps, information, records by kind.

Not handled here: figures (`plora.analysis.log_summary`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plora.analysis.log_summary import KINDS, curves_by_kind
from plora.analysis.logs import Gathered
from plora.analysis.style import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"clean": BLUE, "trojan": ORANGE, "unknown": GREEN}
DASHES = {"clean": "-", "trojan": "--", "unknown": "-."}
HATCHES = {"clean": "", "trojan": "//", "unknown": ".."}
KINDS_SHOWN = 14


def plots(gathered: Gathered, summary: Mapping[str, Any]) -> bytes:
    """Four plots as one PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 6.4), layout="constrained")
        axes = figure.subplots(2, 2)
        _draw_without(axes[0][0], gathered)
        _draw_steps(axes[0][1], summary)
        _draw_information(axes[1][0], summary)
        _draw_kinds(axes[1][1], summary)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=130, metadata={"Software": None})
    return drawn.getvalue()


def _draw_without(axes: Axes, gathered: Gathered) -> None:
    for kind, curve in curves_by_kind(gathered).items():
        if not curve.times:
            continue
        times = [0.0, *curve.times]
        axes.step(times, [1.0, *curve.shares], where="post", color=COLOURS[kind], linestyle=DASHES[kind], label=kind)
        low, high = [1.0, *curve.low], [1.0, *curve.high]
        axes.fill_between(times, low, high, step="post", alpha=0.15, color=COLOURS[kind], linewidth=0)
    axes.set(title="Without", xlabel="seconds since first seen", ylabel="share of pairs", ylim=(0, 1.03))
    axes.set_xlim(left=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _draw_steps(axes: Axes, summary: Mapping[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    longest = max((len(one["steps"]) for one in summary["plasmids"]), default=1)
    bottom = [0] * longest
    for kind in KINDS:
        steps = [one["steps"] for one in summary["plasmids"] if _kind(one["kind"]) == kind]
        counts = [sum(one[depth] if depth < len(one) else 0 for one in steps) for depth in range(longest)]
        if any(counts):
            axes.bar(
                range(longest),
                counts,
                bottom=bottom,
                color=COLOURS[kind],
                hatch=HATCHES[kind],
                edgecolor="white",
                label=kind,
            )
            bottom = [a + b for a, b in zip(bottom, counts, strict=True)]
    axes.set(title="Steps from where it was published", xlabel="steps", ylabel="pairs of peer and adapter")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _kind(told: str) -> str:
    return told if told in ("clean", "unknown") else "trojan"


def _draw_information(axes: Axes, summary: Mapping[str, Any]) -> None:
    seconds, bits = summary["span"]["seconds"], summary["mutual_information"]
    axes.plot([seconds * number / len(bits) for number in range(len(bits) + 1)], [0.0, *bits], color=COLOURS["unknown"])
    axes.set(title="Mutual information I(Agent; Domain)", xlabel="seconds since the first record", ylabel="bits")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)


def _draw_kinds(axes: Axes, summary: Mapping[str, Any]) -> None:
    kinds = list(summary["kinds"].items())
    shown = kinds[:KINDS_SHOWN]
    if rest := sum(count for _, count in kinds[KINDS_SHOWN:]):
        shown.append((f"{len(kinds) - KINDS_SHOWN} more", rest))
    axes.barh([name for name, _ in shown], [count for _, count in shown], color=COLOURS["clean"], log=bool(shown))
    axes.invert_yaxis()
    axes.set(title="Records by kind", xlabel="records (logarithmic)")
