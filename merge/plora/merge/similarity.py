"""How the inputs of a merge lie to each other: inner products of updates, and what a report says of them. Float64.

>>> x = FactorPair(np.array([[3.0, 0.0]]), np.array([[1.0]]))
>>> y = FactorPair(np.array([[0.0, 4.0]]), np.array([[1.0]]))
>>> gram = inner_products([x, y, None])
>>> gram.tolist()
[[9.0, 0.0, 0.0], [0.0, 16.0, 0.0], [0.0, 0.0, 0.0]]
>>> Similarity(3).add(gram, [1.0, 1.0, 1.0])
Sums(norms=(3.0, 4.0, 0.0), cancellation=0.7142857142857143)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plora.merge.factors import Array, FactorPair
from plora.merge.gram import block_sums


class Sums(NamedTuple):
    """|wᵢ|‖ΔWᵢ‖ of each operand, and ‖Σ wᵢΔWᵢ‖ over their sum (0 where all are zero)."""

    norms: tuple[float, ...]
    cancellation: float


class Similarity:
    """Sums over modules, for K operands."""

    def __init__(self, count: int) -> None:
        self._gram = np.zeros((count, count))
        self._weighted = np.zeros((count, count))

    def add(self, gram: Array, weights: Sequence[float]) -> Sums:
        """One module: inner products (K, K) and the weights (K,) that the operands have there."""
        weighted = np.outer(weights, weights) * gram
        self._gram += gram
        self._weighted += weighted
        return Sums(tuple(np.sqrt(np.diag(weighted)).tolist()), _cancellation(weighted))

    def cancellation(self) -> float:
        """‖Σ wᵢΔWᵢ‖ / Σ|wᵢ|‖ΔWᵢ‖ over all modules."""
        return _cancellation(self._weighted)

    def cosines(self) -> tuple[tuple[float, ...], ...]:
        """⟨ΔWᵢ, ΔWⱼ⟩ / ‖ΔWᵢ‖‖ΔWⱼ‖ over all modules."""
        return tuple(map(tuple, cosines_of(self._gram).tolist()))


def inner_products(pairs: Sequence[FactorPair | None]) -> Array:
    """⟨ΔWᵢ, ΔWⱼ⟩ = tr(AᵢᵀBᵢᵀBⱼAⱼ) of K updates of one shape, (K, K) float64; None is the zero update."""
    present = [place for place, pair in enumerate(pairs) if pair is not None]
    gram = np.zeros((len(pairs), len(pairs)))
    given = [pair for pair in pairs if pair is not None]
    if not given:
        return gram
    a = np.vstack([pair.A.astype(np.float64) for pair in given])
    b = np.hstack([pair.B.astype(np.float64) * pair.scale for pair in given])
    gram[np.ix_(present, present)] = block_sums((a @ a.T) * (b.T @ b), [pair.rank for pair in given])
    return gram


def cosines_of(gram: Array) -> Array:
    """Inner products (K, K) by the norms; 0 where one of the two is zero."""
    norms = np.sqrt(np.diag(gram))
    scale = np.outer(norms, norms)
    return np.clip(np.divide(gram, scale, out=np.zeros_like(scale), where=scale > 0), -1.0, 1.0)


def _cancellation(weighted: Array) -> float:
    apart = float(np.sqrt(np.diag(weighted)).sum())
    return float(np.sqrt(max(0.0, float(weighted.sum()))) / apart) if apart else 0.0
