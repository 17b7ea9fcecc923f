"""How far a trojan can come: site percolation under verdicts that stick, and thresholds of epidemics.

Rules:

- Each peer lets a plasmid through with probability q, once and for all: peers judge by what they find in it, not anew
  at each exposure. Whom it can reach is then a component of those who let it through.
- Graphs are random ones with given degrees (the configuration model), by generating functions: Callaway et al.,
  "Network robustness and fragility" (Phys. Rev. Lett. 85, 2000); Newman, Strogatz and Watts (Phys. Rev. E 64, 2001).
- All peers run the same checks, so verdicts on one plasmid are alike: q itself is drawn for each plasmid, from the beta
  distribution of which two peers' verdicts have the given correlation (as `plora.sim.fleet.gates` draws them).

Not handled here: graphs with many triangles (Watts-Strogatz with few shortcuts), for which these shares are too large.

>>> round(passing_needed([3] * 10), 3)  # random regular graphs of degree 3: 1 / (d - 1)
0.5
>>> round(reached_share([3] * 10, 0.4), 3), round(reached_share([3] * 10, 1.0), 3)
(0.0, 1.0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plora.analysis.spectra import Csr, Neighbours, adjacency

Array = NDArray[np.float64]
DRAWS = 400


def passing_needed(degrees: ArrayLike) -> float:
    """q = ⟨k⟩ / (⟨k²⟩ - ⟨k⟩): where fewer let it through it stays among few; above 1 it stays there whatever they do.

    It goes to 0 as ⟨k²⟩ grows: with scale-free degrees no detection rate short of all is enough.
    """
    found = np.asarray(degrees, np.float64)
    further = float((found**2).mean() - found.mean())
    return float(found.mean()) / further if further > 0 else np.inf


def reached_share(degrees: ArrayLike, q: float) -> float:
    """The share of all peers in the giant component of those who let it through: S = q (1 - G₀(u)).

    u = 1 - q + q G₁(u) is the probability that an edge leads nowhere large. Raises ValueError for a q that is none.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a probability is from 0 to 1, not {q}")
    counts = np.bincount(np.asarray(degrees, np.int64)).astype(np.float64)
    if q == 0 or not counts[1:].any():
        return 0.0
    if q == 1 and counts[1] == 0:  # no edge is an end, be it that all lie on circles
        return float(1 - counts[0] / counts.sum())
    if q * (1 / passing_needed(degrees)) <= 1:
        return 0.0
    chance, k = counts / counts.sum(), np.arange(len(counts))
    further = k * chance / (k @ chance)
    low, high = 0.0, 1.0  # u = 1 is always a solution; the other one lies below it
    for _ in range(100):
        u = (low + high) / 2
        low, high = (low, u) if 1 - q + q * float(further[1:] @ u ** (k[1:] - 1)) < u else (u, high)
    return q * (1 - float(chance @ low**k))


def with_correlation(share: Callable[[float], float], q: float, correlation: float) -> float:
    """The mean of `share(q)` over plasmids, verdicts on each being alike: 0 as before, 1 all peers or none."""
    return float(np.mean([share(one) for one in passing_quantiles(q, correlation)]))


def outbreak_chance(degrees: ArrayLike, q: float, correlation: float) -> float:
    """The chance that a plasmid finds more to let it through than `passing_needed`: then it comes to many."""
    return float(np.mean(np.array(passing_quantiles(q, correlation)) > passing_needed(degrees)))


def passing_quantiles(q: float, correlation: float) -> Sequence[float]:
    """`DRAWS` equally likely values of the share of peers that let a plasmid through, with mean q."""
    if not (0 <= q <= 1 and 0 <= correlation <= 1):
        raise ValueError(f"a probability and a correlation are from 0 to 1, not {q} and {correlation}")
    at = (np.arange(DRAWS) + 0.5) / DRAWS
    if correlation == 0 or q in (0, 1):
        return [q] * DRAWS
    if correlation == 1:
        return [float(one) for one in at > 1 - q]
    from scipy.stats import beta  # type: ignore[import-untyped]

    weight = (1 - correlation) / correlation
    found: list[float] = beta.ppf(at, q * weight, (1 - q) * weight).tolist()
    return found


def epidemic_threshold(graph: Neighbours | Csr) -> float:
    """1 / λ_max(A): the rate of passing on, relative to forgetting, above which an SIS epidemic stays.

    It is for epidemics in which everybody meets all neighbours at once (Wang et al., "Epidemic spreading in real
    networks", SRDS 2003). With one call a round the matrix is D⁻¹A, whose largest eigenvalue is 1 on every graph, so
    the threshold is 1: gossip that nobody forgets has none.
    """
    from scipy.sparse.linalg import eigsh  # type: ignore[import-untyped]

    matrix = adjacency(graph)
    if matrix.shape[0] < 3:
        return 1.0 if matrix.nnz else np.inf
    start = np.ones(matrix.shape[0])
    found = float(eigsh(matrix, k=1, which="LA", v0=start, return_eigenvectors=False)[0]) if matrix.nnz else 0.0
    return 1 / found if found > 0 else np.inf
