"""The smallest eigenvalue of a symmetric operator beside one that is known: Lanczos' recurrence.

Rules:

- `null` is a known unit eigenvector. It is taken out of every vector (deflation), so what is found is the smallest of
  the others. A multiple eigenvalue is found once.
- The recurrence stops when the Ritz value's error is at most `TOLERANCE` of it: by the residual r or, where that is
  less, by r² / gap, the gap being that to the next Ritz value (Kato and Temple; Parlett, The Symmetric Eigenvalue
  Problem, 1998, 11.7). The vector is then made by a second run of the recurrence, so that memory doesn't grow.
- Who asks may check the pair that it gets: `Pair.error_of` is the bound above of any residual.
- Where `PATIENCE` steps tell hardly anything of the eigenvalue, None: the operator wants to be inverted.

>>> path = np.array([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]])
>>> pair = smallest(path.__matmul__, np.ones(3) / 3**0.5)
>>> round(pair.value, 9), abs(pair.vector).round(3).tolist()
(1.0, [0.707, 0.0, 0.707])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Apply = Callable[[Array], Array]

STEPS_MAX = 4000
PATIENCE = 400
HARDLY = 0.2
"""A residual of so much of the Ritz value."""

TOLERANCE = 5e-9
LOOK_EVERY = 10
KEPT_BYTES_MAX = 256 << 20
NOTHING = 1e-13
"""Of the largest coefficient: a step of so little left the space that the start spans."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An eigenvalue, a unit vector of it, and how far the next eigenvalue is."""

    value: float
    vector: Array
    gap: float

    def error_of(self, residual: float) -> float:
        """How far from an eigenvalue the value is, at most, if the pair has that residual."""
        return min(residual, residual**2 / self.gap)


def smallest(apply: Apply, null: Array) -> Pair | None:
    """The smallest eigenvalue but that of `null`, or None (see the rules)."""
    start = _start(null)
    diagonal: list[float] = []
    beside: list[float] = []
    kept: list[Array] = []
    for alpha, beta, vector in _steps(apply, null, start):
        diagonal.append(alpha)
        beside.append(beta)
        if (len(kept) + 1) * vector.nbytes <= KEPT_BYTES_MAX:
            kept.append(vector)
        whole = beta <= NOTHING * max(map(abs, (*diagonal[-LOOK_EVERY:], *beside[-LOOK_EVERY:])))
        if not whole and len(diagonal) % LOOK_EVERY:
            continue
        value, gap, weights = _ritz(diagonal, beside)
        residual = abs(beta * weights[-1])
        if whole or min(residual, residual**2 / gap) <= TOLERANCE * abs(value):
            again = kept if len(kept) == len(weights) else (vector for _, _, vector in _steps(apply, null, start))
            return Pair(value, _summed(weights, again, len(start)), gap)
        if len(diagonal) >= STEPS_MAX or (len(diagonal) >= PATIENCE and residual > HARDLY * abs(value)):
            break
    return None


def _start(null: Array) -> Array:
    drawn = np.random.default_rng(0).standard_normal(len(null))
    drawn -= null * (null @ drawn)
    return np.asarray(drawn / np.linalg.norm(drawn))


def _steps(apply: Apply, null: Array, start: Array) -> Iterator[tuple[float, float, Array]]:
    """The tridiagonal matrix, step by step, and the vector that a step began with."""
    from scipy.linalg.blas import daxpy  # type: ignore[import-untyped]

    before, vector, beta = np.zeros_like(start), start, 0.0
    while True:
        after = apply(vector)
        daxpy(before, after, a=-beta)
        alpha = float(vector @ after)
        daxpy(vector, after, a=-alpha)
        daxpy(null, after, a=-float(null @ after))
        beta = float(np.linalg.norm(after))
        yield alpha, beta, vector
        if not beta:
            return
        after *= 1 / beta
        before, vector = vector, after


def _ritz(diagonal: list[float], beside: list[float]) -> tuple[float, float, Any]:
    """The smallest eigenvalue of the tridiagonal matrix, how far the next one is, and its vector."""
    from scipy.linalg import eigh_tridiagonal  # type: ignore[import-untyped]

    if len(diagonal) == 1:
        return diagonal[0], np.inf, np.ones(1)
    values, vectors = eigh_tridiagonal(diagonal, beside[:-1], select="i", select_range=(0, 1))
    return float(values[0]), float(values[1] - values[0]) or np.finfo(float).tiny, vectors[:, 0]


def _summed(weights: Array, vectors: Iterable[Array], n: int) -> Array:
    from scipy.linalg.blas import daxpy

    found = np.zeros(n)
    for weight, vector in zip(weights, vectors, strict=False):
        daxpy(vector, found, a=weight)
    return np.asarray(found / np.linalg.norm(found))
