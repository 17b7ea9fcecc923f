"""What every bench ends with: rows on the screen, in bench/results/NAME.json and in docs/results.md, and an exit code.

Rules:

- A row says what was measured, its value and unit, the goal if there is one (`>= 0.7`), whether it holds, what it was
  compared with (`peer`: another program, the limit's source; of a test: how it ended), and the command that measures it
  again.
- A goal is one comparison with one number. A row without a goal informs and always holds.
- `finish` writes the rows in the order given and returns 1 when a goal doesn't hold, else 0.
- The tables of docs/results.md stand between `<!-- results:NAME -->` and `<!-- /results -->` and are made from the
  files alone: `python bench/report.py` makes them anew.

>>> row = Row.of("transfer", 0.81, "x", goal=">= 0.7", peer="bare stream", command="make bench-node")
>>> row.holds, Row.of("transfer", 0.69, "x", goal=">= 0.7").holds
(True, False)
"""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"
PAGE = BENCH.parent / "docs" / "results.md"

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
_PLACE = re.compile(r"(<!-- results:(?P<name>[a-z0-9_-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    metric: str
    value: float
    unit: str
    goal: str
    holds: bool
    peer: str
    command: str

    @classmethod
    def of(cls, metric: str, value: float, unit: str, *, goal: str = "", peer: str = "", command: str = "") -> Row:
        """A row that judges itself. Raises ValueError for a goal that is not one comparison."""
        return cls(metric, value, unit, goal, meets(value, goal), peer, command)


def meets(value: float, goal: str) -> bool:
    """Whether a value meets a goal such as `>= 0.7`; everything meets the empty one."""
    if not goal:
        return True
    sign, _, limit = goal.partition(" ")
    if sign not in COMPARISONS:
        raise ValueError(f"{goal!r} is no goal")
    return COMPARISONS[sign](value, float(limit))


def to_json(rows: Sequence[Row]) -> str:
    """The rows as a results file holds them."""
    return json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> list[Row]:
    """The rows of a results file. Raises ValueError where fields, types or verdicts are not those of `Row.of`."""
    document = json.loads(text)
    if not isinstance(document, list):
        raise ValueError("a results file is a list of rows")
    return [_row(item) for item in document]


def to_markdown(rows: Sequence[Row]) -> str:
    """The rows as a table for docs/results.md."""
    lines = ["| Metric | Value | Goal | Holds | Compared with | Again by |", "|---|--:|---|---|---|---|"]
    for row in rows:
        cells = (row.metric, shown(row), row.goal, _holds(row), row.peer, f"`{row.command}`" if row.command else "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def shown(row: Row) -> str:
    """Value and unit, with at most four digits that matter.

    >>> shown(Row.of("bytes", 13312, "bytes")), shown(Row.of("ratio", 0.81234, "x"))
    ('13,312 bytes', '0.812 x')
    """
    number = f"{row.value:,.0f}" if abs(row.value) >= 1000 or row.value == int(row.value) else f"{row.value:.3g}"
    return f"{number} {row.unit}".strip()


def with_tables(page: str, tables: Mapping[str, Sequence[Row]]) -> str:
    """The page with the tables of these results put in their places; other places stay as they are."""

    def table(place: re.Match[str]) -> str:
        rows = tables.get(place["name"])
        return place[0] if rows is None else f"{place[1]}{to_markdown(rows)}{place[3]}"

    return _PLACE.sub(table, page)


def read_results(folder: Path = RESULTS) -> dict[str, list[Row]]:
    """All results files by name."""
    return {path.stem: from_json(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def renew_page(page: Path = PAGE, folder: Path = RESULTS) -> None:
    """Make the tables of docs/results.md anew from the results files."""
    page.write_text(with_tables(page.read_text(encoding="utf-8"), read_results(folder)), encoding="utf-8")


def finish(name: str, rows: Sequence[Row], *, folder: Path = RESULTS, page: Path = PAGE) -> int:
    """Show and keep the rows of the bench `name`; the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(to_json(rows), encoding="utf-8")
    if page.exists():
        renew_page(page, folder)
    return show(rows)


def show(rows: Sequence[Row]) -> int:
    """The rows as a table on stdout; the exit code."""
    table = Table("metric", "value", "goal", "holds", "compared with")
    for row in rows:
        table.add_row(row.metric, shown(row), row.goal, _holds(row), row.peer)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0 if all(row.holds for row in rows) else 1


def _holds(row: Row) -> str:
    return ("yes" if row.holds else "NO") if row.goal else ""


def _row(item: object) -> Row:
    names = [place.name for place in fields(Row)]
    if not isinstance(item, dict) or list(item) != names:
        raise ValueError(f"a row has the fields {', '.join(names)}")
    texts = all(isinstance(item[name], str) for name in names if name not in ("value", "holds"))
    number = isinstance(item["value"], int | float) and not isinstance(item["value"], bool)
    if not texts or not number or item["holds"] is not meets(item["value"], item["goal"]):
        raise ValueError(f"the row {item['metric']!r} has a wrong type, or doesn't hold as it says")
    return Row(**item)


if __name__ == "__main__":
    renew_page()
