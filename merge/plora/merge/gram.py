"""Gram matrices of stacked factors, exact to the bit, and what they tell of a weighted sum of updates.

ΔW = B · diag(s) · A with A of shape (R, in), B of shape (out, R): the stacked factors of all operands; s holds weight
times scale, once for each of an operand's columns. Everything here needs A Aᵀ and BᵀB alone, both (R, R), float64.

Rules:

- Each row of A and each column of B is first rounded to a grid of 2ᵉ/2ᵇ, where 2ᵉ bounds its values and
  b = ⌊(53 − ⌈log₂ n⌉)/2⌋, at most 22, for rows of n values (20 for n up to 8192). Products and their sums are then
  integers below 2⁵³ grid steps: exact in float64, so the order of summation, the shape of blocks, the BLAS and the
  number of threads can't change a bit. Blocks that were kept equal blocks that are computed together with others.
- `leading` finds the best approximation of a rank k in coordinates of the stack: by a Cholesky factor of A Aᵀ and a
  full eigen-decomposition up to `DENSE_MAX`, by block Krylov iteration (Musco and Musco 2015) and a Rayleigh–Ritz step
  above. No Gram matrix is inverted; the result's left side is orthonormal however ill-conditioned they are.
- It says None where rounding could cost more than a thousandth of the energy that truncation loses anyway, and more
  than float32 factors of R columns can tell from nothing, (R · eps · σ₁)²: sums that cancel. QR has to do it then.
  Krylov iteration runs in float32; where that is too rough, the core is decomposed after all.

Not handled: float64 factors (the grid has fewer bits than they have).

>>> stack = np.array([[3.0, 4.0], [4.0, -3.0]], np.float32)
>>> rows = Rows.of(stack)
>>> gram_of(stack, rows).tolist()
[[25.0, 0.0], [0.0, 25.0]]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from plora.merge.factors import Array

DENSE_MAX = 512
"""Up to this R the core is decomposed as a whole."""
KRYLOV_SHARE = 5
"""So it is where the rank wanted, and 8, are more than this part of R: few blocks would fill the space."""
BITS_MAX = 22
CHUNK_ENTRIES = 1 << 17
CHUNK_COLUMNS_MIN = 512
PROBE_ENTRIES = 1 << 17
PROBE_TOLERANCE = 1e-13
"""What a product of a Gram matrix may be off by for each entry of the stack, its rows scaled to peaks of 1."""
NOISE_MAX = 1e-3
"""Energy that rounding may add to what truncation loses: it lengthens the error by half of that."""

EPS = float(np.finfo(np.float32).eps)

_EXPONENT_MAX = 96  # Above, adding the grid's constant could overflow float32.
_KRYLOV_SPARE = 8
_KRYLOV_BLOCKS_MAX = 24
_KRYLOV_BLOCKS_MIN = 3
_KRYLOV_GAIN = 1e-3  # Of the energy kept and of that lost. Further blocks gain less than the last one.


class Rows(NamedTuple):
    """How the rows of a stack are rounded: the constant that rounds each (float32), and the energy that this may cost.

    `noise`: expected squared length of a row's rounding error, n · grid² / 12; `peaks`: 2ᵉ, the bounds of their values.
    """

    magic: Array
    noise: Array
    peaks: Array

    @classmethod
    def of(cls, stack: Array) -> Rows | None:
        """The grids of a float32 `stack` (R, n). None for values that are not finite, or over 2⁹⁶."""
        peaks = np.maximum(stack.max(axis=1), -stack.min(axis=1))
        exponents = np.frexp(peaks)[1]
        if not np.isfinite(peaks).all() or exponents.max(initial=0) > _EXPONENT_MAX:
            return None
        bits = grid_bits(stack.shape[1])
        magic = np.ldexp(np.float32(1.5), exponents + (23 - bits)).astype(np.float32)
        noise = stack.shape[1] / 12 * np.ldexp(1.0, 2 * (exponents - bits))
        return cls(magic, noise, np.ldexp(1.0, exponents))


class Grams(NamedTuple):
    """A Aᵀ and BᵀB of a stack, float64 (R, R), with the noise of their rows (see `Rows`)."""

    right: Array
    left: Array
    right_noise: Array
    left_noise: Array


class Leading(NamedTuple):
    """A truncated sum in coordinates of the stack: its factors are B @ `left` and `right` @ A.

    `sigma`: the singular values that are kept, `rest`: those that are not (as far as they were computed), both
    descending; `total`: ‖ΔW‖²_F of the sum before truncation.
    """

    left: Array
    right: Array
    sigma: Array
    rest: Array
    total: float


def grid_bits(length: int) -> int:
    """Bits that a value may have so that sums of `length` products are exact in float64.

    >>> grid_bits(1152), grid_bits(6912), grid_bits(4)
    (21, 20, 22)
    """
    return min(BITS_MAX, (53 - math.ceil(math.log2(length))) // 2)


def gram_of(stack: Array, rows: Rows) -> Array:
    """stack @ stackᵀ of the rounded rows, exact; `stack` (R, n) float32 in either order of axes."""
    total = np.zeros((len(stack), len(stack)))
    product = np.empty_like(total)
    for chunk in _rounded_chunks(stack, rows.magic):
        total += np.matmul(chunk, chunk.T, out=product)
    return total


def complete(gram: Array, stack: Array, rows: Rows, places: Array, draw: Array) -> bool:
    """Fill in the rows and columns `places` of a Gram matrix (R, R); whether the whole is that of this stack.

    Both are multiplied by a vector drawn at random, `draw` (R,) of the standard normal distribution, and compared
    (Freivalds 1977): what is wrong by a thousand times `PROBE_TOLERANCE` passes one draw of a thousand.
    """
    vector = draw / rows.peaks
    panel, image = np.zeros((len(stack), len(places))), np.zeros(len(stack))
    for chunk in _rounded_chunks(stack, rows.magic, PROBE_ENTRIES // len(stack) + 1):
        image += chunk @ (vector @ chunk)
        panel += chunk @ chunk[places].T
    gram[:, places], gram[places] = panel, panel.T
    with np.errstate(all="ignore"):
        apart = np.abs(gram @ vector - image) / rows.peaks
    return bool((apart <= PROBE_TOLERANCE * stack.size).all())


def plain_gram(stack: Array) -> Array:
    """stack @ stackᵀ in float64, of the values as they are: products of float32 are exact, sums of them are rounded."""
    total = np.zeros((len(stack), len(stack)))
    step = _chunk_columns(len(stack))
    for start in range(0, stack.shape[1], step):
        chunk = stack[:, start : start + step].astype(np.float64, copy=False)
        total += chunk @ chunk.T
    return total


def root_of(gram: Array) -> Array:
    """F (R, R) with F Fᵀ = `gram` but for 1e-14·R of each row's length squared, however ill-conditioned it is.

    That much is added to the diagonal, so that duplicates stay positive definite. Rows of zeros stay zero.
    """
    lengths = np.sqrt(gram.diagonal())
    scale = np.where(lengths == 0.0, 1.0, lengths)
    correlation = gram / (scale * scale[:, None])
    correlation.flat[:: len(gram) + 1] += len(gram) * 1e-14
    return np.asarray(np.linalg.cholesky(correlation) * lengths[:, None])


def grams_of(a: Array, b: Array) -> Grams | None:
    """Both Gram matrices of stacked float32 factors, exact; None where the values don't allow it."""
    right, left = Rows.of(a), Rows.of(b.T)
    if right is None or left is None:
        return None
    return Grams(gram_of(a, right), gram_of(b.T, left), right.noise, left.noise)


