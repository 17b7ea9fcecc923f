"""What two sources say of a target: together, each alone, or only in concert. In bits.

A distribution is an array p[x, y, s]: probabilities of both sources and the target s. Each method splits I(S; X, Y)
into redundancy, two unique parts and synergy, so that I(S; X) = redundancy + unique, and so for Y:

- `i_min`: redundancy is the least information that either source has about each outcome of the target, on average
  (Williams and Beer, "Nonnegative decomposition of multivariate information", arXiv:1004.2515, 2010). It calls two
  independent bits that are copied redundant, since it looks at amounts and not at what is said.
- `broja`: unique is what remains when both sources may be tied together in the way that says least, with the pairs
  (x, s) and (y, s) as they are (Bertschinger et al., "Quantifying unique information", Entropy 16, 2014). The way is
  found numerically, to about 1e-6 bits, and is one that may be: so unique parts are never too small, and redundancy
  and synergy never too large. It takes seconds at the `SQUARES_MAX` unknowns that it may have, (x - 1)(y - 1)s for
  that many values; a search that ends nowhere near, as of very rare values it may, is an error.

Not handled here: more than two sources (`dit` has them), estimates from samples: p is known.

>>> xor = np.zeros((2, 2, 2)); xor[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] = 1 / 4
>>> i_min(xor)
Decomposition(redundancy=0.0, unique_x=0.0, unique_y=0.0, synergy=1.0)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ROUNDS_MAX = 1000
TOLERANCES = (1e-13, 1e-10)
"""The second where the first is more than rounding lets through."""

ABOVE_MAX = 1e-6
SQUARES_MAX = 256
TINY = 1e-15


@dataclass(frozen=True, slots=True)
class Decomposition:
    """The four parts of I(S; X, Y) in bits."""

    redundancy: float
    unique_x: float
    unique_y: float
    synergy: float


def i_min(joint: ArrayLike) -> Decomposition:
    """The decomposition of Williams and Beer of p[x, y, s]. Raises ValueError for what is no distribution."""
    p = _distribution(joint)
    said = np.minimum(_of_outcomes(p.sum(axis=1)), _of_outcomes(p.sum(axis=0)))
    return _split(p, redundancy=float(p.sum(axis=(0, 1)) @ said))


def broja(joint: ArrayLike) -> Decomposition:
    """The decomposition of Bertschinger et al. of p[x, y, s].

    Raises ValueError for what is no distribution or has too many values, RuntimeError where the search doesn't end.
    """
    p = _distribution(joint)
    tied = _least_telling(p.sum(axis=1), p.sum(axis=0))
    together = _information(tied.reshape(-1, p.shape[2]))
    return _split(p, redundancy=_information(p.sum(axis=1)) + _information(p.sum(axis=0)) - together)


def _distribution(joint: ArrayLike) -> Floats:
    p = np.asarray(joint, np.float64)
    if p.ndim != 3 or (p < 0).any() or not np.isclose(p.sum(), 1.0):
        raise ValueError(f"p[x, y, s] has three axes, nothing negative, and sums to 1; this has shape {p.shape}")
    return np.asarray(p / p.sum())


def _split(p: Floats, redundancy: float) -> Decomposition:
    by_x, by_y = _information(p.sum(axis=1)), _information(p.sum(axis=0))
    whole = _information(p.reshape(-1, p.shape[2]))
    parts = (redundancy, by_x - redundancy, by_y - redundancy, whole - by_x - by_y + redundancy)
    return Decomposition(*(max(0.0, round(part, 12)) for part in parts))


def _information(p: Floats) -> float:
    """I in bits of a table p[x, s]."""
    apart = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
    there = p > 0
    return float((p[there] * np.log2(p[there] / apart[there])).sum())


def _of_outcomes(p: Floats) -> Floats:
    """Of each outcome s how many bits x says of it, Σ p(x | s) log p(s | x) / p(s), by a table p[x, s]."""
    ends = p.sum(axis=0)
    there = p > 0
    said = np.zeros_like(p)
    said[there] = p[there] * np.log2((p / np.outer(p.sum(axis=1), ends).clip(TINY))[there])
    return np.asarray(said.sum(axis=0) / ends.clip(TINY))


def _least_telling(by_x: Floats, by_y: Floats) -> Floats:
    """The q[x, y, s] with these tables p[x, s] and p[y, s] that says least of s.

    All of them are one of them and multiples of squares: mass that moves from two corners of a square of (x, y) to the
    other two, for one s. Σ q log q(s | x, y) is convex in those.
    """
    independent = by_x[:, None] * by_y[None] / by_x.sum(axis=0).clip(TINY)
    unknowns = (len(by_x) - 1) * (len(by_y) - 1) * by_x.shape[1]
    if not unknowns:
        return np.asarray(independent)
    if unknowns > SQUARES_MAX:
        raise ValueError(f"{unknowns} unknowns, where {SQUARES_MAX} are the most: put values together")
    squares = _squares(independent.shape)

    def at(amounts: Floats) -> Floats:
        return np.asarray((independent.ravel() + amounts @ squares).reshape(independent.shape).clip(0))

    def told(amounts: Floats) -> tuple[float, Floats]:
        value, slopes = _told(at(amounts))
        return value, squares @ slopes.ravel()

    return at(_least(told, independent.ravel(), squares))


def _least(told: Callable[[Floats], tuple[float, Floats]], cells: Floats, squares: Floats) -> Floats:
    """The amounts of squares where `told` is least while no cell is below 0."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    amounts = np.zeros(len(squares))
    constraint = {"type": "ineq", "fun": lambda t: cells + t @ squares, "jac": lambda t: squares.T}
    for tolerance in TOLERANCES:
        options = {"ftol": tolerance, "maxiter": ROUNDS_MAX}
        found = minimize(told, amounts, jac=True, constraints=constraint, method="SLSQP", options=options)
        if found.success or _above(told(found.x)[1], found.x, cells, squares) <= ABOVE_MAX:
            return np.asarray(found.x)
        amounts = found.x
    raise RuntimeError(f"the least telling way wasn't found ({found.message}); put rare values together")


def _above(slopes: Floats, amounts: Floats, cells: Floats, squares: Floats) -> float:
    """The most bits by which a convex function with these slopes can be above its least value."""
    from scipy.optimize import linprog

    found = linprog(slopes, A_ub=-squares.T, b_ub=cells, bounds=(None, None))
    return float(slopes @ amounts - found.fun) if found.success else np.inf


def _squares(shape: tuple[int, ...]) -> Floats:
    """(squares, cells): of each x and y but the first, and each s, the square with the first x and y."""
    made = np.zeros((shape[0] - 1, shape[1] - 1, shape[2], *shape))
    for i, j, k in np.ndindex(made.shape[:3]):
        made[i, j, k, [0, i + 1], [0, j + 1], k] = 1
        made[i, j, k, [0, i + 1], [j + 1, 0], k] = -1
    return np.asarray(made.reshape(-1, int(np.prod(shape))))


def _told(q: Floats) -> tuple[float, Floats]:
    """-H(S | X, Y) in bits, and how it changes with each cell."""
    slopes = np.log2(q.clip(TINY) / q.sum(axis=2, keepdims=True).clip(TINY))
    return float((q * slopes).sum()), slopes
