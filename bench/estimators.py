"""Estimators of information beside scikit-learn and dit: error, coverage of intervals, time.

    make bench-estimators

Rules:

- Time is CPU time of one thread, the least of `TRIES`, of equal values: scikit-learn's estimator is the one inside
  `mutual_info_regression`, without its noise; for several coordinates, the same from scikit-learn's own trees.
- Error is the root mean square over `SEEDS` samples of Gaussians, whose information is known; coverage is the share of
  95 % intervals that hold it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from math import log
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.report import Row, finish
from scipy.special import digamma  # type: ignore[import-untyped]
from sklearn.feature_selection._mutual_info import _compute_mi_cc  # type: ignore[import-untyped]
from sklearn.neighbors import KDTree, NearestNeighbors  # type: ignore[import-untyped]

from plora.analysis.information import broja, mi_knn, mi_knn_interval

COMMAND = "make bench-estimators"
K, CORRELATION, SEEDS, TRIES = 3, 0.6, 100, 3
SPEEDS = ((1, 10_000, ">= 8"), (1, 100_000, ">= 5"), (5, 100_000, ">= 2.5"))


def gaussian(n: int, d: int, seed: int) -> tuple[Any, Any]:
    """Samples of d independent pairs of that correlation."""
    x, other = np.random.default_rng(seed).standard_normal((2, n, d))
    return x, CORRELATION * x + (1 - CORRELATION**2) ** 0.5 * other


def theirs(x: Any, y: Any) -> float:
    """scikit-learn's estimate."""
    if x.shape[1] == 1:
        return float(_compute_mi_cc(x[:, 0].copy(), y[:, 0].copy(), K))
    near = NearestNeighbors(metric="chebyshev", n_neighbors=K).fit(np.hstack((x, y)))
    radius = np.nextafter(near.kneighbors()[0][:, -1], 0)
    counts = [KDTree(side, metric="chebyshev").query_radius(side, radius, count_only=True) for side in (x, y)]
    return float(digamma(len(x)) + digamma(K) - sum(np.mean(digamma(count)) for count in counts))


def least(work: Callable[[], float], tries: int = TRIES) -> tuple[float, float]:
    """A value, and the least CPU seconds that it took."""
    spent = []
    for _ in range(tries):
        began = time.process_time()
        value = work()
        spent.append(time.process_time() - began)
    return value, min(spent)


def speeds() -> list[Row]:
    """How much faster than scikit-learn, and how far the values are apart."""
    rows, worst = [], 0.0
    for d, n, goal in SPEEDS:
        x, y = gaussian(n, d, seed=0)
        mi_knn(x[:100], y[:100])  # what is compiled once isn't counted
        tries = TRIES if d == 1 else 1
        (ours, fast), (peer, slow) = (least(partial(work, x, y), tries) for work in (mi_knn, theirs))
        worst = max(worst, abs(ours - peer))
        rows += [
            Row.of(f"KSG, {d}x{d}, n = {n:,}", slow / fast, "x", goal=goal, peer="scikit-learn", command=COMMAND),
            Row.of(f"KSG, {d}x{d}, n = {n:,}: CPU time", fast, "s", peer=f"scikit-learn {slow:.3g} s", command=COMMAND),
        ]
    return [*rows, Row.of("largest difference", worst, "nats", goal="<= 1e-10", peer="scikit-learn", command=COMMAND)]


def errors() -> list[Row]:
    """Error and coverage at small n."""
    true, rows = -0.5 * log(1 - CORRELATION**2), []
    for n in (200, 1000):
        samples = [gaussian(n, 1, seed) for seed in range(SEEDS)]
        for variant in (1, 2):
            off = [mi_knn(x, y, variant=variant) - true for x, y in samples]
            rows.append(
                Row.of(
                    f"KSG {variant}, n = {n:,}: error", float(np.sqrt(np.mean(np.square(off)))), "nats", command=COMMAND
                )
            )
        off = [theirs(x, y) - true for x, y in samples]
        rows.append(
            Row.of(f"scikit-learn, n = {n:,}: error", float(np.sqrt(np.mean(np.square(off)))), "nats", command=COMMAND)
        )
        found = [mi_knn_interval(x, y) for x, y in samples]
        held = float(np.mean([one.low <= true <= one.high for one in found]))
        rows.append(Row.of(f"95 % intervals, n = {n:,}: coverage", held, "", goal=">= 0.88", command=COMMAND))
    return rows


def decompositions() -> list[Row]:
    """AND by both, whose redundancy is known."""
    import dit

    p = np.zeros((2, 2, 2))
    p[[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]] = 0.25
    known = 1.5 - 0.75 * log(3, 2)
    their = dit.Distribution(["000", "010", "100", "111"], [0.25] * 4)
    broja(p)
    ours, fast = least(lambda: broja(p).redundancy)
    peer, slow = least(lambda: float(dit.pid.PID_BROJA(their)[((0,), (1,))]))
    return [
        Row.of(
            "BROJA of AND: error",
            abs(ours - known),
            "bits",
            goal="<= 1e-6",
            peer=f"dit {abs(peer - known):.1g}",
            command=COMMAND,
        ),
        Row.of("BROJA of AND: CPU time", fast * 1000, "ms", peer=f"dit {slow * 1000:.3g} ms", command=COMMAND),
    ]


if __name__ == "__main__":
    sys.exit(finish("estimators", [*speeds(), *errors(), *decompositions()]))
