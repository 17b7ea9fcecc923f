"""Graphs of who knows whom: peers 0 … n-1, and undirected edges between them without loops or doubles.

Rules:

- Equal arguments, equal graph, on every machine: what is drawn is counted (`plora.sim.counter`).
- A random graph may fall apart, and says so (`is_connected`, `components`). With `connected=True` it is drawn again
  from the seed's next sequence, until all can reach all or so much has been drawn in vain that it is hopeless.
- Which variant of a family it is stands at its function: the names in the literature cover several.
- A graph has at most `EDGES_MAX` edges.

Not handled here: edges that are down for a round (`plora.sim.counter.edges_down`), spectra (`plora.analysis.spectra`).

>>> ring(4).pairs()
[(0, 1), (0, 3), (1, 2), (2, 3)]
>>> erdos_renyi_graph(20, 0.1, seed=3).is_connected
False
>>> erdos_renyi_graph(20, 0.1, seed=3, connected=True).is_connected
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log1p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plora.proto.errors import UsageError
from plora.sim import counter, scenario

Edges = list[tuple[int, int]]

EDGES_MAX = 100_000_000
TRIES_MAX = 1000
DRAWN_MAX = 50_000_000
"""How many peers and edges are drawn at most, all tries together, to find a connected graph."""


@dataclass(frozen=True, eq=False)
class Graph:
    """`n` peers and their edges: shape (m, 2), int32, the smaller end first, in ascending order. See `graph_of`."""

    n: int
    edges: NDArray[np.int32]

    def csr(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """`indptr` (n + 1) and `indices` (2m): v's neighbours, ascending, are `indices[indptr[v]:indptr[v + 1]]`."""
        return self._csr

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """How many neighbours each peer has."""
        return np.bincount(self.edges.ravel(), minlength=self.n)

    def components(self) -> NDArray[np.int32]:
        """For each peer the number of its component; components count from 0 in the order of their first peers."""
        return self._components

    @property
    def is_connected(self) -> bool:
        """Whether everybody can reach everybody."""
        return int(self._components.max()) == 0

    def pairs(self) -> Edges:
        """The edges as plain tuples."""
        return [(a, b) for a, b in self.edges.tolist()]

    def neighbours(self) -> list[list[int]]:
        """For each peer, its neighbours in ascending order."""
        return neighbours(self.n, self.pairs())

    @cached_property
    def _csr(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        from scipy.sparse import coo_array  # type: ignore[import-untyped]

        # Smaller neighbours stand before greater ones; the counting sort by row keeps that.
        rows, columns = self.edges[:, ::-1].T.ravel(), self.edges.T.ravel()
        whole = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(self.n, self.n)).tocsr()
        return whole.indptr.astype(np.int64), whole.indices.astype(np.int32)

    @cached_property
    def _components(self) -> NDArray[np.int32]:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

        indptr, indices = self._csr
        matrix = csr_array((np.ones(len(indices), np.int8), indices, indptr), shape=(self.n, self.n))
        labels: NDArray[np.int32] = connected_components(matrix, directed=False)[1]
        return labels


