"""The two families of graphs that must be wired edge by edge, as compiled loops. See `plora.sim.topology`.

Each decision draws from a sequence of its own, so that a repeated draw shifts no other.

>>> rewired(6, 1, 0.0, np.uint64(1), np.uint64(0)).ravel().tolist()
[1, 2, 3, 4, 5, 0]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plora.sim import counter
from plora.sim.compiled import compiled, inlined

nth, uniform = inlined(counter.nth), inlined(counter.uniform)


@compiled
def rewired(n: int, half: int, beta: float, key: np.uint64, attempt: np.uint64) -> NDArray[np.int32]:
    """The far ends, shape (n, half), of the edges that each peer owns: to its right neighbours, or rewired."""
    start = nth(key, attempt)
    far = np.empty((n, half), np.int32)
    for peer in range(n):
        for place in range(half):
            far[peer, place] = (peer + 1 + place) % n
    degrees = np.full(n, 2 * half, np.int64)
    for place in range(half):
        for peer in range(n):
            of_edge = nth(start, np.uint64(peer * half + place))
            if uniform(nth(of_edge, np.uint64(0))) < beta and degrees[peer] < n - 1:
                end = _free_end(far, peer, of_edge)
                degrees[far[peer, place]] -= 1
                degrees[end] += 1
                far[peer, place] = end
    return far


@compiled
def _free_end(far: NDArray[np.int32], peer: int, of_edge: np.uint64) -> int:
    draw = 1
    while True:
        end = int(uniform(nth(of_edge, np.uint64(draw))) * len(far))
        if end != peer and not _has(far[peer], end) and not _has(far[end], peer):
            return end
        draw += 1


@compiled
def attached(n: int, m: int, key: np.uint64) -> NDArray[np.int32]:
    """The edges, shape (m (n - m), 2), of preferential attachment to a star of m + 1 peers."""
    edges = np.empty((m * (n - m), 2), np.int32)
    for leaf in range(m):
        edges[leaf, 0], edges[leaf, 1] = 0, leaf + 1
    ends = edges.ravel()  # each peer stands in it as often as it has neighbours
    for peer in range(m + 1, n):
        of_peer, draw, known = nth(key, np.uint64(peer)), 0, m * (peer - m)
        for place in range(known, known + m):
            end = ends[int(uniform(nth(of_peer, np.uint64(draw))) * 2 * known)]
            draw += 1
            while _has(edges[known:place, 0], end):
                end = ends[int(uniform(nth(of_peer, np.uint64(draw))) * 2 * known)]
                draw += 1
            edges[place, 0], edges[place, 1] = end, peer
    return edges


@compiled
def _has(peers: NDArray[np.int32], one: int) -> bool:
    for peer in peers:  # noqa: SIM110 - numba has no `any` of a generator
        if peer == one:
            return True
    return False
