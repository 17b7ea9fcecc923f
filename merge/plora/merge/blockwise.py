"""Large matrices: most are never held whole and come in blocks of rows, again each time they are asked for.

- `kept_magnitudes`: for each of K matrices the magnitude of its k-th largest entry, k its own, exactly, by counting 16
  bits of the floating-point pattern at a time (2 passes in float32, 4 in float64), in 2^16 counts a matrix.
- `kept_magnitude`: the same of one matrix that is held, by selection.
- `truncate_blocks`: the best approximation by a lower rank, from the Gram matrix of the columns (float64, columns²) and
  its eigenvectors: two passes. Directions under 1e-8 of the largest singular value are lost in rounding; the energy
  that it says was discarded is exact to 1e-15 of the whole.

All give the same for every height of the blocks, up to rounding of the products that make them.

>>> import numpy as np
>>> def blocks():
...     yield [np.array([[3.0, -7.0]])]
...     yield [np.array([[0.0, 5.0]])]
>>> kept_magnitudes(blocks, [2])
[5.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from plora.merge.factors import Array, FactorPair

_DIGIT = 16
_DIGITS = 1 << _DIGIT
_SAMPLE_STEP = 61
"""A prime, so that a sample doesn't follow the columns."""

OperandBlocks = Callable[[], Iterator[list[Array]]]
Blocks = Callable[[], Iterator[Array]]


def kept_magnitudes(blocks: OperandBlocks, kept: Sequence[int]) -> list[float]:
    """The magnitude of each operand's `kept`-th largest entry (from 1)."""
    first = next(iter(blocks()))
    unsigned = np.dtype(f"u{first[0].dtype.itemsize}")
    prefixes, ranks = [0] * len(first), list(kept)
    for shift in range(unsigned.itemsize * 8 - _DIGIT, -1, -_DIGIT):
        counts = _digit_counts(blocks, unsigned, shift, prefixes)
        for place, count in enumerate(counts):
            digit, ranks[place] = _digit_at(count, ranks[place])
            prefixes[place] = prefixes[place] << _DIGIT | digit
    return [float(np.array(prefix, unsigned).view(first[0].dtype)) for prefix in prefixes]


def kept_magnitude(matrix: Array, kept: int) -> float:
    """The same of one matrix that is there as a whole, selected among the few that a sample puts near it."""
    magnitudes = np.abs(matrix).ravel()
    low, high = _near(magnitudes, kept)
    near = magnitudes[(magnitudes >= low) & (magnitudes <= high)]
    rank = kept - int(np.count_nonzero(magnitudes > high))
    if not 1 <= rank <= near.size:
        near, rank = magnitudes, kept
    return float(np.partition(near, near.size - rank)[near.size - rank])


def truncate_blocks(blocks: Blocks, columns: int, rank: int) -> tuple[FactorPair, float]:
    """The approximation of rank `rank` at most, float64, and the fraction of the energy that it lacks."""
    gram = np.zeros((columns, columns))
    for block in blocks():
        double = block.astype(np.float64, copy=False)
        gram += double.T @ double
    vectors = np.linalg.eigh(gram)[1][:, ::-1][:, :rank]
    b = np.vstack([block.astype(np.float64, copy=False) @ vectors for block in blocks()])
    total = float(np.trace(gram))
    lost = 1.0 - float(np.sum(np.square(b))) / total if total else 0.0
    return FactorPair(np.ascontiguousarray(vectors.T), b), max(0.0, lost)


def _near(magnitudes: Array, kept: int) -> tuple[float, float]:
    """Where the `kept`-th largest should lie, by every so manieth: within six deviations of a random sample's."""
    sample = np.sort(magnitudes[::_SAMPLE_STEP])
    place = round(sample.size * (1 - kept / magnitudes.size))
    spare = 1 + 3 * math.isqrt(sample.size)
    return float(sample[max(0, place - spare)]), float(sample[min(sample.size - 1, place + spare)])


def _digit_counts(
    blocks: OperandBlocks, unsigned: np.dtype[np.unsignedinteger], shift: int, prefixes: list[int]
) -> Array:
    """How often each digit stands at `shift` among the entries that begin with the operand's prefix."""
    counts = np.zeros((len(prefixes), _DIGITS), np.int64)
    top = shift + _DIGIT
    for block in blocks():
        for place, entries in enumerate(block):
            words = np.abs(entries).ravel().view(unsigned)
            if top < unsigned.itemsize * 8:
                words = words[words >> unsigned.type(top) == prefixes[place]]
            digits = words >> unsigned.type(shift) & unsigned.type(_DIGITS - 1)
            counts[place] += np.bincount(digits.astype(np.int64), minlength=_DIGITS)
    return counts


def _digit_at(counts: Array, rank: int) -> tuple[int, int]:
    """The digit of the entry of that rank from above, and its rank among those of the same digit."""
    from_above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_above, rank))
    before = int(from_above[place - 1]) if place else 0
    return _DIGITS - 1 - place, rank - before