def leading(grams: Grams, s: Array, rank: int) -> Leading | None:
    """The best approximation of the sum of rank at most `rank`; `s` (R,) float64. None: see the module."""
    top = float(np.abs(s).max())
    if top == 0.0:
        return None
    s = s / top  # So that squares neither overflow nor vanish.
    middle = grams.left * s[:, None]
    middle *= s
    total = float(np.vdot(middle, grams.right))
    noise = np.dot(grams.left_noise * s * s, grams.right.diagonal())
    noise += np.dot(grams.right_noise, middle.diagonal())
    if not total > noise:
        return None
    found = _trusted(grams.right, middle, rank, total, float(noise))
    if found is None:
        return None
    vectors, energies, rest = found
    pushed = middle @ vectors
    sigma = np.sqrt(energies)
    root = np.sqrt(sigma)
    left = s[:, None] * vectors * (root * math.sqrt(top))
    right = (pushed / root).T * math.sqrt(top)
    return Leading(left, right, sigma * top, rest * top, total * top * top)


def _trusted(right: Array, middle: Array, rank: int, total: float, noise: float) -> tuple[Array, Array, Array] | None:
    """What `_by_krylov` finds for a large R if that is good enough, else `_by_decomposition`, else None."""
    apart = float(np.dot(middle.diagonal(), right.diagonal()))
    steps = [(_by_decomposition, noise)]
    if len(right) > max(DENSE_MAX, KRYLOV_SHARE * (rank + 8)):
        steps.insert(0, (_by_krylov, noise + apart * EPS))
    for find, cost in steps:
        vectors, energies, rest = find(right, middle, rank, total)
        floor = float(energies[0]) * (len(right) * EPS) ** 2
        if cost <= NOISE_MAX * (total - float(energies.sum())) + floor:
            return vectors, energies, rest
    return None


