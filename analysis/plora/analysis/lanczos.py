"""The smallest eigenvalue of a symmetric operator beside one that is known: Lanczos' recurrence.

Rules:

- Steps take the known eigenvector out of every vector (deflation), so what is found is the smallest eigenvalue of the
  others. A multiple one is found once.
- The recurrence stops when the Ritz value's error is at most `TOLERANCE` of it: by the residual r or, where that is
  less, by r² / gap, the gap being that to the next Ritz value (Kato and Temple; Parlett, The Symmetric Eigenvalue
  Problem, 1998, 11.7). The vector is then made by a second run of the recurrence, so that memory doesn't grow.
- Who asks may check the pair that it gets: `Pair.error_of` is the bound above of any residual.
- Where `PATIENCE` steps tell hardly anything of the eigenvalue, None: the operator wants to be inverted.

Not handled here: the operator itself, which makes the steps (`plora.analysis.graph_steps`).

>>> from plora.analysis.graph_steps import GraphSteps
>>> path = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
>>> pair = smallest(GraphSteps(*path, normalized=False))
>>> round(pair.value, 9), abs(pair.vector).round(3).tolist()
(1.0, [0.707, 0.0, 0.707])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEPS_MAX = 4000
PATIENCE = 400
HARDLY = 0.2
"""A residual of so much of the Ritz value."""

TOLERANCE = 5e-9
LOOK_EVERY = 10
KEPT_BYTES_MAX = 256 << 20
NOTHING = 1e-12
"""Of the largest coefficient: a step of so little left the space that the start spans."""


class Steps(Protocol):
    """The recurrence of an operator."""

    def start(self) -> Array:
        """A vector to begin with."""

    def __call__(self, start: Array, room: Array) -> Iterator[tuple[float, float, Array]]:
        """The tridiagonal matrix, step by step (diagonal, beside it), and the vector that a step began with.

        Vectors are written into the rows of `room` as long as there are any, the start first.
        """


@dataclass(frozen=True, slots=True)
class Pair:
    """An eigenvalue, a unit vector of it, and how far the next eigenvalue is."""

    value: float
    vector: Array
    gap: float

    def error_of(self, residual: float) -> float:
        """How far from an eigenvalue the value is, at most, if the pair has that residual."""
        return min(residual, residual**2 / self.gap)


def smallest(steps: Steps) -> Pair | None:
    """The smallest eigenvalue but the known one, or None (see the rules)."""
    start = steps.start()
    # In one piece, of which only rows that are written take memory: asking for each of them takes a third of the time.
    kept = np.empty((min(STEPS_MAX, KEPT_BYTES_MAX // start.nbytes), len(start)))
    diagonal: list[float] = []
    beside: list[float] = []
    for alpha, beta, _ in steps(start, kept):
        diagonal.append(alpha)
        beside.append(beta)
        whole = beta <= NOTHING * max(map(abs, (*diagonal[-LOOK_EVERY:], *beside[-LOOK_EVERY:])))
        if not whole and len(diagonal) % LOOK_EVERY:
            continue
        value, gap, weights = _ritz(diagonal, beside)
        residual = abs(beta * weights[-1])
        if whole or min(residual, residual**2 / gap) <= TOLERANCE * abs(value):
            again = kept if len(weights) <= len(kept) else (vector for _, _, vector in steps(start, kept[:0]))
            return Pair(value, _summed(weights, again, len(start)), gap)
        if len(diagonal) >= STEPS_MAX or (len(diagonal) >= PATIENCE and residual > HARDLY * abs(value)):
            break
    return None


def _ritz(diagonal: list[float], beside: list[float]) -> tuple[float, float, Any]:
    """The smallest eigenvalue of the tridiagonal matrix, how far the next one is, and its vector."""
    from scipy.linalg import eigh_tridiagonal  # type: ignore[import-untyped]

    if len(diagonal) == 1:
        return diagonal[0], np.inf, np.ones(1)
    values, vectors = eigh_tridiagonal(diagonal, beside[:-1], select="i", select_range=(0, 1))
    return float(values[0]), float(values[1] - values[0]) or np.finfo(float).tiny, vectors[:, 0]


def _summed(weights: Array, vectors: Iterable[Array], n: int) -> Array:
    from scipy.linalg.blas import daxpy  # type: ignore[import-untyped]

    found = np.zeros(n)
    for weight, vector in zip(weights, vectors, strict=False):
        daxpy(vector, found, a=weight)
    return np.asarray(found / np.linalg.norm(found))
