"""The file of a sweep: one JSON line a finished run, in the order of completion; one process writes it at a time.

Rules:

- A row begins with the `digest` of its run and is on the disk before it counts, so a crash costs its last line at most.
- A last line that a crash tore is cut off when the file is opened again; whatever else is no row is refused by its
  line, and nothing is changed: it may be somebody's file of another kind.
- Rows of runs that are no longer asked for stay.

Not handled here: which runs there are (`plora.sim.sweep`), runs that failed (they have no row and are run again).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from plora.proto.errors import UsageError

FIRST = b'{"digest": "'
"""What every row begins with."""


class Rows:
    """An open file of rows: `done` has their digests, `otherwise` by digest what ended otherwise than it must."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        found = [_row(path, number, line) for number, line in enumerate(lines, start=1)]
        self.done = frozenset(row["digest"] for row in found)
        self.otherwise = {row["digest"]: said for row in found if (said := _otherwise(row))}
        if not (torn.startswith(FIRST) or FIRST.startswith(torn)):
            raise _refused(path, len(lines) + 1)
        self.repaired_bytes = len(torn)
        file.truncate(file.tell() - len(torn))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row, `digest` first; it is on the disk when this returns."""
        self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if said := _otherwise(row):
            self.otherwise[row["digest"]] = said


@contextmanager
def opened(path: Path) -> Iterator[Rows]:
    """The rows of a file, which is made if it is missing; `UsageError` if it is another's, in whatever sense."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another sweep writes it", where=str(path), mend="name another file by --out") from None
        yield Rows(path, file)


def _otherwise(row: Mapping[str, Any]) -> str:
    """What a run's report says that broke, or isn't as its scenario expects."""
    report = row.get("report", {})
    return "; ".join([*report.get("broken", ()), *report.get("unexpected", ())])


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """The row of a line; `UsageError` if it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        raise _refused(path, number) from None
    if not isinstance(row, dict) or not isinstance(row.get("digest"), str):
        raise _refused(path, number)
    return row


def _refused(path: Path, line: int) -> UsageError:
    mend = "name another file by --out, or take that line out"
    return UsageError(f"line {line} is no row of a sweep", where=str(path), mend=mend)
