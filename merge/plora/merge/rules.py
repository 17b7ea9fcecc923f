"""Rules: how the coordinates of one module's operands become one. A frame and weights in, a factor pair out.

c is one coordinate of all operands, w their weights, W = Σ|wᵢ| over all operands of the merge, also those that lack the
module. Rules work on coordinates one by one (`full`, `knots`, `core`), or only add factors.

- `linear`: Σ wᵢΔWᵢ, exact by stacking. `task_arithmetic` (Ilharco et al. 2023): the same; its weights are 1 by default.
- `sequential`: S <- truncate(S + wᵢΔWᵢ), one after another; the order matters as soon as a step discards something.
- `ties` (Yadav et al. 2023): keep of each operand the fraction `density` of largest magnitude, then the sign of Σ wᵢcᵢ;
  W times the mean of the kept cᵢ whose wᵢcᵢ has that sign, weighted by |wᵢ|. Of equal magnitudes all are kept; where Σ
  is exactly 0 nothing is elected and the result is 0.
- `dare` (Yu et al. 2024): keep each coordinate with probability `density`, divide by it, Σ wᵢcᵢ. `dare_ties`: the same
  kept coordinates, then signs and mean as in ties.
- Robust rules (`plora.merge.robust`) become weights before they come here.

dare's mask is drawn by Philox (Salmon et al. 2011) from a key for each operand, in the order of the coordinates. So it
is the same everywhere, and another one for another file of the same update.

What leaves the low-rank set (entries in `full`) is truncated from blocks of rows: ΔW is never whole in memory, but the
Gram matrix of its shorter side is. In `knots` and `core` the result has at most the rank of all operands together.

Not offered: trimmed means and medians by coordinate. They depend on the basis, so on how a file was written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from plora.merge.blockwise import kept_magnitude, kept_magnitudes, truncate_blocks
from plora.merge.factors import Array, FactorPair, check_addable, concat
from plora.merge.plan import Method
from plora.merge.registry import COORDINATES
from plora.merge.spaces import BLOCK_ENTRIES, SPACES, Frame, peak_entry, transposed
from plora.merge.truncate import Truncation, canonical, truncate
from plora.proto.errors import AdapterError


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The operands that have one module: their updates and weights, the W of all, and a 128-bit key each for dare.

    `densities`: the fraction of its entries that ties and dare keep of each.
    """

    pairs: Sequence[FactorPair]
    weights: Sequence[float]
    total: float
    method: Method
    rank_max: int
    keys: Sequence[int] = ()
    densities: Sequence[float] = ()
    block_entries: int = BLOCK_ENTRIES

    def frame(self, space: str) -> Frame:
        """The operands in the coordinates of a space.

        Raises AdapterError where they can't be added, and where entries might overflow.
        """
        check_addable(self.pairs)
        frame = replace(SPACES[space](self.pairs), block_entries=self.block_entries)
        if space in COORDINATES:
            _check_entries(frame)
        return frame


class SignConflict(NamedTuple):
    """`mass`: share of Σ|wᵢcᵢ| on the losing side; `entries`: fraction of coordinates that have both signs."""

    mass: float
    entries: float


_CACHED_ENTRIES = 1 << 14
"""Of an operand, while a rule goes over its coordinates several times."""
_HEADROOM = 1e-6
"""How far under the largest number entries stay, so that their weighted sums fit, too."""

Merged = tuple[FactorPair, float]
"""A pair in coordinates, and the fraction of the energy that was lost on the way to it."""


def merge_pairs(work: Work, frame: Frame | None = None) -> Truncation:
    """The merged update, of rank `rank_max` at most, in the operands' dtype, with scale 1 and canonical signs.

    `frame`: `work.frame(work.method.space)`, where the caller has it. Raises AdapterError where shapes or dtypes differ
    or there is nothing to merge.
    """
    frame = work.frame(work.method.space) if frame is None else frame
    pair, lost = RULES[work.method.rule](work, frame)
    result = truncate(pair.times(work.method.scaling), work.rank_max)
    return result._replace(
        pair=canonical(frame.lifted(result.pair, work.pairs[0].A.dtype)),
        discarded_energy=1.0 - (1.0 - lost) * (1.0 - result.discarded_energy),
    )


def sign_conflict(work: Work, frame: Frame) -> SignConflict:
    """How much the operands of a frame disagree at their weights."""
    mass = losing = 0.0
    disagreeing = 0
    for few in chain.from_iterable(map(_few_rows, frame.blocks())):
        weighted = [weight * part for weight, part in zip(work.weights, few, strict=True)]
        total = sum(np.abs(part) for part in weighted)
        losing += float(np.sum(total - np.abs(sum(weighted)), dtype=np.float64)) / 2
        mass += float(np.sum(total, dtype=np.float64))
        above, below = reduce(np.maximum, weighted) > 0, reduce(np.minimum, weighted) < 0
        disagreeing += int(np.count_nonzero(above & below))
    return SignConflict(losing / mass if mass else 0.0, disagreeing / math.prod(frame.shape))


def linear(work: Work, frame: Frame) -> Merged:
    """Σ wᵢCᵢ."""
    return concat(_weighted(work, frame)), 0.0


def sequential(work: Work, frame: Frame) -> Merged:
    """The weighted updates added one after another, truncated after each."""
    first, *others = _weighted(work, frame)
    result = truncate(first, work.rank_max)
    kept = 1.0 - result.discarded_energy
    for pair in others:
        result = truncate(concat([result.pair, pair]), work.rank_max)
        kept *= 1.0 - result.discarded_energy
    return result.pair, 1.0 - kept


