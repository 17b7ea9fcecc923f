"""Every strategy on dense float64 matrices, as the papers define it and as slowly as that is: loops, numpy, scipy.

Operands are lists of modules: `updates[i][m]` is ΔW of operand i in module m. Each function gives the merged modules
before truncation. Nothing here comes from the package that is tested.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg  # type: ignore[import-untyped]
import scipy.optimize  # type: ignore[import-untyped]
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Updates = Sequence[Sequence[Matrix]]
Oracle = Callable[[Updates, Sequence[float]], list[Matrix]]

DENSITY = 0.4
BAD = 1


def each_module(merge: Callable[[list[Matrix], Sequence[float]], Matrix]) -> Oracle:
    def merge_all(updates: Updates, weights: Sequence[float]) -> list[Matrix]:
        return [merge(list(column), weights) for column in zip(*updates, strict=True)]

    return merge_all


def whole(combine: Callable[[Matrix, Sequence[float]], Matrix]) -> Oracle:
    """A rule on operands as long vectors (K, n)."""

    def merge_all(updates: Updates, weights: Sequence[float]) -> list[Matrix]:
        vectors = np.array([np.concatenate([matrix.ravel() for matrix in operand]) for operand in updates])
        merged = combine(vectors, weights)
        cuts = np.cumsum([matrix.size for matrix in updates[0]])[:-1]
        return [part.reshape(matrix.shape) for part, matrix in zip(np.split(merged, cuts), updates[0], strict=True)]

    return merge_all


def weighted_sum(matrices: list[Matrix], weights: Sequence[float]) -> Matrix:
    total = np.zeros_like(matrices[0])
    for matrix, weight in zip(matrices, weights, strict=True):
        total += weight * matrix
    return total


def ties_entry(values: list[float], weights: Sequence[float]) -> float:
    votes = sum(weight * value for weight, value in zip(weights, values, strict=True))
    agreeing = [(w, v) for w, v in zip(weights, values, strict=True) if w * v * votes > 0]
    if not agreeing:
        return 0.0
    mean = sum(w * v for w, v in agreeing) / sum(abs(w) for w, _ in agreeing)
    return mean * sum(abs(weight) for weight in weights)


def ties(matrices: list[Matrix], weights: Sequence[float], densities: Sequence[float] | None = None) -> Matrix:
    trimmed = []
    for matrix, density in zip(matrices, densities or [DENSITY] * len(matrices), strict=True):
        kept = int(np.ceil(density * matrix.size))
        smallest = sorted(np.abs(matrix).ravel(), reverse=True)[kept - 1]
        trimmed.append(np.where(np.abs(matrix) >= smallest, matrix, 0.0))
    merged = np.zeros_like(matrices[0])
    for place in np.ndindex(merged.shape):
        merged[place] = ties_entry([float(matrix[place]) for matrix in trimmed], weights)
    return merged


def knots(matrices: list[Matrix], weights: Sequence[float], densities: Sequence[float] | None = None) -> Matrix:
    u, s, vt = np.linalg.svd(np.hstack(matrices), full_matrices=False)
    there = s > 1e-9 * s[0]
    parts = np.split(s[there, None] * vt[there], len(matrices), axis=1)
    return np.asarray(u[:, there] @ ties(parts, weights, densities))


def core(matrices: list[Matrix], weights: Sequence[float], densities: Sequence[float] | None = None) -> Matrix:
    lefts, rights = [], []
    for matrix in matrices:
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        lefts.append(u * np.sqrt(s))
        rights.append(vt.T * np.sqrt(s))
    left, right = span(lefts), span(rights)
    parts = [left.T @ matrix @ right for matrix in matrices]
    return np.asarray(left @ ties(parts, weights, densities) @ right.T)


def span(columns: list[Matrix]) -> Matrix:
    u, s, _ = np.linalg.svd(np.hstack(columns), full_matrices=False)
    return np.asarray(u[:, s > 1e-7 * s[0]])


def tsv(matrices: list[Matrix], weights: Sequence[float]) -> Matrix:
    """With scipy's polar decomposition; the operands' ranks must add up to at most the smaller side."""
    us, ss, vs = [], [], []
    for matrix, weight in zip(matrices, weights, strict=True):
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        there = s > 1e-9 * s[0]
        us.append(u[:, there])
        ss.append(weight * s[there])
        vs.append(vt[there].T)
    left, _ = scipy.linalg.polar(np.hstack(us))
    right, _ = scipy.linalg.polar(np.hstack(vs))
    return np.asarray(left @ np.diag(np.concatenate(ss)) @ right.T)


def krum_order(vectors: Matrix) -> list[int]:
    scores = []
    for one in range(len(vectors)):
        far = sorted(float(np.sum((vectors[one] - vectors[two]) ** 2)) for two in range(len(vectors)) if two != one)
        scores.append(sum(far[: len(vectors) - BAD - 2]))
    return [int(place) for place in np.argsort(scores)]


def krum(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    return np.asarray(sum(weights) * vectors[krum_order(vectors)[0]])


def multi_krum(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    chosen = krum_order(vectors)[: len(vectors) - BAD]
    mean = sum(weights[place] * vectors[place] for place in chosen) / sum(weights[place] for place in chosen)
    return np.asarray(sum(weights) * mean)


def median_of(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    """By a general minimiser over combinations of the operands, not by Weiszfeld's iteration."""
    shares = np.asarray(weights) / sum(weights)

    def cost(combination: Matrix) -> tuple[float, Matrix]:
        apart = combination @ vectors - vectors
        far = np.sqrt(np.sum(apart**2, axis=1) + 1e-18)
        return float(shares @ far), np.asarray(vectors @ ((shares / far) @ apart))

    found = scipy.optimize.minimize(cost, shares, jac=True, method="BFGS", options={"gtol": 1e-10, "maxiter": 2000})
    return np.asarray(found.x @ vectors)


