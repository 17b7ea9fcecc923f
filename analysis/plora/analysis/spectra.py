"""Spectra of graphs: λ₂ of either Laplacian, conductance, and the bounds between them.

Rules:

- Which Laplacian is always said: `normalized=True` is I - D^-1/2 A D^-1/2, else D - A. A peer without neighbours has a
  row of zeros in both.
- A graph is its neighbour lists, or CSR (`indptr`, `indices`); undirected, without loops or doubles, two peers or more.
- A number that only bounds another says so (`Conductance`).
- λ₂ and the conductance of a graph that isn't connected are 0.
- An eigenpair that doesn't pass its check is an `ArithmeticError`, never a guess.

Not handled here: other eigenvalues, weighted or directed edges, dense graphs of more than some thousand peers.

>>> round(spectral_gap([[1, 2], [0, 2], [0, 1]], normalized=False), 9)
3.0
>>> conductance_estimate([[1], [0, 2], [1, 3], [2]])
Conductance(value=0.3333333333333333, exact=True, method='exact')
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plora.analysis import lanczos

Neighbours = Sequence[Sequence[int]]
Csr = tuple[NDArray[Any], NDArray[Any]]
Array = NDArray[np.float64]

EXACT_MAX = 20
"""So many peers have their cuts tried one by one."""

DENSE_MAX = 200
STEPS_MAX = 400
HUBS = 8
"""Who has so many times as many neighbours as the mean is a hub."""

TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True)
class Conductance:
    """φ = cut / min(vol) of the best cut that was found: φ(G) itself if `exact`, else an upper bound of it."""

    value: float
    exact: bool
    method: Literal["exact", "sweep", "random"]


def spectral_gap(graph: Neighbours | Csr, *, normalized: bool = True) -> float:
    """λ₂, the second smallest eigenvalue of the Laplacian, counted with multiplicity; relative error 1e-8 at most."""
    matrix = adjacency(graph)
    return _second(matrix, _weights(matrix, normalized))[0]


def conductance_estimate(
    graph: Neighbours | Csr, *, method: Literal["best", "sweep", "random"] = "best", cuts: int = 1000, seed: int = 0
) -> Conductance:
    """The conductance φ(G) = min cut(S) / min(vol S, vol V∖S).

    `best` tries all cuts up to n = 20 and sweeps above. `sweep` is the best prefix in the order of D^-1/2 × Fiedler
    vector, at most sqrt(2 λ₂) (Chung, Spectral Graph Theory, 1997, chapter 2). `random` is the best of so many cuts
    drawn evenly: it may be far above φ(G), and nothing follows from it for λ₂.
    """
    matrix = adjacency(graph)
    weights = _weights(matrix, normalized=True)
    if method == "random":
        return Conductance(_random_cuts(matrix, weights, cuts, seed), exact=False, method="random")
    if method == "best" and len(weights) <= EXACT_MAX:
        return Conductance(_all_cuts(matrix, weights), exact=True, method="exact")
    return Conductance(_sweep(matrix, weights), exact=False, method="sweep")


def cheeger_bounds(neighbours: Neighbours | Csr, normalized: bool = True) -> tuple[float, float]:
    """A lower and an upper bound of λ₂, by the graph's cuts: all of them up to n = 20, the sweep cut above.

    Normalised: φ²/2 <= λ₂ <= 2φ with φ = cut / min(vol) (Cheeger's inequality; Chung 1997, chapter 2). Combinatorial,
    with h = cut / min |S| and the largest degree d: d - sqrt(d² - h²) <= λ₂ <= 2h, which is h <= sqrt(λ₂ (2d - λ₂))
    solved (Mohar, "Isoperimetric numbers of graphs", J. Comb. Theory B 47, 1989). The lower bounds hold for the sweep
    cut as well, for it is what their proofs find.
    """
    matrix = adjacency(neighbours)
    weights = _weights(matrix, normalized)
    ratio = _all_cuts(matrix, weights) if len(weights) <= EXACT_MAX else _sweep(matrix, weights)
    if normalized:
        return ratio**2 / 2, 2 * ratio
    degree = float(_degrees(matrix).max())
    return degree - sqrt(max(0.0, degree**2 - ratio**2)), 2 * ratio


def predicted_rounds_spectral(n: int, lambda2: float, C: float) -> float:  # noqa: N803 - as the literature writes it
    """C ln(n) / λ₂: the shape of an upper bound on rounds of push-pull, no estimate; C is calibrated for a family.

    O(log n / φ): Giakkoupis, "Tight bounds for rumor spreading in graphs of a given conductance" (STACS 2011), with
    φ >= λ₂ / 2 of the normalised Laplacian. Infinite where λ₂ is 0 and there is anybody to reach.
    """
    if n < 1 or lambda2 < 0:
        raise ValueError(f"no rounds for n = {n} and λ₂ = {lambda2}")
    if n == 1:
        return 0.0
    return C * log(n) / lambda2 if lambda2 > 0 else inf


def adjacency(graph: Neighbours | Csr) -> Any:
    """The matrix A of a graph, scipy CSR; ValueError for what is none (see the rules)."""
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    if isinstance(graph, tuple) and len(graph) == 2 and isinstance(graph[0], np.ndarray):
        indptr, indices = np.asarray(graph[0]), np.asarray(graph[1])
    else:
        indptr = np.cumsum([0, *map(len, graph)])
        indices = np.array([other for others in graph for other in others], np.int64)
    n = len(indptr) - 1
    if n < 2:
        raise ValueError("a spectrum has two peers or more")
    if ((indices < 0) | (indices >= n)).any():
        raise ValueError(f"a neighbour is a number from 0 to {n - 1}")
    matrix = csr_array((np.ones(len(indices)), indices, indptr), shape=(n, n))
    matrix.sum_duplicates()
    if (matrix.data > 1).any() or not _is_symmetric(matrix) or matrix.diagonal().any():
        raise ValueError("a graph has undirected edges without loops or doubles")
    return matrix


def _is_symmetric(matrix: Any) -> bool:
    """Of a matrix of ones whose columns are in order."""
    turned = matrix.T.tocsr()
    return np.array_equal(turned.indptr, matrix.indptr) and np.array_equal(turned.indices, matrix.indices)


def _degrees(matrix: Any) -> Array:
    return np.asarray(np.diff(matrix.indptr), np.float64)


def _weights(matrix: Any, normalized: bool) -> Array:
    """W of the eigenproblem (D - A) u = λ W u, which is that of the Laplacian by its eigenvectors W^1/2 u."""
    return np.maximum(_degrees(matrix), 1.0) if normalized else np.ones(matrix.shape[0])


def _is_connected(matrix: Any) -> bool:
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    return bool(connected_components(matrix, directed=False, return_labels=False) == 1)


def _second(matrix: Any, weights: Array) -> tuple[float, Array]:
    """λ₂ and a vector u of it, see `_weights`."""
    if not _is_connected(matrix):
        return 0.0, np.zeros(len(weights))
    u = _dense(matrix, weights) if len(weights) <= DENSE_MAX else _sparse(matrix, weights)
    u -= (weights @ u) / weights.sum()
    # As a sum over edges it has no cancellation, and u's error enters squared.
    ends = matrix.tocoo()
    value = float(((u[ends.row] - u[ends.col]) ** 2).sum() / 2 / (weights @ u**2))
    return value, u


def _laplacian(matrix: Any) -> Any:
    from scipy.sparse import diags_array

    return (diags_array(_degrees(matrix)) - matrix).tocsr()


def _dense(matrix: Any, weights: Array) -> Array:
    from scipy.linalg import eigh  # type: ignore[import-untyped]

    root = np.sqrt(weights)
    whole = _laplacian(matrix).toarray() / np.outer(root, root)
    values, vectors = eigh(whole, subset_by_index=[0, 1])
    _check(np.linalg.norm(whole @ vectors[:, 1] - values[1] * vectors[:, 1]), abs(whole).max())
    return np.asarray(vectors[:, 1] / root)


def _sparse(matrix: Any, weights: Array) -> Array:
    """By what suits the graph: the Laplacian itself where things spread fast, else its inverse."""
    if (degrees := _degrees(matrix)).max() > HUBS * degrees.mean() and (weights == 1).all():
        found = _beside_hubs(_laplacian(matrix))
    else:
        found = _by_lanczos(matrix, weights)
    return _inverted(_laplacian(matrix), np.sqrt(weights)) if found is None else found


def _by_lanczos(matrix: Any, weights: Array) -> Array | None:
    from plora.analysis.graph_steps import GraphSteps

    order = np.argsort(_degrees(matrix), kind="stable")
    found = lanczos.smallest(GraphSteps(*_renumbered(matrix, order), normalized=bool(weights.max() > 1)))
    if found is None:
        return None
    u = np.empty_like(weights)
    u[order] = found.vector / np.sqrt(weights[order] @ found.vector**2)
    residual = (_degrees(matrix) * u - matrix @ u - found.value * weights * u) / np.sqrt(weights)
    return u if found.error_of(float(np.linalg.norm(residual))) <= TOLERANCE * found.value else None


def _renumbered(matrix: Any, order: NDArray[np.int64]) -> Csr:
    """The same graph with peer `order[i]` as i; neighbours in any order."""
    sizes, place = np.diff(matrix.indptr)[order], np.empty_like(order)
    place[order] = np.arange(len(order))
    starts = np.concatenate(([0], np.cumsum(sizes)))
    entries = np.repeat(matrix.indptr[order] - starts[:-1], sizes) + np.arange(starts[-1])
    return starts, place[matrix.indices[entries]]


def _beside_hubs(laplacian: Any) -> Array | None:
    """D - A where some have far more neighbours than most: its largest eigenvalues are theirs, and slow Lanczos down.

    Knyazev, "Toward the optimal preconditioned eigensolver" (SIAM J. Sci. Comput. 23, 2001), by degrees.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import lobpcg  # type: ignore[import-untyped]

    n, degrees = laplacian.shape[0], laplacian.diagonal()
    start = np.random.default_rng(0).standard_normal((n, 1))
    options = {"M": diags_array(1 / degrees), "Y": np.ones((n, 1)), "largest": False, "maxiter": STEPS_MAX}
    with warnings.catch_warnings(action="ignore"):  # that it wasn't reached is seen below
        (value,), vectors = lobpcg(laplacian, start, tol=TOLERANCE * degrees.min() / 10, **options)
    u = np.asarray(vectors[:, 0])
    return u if np.linalg.norm(laplacian @ u - value * u) <= TOLERANCE * value else None


def _inverted(laplacian: Any, root: Array) -> Array:
    """Of the pseudo-inverse the largest eigenvalue is 1/λ₂, and apart from the others where λ₂ is small."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    solve, null = _solver(laplacian), root / np.linalg.norm(root)

    def apply(x: Array) -> Array:
        x = x.ravel() - null * (null @ x.ravel())
        y = root * solve(root * x)
        return np.asarray(y - null * (null @ y))

    inverse = LinearOperator(laplacian.shape, matvec=apply, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(root))
    values, vectors = eigsh(inverse, k=1, which="LA", v0=start, tol=TOLERANCE / 2)
    x = vectors[:, 0]
    _check(np.linalg.norm(apply(x) - values[0] * x), values[0])
    return np.asarray(x / root)


def _check(error: Any, scale: float) -> None:
    if not error <= TOLERANCE * scale:
        raise ArithmeticError(f"λ₂ was not found: off by {error:.1e} at {scale:.1e}")


def _solver(laplacian: Any) -> Callable[[Array], Array]:
    """Solves L u = b where b sums to zero, by elimination: graphs that are long and thin fill in little by it."""
    from scipy.sparse.linalg import splu

    rest = laplacian[:-1, :-1].tocsc()  # without the last peer it isn't singular, and needs no pivots
    factors = splu(rest, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})

    def solved(b: Array) -> Array:
        return np.append(factors.solve(b[:-1]), 0.0)

    def solve(b: Array) -> Array:
        u = solved(b)
        u += solved(b - laplacian @ u)  # what rounding left, for the smallest eigenvalues are near it
        return np.asarray(u - u.mean())

    return solve


def _best(cut: Array, weight: Array, total: float) -> float:
    side = np.minimum(weight, total - weight)
    return float((cut[side > 0] / side[side > 0]).min())


def _sweep(matrix: Any, weights: Array) -> float:
    """The best of the n - 1 cuts between those who come first in the order of u and the others."""
    value, u = _second(matrix, weights)
    if value == 0.0:
        return 0.0
    order = np.argsort(u, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ends = matrix.tocoo()
    first, last = place[ends.row], place[ends.col]
    forward = first < last  # an edge crosses the cuts after its first end and before its last
    crossing = np.bincount(first[forward], minlength=len(order)) - np.bincount(last[forward], minlength=len(order))
    return _best(np.cumsum(crossing)[:-1], np.cumsum(weights[order])[:-1], float(weights.sum()))


def _all_cuts(matrix: Any, weights: Array) -> float:
    """The best of all 2^(n-1) - 1 cuts; the last peer stays on the other side."""
    if not _is_connected(matrix):
        return 0.0
    whole, degrees, cut = matrix.toarray(), _degrees(matrix), np.zeros(1)
    for peer in range(len(weights) - 1):
        inside = _sums(whole[peer, :peer])  # its edges into each set, which are cut no more
        cut = np.concatenate((cut, cut + degrees[peer] - 2 * inside))
    return _best(cut[1:], _sums(weights[:-1])[1:], float(weights.sum()))


def _sums(values: Array) -> Array:
    """The sum of every subset, in the order of their numbers: bit i says whether value i is in it."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums, sums + value))
    return sums


def _random_cuts(matrix: Any, weights: Array, cuts: int, seed: int) -> float:
    if not _is_connected(matrix):
        return 0.0
    drawn, best, total = np.random.default_rng(seed), inf, float(weights.sum())
    for _ in range(cuts):
        side = drawn.integers(0, 2, len(weights)).astype(np.float64)
        if 0 < side.sum() < len(side):
            best = min(best, _best(np.array([side @ (matrix @ (1 - side))]), np.array([weights @ side]), total))
    return best
