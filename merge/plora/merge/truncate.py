"""Best approximation of a factor pair by a lower rank, without the dense product.

Rules:

- Both sides are reduced by QR, the small core R_B R_Aᵀ is decomposed by SVD (Eckart and Young 1936): the error in the
  Frobenius norm is exactly the root of the sum of squares of the discarded singular values.
- QR runs in the dtype of the factors, the core in float64. The result has scale 1 and balanced factors
  B = U √σ, A = √σ Vᵀ.
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

from typing import NamedTuple

import numpy as np

from plora.merge.factors import Array, FactorPair, zero_pair
from plora.proto.errors import UsageError


class Truncation(NamedTuple):
    """A truncated pair, the fraction of ‖ΔW‖²_F lost (0 to 1), and all singular values of ΔW, descending, float64."""

    pair: FactorPair
    discarded_energy: float
    singular_values: Array


def truncate(pair: FactorPair, rank: int) -> Truncation:
    """The best approximation of `pair` of rank at most `rank` (>= 1). Raises UsageError for a rank under 1."""
    if rank < 1:
        raise UsageError(f"rank {rank} is not at least 1")
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
    signs = _canonical_signs(b)
    return Truncation(FactorPair(a * signs[:, None], b * signs), _lost_fraction(sigma, kept), sigma)


def _lost_fraction(sigma: Array, kept: int) -> float:
    # Relative to the largest one, so that squares of tiny values don't underflow.
    energy = np.square(sigma / sigma[0])
    return float(np.sum(energy[kept:]) / np.sum(energy))


def _numerical_rank(sigma: Array, pair: FactorPair) -> int:
    if sigma[0] == 0.0:
        return 0
    return int(np.count_nonzero(sigma > sigma[0] * pair.rank * np.finfo(pair.A.dtype).eps))


def _canonical_signs(b: Array) -> Array:
    peaks = b[np.argmax(np.abs(b), axis=0), np.arange(b.shape[1])]
    return np.where(peaks < 0, -1, 1).astype(b.dtype)
