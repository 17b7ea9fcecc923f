"""Spaces: in which coordinates the updates of one module are compared. Factor pairs in, factor pairs out.

A frame holds the operands as factor pairs Cᵢ in coordinates, and two matrices with orthonormal columns that lead back:
ΔWᵢ = left · Cᵢ · rightᵀ (None: the identity). So a truncation in coordinates is one of the update, at the same loss.

- `factors`: the updates themselves, for rules that need no entries.
- `full`: the same; rules go through the entries of ΔW in blocks of rows.
- `knots` (Stoica et al. 2025): [ΔW₁ … ΔW_K] = U Σ [V₁ … V_K]ᵀ, Cᵢ = Σ Vᵢᵀ = Uᵀ ΔWᵢ, of shape (rank, in).
- `core` (Panariello et al. 2025): left and right are the singular bases of the stacked Bᵢ and Aᵢ, Cᵢ = leftᵀ ΔWᵢ right.
  As published the bases depend on the gauge (A -> G A, B -> B G⁻¹), so that two files of one update merge differently;
  here each operand is balanced first by its own SVD, Bᵢ = Uᵢ √Σᵢ, Aᵢ = √Σᵢ Vᵢᵀ, which only ΔWᵢ decides.
- `tsv` (Gargiulo et al. 2025): operand i keeps its first singular vectors; all Uᵢ beside each other are replaced by the
  nearest matrix with orthonormal columns (the polar factor, same as whitening), all Vᵢ likewise; Cᵢ = U⊥ᵢ Σᵢ V⊥ᵢᵀ.
  Σ of the kept ranks stays within min(out, in). Directions that operands share exactly are shared out between them.

Bases are float64 and hold the directions above rounding only. Their singular values must differ for the entries to be
well defined; equal ones (a measure-zero case) leave the choice to LAPACK.

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

import numpy as np

from plora.merge.factors import Array, FactorPair

BLOCK_ENTRIES = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Operands in coordinates; `left` (out, p) and `right` (in, q) have orthonormal columns, None is the identity.

    `block_entries`: how many entries of coordinates `blocks` forms at a time, over all operands.
    """

    pairs: tuple[FactorPair, ...]
    left: Array | None = None
    right: Array | None = None
    block_entries: int = BLOCK_ENTRIES

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the coordinates."""
        return self.pairs[0].out_features, self.pairs[0].in_features

    def blocks(self) -> Iterator[list[Array]]:
        """The coordinates of all operands in blocks of rows, from the top; each block is one array an operand."""
        rows, columns = self.shape
        height = max(1, self.block_entries // (columns * len(self.pairs)))
        for start in range(0, rows, height):
            yield [(pair.B[start : start + height] * pair.B.dtype.type(pair.scale)) @ pair.A for pair in self.pairs]

    def transposed(self) -> Frame:
        """The frame of the transposed updates."""
        return Frame(tuple(map(transposed, self.pairs)), self.right, self.left, self.block_entries)

    def lifted(self, pair: FactorPair) -> FactorPair:
        """A pair in coordinates as an update of the module."""
        a = pair.A if self.right is None else pair.A @ self.right.T
        b = pair.B if self.left is None else self.left @ pair.B
        return FactorPair(a, b, pair.scale)


def transposed(pair: FactorPair) -> FactorPair:
    """The pair of ΔWᵀ."""
    return FactorPair(pair.B.T, pair.A.T, pair.scale)


def full(pairs: Sequence[FactorPair]) -> Frame:
    """The updates as they are."""
    return Frame(tuple(pairs))


def knots(pairs: Sequence[FactorPair]) -> Frame:
    """Coordinates Σ Vᵢᵀ under one common U."""
    doubles = [_double(pair) for pair in pairs]
    basis = _basis([pair.B @ _triangle(pair.A.T).T for pair in doubles], _eps(pairs))
    return Frame(tuple(FactorPair(pair.A, basis.T @ pair.B) for pair in doubles), left=basis)


def core(pairs: Sequence[FactorPair]) -> Frame:
    """Coordinates between common bases of both sides, of balanced factors."""
    balanced = [_balanced(pair) for pair in pairs]
    left = _basis([pair.B for pair in balanced], _eps(pairs))
    right = _basis([pair.A.T for pair in balanced], _eps(pairs))
    return Frame(tuple(FactorPair(pair.A @ right, left.T @ pair.B) for pair in balanced), left, right)


def tsv(pairs: Sequence[FactorPair]) -> Frame:
    """Operands whose singular vectors don't overlap any more."""
    room = max(1, min(pairs[0].out_features, pairs[0].in_features) // len(pairs))
    if sum(pair.rank for pair in pairs) <= min(pairs[0].out_features, pairs[0].in_features):
        room = max(pair.rank for pair in pairs)
    parts = [_svd(pair) for pair in pairs]
    kept = [(u[:, :room], sigma[:room], v[:, :room]) for u, sigma, v in parts]
    ends = np.cumsum([sigma.size for _, sigma, _ in kept])[:-1]
    left = np.split(_polar(np.hstack([u for u, _, _ in kept]), _eps(pairs)), ends, axis=1)
    right = np.split(_polar(np.hstack([v for _, _, v in kept]), _eps(pairs)), ends, axis=1)
    sigmas = [sigma for _, sigma, _ in kept]
    return Frame(tuple(FactorPair(v.T, u * sigma) for u, sigma, v in zip(left, sigmas, right, strict=True)))


SPACES: Mapping[str, Callable[[Sequence[FactorPair]], Frame]] = MappingProxyType(
    {"factors": full, "full": full, "knots": knots, "core": core, "tsv": tsv}
)


def _double(pair: FactorPair) -> FactorPair:
    return FactorPair(pair.A.astype(np.float64), pair.B.astype(np.float64) * pair.scale)


def _svd(pair: FactorPair) -> tuple[Array, Array, Array]:
    """U (out, r), Σ (r,), V (in, r) of ΔW in float64, by QR of both sides; values at rounding are left out.

    A zero update has zeros for its one vector of each side.
    """
    double = _double(pair)
    left, core_left = np.linalg.qr(double.B)
    right, core_right = np.linalg.qr(double.A.T)
    u, sigma, vt = np.linalg.svd(core_left @ core_right.T, full_matrices=False)
    kept = max(1, int(np.count_nonzero(sigma > sigma[0] * pair.rank * _eps([pair]))))
    there = sigma[:kept] > 0
    return left @ u[:, :kept] * there, sigma[:kept], right @ vt[:kept].T * there


def _balanced(pair: FactorPair) -> FactorPair:
    u, sigma, v = _svd(pair)
    root = np.sqrt(sigma)
    return FactorPair((v * root).T, u * root)


def _basis(columns: Sequence[Array], eps: float) -> Array:
    """Left singular vectors of the matrices beside each other, largest first; at least one."""
    orthonormal, core_part = np.linalg.qr(np.hstack(columns))
    u, sigma, _ = np.linalg.svd(core_part, full_matrices=False)
    kept = max(1, int(np.count_nonzero(sigma > sigma[0] * core_part.shape[1] * eps)))
    return np.asarray(orthonormal @ u[:, :kept])


def _polar(matrix: Array, eps: float) -> Array:
    """The polar factor of a matrix: P Qᵀ of its SVD P D Qᵀ, without the directions that it lacks."""
    orthonormal, core_part = np.linalg.qr(matrix)
    p, d, qt = np.linalg.svd(core_part, full_matrices=False)
    kept = d > d[0] * core_part.shape[1] * eps
    return np.asarray(orthonormal @ (p[:, kept] @ qt[kept]))


def _triangle(matrix: Array) -> Array:
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def _eps(pairs: Sequence[FactorPair]) -> float:
    return float(np.finfo(pairs[0].A.dtype).eps)
