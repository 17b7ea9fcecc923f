"""Gram matrices kept between merges, so that one adapter more or less costs its own rows alone.

Rules:

- A folder holds a file for each adapter, named by its content digest: its blocks with the adapters that were there when
  it came, module by module. A pair of adapters stands in one of the two files.
- Blocks are exact (`plora.merge.gram`): a matrix that is put together from kept and new ones has the bits of one that
  is computed at once, so a merge with a store is equal to a merge without, bit for bit.
- New files appear when the merge is over (`commit`), synced, each by a rename: a merge that dies leaves the store as it
  was, and a file that is cut short counts as none and is made anew.
- `prune` takes away the files of adapters that are gone.

A file is the blocks (float64), an index (JSON) and the index's length (8 bytes, little-endian). The index says for each
module where its blocks begin, the adapter's rank, and which others with which ranks; at that place are Σ ranks × rank
values of A Aᵀ, then as many of BᵀB.

Not handled: bits that rot on the disk, two merges at once in one store, adapters in float64.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plora.merge.factors import Array
from plora.merge.gram import Grams, Rows, cross_gram, gram_of

Mask = NDArray[np.bool_]

SUFFIX = ".gram"
PART_SUFFIX = ".part"
_LENGTH_BYTES = 8
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class _Record:
    """One module in a file: where its blocks begin, the rank of the file's adapter, the others and their ranks."""

    begin: int
    rank: int
    others: tuple[str, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """The operands of one module as the store sees them: digests, and where each one's columns begin and end."""

    digests: tuple[str, ...]
    ranks: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, digests: Sequence[str], ranks: Sequence[int]) -> Stack:
        """The stack of these operands in this order."""
        return cls(tuple(digests), tuple(ranks), tuple(int(end) for end in np.cumsum(ranks)))

    def columns(self, place: int) -> slice:
        """The columns of one operand."""
        return slice(self.ends[place] - self.ranks[place], self.ends[place])

    def all_columns(self, places: Array) -> Array:
        """The columns of some operands, one after the other."""
        ranks = np.array(self.ranks)[places]
        ends = np.cumsum(ranks)
        starts = np.array(self.ends)[places] - ranks
        return np.asarray(np.repeat(starts - (ends - ranks), ranks) + np.arange(ranks.sum()))