def graph_of(n: int, edges: ArrayLike) -> Graph:
    """The graph of edges in any order and direction, doubles counted once; UsageError where an edge can't be."""
    found = np.asarray(edges, np.int64).reshape(-1, 2)
    _check_some(n)
    for a, b in found[(found < 0).any(1) | (found >= n).any(1) | (found[:, 0] == found[:, 1])][:1]:
        raise UsageError(f"no edge {a} - {b} among {n} peers", mend=f"two different numbers from 0 to {n - 1}")
    keys = np.sort(np.minimum(found[:, 0], found[:, 1]) * n + np.maximum(found[:, 0], found[:, 1]))
    keys = keys[np.diff(keys, prepend=-1) > 0]  # much faster than `np.unique`, which hashes
    _fits(len(keys))
    return Graph(n, np.stack((keys // n, keys % n), axis=1).astype(np.int32))


def complete(n: int) -> Graph:
    """Everybody knows everybody."""
    _check_complete(n)
    return Graph(n, _pairs_at(np.arange(n * (n - 1) // 2), n))


def ring(n: int) -> Graph:
    """A cycle; for n = 2 one edge, for n = 1 none."""
    _check_sparse(n, n)
    here = np.arange(n if n > 2 else n - 1)
    return graph_of(n, np.stack((here, (here + 1) % n), axis=1))


def star(n: int) -> Graph:
    """Peer 0 is the hub that all others know."""
    _check_sparse(n, n - 1)
    leaves = np.arange(1, n)
    return graph_of(n, np.stack((np.zeros_like(leaves), leaves), axis=1))


def hypercube(n: int) -> Graph:
    """Peers know those whose number differs in one bit; n is a power of two."""
    _check_hypercube(n)
    here = np.arange(n)
    flipped = [np.stack((here, here ^ (1 << bit)), axis=1) for bit in range(n.bit_length() - 1)]
    return graph_of(n, np.concatenate(flipped) if flipped else [])


def erdos_renyi_graph(n: int, p: float, seed: int, *, connected: bool = False) -> Graph:
    """G(n, p), Gilbert's variant: each pair has an edge with probability p, whatever the others have.

    Drawn by skipping from edge to edge in time O(n + m), Batagelj and Brandes, "Efficient generation of large random
    networks", Phys. Rev. E 71, 036113 (2005).
    """
    _check_er(n, p)
    if p == 1.0:
        return complete(n)
    start = counter.key(seed, "erdos-renyi")
    return _drawn(lambda attempt: _skipping(n, p, start, attempt), connected, f"of {n} peers with p = {p}", "raise p")


def watts_strogatz_graph(n: int, k: int, beta: float, seed: int, *, connected: bool = False) -> Graph:
    """A ring on which each peer knows the k nearest, whose edges then get another far end with probability beta.

    Watts and Strogatz, "Collective dynamics of 'small-world' networks", Nature 393 (1998): edges are visited by
    distance, then by peer; the new end is uniform over those that give neither loop nor double; n k / 2 edges remain.
    It is networkx's `watts_strogatz_graph` with even k.
    """
    _check_ws(n, k, beta)
    from plora.sim.wiring import rewired

    start = counter.key(seed, "watts-strogatz")
    here = np.repeat(np.arange(n), k // 2)

    def draw(attempt: int) -> Graph:
        far = rewired(n, k // 2, beta, start, np.uint64(attempt))
        return graph_of(n, np.stack((here, far.ravel()), axis=1))

    return _drawn(draw, connected, f"of {n} peers with k = {k} and beta = {beta}", "raise k, or lower beta")


def barabasi_albert_graph(n: int, m: int, seed: int) -> Graph:
    """Peers come one by one, and each gets to know m different ones with probabilities as their degrees.

    Barabási and Albert, "Emergence of scaling in random networks", Science 286 (1999), who leave open how it starts and
    what a repeated choice means: here it starts from a star of m + 1 peers, and a repetition is drawn again, as
    networkx's `barabasi_albert_graph`. Always connected; m (n - m) edges.
    """
    _check_ba(n, m)
    from plora.sim.wiring import attached

    return graph_of(n, attached(n, m, counter.key(seed, "barabasi-albert")))


def random_regular_graph(n: int, d: int, seed: int, *, connected: bool = False) -> Graph:
    """Everybody knows d others; nearly uniform over such graphs, as networkx's `random_regular_graph`.

    Steger and Wormald, "Generating random regular graphs quickly" (1999): stubs are paired at random, pairs that are
    loops or doubles are paired anew, and it starts over where that can't end. Where d is above half, the complement is
    drawn.
    """
    _check_regular(n, d)
    start = counter.key(seed, "random-regular")

    def draw(attempt: int) -> Graph:
        if 2 * d < n:
            return _paired(n, d, start, attempt)
        sparse = _paired(n, n - 1 - d, start, attempt)
        whole = complete(n)
        return Graph(n, whole.edges[~_among(_keys(whole), _keys(sparse))])

    return _drawn(draw, connected, f"of {n} peers that each know {d}", "raise d")


def of(wanted: scenario.Graph, agents: int, seed: int) -> Graph:
    """The graph that a scenario asks for; UsageError where there is none, or none that is connected and it must be."""
    made = KINDS[wanted.kind](wanted, agents, seed)
    if wanted.connected and not made.is_connected:
        raise UsageError(f"the graph ({wanted.kind}) is not connected", mend="drop `connected`, or add edges")
    return made


def components(n: int, edges: Edges) -> list[int]:
    """For each peer the number of its component, in the order of their first peers; none of no peers."""
    if not n:
        return []
    found: list[int] = graph_of(n, edges).components().tolist()
    return found


def neighbours(n: int, edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """For each peer, its neighbours in ascending order."""
    near: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    return [sorted(others) for others in near]


def _of_file(wanted: scenario.Graph, agents: int) -> Graph:
    from plora.sim.graph_files import read

    return read(_named_file(wanted), agents)


KINDS: Mapping[scenario.GraphKind, Callable[[scenario.Graph, int, int], Graph]] = {
    "er": lambda wanted, n, seed: erdos_renyi_graph(n, wanted.p, seed, connected=wanted.connected),
    "ws": lambda wanted, n, seed: watts_strogatz_graph(n, wanted.k, wanted.beta, seed, connected=wanted.connected),
    "ba": lambda wanted, n, seed: barabasi_albert_graph(n, wanted.m, seed),
    "regular": lambda wanted, n, seed: random_regular_graph(n, wanted.d, seed, connected=wanted.connected),
    "complete": lambda wanted, n, seed: complete(n),
    "ring": lambda wanted, n, seed: ring(n),
    "star": lambda wanted, n, seed: star(n),
    "hypercube": lambda wanted, n, seed: hypercube(n),
    "file": lambda wanted, n, seed: _of_file(wanted, n),
}


def check(wanted: scenario.Graph, agents: int, where: str = "") -> None:
    """UsageError where there is no such graph of so many peers, whatever is drawn; files aren't opened."""
    try:
        CHECKS[wanted.kind](wanted, agents)
    except UsageError as error:
        raise UsageError(error.what, where=where, mend=error.mend) from None


CHECKS: Mapping[scenario.GraphKind, Callable[[scenario.Graph, int], object]] = {
    "er": lambda wanted, n: _check_er(n, wanted.p),
    "ws": lambda wanted, n: _check_ws(n, wanted.k, wanted.beta),
    "ba": lambda wanted, n: _check_ba(n, wanted.m),
    "regular": lambda wanted, n: _check_regular(n, wanted.d),
    "complete": lambda wanted, n: _check_complete(n),
    "ring": lambda wanted, n: _check_sparse(n, n),
    "star": lambda wanted, n: _check_sparse(n, n - 1),
    "hypercube": lambda wanted, n: _check_hypercube(n),
    "file": lambda wanted, n: _named_file(wanted),
}


def _check_some(n: int) -> None:
    _check(n >= 1, f"no graph of {n} peers", "use one peer at least")


def _check_sparse(n: int, edges: int) -> None:
    _check_some(n)
    _fits(edges)


def _check_complete(n: int) -> None:
    _check_some(n)
    _fits(n * (n - 1) / 2)


def _check_hypercube(n: int) -> None:
    _check(n >= 1 and n & (n - 1) == 0, f"no hypercube of {n} peers", "use a power of two of them")
    _fits(n * (n.bit_length() - 1) / 2)


def _check_er(n: int, p: float) -> None:
    _check_some(n)
    _check(0.0 <= p <= 1.0, f"no graph with edge probability {p}", "use a p from 0 to 1")
    _fits(n * (n - 1) / 2 * p)


def _check_ws(n: int, k: int, beta: float) -> None:
    mend = "use an even k from 2 that is below the number of peers"
    _check(n > k >= 2 and k % 2 == 0, f"no ring of {n} peers that know the {k} nearest", mend)
    _check(0.0 <= beta <= 1.0, f"{beta} is no probability", "use a beta from 0 to 1")
    _fits(n * k / 2)


def _check_ba(n: int, m: int) -> None:
    mend = "use an m from 1 that is below the number of peers"
    _check(1 <= m < n, f"no graph of {n} peers that get to know {m}", mend)
    _fits(m * (n - m))


def _check_regular(n: int, d: int) -> None:
    mend = "use a d below the number of peers, and an even one where that number is odd"
    _check(0 <= d < n and n * d % 2 == 0, f"no graph of {n} peers that each know {d}", mend)
    _fits(n * d / 2)


def _named_file(wanted: scenario.Graph) -> Path:
    if wanted.file is None:
        mend = "name an edge list or GraphML by --graph_file, or by `file` in the table `graph`"
        raise UsageError("the graph's file isn't named", mend=mend)
    return wanted.file


def _check(holds: bool, said: str, mend: str) -> None:
    if not holds:
        raise UsageError(said, mend=mend)


def _fits(edges: float) -> None:
    _check(edges <= EDGES_MAX, f"a graph of {edges:.0f} edges is too large", f"have at most {EDGES_MAX} edges")


def _drawn(draw: Callable[[int], Graph], connected: bool, what: str, mend: str) -> Graph:
    """The first draw, or the first connected one."""
    drawn = 0
    for attempt in range(TRIES_MAX):
        graph = draw(attempt)
        if not connected or graph.is_connected:
            return graph
        drawn += graph.n + len(graph.edges)
        if drawn > DRAWN_MAX:
            break
    raise UsageError(f"no connected graph {what} in {attempt + 1} tries", mend=mend)


def _keys(graph: Graph) -> NDArray[np.int64]:
    """A number for each edge, ascending."""
    return graph.edges[:, 0] * np.int64(graph.n) + graph.edges[:, 1]


def _pairs_at(places: NDArray[np.int64], n: int) -> NDArray[np.int32]:
    """The pairs at ascending places of the list (0, 1), (0, 2) … (n-2, n-1)."""
    from_end = n * (n - 1) // 2 - 1 - places
    row = ((1 + np.sqrt(1.0 + 8.0 * from_end)) / 2).astype(np.int64)
    row -= row * (row - 1) // 2 > from_end  # the root is rounded
    row += row * (row + 1) // 2 <= from_end
    return np.stack((n - 1 - row, n - 1 - from_end + row * (row - 1) // 2), axis=1).astype(np.int32)


def _skipping(n: int, p: float, start: np.uint64, attempt: int) -> Graph:
    """G(n, p) for p < 1: the distances between edges in the list of all pairs are geometric."""
    total, last, items = n * (n - 1) // 2, -1, 0
    places: list[NDArray[np.int64]] = []
    batch = int(total * p + 6 * (total * p) ** 0.5) + 16
    while p > 0.0 and last < total - 1:
        drawn = counter.uniform(counter.words(start, attempt, np.arange(items, items + batch)))
        gaps = np.minimum(np.log1p(-drawn) / log1p(-p), total).astype(np.int64) + 1
        places.append(last + np.cumsum(gaps))
        last, items = int(places[-1][-1]), items + batch
    found = np.concatenate([np.empty(0, np.int64), *places])
    return Graph(n, _pairs_at(found[found < total], n))


def _paired(n: int, d: int, start: np.uint64, attempt: int) -> Graph:
    """A random d-regular graph by pairing; each shuffle takes as many items as stubs are left."""
    of_attempt, items = counter.words(start, attempt, np.arange(1))[0], 0
    while True:
        stubs, keys = np.repeat(np.arange(n), d), np.empty(0, np.int64)
        while len(stubs) and not _stuck(stubs, keys, n):
            order = np.argsort(counter.words(of_attempt, 0, np.arange(items, items + len(stubs))))
            items += len(stubs)
            keys, stubs = _join(stubs[order].reshape(-1, 2), keys, n)
        if not len(stubs):
            return Graph(n, np.stack((keys // n, keys % n), axis=1).astype(np.int32))


def _join(pairs: NDArray[np.int64], keys: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Keep the pairs that are edges; the new sorted keys, and the stubs of the pairs that are none."""
    wanted = np.minimum(pairs[:, 0], pairs[:, 1]) * n + np.maximum(pairs[:, 0], pairs[:, 1])
    order = np.argsort(wanted, kind="stable")
    good = np.empty(len(pairs), bool)
    good[order] = np.diff(wanted[order], prepend=-1) > 0
    good &= (pairs[:, 0] != pairs[:, 1]) & ~_among(wanted, keys)
    return np.sort(np.concatenate((keys, wanted[good]))), pairs[~good].ravel()


def _stuck(stubs: NDArray[np.int64], keys: NDArray[np.int64], n: int) -> bool:
    """Whether no two of the peers whose stubs are left may still be joined."""
    ends = np.unique(stubs)
    if len(ends) * (len(ends) - 1) // 2 > len(keys):
        return False
    a, b = np.triu_indices(len(ends), 1)
    return bool(_among(ends[a] * n + ends[b], keys).all())


def _among(wanted: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the wanted are among the ascending keys."""
    if not len(keys):
        return np.zeros(len(wanted), bool)
    found: NDArray[np.bool_] = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
    return found
