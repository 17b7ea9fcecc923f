"""Graphs of who knows whom, as sorted edges between 0 … n-1. Deterministic by seed.

>>> ring(4)
[(0, 1), (0, 3), (1, 2), (2, 3)]
>>> erdos_renyi_graph(3, 1.0, seed=1)
[(0, 1), (0, 2), (1, 2)]
"""

from __future__ import annotations

from itertools import combinations
from random import Random

from plora.node.core.streams import Streams
from plora.proto.errors import UsageError

Edges = list[tuple[int, int]]

TRIES = 1000


def ring(n: int) -> Edges:
    """A cycle; for n = 2 one edge, for n = 1 none."""
    return sorted({(min(a, b), max(a, b)) for a, b in ((i, (i + 1) % n) for i in range(n)) if a != b})


def complete(n: int) -> Edges:
    """Everybody knows everybody."""
    return list(combinations(range(n), 2))


def erdos_renyi_graph(n: int, p: float, seed: int, *, connected: bool = False) -> Edges:
    """G(n, p). With `connected`, the first connected one of the seed's sequence; UsageError if there is none."""
    if not 0.0 <= p <= 1.0 or n < 1:
        raise UsageError(f"no graph of {n} peers with edge probability {p}", mend="n >= 1 and 0 <= p <= 1")
    draws = Streams(seed, "").stream("topology")
    for _ in range(TRIES):
        edges = _draw(n, p, draws)
        if not connected or is_connected(n, edges):
            return edges
    raise UsageError(f"no connected graph of {n} peers with p = {p} in {TRIES} tries", mend="raise p")


def is_connected(n: int, edges: Edges) -> bool:
    """Whether everybody can reach everybody."""
    return max(components(n, edges)) == 0


def components(n: int, edges: Edges) -> list[int]:
    """For each peer the number of its component, in the order of their first peers."""
    near, found, count = neighbours(n, edges), [-1] * n, 0
    for first in range(n):
        if found[first] >= 0:
            continue
        stack = [first]
        while stack:
            peer = stack.pop()
            if found[peer] < 0:
                found[peer] = count
                stack += near[peer]
        count += 1
    return found


def neighbours(n: int, edges: Edges) -> list[list[int]]:
    """For each peer, its neighbours in ascending order."""
    near: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    return [sorted(others) for others in near]


def _draw(n: int, p: float, draws: Random) -> Edges:
    return [pair for pair in combinations(range(n), 2) if draws.random() < p]
