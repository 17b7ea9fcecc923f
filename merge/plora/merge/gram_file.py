"""A file of kept Gram blocks: those of one adapter with itself and with others, module by module.

It is the blocks (float64, this machine's byte order), an index (JSON), and the index's length (8 bytes, little-endian).
The index is [format, others, {module: [begin, rank, places, ranks, total]}]: `others` are content digests, `places` say
which of them a module has blocks with, `ranks` of what rank each is there. At `begin` stand rank × Σ ranks values of
A Aᵀ, row by row, then as many of BᵀB; `total` is the sum of all, taken as integers of 64 bits.

Rules:

- The index comes last: a file that was cut short, or isn't one, has no blocks. One of over `INDEX_BYTES_MAX` is none.
- Whatever a file says, reading it ends in blocks of the shape that it tells, or in ValueError or OSError. Bits that rot
  are noticed by the sum; what was written to deceive is not (`plora.merge.gram_store` does).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plora.merge.factors import Array

FORMAT = 2
INDEX_BYTES_MAX = 16 << 20
MODULES_MAX = 1 << 14
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Record:
    """One module in a file: where its blocks begin, the rank of the file's adapter, the others, their ranks, a sum."""

    begin: int
    rank: int
    places: tuple[int, ...]
    ranks: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Index:
    """What a file holds: content digests of the others, and a record by module."""

    others: tuple[str, ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict)


def read_index(path: Path) -> Index:
    """The index of a file; an empty one where there is no whole file."""
    try:
        with path.open("rb") as file:
            end = file.seek(-_LENGTH_BYTES, os.SEEK_END)
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > INDEX_BYTES_MAX:
                return Index()
            file.seek(end - length)
            version, others, modules = json.loads(file.read(length))
        if version != FORMAT or len(modules) > MODULES_MAX or len(frozenset(others)) != len(others):
            return Index()
        records = {
            module: Record(int(begin), int(rank), tuple(map(int, places)), tuple(map(int, ranks)), int(total))
            for module, (begin, rank, places, ranks, total) in modules.items()
        }
        return Index(tuple(map(str, others)), records)
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Index()


def read_blocks(path: Path, record: Record) -> Array:
    """The blocks of a module, (2, rank, Σ ranks) float64. Raises ValueError, or OSError."""
    width = sum(record.ranks)
    count = 2 * record.rank * width
    if min(record.begin, record.rank, *record.ranks) < 0 or record.begin + 8 * count > path.stat().st_size:
        raise ValueError("the index tells of more than there is")
    blocks = np.fromfile(path, np.float64, count, offset=record.begin)
    if _total(blocks) != record.total:
        raise ValueError("the blocks are not those that were written")
    return blocks.reshape(2, record.rank, width)


def _total(values: Array) -> int:
    return int(values.view(np.uint64).sum(dtype=np.uint64))


class Writer:
    """A file under way: blocks as they come, the index at the end. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        self._records: dict[str, Record] = {}
        self.size_bytes = 0

    def index(self) -> Index:
        """What is in it by now."""
        return Index(tuple(self._places), self._records)

    def write(self, module: str, blocks: Array, others: Sequence[str], ranks: Sequence[int]) -> None:
        """Add a module's blocks, (2, rank, Σ ranks) float64."""
        places = tuple(self._places.setdefault(other, len(self._places)) for other in others)
        flat = np.ascontiguousarray(blocks).reshape(-1)
        with self._path.open("ab" if self._records else "wb") as file:
            file.write(flat.data)
        self._records[module] = Record(self.size_bytes, blocks.shape[1], places, tuple(ranks), _total(flat))
        self.size_bytes += blocks.nbytes

    def end(self) -> None:
        """Add the index."""
        records = {
            module: (one.begin, one.rank, one.places, one.ranks, one.total) for module, one in self._records.items()
        }
        text = json.dumps([FORMAT, list(self._places), records], separators=(",", ":")).encode()
        with self._path.open("ab") as file:
            file.write(text + len(text).to_bytes(_LENGTH_BYTES, "little"))
