"""The table of docs/detection.md: how many of each kind are found, by which layer, and without its kind in the fit.

The table is made from `bench/data/detection/rates.json` alone, so that page and measurement can't part: a test compares
both. `python bench/detection_page.py` makes it anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from plora.lab.rates import clopper_pearson

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "bench" / "data" / "detection"
PAGE = ROOT / "docs" / "detection.md"
COLUMNS = ("weights", "probes", "both", "never seen")
PICTURE = "![Attack success after the merge against the share of clean gain kept](detection-merge.png)"
_PLACE = re.compile(r"(<!-- rates -->\n).*?(<!-- /rates -->)", re.DOTALL)

Counts = Sequence[Mapping[str, object]]


def to_table(counts: Counts) -> str:
    """One line a base and kind; an empty cell was not tried."""
    lines = [f"| Base | Kind | Seen by {' | '.join(COLUMNS[:2])} | By either | By either, kind left out of the fit |"]
    lines.append("|---|---|---|---|---|---|")
    for one in counts:
        cells = [_cell(one.get(column)) for column in COLUMNS]
        lines.append(f"| {one['base']} | {one['kind']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(page: str, counts: Counts) -> str:
    """The page with its table put in its place, and the picture that is drawn with it."""
    return _PLACE.sub(lambda place: f"{place[1]}{to_table(counts)}\n{PICTURE}\n{place[2]}", page)


def renew() -> None:
    """Make the page's table anew."""
    counts = json.loads((DATA / "rates.json").read_text(encoding="utf-8"))
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), counts), encoding="utf-8")


def _cell(counted: object) -> str:
    return clopper_pearson(*counted).text() if isinstance(counted, list | tuple) else ""


if __name__ == "__main__":
    renew()
