"""The operands of one module stacked, with their Gram matrices: what a report and a weighted sum both need of them.

The Gram matrices cost most of a merge, so they are made once. Float32 alone; `of` says None for factors that have no
exact Gram matrices (`plora.merge.gram`).

>>> one = FactorPair(np.float32([[3, 0]]), np.float32([[1]]), 2.0)
>>> stacked = Stacked.of("q_proj", [one, one.times(-1)], ["d1", "d2"])
>>> stacked.inner_products().tolist()
[[36.0, -36.0], [-36.0, 36.0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plora.merge.factors import Array, FactorPair, concat
from plora.merge.gram import Grams, grams_of, inner_products
from plora.merge.truncate import Truncation, truncate_stack


class GramKeeper(Protocol):
    """Who may know Gram matrices from an earlier merge: `plora.merge.gram_store.GramStore`."""

    def grams(self, module: str, digests: Sequence[str], ranks: Sequence[int], a: Array, b: Array) -> Grams | None:
        """As `gram.grams_of(a, b)`, bit for bit."""


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """One module: the factors of all operands stacked, unscaled, the rank and scale of each, the Gram matrices."""

    stack: FactorPair
    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    grams: Grams

    @classmethod
    def of(
        cls, module: str, pairs: Sequence[FactorPair], digests: Sequence[str], keeper: GramKeeper | None = None
    ) -> Stacked | None:
        """The pairs in this order. Raises AdapterError where they can't be added."""
        if not pairs or any(pair.A.dtype != np.float32 for pair in pairs):
            return None
        stack = concat([FactorPair(pair.A, pair.B) for pair in pairs])
        ranks = tuple(pair.rank for pair in pairs)
        a, b = stack.A, stack.B
        grams = grams_of(a, b) if keeper is None else keeper.grams(module, digests, ranks, a, b)
        return None if grams is None else cls(stack, ranks, tuple(pair.scale for pair in pairs), grams)

    def inner_products(self) -> Array:
        """⟨ΔWᵢ, ΔWⱼ⟩, (K, K) float64."""
        return inner_products(self.grams, self.ranks, self.scales)

    def weighted_sum(self, weights: Sequence[float], rank: int) -> Truncation | None:
        """Σ wᵢΔWᵢ truncated; None where Gram matrices are not good enough for it (`plora.merge.truncate`)."""
        scales = np.repeat(np.multiply(self.scales, weights), self.ranks)
        return truncate_stack(self.stack, scales, rank, self.grams)
