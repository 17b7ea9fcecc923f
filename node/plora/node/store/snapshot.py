"""What the store holds at start: the only thing that a core learns from disk.

`plans` and `partial` cover what is not held yet: `partial` names the chunks whose bytes were hashed again at this
start, so every index in it is good, and whatever isn't in it must be fetched. `lost` names blobs that a row called held
but whose file is gone or has another length; their rows were taken back. `free_bytes` is what the file system has left,
where that is known.

>>> Snapshot().rows("statements")
()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plora.node.store.rows import ChunkPlan

Rows = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent view of the store. Digests are 64 hex digits; rows are ordered by key."""

    tables: Mapping[str, Rows] = field(default_factory=dict, repr=False)
    held: Mapping[str, int] = field(default_factory=dict)
    plans: Mapping[str, ChunkPlan] = field(default_factory=dict, repr=False)
    partial: Mapping[str, frozenset[int]] = field(default_factory=dict, repr=False)
    lost: tuple[str, ...] = ()
    free_bytes: int | None = None

    def rows(self, table: str) -> Rows:
        """The rows of a table that the core owns; empty for a table without rows."""
        return self.tables.get(table, ())
