"""Gram matrices kept between merges, so that one adapter more or less costs its own rows alone.

Rules:

- A folder holds a file for each adapter, named by its content digest: its blocks with the adapters that were there when
  it came (`plora.merge.gram_file`). A pair of adapters stands in one of the two files.
- Blocks are exact (`plora.merge.gram`): a matrix that is put together from kept and new ones has the bits of one that
  is computed at once, so a merge with a store is equal to a merge without, bit for bit.
- It is a cache, and what it says is never believed: where blocks were taken from it, both matrices are multiplied by a
  vector of random numbers, and compared with what the factors give, which are read anyway. Whoever wrote the files,
  without knowing the vector (`seed`), changes a merge by no more than about a millionth. Where they differ, or a file
  contradicts the adapters, everything is computed, nothing is kept, no file stays, and `damaged` says so.
- The folder is only read. New files are written into `fresh`, and have their names when the merge is over (`commit`):
  a merge that dies leaves the folder as it was. Nothing is synced: what a power cut spoils is found out.
- `bytes_max` bounds the blocks of the adapters that are merged, old and new. What comes when it is full isn't kept: so
  nothing is written only to give way. A file is written once; one that is mostly about adapters that are gone counts as
  none, and is made anew.
- `stays` names the files that are of use; `prune` takes the others away.

Not handled: two merges at once that write into one folder, adapters in float64.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plora.merge.factors import Array
from plora.merge.gram import Grams, Rows, complete, gram_of
from plora.merge.gram_file import Index, Writer, read_blocks, read_index

Mask = NDArray[np.bool_]
Sides = tuple[tuple[Array, Rows], tuple[Array, Rows]]

SUFFIX = ".gram"
PART_SUFFIX = ".part"
_OWN_NAME = re.compile(rf"[0-9a-f]{{64}}({re.escape(SUFFIX)}|{re.escape(PART_SUFFIX)})")
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Stack:
    """The operands of one module as the store sees them: digests and their places, and where each one's columns end."""

    digests: tuple[str, ...]
    places: Mapping[str, int]
    ranks: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, digests: Sequence[str], ranks: Sequence[int]) -> Stack:
        """The stack of these operands in this order."""
        places = {digest: place for place, digest in enumerate(digests)}
        return cls(tuple(digests), places, tuple(ranks), tuple(int(end) for end in np.cumsum(ranks)))

    def places_of(self, digests: Sequence[str]) -> Array:
        """The places of some adapters, -1 of those that are not here."""
        return np.fromiter((self.places.get(digest, -1) for digest in digests), int, len(digests))

    def columns(self, place: int) -> slice:
        """The columns of one operand."""
        return slice(self.ends[place] - self.ranks[place], self.ends[place])

    def all_columns(self, places: Sequence[int] | Array) -> Array:
        """The columns of some operands, one after the other."""
        chosen = np.asarray(places, int)
        ranks = np.array(self.ranks)[chosen]
        ends = np.cumsum(ranks)
        starts = np.array(self.ends)[chosen] - ranks
        return np.asarray(np.repeat(starts - (ends - ranks), ranks) + np.arange(ranks.sum()))


