"""Robust rules: from the Gram matrix of the operands alone to weights. Float64 in, float64 out.

With G[i, j] = ⟨ΔWᵢ, ΔWⱼ⟩ over all modules that the plan treats alike, each rule gives weights c; the merged update is
Σ cᵢΔWᵢ: exact in factors, independent of the gauge, one matrix of K² numbers whatever the model's size. K operands of
weights w >= 0 (else refused), W = Σ wᵢ, pᵢ = wᵢ/W. Robust means are means: the result is W times a convex combination.

- `krum` (Blanchard et al. 2017): the operand whose K − f − 2 nearest others are nearest, in the sum of squared
  distances; `multi_krum`: the mean of the K − f operands of lowest score. Both need K >= 2f + 3.
- `geometric_median` (Pillutla et al. 2022): argmin Σ pᵢ‖ΔWᵢ − z‖. It is an operand where the others pull less than that
  one weighs (Kuhn 1973), else it is found by Weiszfeld's iteration and Newton's: the first alone nears a point at or
  close to an operand only as 1/k in k steps.
- `centred_clipping` (Karimireddy et al. 2021): z <- z + Σ pᵢ (ΔWᵢ − z) min(1, τ/‖ΔWᵢ − z‖), carried to its fixed point,
  where the start no longer matters. τ is `radius`, else the median distance from the geometric median.
- `nnm` (Allouah et al. 2023): each operand is replaced by the mean of its K − f nearest ones (itself among them), then
  the geometric median. Needs K > 2f.
- `norm_cap` (Sun et al. 2019): operands longer than `radius` (None: the median norm) are shortened to it, then Σ wᵢ·.
  Takes any weights.

f is `byzantine`. Of equal scores the first operand wins; operands come sorted by digest. Within one domain only: among
adapters of different domains each one looks like an outlier.

>>> gram = np.array([[1.0, 1.0, 0.0], [1.0, 1.21, 0.0], [0.0, 0.0, 100.0]])
>>> coefficients(Method(rule="norm_cap"), gram, [1.0, 1.0, 1.0]).round(2).tolist()
[1.0, 1.0, 0.11]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from plora.merge.factors import Array
from plora.merge.plan import Method
from plora.proto.errors import UsageError

ITERATIONS_MAX = 1_000
_STEP_LEAST = 1e-13
_SMOOTHING = 1e-9
"""Distances under this fraction of the largest norm count as this, so that no operand has all the influence."""
_TOGETHER = 1e-7
"""Operands no further apart than this fraction of the largest norm are one point: a Gram matrix tells no less."""
_PULL_MOST = 1.0 - 1e-9
"""Of an operand's weight, that it be the median: two of equal weight are both, and their mean is no worse."""


def coefficients(method: Method, gram: Array, weights: Sequence[float]) -> Array:
    """The weights (K,) that a robust rule gives to K operands of nonzero weights. Raises UsageError."""
    given = np.asarray(weights, np.float64)
    if method.rule == "norm_cap":
        return _norm_cap(gram, given, method)
    if (given < 0).any():
        raise UsageError(f"rule {method.rule} is a mean and takes no negative weights")
    total = float(given.sum())
    return np.asarray(total * _MEANS[method.rule](gram, given / total, method))


def _krum(gram: Array, shares: Array, method: Method) -> Array:
    return np.asarray(np.eye(len(shares))[np.argmin(_krum_scores(gram, method))])


def _multi_krum(gram: Array, shares: Array, method: Method) -> Array:
    best = np.argsort(_krum_scores(gram, method), kind="stable")[: len(shares) - method.byzantine]
    chosen = np.zeros_like(shares)
    chosen[best] = shares[best]
    return np.asarray(chosen / chosen.sum())


def _krum_scores(gram: Array, method: Method) -> Array:
    count, bad = len(gram), method.byzantine
    if count < 2 * bad + 3:
        raise UsageError(f"krum bears {bad} bad ones of at least {2 * bad + 3} adapters, not of {count}")
    squares = _squared_distances(gram)
    np.fill_diagonal(squares, np.inf)
    return np.asarray(np.sort(squares, axis=1)[:, : count - bad - 2].sum(axis=1))


def _geometric_median(gram: Array, shares: Array, method: Method) -> Array:
    at = _operand_at_the_median(gram, shares)
    return _clipped_mean(gram, shares, _distance_least(gram)) if at is None else at