def geometric_median(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    return np.asarray(sum(weights) * median_of(vectors, weights))


def centred_clipping(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    shares = np.asarray(weights) / sum(weights)
    radius = np.median(np.linalg.norm(vectors - median_of(vectors, weights), axis=1))
    centre = np.zeros_like(vectors[0])
    for _ in range(3000):
        apart = vectors - centre
        clipped = [row * min(1.0, radius / float(np.linalg.norm(row))) for row in apart]
        before, centre = centre, centre + shares @ np.array(clipped)
        if np.array_equal(before, centre):
            break
    return np.asarray(sum(weights) * centre)


def nnm(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    mixed = []
    for one in vectors:
        order = np.argsort([float(np.linalg.norm(one - other)) for other in vectors])
        mixed.append(np.mean(vectors[order[: len(vectors) - BAD]], axis=0))
    return geometric_median(np.array(mixed), weights)


def norm_cap(vectors: Matrix, weights: Sequence[float]) -> Matrix:
    norms = np.linalg.norm(vectors, axis=1)
    cap = np.median(norms)
    return np.asarray(sum(w * row * min(1.0, cap / norm) for w, row, norm in zip(weights, vectors, norms, strict=True)))


# Random masks can't be foreseen from the paper alone: dare and dare_ties have tests of their own.
ORACLES: dict[str, Oracle] = {
    "weighted_sum": each_module(weighted_sum),
    "task_arithmetic": each_module(weighted_sum),
    "ties": each_module(ties),
    "knots": each_module(knots),
    "core": each_module(core),
    "tsv": each_module(tsv),
    "krum": whole(krum),
    "multi_krum": whole(multi_krum),
    "geometric_median": whole(geometric_median),
    "centred_clipping": whole(centred_clipping),
    "nnm": whole(nnm),
    "norm_cap": whole(norm_cap),
}


def best_of_rank(matrix: Matrix, rank: int) -> Matrix:
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray((u[:, :rank] * s[:rank]) @ vt[:rank])
