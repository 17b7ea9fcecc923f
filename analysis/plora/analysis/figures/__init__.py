"""The experiment's figures for print, each from its artifacts under `results/`: PDF and PNG.

Rules:

- A figure is drawn from what lies there; `Missing` names the artifact that isn't there, or can't be read, and the
  target of make that makes it.
- Colours are Okabe and Ito's, and marks or dashes differ as well. Equal artifacts make equal files.
- Intervals are those of the artifacts; nothing is computed here but means and medians over seeds, beside which each
  seed stands.

Not handled here: what figures mean (docs/analysis.md), one simulated run (`plora sim --plot`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.analysis.figures import adapters, spectral, swarms
from plora.analysis.style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

SUFFIXES = (".pdf", ".png")
DOTS_AN_INCH = 200

Artifacts = Mapping[str, Any]
"""What was read, by name: a document of a .json, the rows of a .jsonl."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: the artifacts that it is drawn from, and the target of make that makes them."""

    name: str
    artifacts: tuple[str, ...]
    target: str
    draw: Callable[[Drawn, Sequence[Any]], None]
    size: tuple[float, float] = (7.2, 3.2)


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that can't be drawn, for want of an artifact or because of what is in it."""

    figure: str
    artifact: str
    why: str
    target: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.figure}: {self.artifact} {self.why}; make {self.target}"


FAMILIES = ("er", "ws", "ba")
FIGURES = (
    Figure("constant_c", tuple(f"c_calib_{one}.json" for one in FAMILIES), "calibrate-c", spectral.constants, (7.2, 5)),
    Figure("bounds", ("bounds_validation.json",), "validate-bounds", spectral.bounds),
    Figure("sweep", ("thesis_sweep.jsonl",), "thesis-sweep", swarms.sweep),
    Figure("gate", ("summary_v2.json",), "dry-run-lite", swarms.gate),
    Figure("value_add", ("value_add/value_add.jsonl",), "value-add-build-lowmem", adapters.value_add, (7.2, 4)),
    Figure("ablation", ("ablation.jsonl",), "ablation", adapters.ablation),
    Figure("alternation", ("alt_train_merge/rounds.jsonl",), "alt-train-merge", adapters.alternation),
)


def write_figures(results: Path, out: Path) -> tuple[list[Path], list[Missing]]:
    """Draw all figures that can be drawn; the files, and what is missing of the others."""
    written: list[Path] = []
    missing: list[Missing] = []
    for figure in FIGURES:
        found = _read(figure, results)
        if isinstance(found, Missing):
            missing.append(found)
            continue
        try:
            written += _write(figure, found, out)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            why = f"has not what it must have ({type(error).__name__}: {error})"
            missing.append(Missing(figure.name, ", ".join(figure.artifacts), why, figure.target))
    return written, missing


def drawn(name: str, results: Path) -> Drawn | Missing:
    """One figure, to be shown; ValueError for a name that no figure has."""
    figure = next((one for one in FIGURES if one.name == name), None)
    if figure is None:
        raise ValueError(f"no figure {name!r}: there are {', '.join(one.name for one in FIGURES)}")
    found = _read(figure, results)
    return found if isinstance(found, Missing) else _drawn(figure, found)


def _read(figure: Figure, results: Path) -> list[Any] | Missing:
    found = []
    for name in figure.artifacts:
        try:
            text = (results / name).read_text(encoding="utf-8")
            found.append(_rows(text) if name.endswith("l") else json.loads(text))
        except FileNotFoundError:
            return Missing(figure.name, name, "isn't there", figure.target)
        except (OSError, ValueError) as error:
            return Missing(figure.name, name, f"can't be read ({error})", figure.target)
    return found


def _rows(text: str) -> list[Any]:
    """The rows of JSONL; a first line may say where they come from.

    >>> _rows('{"provenance": {}}\\n{"rank": 4}')
    [{'rank': 4}]
    """
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if not (isinstance(row, dict) and list(row) == ["provenance"])]


def _write(figure: Figure, artifacts: Sequence[Any], out: Path) -> list[Path]:
    """Both files; each takes its place when it is whole."""
    from matplotlib import rc_context

    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{figure.name}{suffix}" for suffix in SUFFIXES]
    with rc_context(dict(STYLE)):
        picture = _drawn(figure, artifacts)
        for path in paths:
            # Without dates and versions, figures of equal artifacts are equal files.
            metadata = {"CreationDate": None, "Creator": None} if path.suffix == ".pdf" else {"Software": None}
            draft = path.with_name(f".draft.{path.name}")
            picture.savefig(draft, dpi=DOTS_AN_INCH, metadata=metadata)
            draft.replace(path)
    return paths


def _drawn(figure: Figure, artifacts: Sequence[Any]) -> Drawn:
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawn

    with rc_context(dict(STYLE)):
        picture = Drawn(figsize=figure.size, layout="constrained")
        figure.draw(picture, artifacts)
    return picture