class GramStore:
    """Kept blocks for one merge of the adapters of these content digests; the folder for new ones is made if need be.

    `fresh`: where new files go, else into `folder` itself. `seed`: of the vector that blocks are checked by; where
    others may write into the folder, one that they can't foretell. Of `pairs` pairs of operands, over all modules and
    readings, `reused` were not computed.
    """

    def __init__(
        self,
        folder: Path,
        digests: Collection[str],
        *,
        fresh: Path | None = None,
        bytes_max: int | None = None,
        seed: int = 0,
    ) -> None:
        self._folder, self._fresh = folder, fresh or folder
        self._fresh.mkdir(parents=True, exist_ok=True)
        self._digests = frozenset(digests)
        self._bytes_max = _UNLIMITED if bytes_max is None else bytes_max
        self._draw = np.random.default_rng(seed)
        self._old = {digest: index for digest in digests if self._is_of_use(index := read_index(self._file(digest)))}
        self._old_bytes = sum(_bytes_of(self._file(digest)) for digest in self._old)
        self._new: dict[str, Writer] = {}
        self._refused: set[str] = set()
        self.damaged = False
        self.pairs = self.reused = 0

    def grams(self, module: str, digests: Sequence[str], ranks: Sequence[int], a: Array, b: Array) -> Grams | None:
        """The Gram matrices of one module's stacked factors, as `gram.grams_of` computes them.

        `a` (R, in), `b` (out, R): float32, the operands of these digests and ranks in this order.
        """
        right, left = Rows.of(a), Rows.of(b.T)
        if right is None or left is None:
            return None
        stack, sides = Stack.of(digests, ranks), ((a, right), (b.T, left))
        matrices = np.zeros((2, stack.ends[-1], stack.ends[-1]))
        held = self._held(module, stack, matrices)
        new = _newcomers(held | held.T)
        known = len(digests) - len(new)
        if known < len(new) or not self._completed(matrices, stack.all_columns(new), sides):
            known = 0
            matrices[0], matrices[1] = (gram_of(*side) for side in sides)
        self.pairs += _pairs(len(digests))
        self.reused += _pairs(known)
        self._save_all(module, stack, new, held, matrices)
        return Grams(matrices[0], matrices[1], right.noise, left.noise)

    def commit(self) -> None:
        """Give the new files their names."""
        for digest, writer in self._new.items():
            with suppress(OSError):
                writer.end()
                self._part(digest).replace(self._fresh / _name(digest))
                self._old[digest] = writer.index()
        self._new.clear()

    def stays(self) -> list[str]:
        """The names of the files that are of use for the next merge, old and new, in order."""
        return [] if self.damaged else sorted(map(_name, self._old))

    def prune(self) -> None:
        """Take away all other files of a store, and what a merge left that died; nothing else that lies there."""
        stays = set(self.stays())
        for path in self._folder.iterdir():
            if _OWN_NAME.fullmatch(path.name) and path.name not in stays:
                with suppress(OSError):
                    path.unlink()

    def _held(self, module: str, stack: Stack, matrices: Array) -> Mask:
        """Put the kept blocks into the matrices; [i, j] says whether the file of i has the block with j."""
        held = np.zeros((len(stack.digests), len(stack.digests)), bool)
        if self.damaged:
            return held
        try:
            for place in range(len(stack.digests)):
                self._load(module, stack, place, held, matrices)
        except (OSError, ValueError, IndexError, OverflowError):
            self._damage()
            held[:] = False
        return held

    def _load(self, module: str, stack: Stack, place: int, held: Mask, matrices: Array) -> None:
        path, index = self._find(stack.digests[place])
        record = index.records.get(module)
        if record is None:
            return
        found = stack.places_of(index.others)[np.array(record.places, int)]
        here, ranks = found >= 0, np.array(record.ranks, int)
        theirs = found[here]
        if record.rank != stack.ranks[place] or ranks[here].tolist() != [stack.ranks[other] for other in theirs]:
            raise ValueError("ranks are not those of the adapters")
        blocks = read_blocks(path, record)
        if not here.all():
            blocks = blocks[:, :, np.repeat(here, ranks)]
        mine, columns = stack.columns(place), stack.all_columns(theirs)
        for matrix, block in zip(matrices, blocks, strict=True):  # views of one dimension less: half as fast otherwise
            matrix[mine][:, columns] = block
            matrix[:, mine][columns] = block.T
        held[place, theirs] = True

    def _completed(self, matrices: Array, columns: Array, sides: Sides) -> bool:
        """Compute what is missing; whether the whole is what the factors give."""
        for matrix, (factors, rows) in zip(matrices, sides, strict=True):
            if not complete(matrix, factors, rows, columns, self._draw.standard_normal(len(matrix))):
                self._damage()
        return not self.damaged

    def _damage(self) -> None:
        """Nothing that lies there, or was written from it, is to be used again."""
        self.damaged = True
        for digest in list(self._new):
            self._refuse(digest)

    def _save_all(self, module: str, stack: Stack, new: Sequence[int], held: Mask, matrices: Array) -> None:
        """Each newcomer's blocks with all whose files don't have them, and with none that comes after it."""
        for position, place in enumerate(new):
            later = new[position + 1 :]
            others = [
                each for each in range(len(stack.digests)) if each == place or not (held[each, place] or each in later)
            ]
            self._save(module, stack, place, others, matrices)

    def _save(self, module: str, stack: Stack, place: int, others: list[int], matrices: Array) -> None:
        digest = stack.digests[place]
        if self.damaged or digest in self._refused or digest in self._old:
            return
        blocks = matrices[:, stack.columns(place)][:, :, stack.all_columns(others)]
        writer = self._new.setdefault(digest, Writer(self._part(digest)))
        try:
            if self._used_bytes() + blocks.nbytes > self._bytes_max:
                raise OSError("full")
            ranks = [stack.ranks[other] for other in others]
            writer.write(module, blocks, [stack.digests[other] for other in others], ranks)
        except OSError:  # A merge doesn't fail since there is no room for what would make the next one quicker.
            self._refuse(digest)

    def _refuse(self, digest: str) -> None:
        self._refused.add(digest)
        self._new.pop(digest)
        self._part(digest).unlink(missing_ok=True)

    def _used_bytes(self) -> int:
        return self._old_bytes + sum(writer.size_bytes for writer in self._new.values())

    def _find(self, digest: str) -> tuple[Path, Index]:
        """An adapter's file and what it holds: the new one where this merge is making it."""
        if digest in self._new:
            return self._part(digest), self._new[digest].index()
        return self._file(digest), self._old.get(digest, Index())

    def _is_of_use(self, index: Index) -> bool:
        return len(index.others) <= 2 * sum(other in self._digests for other in index.others) and bool(index.records)

    def _file(self, digest: str) -> Path:
        return self._folder / _name(digest)

    def _part(self, digest: str) -> Path:
        return self._fresh / f"{digest}{PART_SUFFIX}"


def _name(digest: str) -> str:
    return f"{digest}{SUFFIX}"


def _bytes_of(path: Path) -> int:
    """The size of a file; 0 of one that is gone by now."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _pairs(operands: int) -> int:
    """Pairs of some operands, each with itself among them."""
    return operands * (operands + 1) // 2


def _newcomers(known: Mask) -> list[int]:
    """The operands, in order, without whose blocks every pair is known: those that lack most are taken first."""
    missing, found = ~known, []
    while missing.any():
        place = int(missing.sum(axis=1).argmax())
        found.append(place)
        missing[place] = missing[:, place] = False
    return sorted(found)
