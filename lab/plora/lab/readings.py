"""What both detectors measure of a zoo's adapters, kept so that it is measured once.

Rules:

- A reading is kept under its detector, that detector's version and the artifact's digest: another version or other
  bytes are measured anew, a renamed adapter isn't. Recipes are never kept here; they come from the zoo.
- A kept reading is one file, written beside its place and moved there: whoever stops in between loses one adapter's
  work. A file that is no JSON object of numbers counts as absent.
- A table of readings is JSON lines, one adapter a line, sorted by name, with as many digits as matter, packed by xz:
  the form in which they are committed and compared.

Not handled here: measuring (`plora.lab.reading`), judging (`plora.gate.detection`).

>>> row = Reading({"name": "a", "kind": "clean"}, "sha256:0", 2, ["q_proj"], {"log_norm": 1.23456789})
>>> from_lines(to_lines([row]))[0].statistics
{'log_norm': 1.2346}
"""

from __future__ import annotations

import json
import lzma
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DIGITS = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """One adapter: its recipe as the zoo tells it, its artifact's digest and shape, what was measured, in how long.

    `failures`: why a detector gave no figures, by its name; a detector that measured has none.
    `versions`: of the detectors that measured, by name.
    """

    recipe: Mapping[str, Any]
    digest: str
    rank: int = 0
    targets: Sequence[str] = ()
    statistics: Mapping[str, float] = field(default_factory=dict)
    probes: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The adapter's name in its zoo."""
        return str(self.recipe["name"])

    @property
    def kind(self) -> str:
        """What was done to it: "clean", "rare-token", …"""
        return str(self.recipe["kind"])

    @property
    def part(self) -> str:
        """`train`, `calibration` or `test`."""
        return str(self.recipe["part"])

    @property
    def clean(self) -> bool:
        """Whether nobody meant harm: hard negatives are clean."""
        return self.kind.startswith("clean")


class ReadingStore:
    """Kept readings of one detector at one version, in a folder of their own."""

    def __init__(self, root: Path, detector: str, version: int) -> None:
        self._folder = root / f"{detector}-{version}"

    def find(self, digest: str) -> dict[str, float] | None:
        """What was measured of the artifact with this digest; None where nothing was kept."""
        try:
            found = json.loads(self._path(digest).read_bytes())
        except (OSError, ValueError):
            return None
        numbers = isinstance(found, dict) and all(isinstance(value, int | float) for value in found.values())
        return {name: float(value) for name, value in found.items()} if numbers else None

    def keep(self, digest: str, figures: Mapping[str, float]) -> None:
        """Keep what was measured of the artifact with this digest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(digest)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(dict(figures), sort_keys=True), encoding="utf-8")
        draft.replace(path)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"


def to_lines(readings: Iterable[Reading]) -> str:
    """The readings as JSON lines, sorted by name."""
    rows = [_rounded(asdict(reading)) for reading in sorted(readings, key=lambda one: one.name)]
    return "".join(json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n" for row in rows)


def from_lines(text: str) -> list[Reading]:
    """The readings of such lines. Raises ValueError or TypeError for anything else."""
    return [Reading(**json.loads(line)) for line in text.splitlines()]


def write_table(path: Path, readings: Iterable[Reading]) -> None:
    """Write the readings' lines, packed by xz."""
    path.write_bytes(lzma.compress(to_lines(readings).encode()))


def read_table(path: Path) -> list[Reading]:
    """The readings of such a file."""
    return from_lines(lzma.decompress(path.read_bytes()).decode())


def _rounded(value: Any) -> Any:
    """A value with its numbers at `DIGITS`; what isn't finite is left out of mappings."""
    if isinstance(value, Mapping):
        finite = {name: one for name, one in value.items() if not (isinstance(one, float) and not math.isfinite(one))}
        return {name: _rounded(one) for name, one in finite.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
