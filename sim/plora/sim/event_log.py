"""The event log of a simulated peer: lines as a daemon writes them, made when somebody reads them.

Most lines of a large swarm are never read, and a record takes less room than its line. In a folder there is one file a
peer, named by its number: `0000.jsonl`, `0001.jsonl` … `10000.jsonl`.

>>> from plora.node.core.ledger import Ledger
>>> from plora.node.core.now import Now
>>> from plora.proto.records import Stop
>>> log, ledger = EventLog(), Ledger("ab" * 32, "b1")
>>> log.append(ledger.record(Stop("done"), Now(5, 7)))
>>> len(log), log[-1][:30]
(1, '{"boot":"b1","cause":null,"kin')
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from plora.proto.record_lines import Record, record_to_line


def log_file(folder: Path, number: int) -> Path:
    """The file of a peer's log."""
    return folder / f"{number:04d}.jsonl"


def log_files(folder: Path) -> list[Path]:
    """The logs in a folder by the numbers of their peers, whose names grow longer from the 10000th on."""
    return sorted(folder.glob("*.jsonl"), key=lambda path: (len(path.name), path.name))


class EventLog(Sequence[str]):
    """The lines of one peer over its boots, each with its line feed."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: list[Record] = []

    def append(self, record: Record) -> None:
        """The next record."""
        self._records.append(record)

    def since(self, place: int) -> Sequence[Record]:
        """The records from a place on, as they are."""
        return self._records[place:]

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [record_to_line(record) for record in self._records[place]]
        return record_to_line(self._records[place])
