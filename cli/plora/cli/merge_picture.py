"""The report of a merge as one picture, PNG or SVG, by matplotlib (extra `pictures`).

- Four parts: energy lost by truncation and sign conflicts, each by layer and target; norms by layer of the inputs at
  their weights and of the result; cosines between inputs.
- A cell of the maps is a module; modules of one layer and target (experts) are averaged. Modules outside the layers are
  in a row of their own.
- Equal reports make equal SVG files.

Not handled: what the figures mean (docs/merging-report.md).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.cli.merge_report import Told, headline, percent, two_digits
from plora.merge.outcome import ModuleReport
from plora.merge.plan_settings import layer_of, target_of
from plora.proto.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = (".png", ".svg")
LINES_MAX = 8
FIGURES_MAX = 10
NAME_CHARS_MAX = 24
DOTS_AN_INCH = 150
STYLE: Mapping[Any, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": "#222222",
    "axes.labelcolor": "#222222",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "svg.hashsalt": "plora",
}
ABSENT = "#e8e8e8"
OUTSIDE = "outside"
"""The row of modules that are in no layer, such as lm_head."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the picture shows: a title, names of the inputs, modules, each input's place in them, cosines."""

    title: str
    names: Sequence[str]
    rows: Sequence[ModuleReport]
    order: Sequence[int]
    cosines: Sequence[Sequence[float]]


def sight_of(told: Told) -> Sight:
    """The picture of a merge."""
    report = told.report
    title = f"{headline(report)}; {percent(report.discarded_energy)} of the energy lost"
    return Sight(title, told.names, report.modules, told.order, told.cosines)


def check_picture(path: Path) -> None:
    """UsageError before any work where no picture could be written there."""
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"'{path}' is neither PNG nor SVG", where="--picture", mend=f"name it {path.stem}.png or .svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("matplotlib is not installed", where="--picture", mend="pip install 'plora[pictures]'")


def write_picture(path: Path, sight: Sight) -> None:
    """Draw it into the file; whether that can be is said by `check_picture`."""
    import matplotlib

    with matplotlib.rc_context(dict(STYLE)):
        figure = drawn(sight)
        # Without the date, a picture of the same report is the same file.
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=DOTS_AN_INCH, metadata=metadata)


