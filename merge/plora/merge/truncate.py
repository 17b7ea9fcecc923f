"""Best approximation of a factor pair, or of a weighted sum of pairs, by a lower rank, without the dense product.

Rules:

- By QR: both sides are reduced, the small core R_B R_Aᵀ is decomposed by SVD (Eckart and Young 1936). QR runs in the
  dtype of the factors, the core in float64. The error in the Frobenius norm is exactly the root of the sum of squares
  of the discarded singular values.
- By Gram matrices (`plora.merge.gram`): float32 factors of `GRAM_RANK_MIN` columns and more of which something has to
  go. It takes a third of the time of QR and less, and the error is at most 1.001 times as large; where rounding might
  make that more, QR does it after all.
- The result has scale 1 and balanced factors B = U √σ, A = √σ Vᵀ.
- Singular values under σ₁ · max(r, 1) · eps are rounding, so they are left out: the rank returned may be lower than the
  rank asked for. A zero update comes back as rank 1 of zeros.
- Signs are canonical: in each column of B the entry of largest magnitude (the first one on ties) is positive.
- Deterministic for one build of numpy and one count of threads.

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> diagonal = FactorPair(A=np.diag([4.0, 3.0]), B=np.eye(2), scale=1.0)
>>> result = truncate(diagonal, 1)
>>> result.pair.rank, round(result.discarded_energy, 2), result.singular_values.round(6).tolist()
(1, 0.36, [4.0, 3.0])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plora.merge.factors import Array, FactorPair, concat, zero_pair
from plora.merge.gram import Grams, Leading, grams_of, leading
from plora.proto.errors import UsageError

GRAM_RANK_MIN = 32
"""Fewer columns are decomposed by QR: a few milliseconds either way."""


class Truncation(NamedTuple):
    """A truncated pair, the fraction of ‖ΔW‖²_F lost (0 to 1), and the singular values of ΔW, descending, float64.

    All of them; of sums of more than `gram.DENSE_MAX` columns only those that were kept.
    """

    pair: FactorPair
    discarded_energy: float
    singular_values: Array


def truncate(pair: FactorPair, rank: int) -> Truncation:
    """The best approximation of `pair` of rank at most `rank` (>= 1). Raises UsageError for a rank under 1."""
    return truncate_sum([pair], [1.0], rank)


def truncate_sum(pairs: Sequence[FactorPair], weights: Sequence[float], rank: int) -> Truncation:
    """The best approximation of Σ wᵢΔWᵢ of rank at most `rank`.

    Raises UsageError for a rank under 1, AdapterError where shapes or dtypes differ or there is nothing to add.
    """
    if rank < 1:
        raise UsageError(f"rank {rank} is not at least 1")
    weighted = [pair.times(weight) for pair, weight in zip(pairs, weights, strict=True)]
    if sum(pair.rank for pair in pairs) > rank and all(pair.A.dtype == np.float32 for pair in pairs):
        stack = concat([FactorPair(pair.A, pair.B) for pair in pairs])
        scales = np.repeat([pair.scale for pair in weighted], [pair.rank for pair in pairs])
        found = truncate_stack(stack, scales, rank)
        if found is not None:
            return found
    return _by_qr(concat(weighted) if len(weighted) != 1 else weighted[0], rank)


def truncate_stack(stack: FactorPair, scales: Array, rank: int, grams: Grams | None = None) -> Truncation | None:
    """The best approximation of B · diag(scales) · A by Gram matrices, of rank at most `rank` (>= 1).

    `stack`: float32, of scale 1; `scales` (R,) float64; `grams`: those of `stack`, where the caller has them. None
    where QR has to do it.
    """
    if stack.rank <= rank or stack.rank < GRAM_RANK_MIN:
        return None
    grams = grams if grams is not None else grams_of(stack.A, stack.B)
    found = None if grams is None else leading(grams, scales, rank)
    if found is None:
        return None
    b = stack.B @ found.left.astype(np.float32)
    a = found.right.astype(np.float32) @ stack.A
    return Truncation(canonical(FactorPair(a, b)), _lost(found), np.concatenate([found.sigma, found.rest]))


def _lost(found: Leading) -> float:
    return max(0.0, 1.0 - float(np.square(found.sigma).sum()) / found.total)


def _by_qr(pair: FactorPair, rank: int) -> Truncation:
    left, core_left = np.linalg.qr(pair.B)
    right, core_right = np.linalg.qr(pair.A.T)
    core = pair.scale * (core_left.astype(np.float64) @ core_right.T.astype(np.float64))
    u, sigma, vt = np.linalg.svd(core)
    sigma = sigma[: min(core.shape)]
    kept = min(rank, _numerical_rank(sigma, pair))
    if kept == 0:
        zero = zero_pair(pair.out_features, pair.in_features)
        return Truncation(FactorPair(zero.A.astype(pair.A.dtype), zero.B.astype(pair.A.dtype)), 0.0, sigma)
    root = np.sqrt(sigma[:kept])
    b = left @ (u[:, :kept] * root).astype(pair.B.dtype)
    a = (vt[:kept] * root[:, None]).astype(pair.A.dtype) @ right.T
    return Truncation(canonical(FactorPair(a, b)), _lost_fraction(sigma, kept), sigma)


def canonical(pair: FactorPair) -> FactorPair:
    """The same update with the sign of each column of B such that its peak is positive."""
    peaks = pair.B[np.argmax(np.abs(pair.B), axis=0), np.arange(pair.rank)]
    signs = np.where(peaks < 0, -1, 1).astype(pair.B.dtype)
    return FactorPair(pair.A * signs[:, None], pair.B * signs, pair.scale)


def _lost_fraction(sigma: Array, kept: int) -> float:
    # Relative to the largest one, so that squares of tiny values don't underflow.
    energy = np.square(sigma / sigma[0])
    return float(np.sum(energy[kept:]) / np.sum(energy))


def _numerical_rank(sigma: Array, pair: FactorPair) -> int:
    if sigma[0] == 0.0:
        return 0
    return int(np.count_nonzero(sigma > sigma[0] * pair.rank * np.finfo(pair.A.dtype).eps))