def _operand_at_the_median(gram: Array, shares: Array) -> Array | None:
    """The weights of the operand, or of those at one point, that others can't pull away; None where there is none."""
    distances = np.sqrt(_squared_distances(gram))
    together = distances <= _TOGETHER * np.sqrt(np.diag(gram).max())
    for place, here in enumerate(together):
        pulls = np.where(here, 0.0, shares / np.where(here, 1.0, distances[place]))
        pulls[place] -= pulls.sum()
        weight = shares[here].sum()
        if pulls @ gram @ pulls < (_PULL_MOST * weight) ** 2:
            return np.asarray(np.where(here, shares, 0.0) / weight)
    return None


def _centred_clipping(gram: Array, shares: Array, method: Method) -> Array:
    radius = method.radius
    if radius is None:
        radius = float(np.median(_distances_from(gram, _geometric_median(gram, shares, method))))
    return _clipped_mean(gram, shares, radius)


def _nnm(gram: Array, shares: Array, method: Method) -> Array:
    count, bad = len(gram), method.byzantine
    if count <= 2 * bad:
        raise UsageError(f"nnm bears {bad} bad ones of more than {2 * bad} adapters, not of {count}")
    nearest = np.argsort(_squared_distances(gram), axis=1, kind="stable")[:, : count - bad]
    mixing = np.zeros_like(gram)
    np.put_along_axis(mixing, nearest, 1.0 / (count - bad), axis=1)
    return np.asarray(_geometric_median(mixing @ gram @ mixing.T, shares, method) @ mixing)


def _norm_cap(gram: Array, weights: Array, method: Method) -> Array:
    norms = np.sqrt(np.diag(gram))
    cap = float(np.median(norms)) if method.radius is None else method.radius
    return np.asarray(weights * np.divide(cap, norms, out=np.ones_like(norms), where=norms > cap))


_MEANS: Mapping[str, Callable[[Array, Array, Method], Array]] = MappingProxyType(
    {
        "krum": _krum,
        "multi_krum": _multi_krum,
        "geometric_median": _geometric_median,
        "centred_clipping": _centred_clipping,
        "nnm": _nnm,
    }
)


def _clipped_mean(gram: Array, shares: Array, radius: float) -> Array:
    """Where the operands, each pulling by its distance but by `radius` at most, are in balance; from c = p.

    A step of the iteration goes to the mean by influence, min(1, radius / distance). Newton's goes on from there,
    and is taken where it leaves less than half of the force that ever was left.
    """
    current, least = shares, np.inf
    for _ in range(ITERATIONS_MAX):
        following, left = _by_influence(gram, shares, radius, current)
        if np.abs(following - current).max() < _STEP_LEAST:
            return following
        least = min(least, left)
        further = _by_newton(gram, shares, radius, following)
        if _by_influence(gram, shares, radius, further)[1] < least / 2:
            following = further
        current = following
    return current


def _by_influence(gram: Array, shares: Array, radius: float, point: Array) -> tuple[Array, float]:
    """The mean by the influence that operands have at a point (K,), and the force on that point."""
    weighted = shares * np.minimum(1.0, radius / _distances_from(gram, point))
    force = weighted - weighted.sum() * point
    return np.asarray(weighted / weighted.sum()), float(np.sqrt(max(force @ gram @ force, 0.0)))


def _by_newton(gram: Array, shares: Array, radius: float, point: Array) -> Array:
    """Where Newton's step leads from a point (K,), by the force there and how it changes; the point if nowhere."""
    distances = _distances_from(gram, point)
    weighted = shares * np.minimum(1.0, radius / distances)
    bent = np.where(distances > radius, weighted / distances**2, 0.0)
    away = point[:, None] - np.eye(len(point))
    change = weighted.sum() * np.eye(len(point)) - (away * bent) @ away.T @ gram
    try:
        return np.asarray(point + np.linalg.solve(change, weighted - weighted.sum() * point))
    except np.linalg.LinAlgError:
        return point


def _distances_from(gram: Array, point: Array) -> Array:
    """‖ΔWᵢ − Σ cⱼΔWⱼ‖, smoothed: never 0."""
    toward = gram @ point
    squares = np.diag(gram) - 2.0 * toward + point @ toward
    return np.asarray(np.sqrt(np.maximum(squares, 0.0) + _distance_least(gram) ** 2))


def _distance_least(gram: Array) -> float:
    return _SMOOTHING * float(np.sqrt(np.diag(gram).max())) or 1.0


def _squared_distances(gram: Array) -> Array:
    norms = np.diag(gram)
    return np.asarray(np.maximum(norms[:, None] + norms - 2.0 * gram, 0.0))