def drawn(sight: Sight) -> Figure:
    """The figure, 12 by 9 inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    figure.suptitle(sight.title, x=0.01, ha="left", fontsize=13)
    axes = figure.subplots(2, 2)
    lost = [row.discarded_energy for row in sight.rows]
    _draw_map(figure, axes[0][0], sight.rows, lost, "Energy lost by truncation", "lost, % of ‖ΔW‖²")
    conflicts = [row.sign_conflict or 0.0 for row in sight.rows]
    _draw_map(figure, axes[0][1], sight.rows, conflicts, "Sign conflicts", "conflicting, % of the mass")
    _draw_norms(axes[1][0], sight)
    _draw_cosines(figure, axes[1][1], sight)
    return figure


def _draw_map(
    figure: Figure, axes: Axes, rows: Sequence[ModuleReport], values: Sequence[float], title: str, unit: str
) -> None:
    """A cell for each layer and target, coloured by percent."""
    targets = sorted({target_of(row.module) for row in rows})
    layers = _layers(rows)
    cells: dict[tuple[int, int], list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        place = layers.index(_layer_name(row.module)), targets.index(target_of(row.module))
        cells.setdefault(place, []).append(100 * value)
    grid = [[_mean(cells.get((y, x), [])) for x in range(len(targets))] for y in range(len(layers))]
    image = axes.imshow(grid, aspect="auto", cmap="YlOrRd", vmin=0, vmax=max(1.0, *map(max, cells.values())))
    figure.colorbar(image, ax=axes, label=unit)
    axes.set_facecolor(ABSENT)
    axes.set_title(title)
    axes.set_xlabel("target")
    axes.set_ylabel("layer")
    axes.set_xticks(range(len(targets)), targets, rotation=30, ha="right")
    step = max(1, math.ceil(len(layers) / 14))
    axes.set_yticks(range(0, len(layers), step), layers[::step])


def _draw_norms(axes: Axes, sight: Sight) -> None:
    """Lines over the layers: every input at its weight, the result thick."""
    layers = _layers(sight.rows)
    shown = sight.names[:LINES_MAX]
    for place, (name, index) in enumerate(zip(shown, sight.order, strict=False)):
        norms = _by_layer(sight.rows, layers, _norm_of(index))
        _draw_line(axes, layers, norms, short(name), color=f"C{place}", linewidth=1.5)
    norms = _by_layer(sight.rows, layers, lambda row: row.norm)
    _draw_line(axes, layers, norms, "merged", color="black", linewidth=2.5)
    left_out = len(sight.names) - len(shown)
    axes.set_title("Norms" + (f" ({left_out} inputs left out)" if left_out else ""))
    axes.set_xlabel("layer")
    axes.set_ylabel("‖ΔW‖ (Frobenius), input × weight")
    # The legend has the upper part to itself.
    axes.set_ylim(0, axes.get_ylim()[1] * (1.2 + 0.06 * len(shown)))
    step = max(1, math.ceil(len(layers) / 14))
    axes.set_xticks(range(0, len(layers), step), layers[::step])
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=9, ncols=2)


def _draw_line(
    axes: Axes, layers: Sequence[str], norms: Sequence[float], label: str, *, color: str, linewidth: float
) -> None:
    """A line over the layers, and a point for what is outside them."""
    inside = len(layers) - (layers[-1] == OUTSIDE)
    axes.plot(layers[:inside], norms[:inside], color=color, linewidth=linewidth, marker=".", label=label)
    axes.plot(layers[inside:], norms[inside:], color=color, marker="o", linestyle="none")


def _draw_cosines(figure: Figure, axes: Axes, sight: Sight) -> None:
    """Inputs against inputs; figures in the cells while they can be read."""
    image = axes.imshow(sight.cosines, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(image, ax=axes, label="cosine (1: same direction, −1: opposite)")
    axes.set_title("Cosines between inputs")
    count = len(sight.names)
    step = max(1, math.ceil(count / 20))
    places = range(0, count, step)
    names = [f"{short(sight.names[one])}  {one + 1}" if count <= 2 * FIGURES_MAX else str(one + 1) for one in places]
    axes.set_xticks(places, [str(one + 1) for one in places])
    axes.set_yticks(places, names)
    axes.set_xlabel("input")
    axes.set_ylabel("input")
    for y, line in enumerate(sight.cosines if count <= FIGURES_MAX else ()):
        for x, cosine in enumerate(line):
            colour = "white" if abs(cosine) > 0.6 else "black"
            axes.text(x, y, two_digits(cosine), ha="center", va="center", color=colour)


def short(name: str) -> str:
    """The end of a name, which tells folders apart.

    >>> short("a/very/long/path/to/an/adapter/legal")
    '…ath/to/an/adapter/legal'
    """
    return name if len(name) <= NAME_CHARS_MAX else f"…{name[1 - NAME_CHARS_MAX :]}"


def _layer_name(module: str) -> str:
    layer = layer_of(module)
    return OUTSIDE if layer is None else str(layer)


def _layers(rows: Sequence[ModuleReport]) -> list[str]:
    """Names of the layers in their order, the row of those outside last."""
    numbers = sorted({number for row in rows if (number := layer_of(row.module)) is not None})
    outside = [OUTSIDE] if any(layer_of(row.module) is None for row in rows) else []
    return [*map(str, numbers), *outside]


def _norm_of(index: int) -> Callable[[ModuleReport], float]:
    return lambda row: row.input_norms[index]


def _by_layer(
    rows: Sequence[ModuleReport], layers: Sequence[str], norm_of: Callable[[ModuleReport], float]
) -> list[float]:
    """The norm of all modules of each layer together."""
    squares = dict.fromkeys(layers, 0.0)
    for row in rows:
        squares[_layer_name(row.module)] += norm_of(row) ** 2
    return [math.sqrt(squares[layer]) for layer in layers]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