class GramStore:
    """A folder of kept blocks; made if need be."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._known: dict[str, Mapping[str, _Record]] = {}
        self._new: dict[str, dict[str, _Record]] = {}

    def grams(self, module: str, digests: Sequence[str], ranks: Sequence[int], a: Array, b: Array) -> Grams | None:
        """The Gram matrices of one module's stacked factors, as `gram.grams_of` computes them.

        `a` (R, in), `b` (out, R): float32, the operands of these digests and ranks in this order.
        """
        rows = Rows.of(a), Rows.of(b.T)
        if rows[0] is None or rows[1] is None:
            return None
        stack = Stack.of(digests, ranks)
        matrices = np.zeros((2, stack.ends[-1], stack.ends[-1]))
        held = self._load(module, stack, matrices)
        new = _newcomers(held | held.T)
        if 2 * len(new) > len(digests):
            matrices[0], matrices[1] = gram_of(a, rows[0]), gram_of(b.T, rows[1])
        else:
            for place in new:
                _fill(matrices[0], stack.columns(place), a, rows[0])
                _fill(matrices[1], stack.columns(place), b.T, rows[1])
        for position, place in enumerate(new):
            later = new[position + 1 :]
            others = [each for each in range(len(digests)) if each == place or not (held[each, place] or each in later)]
            self._save(module, stack, place, others, matrices)
        return Grams(matrices[0], matrices[1], rows[0].noise, rows[1].noise)

    def commit(self) -> None:
        """Give the new files their places."""
        for digest, records in self._new.items():
            with self._part(digest).open("ab") as file:
                text = json.dumps([_FORMAT, {module: asdict(record) for module, record in records.items()}]).encode()
                file.write(text + len(text).to_bytes(_LENGTH_BYTES, "little"))
                file.flush()
                os.fsync(file.fileno())  # Else a power cut could leave blocks of zeros behind a good index.
            self._part(digest).replace(self._file(digest))
            self._known.pop(digest, None)
        self._new.clear()

    def prune(self, digests: Collection[str]) -> None:
        """Take away what belongs to other adapters than these, and what a merge left that died."""
        for path in self._folder.iterdir():
            if path.suffix == PART_SUFFIX or (path.suffix == SUFFIX and path.stem not in digests):
                path.unlink()

    def _load(self, module: str, stack: Stack, matrices: Array) -> Mask:
        """Put the kept blocks into the matrices; [i, j] says whether the file of i has the block with j."""
        held = np.zeros((len(stack.digests), len(stack.digests)), bool)
        places = {digest: place for place, digest in enumerate(stack.digests)}
        for place, digest in enumerate(stack.digests):
            path, record = self._find(digest, module)
            if record is None:
                continue
            found = np.array([places.get(other, -1) for other in record.others])
            here, ranks = found >= 0, np.array(record.ranks)
            held[place, found[here]] = True
            blocks = _blocks(path, record)[:, np.repeat(here, ranks)]
            mine, theirs = stack.columns(place), stack.all_columns(found[here])
            matrices[:, theirs, mine] = blocks
            matrices[:, mine, theirs] = blocks.transpose(0, 2, 1)
        return held

    def _find(self, digest: str, module: str) -> tuple[Path, _Record | None]:
        """A module's record and the file that has it: the new one where this merge already made it."""
        new = self._new.get(digest, {}).get(module)
        if new is not None:
            return self._part(digest), new
        return self._file(digest), self._records(digest).get(module)

    def _save(self, module: str, stack: Stack, place: int, others: list[int], matrices: Array) -> None:
        digest, mine = stack.digests[place], stack.columns(place)
        theirs = stack.all_columns(np.array(others))
        ranks = tuple(stack.ranks[other] for other in others)
        records = self._new.setdefault(digest, {})
        with self._part(digest).open("ab" if records else "wb") as file:
            records[module] = _Record(
                file.tell(), stack.ranks[place], tuple(stack.digests[other] for other in others), ranks
            )
            file.write(np.ascontiguousarray(matrices[:, theirs, mine]).data)

    def _records(self, digest: str) -> Mapping[str, _Record]:
        if digest not in self._known:
            self._known[digest] = _read_index(self._file(digest))
        return self._known[digest]

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}{SUFFIX}"

    def _part(self, digest: str) -> Path:
        return self._folder / f"{digest}{PART_SUFFIX}"


def _read_index(path: Path) -> Mapping[str, _Record]:
    """The records of a file by module; none where there is no whole file."""
    try:
        with path.open("rb") as file:
            end = file.seek(-_LENGTH_BYTES, os.SEEK_END)
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            file.seek(end - length)
            version, modules = json.loads(file.read(length))
        if version != _FORMAT:
            return {}
        return {
            module: _Record(each["begin"], each["rank"], tuple(each["others"]), tuple(each["ranks"]))
            for module, each in modules.items()
        }
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _blocks(path: Path, record: _Record) -> Array:
    shape = (2, sum(record.ranks), record.rank)
    return np.fromfile(path, np.float64, math.prod(shape), offset=record.begin).reshape(shape)


def _fill(matrix: Array, mine: slice, stack: Array, rows: Rows) -> None:
    """The rows and columns of one operand."""
    own = Rows(rows.magic[mine], rows.noise[mine])
    matrix[mine] = cross_gram(stack[mine], own, stack, rows)
    matrix[:, mine] = matrix[mine].T


def _newcomers(known: Mask) -> list[int]:
    """The operands, in order, without whose blocks every pair is known: those that lack most are taken first."""
    missing, found = ~known, []
    while missing.any():
        place = int(missing.sum(axis=1).argmax())
        found.append(place)
        missing[place] = missing[:, place] = False
    return sorted(found)
