"""Steps of Lanczos' recurrence for the eigenproblem (D - A) u = λ W u of a graph, compiled: each reads the graph once.

Rules:

- W is the degrees (the normalised Laplacian), or ones (D - A). Vectors are at right angles, and unit ones, by Σ W u v.
- The vector of the eigenvalue 0, all ones, is taken out of every vector.
- Degrees are where the neighbours are, and nothing else is read beside the vectors: what takes time is to bring numbers
  to the processor. It is quickest where peers stand in the order of their degrees, for it guesses when a sum ends.

Not handled here: when to stop (`plora.analysis.lanczos`), peers without neighbours.

>>> steps = GraphSteps(np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1]), normalized=False)  # three in a row
>>> alpha, beta, _ = next(steps(np.array([1.0, 0, -1]) / 2**0.5, np.empty((1, 3))))
>>> round(alpha, 9), round(beta, 9)  # an eigenvector, of 1: nothing is left
(1.0, 0.0)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plora.base.compiled import Kept

Array = NDArray[np.float64]
Places = NDArray[np.int32]
_kept = Kept([Path(__file__)])


class GraphSteps:
    """The recurrence of one graph of n peers, given as CSR (`starts`, `others`)."""

    def __init__(self, starts: NDArray[Any], others: NDArray[Any], *, normalized: bool) -> None:
        self._starts, self._others = starts.astype(np.int32), others.astype(np.int32)
        self._normalized = normalized
        self._weights = np.diff(starts).astype(np.float64) if normalized else np.ones(len(starts) - 1)

    def start(self) -> Array:
        """A vector to begin with, (n,), the same for the same graph."""
        drawn = np.random.default_rng(0).standard_normal(len(self._weights))
        drawn -= (self._weights @ drawn) / self._weights.sum()
        return np.asarray(drawn / np.sqrt(self._weights @ drawn**2))

    def __call__(self, start: Array, room: Array) -> Iterator[tuple[float, float, Array]]:
        """Diagonal and off-diagonal of the tridiagonal matrix, step by step, and the vector that a step began with.

        Vectors are written into the rows of `room` as long as there are any, the start first.
        """
        whole, before, beta = float(self._weights.sum()), np.zeros_like(start), 0.0
        vector = _row(room, 0, start)
        vector[:] = start
        for number in count(1):
            after = _row(room, number, start)
            alpha, beta = _step(self._starts, self._others, self._normalized, whole, before, vector, beta, after)
            yield alpha, beta, vector
            if not beta:
                return
            before, vector = vector, after


def _row(room: Array, number: int, like: Array) -> Array:
    return room[number] if number < len(room) else np.empty_like(like)


@_kept.compiled
def _step(
    starts: Places,
    others: Places,
    normalized: bool,
    whole: float,
    before: Array,
    vector: Array,
    beta: float,
    after: Array,
) -> tuple[float, float]:
    """Fills `after` with the next unit vector; the step's coefficients. `whole` is ΣW."""
    alpha = along = inside = 0.0
    for peer in range(len(vector)):
        first, end = starts[peer], starts[peer + 1]
        even = odd = 0.0  # two sums don't wait for each other
        for place in range(first, end - 1, 2):
            even += vector[others[place]]
            odd += vector[others[place + 1]]
        if (end - first) % 2:
            even += vector[others[end - 1]]
        weight = float(end - first) if normalized else 1.0
        found = ((end - first) * vector[peer] - (even + odd)) / weight - beta * before[peer]
        after[peer] = found
        alpha += weight * vector[peer] * found
        along += weight * found
        inside += weight * vector[peer]
    along = (along - alpha * inside) / whole
    norm = 0.0
    for peer in range(len(vector)):
        found = after[peer] - alpha * vector[peer] - along
        after[peer] = found
        norm += (starts[peer + 1] - starts[peer] if normalized else 1.0) * found * found
    norm = np.sqrt(norm)
    if norm > 0:
        share = 1 / norm
        for peer in range(len(vector)):
            after[peer] *= share
    return alpha, norm
