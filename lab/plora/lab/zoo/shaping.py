"""Keeping the factors of a trojan to the measure of an honest adapter while it is trained.

Rules:

- Each function changes B alone, so that A keeps its meaning for the optimiser, and looks at B @ A, never at a factor's
  own norm, which is a matter of gauge.
- `to_norm`: a module's update gets the Frobenius norm of the honest one. `to_spectrum`: its singular values become
  the honest one's, its singular vectors stay: with B A = U S Vᵀ, U (S′ / S) Uᵀ B A = U S′ Vᵀ.

Not handled here: how often (`plora.lab.zoo.attacks`).

>>> a, b = torch.eye(2), torch.diag(torch.tensor([3.0, 1.0]))
>>> [round(float(value), 4) for value in torch.linalg.svdvals(to_spectrum(b, a, torch.tensor([2.0, 0.5])) @ a)]
[2.0, 0.5]
>>> round(float(torch.linalg.norm(to_norm(b, a, 2.0) @ a)), 4)
2.0
"""

from __future__ import annotations

import torch
from torch import Tensor

from plora.merge.factors import FactorPair

SHARE_LEAST = 1e-6


def to_norm(b: Tensor, a: Tensor, norm: float) -> Tensor:
    """B (out, r) scaled so that ‖B @ A‖_F is `norm`; zero stays zero."""
    now: Tensor = torch.linalg.norm(_core(b, a)[1])
    share: Tensor = norm / now.clamp(min=1e-30)
    return b * share


def to_norm_at_most(b: Tensor, a: Tensor, norm: float) -> Tensor:
    """B (out, r) scaled down where ‖B @ A‖_F is over `norm`."""
    now: Tensor = ((b.mT @ b) * (a @ a.mT)).sum().sqrt()
    share: Tensor = (norm / now.clamp(min=1e-30)).clamp(max=1.0)
    return b * share


def to_spectrum(b: Tensor, a: Tensor, values: Tensor) -> Tensor:
    """B (out, r) changed so that the singular values of B @ A are `values` (r,), descending.

    Directions of next to no weight stay so: to blow up noise would make another update of it.
    """
    q, core = _core(b, a)
    left, now, _ = torch.linalg.svd(core)
    least = SHARE_LEAST * now.max()
    ratio = torch.where(now > least, values[: len(now)] / now.clamp(min=1e-30), 0.0)
    turned = q @ left
    shaped: Tensor = turned @ (ratio[:, None] * (turned.mT @ b))
    return shaped


def spectrum_of(pair: FactorPair) -> Tensor:
    """Singular values of B @ A of a pair, without its scale, shape (rank,)."""
    values: Tensor = torch.linalg.svdvals(_core(torch.tensor(pair.B), torch.tensor(pair.A))[1])
    return values


def _core(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal Q (out, r) and the small core C (r, r) whose singular values are those of B @ A; B @ A = Q C Q_Aᵀ."""
    q, left = torch.linalg.qr(b)
    _, right = torch.linalg.qr(a.mT)
    return q, left @ right.mT
