"""The figures of a run as one page of print: `run.png` and `run.pdf`, by matplotlib (extra `sim`).

- Four parts over the rounds: coverage of each domain with its 50, 90 and 100 % marks; pairs of peer and adapter that
  were accepted or not, clean and trojan; messages and bytes of each round; mutual information I(Agent; Domain).
- Colours are Okabe and Ito's, which colour-blind people tell apart; lines differ in their dashes as well, for print
  without colours.
- Equal reports make equal files.

Not handled here: what the figures mean (docs/simulator.md).
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.analysis.style import COLOURS, STYLE
from plora.proto.amounts import counted
from plora.proto.errors import UsageError
from plora.sim.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = ("run.png", "run.pdf")
DOTS_AN_INCH = 200
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (7, 2, 2, 2)), (0, (1, 1)))
MARKERS = {"50%": "o", "90%": "^", "100%": "s"}
OUTCOMES = {"accepted": COLOURS[0], "held": COLOURS[4], "waiting": "#999999", "rejected": COLOURS[3]}
LEGEND_MAX = 8
NOTE_CHARACTERS = 150
"""So many fit in a line of a note."""
LINES: Mapping[Any, Any] = {"lines.linewidth": 1.6}


def write_pictures(folder: Path, report: Mapping[str, Any]) -> list[Path]:
    """Draw a report into its folder; the files. `UsageError` where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("matplotlib is not installed", where="--plot", mend="pip install 'plora[sim]'")
    import matplotlib

    paths = [folder / name for name in NAMES]
    with matplotlib.rc_context({**STYLE, **LINES}):
        figure = drawn(report)
        for path in paths:
            # Without dates and versions, pictures of equal reports are equal files.
            metadata = {"CreationDate": None, "Creator": None} if path.suffix == ".pdf" else {"Software": None}
            figure.savefig(path, dpi=DOTS_AN_INCH, metadata=metadata)
    return paths


def drawn(report: Mapping[str, Any]) -> Figure:
    """The figure, as wide as a page of A4."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.3, 6.4), layout="constrained")
    scenario, graph = report["scenario"], report["graph"]
    swarm = f"{scenario['engine']} of {counted(graph['peers'], 'peer')}"
    name = "" if scenario["name"] == Scenario().name else f"{scenario['name']}: "
    title = f"{name}{swarm}, graph {scenario['graph']['kind']}, seed {scenario['seed']}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    if report["notes"]:
        notes = (textwrap.fill(note, NOTE_CHARACTERS) for note in report["notes"])
        figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=7)
    axes = figure.subplots(2, 2)
    _draw_coverage(axes[0][0], report)
    _draw_verdicts(axes[0][1], report["rounds"])
    _draw_traffic(axes[1][0], report["rounds"])
    _draw_information(axes[1][1], report["rounds"])
    for one in axes.flat:
        one.set_xlabel("round")
        one.set_xlim(0, max(1, len(report["rounds"])))
        one.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _draw_coverage(axes: Axes, report: Mapping[str, Any]) -> None:
    """A line for each domain, and a mark where it reached 50, 90 and 100 %."""
    rounds = report["rounds"]
    domains = list(report["rounds_to"])
    for number, domain in enumerate(domains):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        shares = [100 * one["coverage"][domain] for one in rounds]
        label = domain if number < LEGEND_MAX else None
        axes.plot(*_from_nothing(shares), color=colour, linestyle=dash, label=label)
        for mark, when in report["rounds_to"][domain].items():
            if when is not None:
                axes.plot(when, shares[int(when) - 1], MARKERS[mark], color=colour, markersize=5, clip_on=False)
    there = [mark for mark in MARKERS if any(one[mark] is not None for one in report["rounds_to"].values())]
    for mark, marker in ((mark, MARKERS[mark]) for mark in there):
        axes.plot([], [], marker, color="#444444", markersize=5, label=f"{mark[:-1]} % reached")
    more = f" ({len(domains)} domains)" if len(domains) > LEGEND_MAX else ""
    axes.set_title(f"Coverage{more}")
    axes.set_ylabel("peers that have the domain, %")
    axes.set_ylim(0, 104)
    axes.legend(loc="best")


def _draw_verdicts(axes: Axes, rounds: Sequence[Mapping[str, Any]]) -> None:
    """A line for each outcome and kind that there is."""
    for outcome, colour in OUTCOMES.items():
        for kind, dash in (("clean", "-"), ("trojan", DASHES[1])):
            pairs = [one["verdicts"].get(outcome, {}).get(kind, 0) for one in rounds]
            if any(pairs):
                axes.plot(*_from_nothing(pairs), color=colour, linestyle=dash, label=f"{outcome}, {kind}")
    axes.set_title("Verdicts")
    axes.set_ylabel("pairs of peer and adapter")
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def _draw_traffic(axes: Axes, rounds: Sequence[Mapping[str, Any]]) -> None:
    """Messages of each round on the left, bytes on the right."""
    numbers = range(1, len(rounds) + 1)
    messages, bytes_ = (_steps([one[name] for one in rounds]) for name in ("messages", "bytes"))
    (left,) = axes.plot(numbers, messages, color=COLOURS[0], label="messages")
    axes.set_title("Traffic of each round")
    axes.set_ylabel("messages")
    axes.set_ylim(bottom=0)
    if not any(bytes_):  # the fleet has none
        return
    right = axes.twinx()
    (line,) = right.plot(numbers, [one / 1000 for one in bytes_], color=COLOURS[1], linestyle=DASHES[1], label="bytes")
    right.spines["right"].set_visible(True)
    right.grid(visible=False)
    right.set_ylabel("bytes of adapters, kB")
    right.set_ylim(bottom=0)
    axes.legend(handles=[left, line], loc="best")


def _draw_information(axes: Axes, rounds: Sequence[Mapping[str, Any]]) -> None:
    """What the peer tells of the domain, in bits."""
    axes.plot(*_from_nothing([one["mutual_information"] for one in rounds]), color=COLOURS[2])
    axes.set_title("Mutual information I(Agent; Domain)")
    axes.set_ylabel("bits")
    axes.set_ylim(bottom=0)


def _from_nothing(values: Sequence[float]) -> tuple[range, list[float]]:
    """Points of a line that begins at 0 before round 1."""
    return range(len(values) + 1), [0.0, *values]


def _steps(totals: Sequence[float]) -> list[float]:
    """What each round adds to a total."""
    return [after - before for before, after in zip((0.0, *totals), totals, strict=False)]