def _rounded_chunks(stack: Array, magic: Array, step: int = 0) -> Iterator[Array]:
    """The stack on its grid in float64, some columns at a time, in a buffer that the next ones take over."""
    step = min(step or _chunk_columns(len(stack)), stack.shape[1])
    order: Literal["C", "F"] = "C" if stack.flags.c_contiguous else "F"
    rounded = np.empty((len(stack), step), np.float32, order)
    wide = np.empty((len(stack), step), np.float64, order)
    constant = magic[:, None]
    for start in range(0, stack.shape[1], step):
        part = stack[:, start : start + step]
        narrow, chunk = rounded[:, : part.shape[1]], wide[:, : part.shape[1]]
        # The sum has no room for bits below the grid: adding and taking off the constant rounds to it.
        np.add(part, constant, out=narrow)
        np.subtract(narrow, constant, out=narrow)
        chunk[...] = narrow
        yield chunk


def _chunk_columns(rows: int) -> int:
    return max(CHUNK_COLUMNS_MIN, rows, CHUNK_ENTRIES // rows)


def _by_decomposition(right: Array, middle: Array, rank: int, total: float) -> tuple[Array, Array, Array]:
    """V (R, k), VᵀMV = 1, such that B·diag(s)·V are the leading left singular vectors; their energies σ²; other σ."""
    factor = root_of(right)  # It only spans directions: that it isn't exact costs nothing of orthonormality.
    values, vectors = np.linalg.eigh(factor.T @ middle @ factor)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = _numerical_rank(values[:rank], len(values))
    energies = values[:kept]
    return factor @ (vectors[:, :kept] / np.sqrt(energies)), energies, np.sqrt(values[kept:])


def _by_krylov(right: Array, middle: Array, rank: int, total: float) -> tuple[Array, Array, Array]:
    """The same for a large R, but for the other σ: blocks G·M·(block before), in float32, until more gain nothing."""
    lengths = np.sqrt(middle.diagonal())
    lengths[lengths == 0.0] = 1.0
    peak = float((right.diagonal() * lengths**2).max())
    push, pull = _scaled32(middle, 1 / lengths), _scaled32(right, lengths / math.sqrt(peak))
    space = _Krylov(push, pull, rank)
    for _ in range(_KRYLOV_BLOCKS_MIN):
        space.grow()
    captured = space.captured()
    while len(space.blocks) < _KRYLOV_BLOCKS_MAX:
        space.grow()
        before, captured = captured, space.captured()
        if captured - before <= _KRYLOV_GAIN * min(captured, total / peak - captured):
            break
    return *_ritz(space.leading().astype(np.float64) / lengths[:, None], middle, right), np.zeros(0)


def _scaled32(matrix: Array, scale: Array) -> Array:
    """diag(scale) · matrix · diag(scale) in float32, some rows at a time, so that they stay in the cache."""
    result = np.empty(matrix.shape, np.float32)
    for start in range(0, len(matrix), 32):
        rows = slice(start, start + 32)
        result[rows] = matrix[rows] * scale[rows, None] * scale
    return result


class _Krylov:
    """A block Krylov space of pull @ push, both symmetric, float32, with what both make of its basis."""

    def __init__(self, push: Array, pull: Array, rank: int) -> None:
        self._push, self._pull, self._rank = push, pull, rank
        # The starting block is the same for every merge: a result must depend on nothing but its operands.
        self._next = np.random.default_rng(0).standard_normal((len(push), rank + _KRYLOV_SPARE), dtype=np.float32)
        self.blocks: list[Array] = []
        self._pushed: list[Array] = []
        self._pulled: list[Array] = []
        self._vectors = np.zeros((0, 0))

    def grow(self) -> None:
        """Add a block."""
        block: Array = self._next
        for known in self.blocks:
            block = block - known @ (known.T @ block)
        self.blocks.append(np.linalg.qr(block)[0])
        self._pushed.append(self._push @ self.blocks[-1])
        self._pulled.append(self._pull @ self._pushed[-1])
        self._next = self._pulled[-1]

    def captured(self) -> float:
        """The energy that the leading vectors of the space capture."""
        basis, pushed, pulled = map(np.hstack, (self.blocks, self._pushed, self._pulled))
        values, vectors = np.linalg.eigh((basis.T @ pushed).astype(np.float64))
        good = values > values[-1] * len(values) * EPS
        white = vectors[:, good] / np.sqrt(values[good])
        inner = white.T @ (pushed.T @ pulled).astype(np.float64) @ white
        energies, rotation = np.linalg.eigh((inner + inner.T) / 2)
        self._vectors = white @ rotation[:, : -self._rank - 1 : -1]
        return float(energies[-self._rank :].sum())

    def leading(self) -> Array:
        """The basis of the leading vectors that were looked at last, (R, rank)."""
        return np.asarray(np.hstack(self.blocks) @ self._vectors.astype(np.float32))


def _ritz(subspace: Array, middle: Array, right: Array) -> tuple[Array, Array]:
    """Rayleigh and Ritz: V in the span of W with VᵀMV = 1, and the energies σ² of the sum along it, descending."""
    pushed = middle @ subspace
    inverse = np.linalg.inv(np.linalg.cholesky(subspace.T @ pushed)).T
    inner = inverse.T @ (pushed.T @ right @ pushed) @ inverse
    energies, rotation = np.linalg.eigh((inner + inner.T) / 2)
    kept = _numerical_rank(energies[::-1], len(right))
    return subspace @ (inverse @ rotation[:, : -kept - 1 : -1]), energies[: -kept - 1 : -1]


def _numerical_rank(energies: Array, columns: int) -> int:
    """How many of σ², descending, are above what float32 factors can tell from rounding."""
    return int(np.count_nonzero(energies > energies[0] * (columns * EPS) ** 2))


def inner_products(grams: Grams, ranks: Sequence[int], scales: Sequence[float]) -> Array:
    """⟨ΔWᵢ, ΔWⱼ⟩ (K, K) of the operands whose `ranks` make up the stack, each at its scale, float64."""
    scale = np.asarray(scales, np.float64)
    return np.asarray(block_sums(grams.right * grams.left, ranks) * scale * scale[:, None])


def block_sums(matrix: Array, ranks: Sequence[int]) -> Array:
    """(K, K) sums over the blocks of a matrix whose rows and columns belong to K operands of these ranks, in order."""
    starts = np.cumsum([0, *ranks[:-1]])
    return np.asarray(np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1))