def ties(work: Work, frame: Frame) -> Merged:
    """Trim, elect signs, disjoint mean."""
    kept = [math.ceil(density * math.prod(frame.shape)) for density in work.densities]
    floors = _floors(_upright(frame), kept)

    def merge(parts: list[Array]) -> Array:
        trimmed = [np.where(np.abs(part) >= floor, part, 0) for part, floor in zip(parts, floors, strict=True)]
        return disjoint_mean(trimmed, work.weights, work.total)

    return _by_blocks(work, frame, Frame.blocks, merge)


def dare(work: Work, frame: Frame) -> Merged:
    """Drop and rescale, then the weighted sum."""

    def merge(parts: list[Array]) -> Array:
        return np.asarray(sum(weight * part for weight, part in zip(work.weights, parts, strict=True)))

    return _by_blocks(work, frame, partial(_dropped, work), merge)


def dare_ties(work: Work, frame: Frame) -> Merged:
    """Drop and rescale, then signs and mean as in ties."""

    def merge(parts: list[Array]) -> Array:
        return disjoint_mean(parts, work.weights, work.total)

    return _by_blocks(work, frame, partial(_dropped, work), merge)


RULES: Mapping[str, Callable[[Work, Frame], Merged]] = MappingProxyType(
    {
        "linear": linear,
        "task_arithmetic": linear,
        "sequential": sequential,
        "ties": ties,
        "dare": dare,
        "dare_ties": dare_ties,
    }
)


def disjoint_mean(parts: Sequence[Array], weights: Sequence[float], total: float) -> Array:
    """`total` times the weighted mean of what has the elected sign, entry by entry; arrays of one shape.

    >>> disjoint_mean([np.array([4.0, -1.0]), np.array([-1.0, 0.0])], [0.5, 0.5], 1.0).tolist()
    [4.0, -1.0]
    """
    weighted = [weight * part for weight, part in zip(weights, parts, strict=True)]
    elected = np.sign(sum(weighted))
    above = np.zeros_like(parts[0])
    below = np.zeros_like(parts[0])
    for weight, part in zip(weights, weighted, strict=True):
        agrees = part * elected > 0
        above += np.where(agrees, part, 0)
        below += agrees * parts[0].dtype.type(abs(weight))
    return np.divide(total * above, below, out=np.zeros_like(above), where=below > 0)


def _weighted(work: Work, frame: Frame) -> list[FactorPair]:
    return [pair.times(weight) for pair, weight in zip(frame.pairs, work.weights, strict=True)]


def _upright(frame: Frame) -> Frame:
    """At least as many rows as columns, so that the Gram matrix of the columns is the small one."""
    rows, columns = frame.shape
    return frame if rows >= columns else frame.transposed()


def _by_blocks(
    work: Work,
    frame: Frame,
    blocks_of: Callable[[Frame], Iterator[list[Array]]],
    merge: Callable[[list[Array]], Array],
) -> Merged:
    """Coordinates merged one by one, then truncated. They are held if they fit in a block, else made twice."""
    upright = _upright(frame)

    def merged() -> Iterator[Array]:
        return (np.vstack([merge(few) for few in _few_rows(block)]) for block in blocks_of(upright))

    held = list(merged()) if math.prod(upright.shape) <= upright.block_entries else None
    blocks = merged if held is None else lambda: iter(held)
    pair, lost = truncate_blocks(blocks, upright.shape[1], work.rank_max)
    return (pair if upright is frame else transposed(pair)), lost


def _few_rows(block: list[Array]) -> Iterator[list[Array]]:
    """A block in slices that stay in the processor's cache while a rule goes over them again and again."""
    rows, columns = block[0].shape
    height = max(1, _CACHED_ENTRIES // columns)
    return ([part[start : start + height] for part in block] for start in range(0, rows, height))


def _floors(frame: Frame, kept: Sequence[int]) -> list[float]:
    """The magnitude of each operand's `kept`-th largest coordinate, by counting where an operand is too large."""
    if math.prod(frame.shape) > frame.block_entries:
        return kept_magnitudes(frame.blocks, kept)
    return [kept_magnitude(frame.coordinates(place), number) for place, number in enumerate(kept)]


def _dropped(work: Work, upright: Frame) -> Iterator[list[Array]]:
    """Blocks of which each entry is kept with the probability of its operand's density, and then divided by it."""
    streams = [np.random.Philox(key=key) for key in work.keys]
    for block in upright.blocks():
        parts = zip(streams, block, work.densities, strict=True)
        yield [_thinned(stream, part, density) for stream, part, density in parts]


def _thinned(stream: np.random.Philox, part: Array, density: float) -> Array:
    last = np.uint64(min(int(density * 2**64), 2**64 - 1))
    mask = stream.random_raw(part.size).reshape(part.shape) <= last
    return np.where(mask, part / part.dtype.type(density), 0)


def _check_entries(frame: Frame) -> None:
    """Entries and their sums are formed in the dtype of the factors; those of factors are at most what it can hold."""
    for pair in frame.pairs:
        if peak_entry(pair) > _HEADROOM * float(np.finfo(pair.A.dtype).max):
            raise AdapterError(
                f"entries of this update might overflow {pair.A.dtype}", mend="merge in space factors or core"
            )
