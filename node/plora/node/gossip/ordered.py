"""A sorted set of order keys that can sum any range of its ids quickly.

Rules:

- An order key is epoch day (4 bytes, big-endian) ‖ statement id (32 bytes). Bounds of ranges are prefixes of keys;
  b"" is the beginning as a lower bound and the end as an upper one.
- The fingerprint of a range is the first 16 bytes of SHA-256(sum of ids mod 2^256 (32 bytes) ‖ count (8 bytes)).
- Keys lie in blocks that know their sum: a change costs one block, a range two blocks and a prefix table that is
  rebuilt once after changes. 100,000 keys make about 800 blocks.
- Not handled here: what the ids mean.

>>> keys = OrderedKeys([order_key(2, b"b" * 32), order_key(1, b"c" * 32)])
>>> [key[:4] for key in keys.between(0, 2)], keys.position((2).to_bytes(4, "big"))
([b'\\x00\\x00\\x00\\x01', b'\\x00\\x00\\x00\\x02'], 1)
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain

KEY_BYTES = 36
DAY_BYTES = 4
FINGERPRINT_BYTES = 16

_BLOCK = 128
_MODULUS = 1 << 256


def order_key(day: int, statement_id: bytes) -> bytes:
    """The 36-byte key under which a statement is ordered."""
    return day.to_bytes(DAY_BYTES, "big") + statement_id


def id_of(key: bytes) -> bytes:
    """The statement id in an order key."""
    return key[DAY_BYTES:]


class OrderedKeys:
    """The keys of one live set, in order. Positions count from 0."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        ordered = sorted(frozenset(keys))
        self._blocks = [ordered[start : start + _BLOCK] for start in range(0, len(ordered), _BLOCK)]
        self._heads = [block[0] for block in self._blocks]
        self._sums = [_sum(block) for block in self._blocks]
        self._total = sum(self._sums) % _MODULUS
        self._count = len(ordered)
        self._starts: list[int] = []
        self._prefixes: list[int] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._blocks)

    def __contains__(self, key: bytes) -> bool:
        block = self._blocks[self._block_of(key)] if self._blocks else []
        place = bisect_left(block, key)
        return place < len(block) and block[place] == key

    def add(self, key: bytes) -> None:
        """Put a key in; nothing happens when it is there."""
        if key in self:
            return
        if not self._blocks:
            self._blocks, self._heads, self._sums = [[]], [key], [0]
        number = self._block_of(key)
        block = self._blocks[number]
        block.insert(bisect_left(block, key), key)
        self._changed(number, 1, key)
        if len(block) > 2 * _BLOCK:
            self._replace(number, [block[:_BLOCK], block[_BLOCK:]])

    def discard(self, key: bytes) -> None:
        """Take a key out; nothing happens when it isn't there."""
        if key not in self:
            return
        number = self._block_of(key)
        block = self._blocks[number]
        del block[bisect_left(block, key)]
        self._changed(number, -1, key)
        if not block:
            self._replace(number, [])

    def root(self) -> bytes:
        """The fingerprint of the whole set."""
        return _digest(self._total, self._count)

    def fingerprint(self, start: int, stop: int) -> bytes:
        """The fingerprint of the keys at positions [start, stop)."""
        return _digest(self._sum_before(stop) - self._sum_before(start), stop - start)

    def position(self, bound: bytes) -> int:
        """How many keys are smaller than `bound`."""
        if not self._blocks:
            return 0
        self._index()
        number = self._block_of(bound)
        return self._starts[number] + bisect_left(self._blocks[number], bound)

    def between(self, start: int, stop: int) -> list[bytes]:
        """The keys at positions [start, stop)."""
        found: list[bytes] = []
        number, place = self._place_of(start) if start < stop else (0, 0)
        while len(found) < stop - start:
            found += self._blocks[number][place : place + stop - start - len(found)]
            number, place = number + 1, 0
        return found

    def _block_of(self, key: bytes) -> int:
        return max(0, bisect_right(self._heads, key) - 1)

    def _place_of(self, position: int) -> tuple[int, int]:
        self._index()
        number = bisect_right(self._starts, position) - 1
        return number, position - self._starts[number]

    def _sum_before(self, position: int) -> int:
        if position >= self._count:
            return self._total
        number, place = self._place_of(position)
        return self._prefixes[number] + _sum(self._blocks[number][:place])

    def _index(self) -> None:
        if not self._starts:
            self._starts = list(accumulate((len(block) for block in self._blocks[:-1]), initial=0))
            self._prefixes = list(accumulate(self._sums[:-1], initial=0))

    def _changed(self, number: int, count: int, key: bytes) -> None:
        number_of_id = count * int.from_bytes(id_of(key), "big")
        self._sums[number] += number_of_id
        self._total = (self._total + number_of_id) % _MODULUS
        self._count += count
        if self._blocks[number]:
            self._heads[number] = self._blocks[number][0]
        self._starts, self._prefixes = [], []

    def _replace(self, number: int, blocks: list[list[bytes]]) -> None:
        self._blocks[number : number + 1] = blocks
        self._heads[number : number + 1] = [block[0] for block in blocks]
        self._sums[number : number + 1] = [_sum(block) for block in blocks]


def _sum(keys: list[bytes]) -> int:
    return sum(int.from_bytes(id_of(key), "big") for key in keys)


def _digest(total: int, count: int) -> bytes:
    data = (total % _MODULUS).to_bytes(32, "big") + count.to_bytes(8, "big")
    return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]
