"""The one output sink: data on stdout, hints and progress on stderr.

- `--json` prints exactly one JSON document on stdout and no tables; `-q` leaves out hints and progress.
- Everything that comes from others (names, reasons, domains) is text: control characters are escaped before they reach
  a terminal, and rich's markup is off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH_WITHOUT_TERMINAL = 1000
"""Nothing is folded for a file or a pipe."""


def safe(value: object) -> str:
    """Text that can't move the cursor, colour the terminal or reverse the direction of writing.

    >>> safe("legal\\x1b[2J")
    'legal\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's words go."""

    as_json: bool = False
    quiet: bool = False

    def document(self, document: object, lines: Iterable[str]) -> None:
        """The result: as JSON, or as lines for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=1, sort_keys=True, default=str) + "\n")
            return
        for line in lines:
            sys.stdout.write(f"{safe(line)}\n")

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]], document: object) -> None:
        """The result: as JSON, or as a table whose columns are keys of the rows."""
        if self.as_json:
            self.document(document, ())
            return
        from rich.console import Console  # here, since --help and most commands need no table
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(map(str.strip, columns)))
        for place, column in enumerate(columns):
            table.add_column(column.replace("_", " "), overflow="fold", no_wrap=place == 0)
        for row in rows:
            table.add_row(*(Text(safe(row.get(column, ""))) for column in columns))
        width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
        Console(highlight=False, width=width).print(table)

    def line(self, text: str) -> None:
        """One line of a stream (events), at once."""
        sys.stdout.write(f"{safe(text)}\n")
        sys.stdout.flush()

    def hint(self, text: str) -> None:
        """What to do next, or how far it is; never part of the data."""
        if not (self.quiet or self.as_json):
            sys.stderr.write(f"{safe(text)}\n")

    def picture(self, text: str) -> None:
        """Blocks of our own making that only people read; left out with `--json`, `-q`, or where no terminal is."""
        if not (self.quiet or self.as_json) and sys.stderr.isatty():
            sys.stderr.write(text)

    def failure(self, text: str) -> None:
        """What went wrong, in one line."""
        sys.stderr.write(f"plora: {safe(text)}\n")
