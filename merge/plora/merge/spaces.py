"""Spaces: in which coordinates the updates of one module are compared. Factor pairs in, factor pairs out.

A frame holds the operands as factor pairs Cᵢ in coordinates, and two bases with orthonormal columns that lead back:
ΔWᵢ = left · Cᵢ · rightᵀ (None: the identity). So a truncation in coordinates is one of the update, at the same loss.

- `factors`: the updates themselves, for rules that need no entries.
- `full`: the same; rules go through the entries of ΔW in blocks of rows.
- `knots` (Stoica et al. 2025): [ΔW₁ … ΔW_K] = U Σ [V₁ … V_K]ᵀ, Cᵢ = Σ Vᵢᵀ = Uᵀ ΔWᵢ, of shape (rank, in).
- `core` (Panariello et al. 2025): left and right are the singular bases of the stacked Bᵢ and Aᵢ, Cᵢ = leftᵀ ΔWᵢ right.
  As published the bases depend on the gauge (A -> G A, B -> B G⁻¹), so that two files of one update merge differently;
  here each operand is balanced first by its own SVD, Bᵢ = Uᵢ √Σᵢ, Aᵢ = √Σᵢ Vᵢᵀ, which only ΔWᵢ decides.
- `tsv` (Gargiulo et al. 2025): operand i keeps its first singular vectors; all Uᵢ beside each other are replaced by the
  nearest matrix with orthonormal columns (the polar factor, same as whitening), all Vᵢ likewise; Cᵢ is U⊥ᵢ Σᵢ V⊥ᵢᵀ
  between bases of all U⊥ and V⊥. Σ of the kept ranks stays within min(out, in). Directions that operands share exactly
  are shared out between them.

How:

- Everything comes from the Gram matrices of the stacked factors: bases and singular vectors are coefficients of the
  factors, and no matrix as long as the module is decomposed. They are not those of a weighted sum: their grid would
  blur weak directions, which matter to rules that look at signs. In float64, of the values as they are, a direction of
  t times the longest one's length is known to 1e-16/t², and all of them are.
- A basis holds the directions above rounding only: over R · eps (of float32) times the longest one of R.
- Singular values must differ for the entries to be well defined; equal ones (a measure-zero case) leave the choice to
  LAPACK.

Not handled: weaker directions of float64 factors, which float64 could tell from rounding if it were not squared.

>>> import numpy as np
>>> one = FactorPair(np.array([[1.0, 0.0]]), np.array([[0.0], [2.0], [0.0]]))
>>> frame = core([one, one.times(2)])
>>> [np.abs(pair.dense()).round(9).tolist() for pair in frame.pairs]
[[[2.0]], [[4.0]]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from plora.merge.factors import Array, FactorPair
from plora.merge.gram import EPS, plain_gram, root_of

BLOCK_ENTRIES = 1 << 22
_LIFTED_ROWS = 512
_FITTING = (1e-20, 1e30)
"""Bounds of the largest entry for coordinates in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Orthonormal columns that are never formed: `columns` (n, R) in the factors' dtype times `mix` (R, p), float64."""

    columns: Array
    mix: Array

    def lift(self, coordinates: Array) -> Array:
        """What stands in coordinates (p, k), in the module's terms: (n, k), computed in float64."""
        mix = self.mix @ coordinates
        lifted = np.empty((len(self.columns), mix.shape[1]))
        for start in range(0, len(lifted), _LIFTED_ROWS):  # Few rows at a time stay in the cache when they are widened.
            rows = slice(start, start + _LIFTED_ROWS)
            np.matmul(self.columns[rows].astype(np.float64, copy=False), mix, out=lifted[rows])
        return lifted


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Operands in coordinates of shape (p, q); `left` (out, p) and `right` (in, q) lead back, None is the identity.

    `block_entries`: how many entries of coordinates `blocks` forms at a time, over all operands.
    """

    pairs: tuple[FactorPair, ...]
    left: Basis | None = None
    right: Basis | None = None
    block_entries: int = BLOCK_ENTRIES

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the coordinates."""
        return self.pairs[0].out_features, self.pairs[0].in_features

    def blocks(self) -> Iterator[list[Array]]:
        """The coordinates of all operands in blocks of rows, from the top; each block is one array an operand."""
        for rows in self._heights():
            yield [_rows(pair, rows) for pair in self.pairs]

    def coordinates(self, place: int) -> Array:
        """All coordinates of one operand, bit for bit those of its blocks."""
        return np.vstack([_rows(self.pairs[place], rows) for rows in self._heights()])

    def _heights(self) -> Iterator[slice]:
        rows, columns = self.shape
        height = max(1, self.block_entries // (columns * len(self.pairs)))
        return (slice(start, start + height) for start in range(0, rows, height))

    def transposed(self) -> Frame:
        """The frame of the transposed updates."""
        return Frame(tuple(map(transposed, self.pairs)), self.right, self.left, self.block_entries)

    def lifted(self, pair: FactorPair, dtype: np.dtype[np.floating]) -> FactorPair:
        """A pair in coordinates as an update of the module, in the dtype asked for."""
        b = pair.B if self.left is None else self.left.lift(pair.B)
        a = pair.A if self.right is None else self.right.lift(pair.A.T).T
        return FactorPair(a.astype(dtype, copy=False), b.astype(dtype, copy=False), pair.scale)


def transposed(pair: FactorPair) -> FactorPair:
    """The pair of ΔWᵀ."""
    return FactorPair(pair.B.T, pair.A.T, pair.scale)


def peak_entry(pair: FactorPair) -> float:
    """A bound of the magnitudes of ΔW's entries, and of all that is added up to make them."""
    return abs(pair.scale) * pair.rank * _peak(pair.A) * _peak(pair.B)


def full(pairs: Sequence[FactorPair]) -> Frame:
    """The updates as they are."""
    return Frame(tuple(pairs))


def knots(pairs: Sequence[FactorPair]) -> Frame:
    """Coordinates Σ Vᵢᵀ under one common U: in the factors' dtype, or in float64 where their entries wouldn't fit."""
    left = _left(pairs)
    span = _span(left, [pair.scale * root_of(plain_gram(pair.A)) for pair in pairs])
    b = [span.basis.mix.T @ left.gram[:, part] for part in left.parts]
    wide = [FactorPair(pair.A.astype(np.float64), own, pair.scale) for pair, own in zip(pairs, b, strict=True)]
    fits = _FITTING[0] < max(map(peak_entry, wide)) < _FITTING[1]
    dtype = pairs[0].A.dtype if fits else np.dtype(np.float64)
    return Frame(tuple(pair.as_dtype(dtype) for pair in wide), left=span.basis)


def core(pairs: Sequence[FactorPair]) -> Frame:
    """Coordinates between common bases of both sides, of balanced factors."""
    left, right = _left(pairs), _right(pairs)
    own = [_svd(pair, left.own(place), right.own(place)) for place, pair in enumerate(pairs)]
    out = _span(left, [each.u * np.sqrt(each.sigma) for each in own])
    into = _span(right, [each.v * np.sqrt(each.sigma) for each in own])
    coordinates = zip(out.directions, into.directions, strict=True)
    moved = (FactorPair(v * into.lengths, (u * out.lengths).T) for u, v in coordinates)
    return Frame(tuple(moved), out.basis, into.basis)


def tsv(pairs: Sequence[FactorPair]) -> Frame:
    """Operands whose singular vectors don't overlap any more."""
    left, right = _left(pairs), _right(pairs)
    room = _room(pairs)
    own = [_svd(pair, left.own(place), right.own(place)).first(room) for place, pair in enumerate(pairs)]
    out, into = _span(left, [each.u for each in own]), _span(right, [each.v for each in own])
    coordinates = zip(out.directions, own, into.directions, strict=True)
    return Frame(tuple(FactorPair(v, u.T * each.sigma) for u, each, v in coordinates), out.basis, into.basis)


SPACES: Mapping[str, Callable[[Sequence[FactorPair]], Frame]] = MappingProxyType(
    {"factors": full, "full": full, "knots": knots, "core": core, "tsv": tsv}
)


class _Side(NamedTuple):
    """The unscaled factors of one side: all beside each other (n, R), their Gram matrix (R, R), whose is which."""

    columns: Array
    gram: Array
    parts: tuple[slice, ...]

    def own(self, place: int) -> Array:
        """The Gram matrix of one operand's columns."""
        return self.gram[self.parts[place], self.parts[place]]


class _Svd(NamedTuple):
    """One operand's singular values (k,) and vectors: U = B @ `u`, V = Aᵀ @ `v`, both coefficients (r, k)."""

    u: Array
    sigma: Array
    v: Array

    def first(self, count: int) -> _Svd:
        """The largest ones."""
        return _Svd(self.u[:, :count], self.sigma[:count], self.v[:, :count])


class _Span(NamedTuple):
    """What K matrices X₁ … X_K span together: [X₁ … X_K] = basis · diag(lengths) · [D₁ … D_K]ᵀ, its SVD.

    `directions`: the Dᵢ, of as many rows as Xᵢ has columns.
    """

    basis: Basis
    lengths: Array
    directions: list[Array]


def _left(pairs: Sequence[FactorPair]) -> _Side:
    columns = np.hstack([pair.B for pair in pairs])
    return _Side(columns, plain_gram(columns.T), _parts(pairs))


def _right(pairs: Sequence[FactorPair]) -> _Side:
    rows = np.vstack([pair.A for pair in pairs])
    return _Side(rows.T, plain_gram(rows), _parts(pairs))


def _parts(pairs: Sequence[FactorPair]) -> tuple[slice, ...]:
    ends = np.cumsum([pair.rank for pair in pairs])
    return tuple(slice(int(end) - pair.rank, int(end)) for pair, end in zip(pairs, ends, strict=True))


def _room(pairs: Sequence[FactorPair]) -> int:
    """How many singular vectors an operand may keep: all, or its share of the shorter side."""
    shorter = min(pairs[0].out_features, pairs[0].in_features)
    if sum(pair.rank for pair in pairs) <= shorter:
        return max(pair.rank for pair in pairs)
    return max(1, shorter // len(pairs))


def _svd(pair: FactorPair, left: Array, right: Array) -> _Svd:
    """From the Gram matrices of B and A; values at rounding are left out. A zero update has one vector of zeros."""
    left, right = root_of(left), root_of(right)
    p, sigma, qt = np.linalg.svd(pair.scale * (left.T @ right))
    sigma = sigma[: _above_rounding(sigma, pair.rank)]
    inverse = pair.scale * _inverse(sigma)
    return _Svd(right @ qt[: sigma.size].T * inverse, sigma, left @ p[:, : sigma.size] * inverse)


def _span(side: _Side, mixes: Sequence[Array]) -> _Span:
    """The span of Xᵢ = operand i's columns of that side @ mixes[i]."""
    sides = np.hstack([side.gram[:, part] @ mix for part, mix in zip(side.parts, mixes, strict=True)])
    gram = np.vstack([mix.T @ sides[part] for part, mix in zip(side.parts, mixes, strict=True)])
    energies, vectors = np.linalg.eigh(gram)
    lengths = np.sqrt(np.maximum(energies[::-1], 0.0))
    lengths = lengths[: _above_rounding(lengths, len(side.gram))]
    vectors = vectors[:, ::-1][:, : lengths.size]
    directions = np.split(vectors, np.cumsum([mix.shape[1] for mix in mixes])[:-1])
    inverse = _inverse(lengths)
    mix = np.vstack([mix @ (own * inverse) for mix, own in zip(mixes, directions, strict=True)])
    return _Span(Basis(side.columns, mix), lengths, directions)


def _above_rounding(lengths: Array, columns: int) -> int:
    """How many of the descending lengths are no rounding; at least one."""
    return max(1, int(np.count_nonzero(lengths > lengths[0] * columns * EPS)))


def _inverse(values: Array) -> Array:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _rows(pair: FactorPair, rows: slice) -> Array:
    return np.asarray((pair.B[rows] * pair.B.dtype.type(pair.scale)) @ pair.A)


def _peak(values: Array) -> float:
    return max(float(values.max()), -float(values.min()))
