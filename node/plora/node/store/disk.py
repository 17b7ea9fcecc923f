"""The seam below the store: every file operation and every transaction passes it.

- `RealDisk` is the operating system and SQLite; the simulator's disk keeps unsynced data apart and drops it on a crash.
- Paths are relative to the peer's home, with forward slashes.
- A transaction is one atomic and durable operation. Tables are ordered maps from bytes to bytes.
- Errors are `plora.proto.errors.StoreError` and its children; ENOSPC is `DiskFullError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Put:
    """Set one row."""

    table: str
    key: bytes
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one row; no error if there is none."""

    table: str
    key: bytes


RowOp = Put | Delete


class Disk(Protocol):
    """File operations and transactions; blocking."""

    def transact(self, rows: Iterable[RowOp]) -> None:
        """Commit all rows durably, or none."""

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a table, ordered by key."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """One row's value, or None."""

    def exists(self, path: str) -> bool:
        """Whether a file is there."""

    def size(self, path: str) -> int:
        """Length of a file in bytes."""

    def names(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty if it is missing."""

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`."""

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write into a file, making it (and its folders) if needed. Not durable before `sync`."""

    def sync(self, path: str) -> None:
        """Make a file's bytes durable (fdatasync)."""

    def sync_folder(self, folder: str) -> None:
        """Make a folder's entries durable (renames, new names, deletions); "" is the home itself."""

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source` atomically."""

    def unlink(self, path: str) -> None:
        """Remove a file; no error if it is missing."""

    def free_bytes(self) -> int:
        """Bytes that may still be written."""

    def tightest(self) -> str:
        """The setting that leaves the least, such as "limits.store_max"; empty where it is the file system."""
