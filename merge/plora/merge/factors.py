"""Factor pairs: a LoRA update held as (A, B, scale), never as the dense product.

Rules:

- ΔW = scale · B @ A with A of shape (r, in) and B of shape (out, r), as PEFT's `lora_A.weight` and `lora_B.weight`.
- A and B share one dtype, float32 or float64; whoever reads half precision widens it first (exact). Algebra keeps the
  dtype of the factors; norms and the small cores are computed in float64.
- Values are immutable: arrays are marked read-only, every operation returns a new pair.
- Nothing here depends on the gauge (A -> G A, B -> B G⁻¹): only on ΔW, up to rounding.

Not handled: names, files, devices, models.

>>> import numpy as np
>>> pair = FactorPair(A=np.array([[3.0, 4.0]]), B=np.array([[1.0], [0.0]]), scale=2.0)
>>> pair.rank, pair.in_features, pair.out_features, pair.norm()
(1, 2, 2, 10.0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plora.proto.errors import AdapterError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class FactorPair:
    """One module's update scale · B @ A.

    `A`: (r, in), `B`: (out, r), both float32 or both float64, `scale`: finite float.
    Raises AdapterError where the shapes or dtypes don't fit together.
    """

    A: Array
    B: Array
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.A.ndim != 2 or self.B.ndim != 2 or self.A.shape[0] != self.B.shape[1] or not self.A.size * self.B.size:
            raise AdapterError(f"factors of shapes A {self.A.shape} and B {self.B.shape} don't multiply")
        if self.A.dtype != self.B.dtype or self.A.dtype not in (np.float32, np.float64):
            raise AdapterError(f"factors of dtypes {self.A.dtype} and {self.B.dtype} are not both float32 or float64")
        if not math.isfinite(self.scale):
            raise AdapterError(f"scale {self.scale} is not finite")
        object.__setattr__(self, "A", _frozen(self.A))
        object.__setattr__(self, "B", _frozen(self.B))

    @property
    def rank(self) -> int:
        """The number of columns of B: an upper bound of the rank of ΔW."""
        return int(self.A.shape[0])

    @property
    def in_features(self) -> int:
        """Columns of ΔW."""
        return int(self.A.shape[1])

    @property
    def out_features(self) -> int:
        """Rows of ΔW."""
        return int(self.B.shape[0])

    def norm(self) -> float:
        """Frobenius norm of ΔW, from the R factors of both sides: O((in + out) r²), backward stable."""
        right: Array = np.asarray(np.linalg.qr(self.A.T.astype(np.float64), mode="r"))
        left: Array = np.asarray(np.linalg.qr(self.B.astype(np.float64), mode="r"))
        return float(abs(self.scale) * np.linalg.norm(left @ right.T))

    def times(self, weight: float) -> FactorPair:
        """The pair of weight · ΔW; the factors are shared, not copied."""
        return FactorPair(self.A, self.B, self.scale * weight)

    def folded(self) -> FactorPair:
        """The same ΔW with scale 1: the scale goes into B."""
        if self.scale == 1.0:
            return self
        return FactorPair(self.A, self.B * self.B.dtype.type(self.scale), 1.0)

    def as_dtype(self, dtype: np.dtype[np.floating]) -> FactorPair:
        """The same pair with factors of float32 or float64."""
        return FactorPair(self.A.astype(dtype, copy=False), self.B.astype(dtype, copy=False), self.scale)

    def padded(self, rank: int) -> FactorPair:
        """The same ΔW with `rank` columns, the new ones zero. Raises AdapterError when the pair is wider than that."""
        extra = rank - self.rank
        if extra < 0:
            raise AdapterError(f"a pair of rank {self.rank} doesn't fit into rank {rank}")
        if extra == 0:
            return self
        return FactorPair(np.pad(self.A, ((0, extra), (0, 0))), np.pad(self.B, ((0, 0), (0, extra))), self.scale)

    def dense(self) -> Array:
        """ΔW itself, (out, in), in float64: for tests and tiny models only."""
        return np.asarray(self.scale * (self.B.astype(np.float64) @ self.A.astype(np.float64)))


def concat(pairs: Sequence[FactorPair]) -> FactorPair:
    """The exact sum of updates by stacking factors: Σ sᵢBᵢAᵢ = [s₁B₁ … sₙBₙ] @ [A₁; …; Aₙ], scale 1.

    Raises AdapterError for an empty sequence, and where in, out or dtype differ.
    """
    check_addable(pairs)
    folded = [pair.folded() for pair in pairs]
    return FactorPair(
        np.concatenate([pair.A for pair in folded], axis=0), np.concatenate([p.B for p in folded], axis=1)
    )


def check_addable(pairs: Sequence[FactorPair]) -> None:
    """Raises AdapterError where there is no pair, and where in, out or dtype differ."""
    if not pairs:
        raise AdapterError("nothing to add: no factor pairs")
    shapes = [(pair.out_features, pair.in_features, str(pair.A.dtype)) for pair in pairs]
    for shape in shapes:
        if shape != shapes[0]:
            raise AdapterError(f"updates of different shapes {shapes[0]} and {shape} can't be added")


def zero_pair(out_features: int, in_features: int, rank: int = 1) -> FactorPair:
    """The zero update, float32."""
    return FactorPair(np.zeros((rank, in_features), np.float32), np.zeros((out_features, rank), np.float32))


def _frozen(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view
