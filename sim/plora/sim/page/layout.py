"""Where peers are drawn: numbers from 0 to 1000, the same for equal links.

Rings, small worlds and complete graphs are circles. Others are drawn by springs, in components side by side; with more
than `SPRINGS_MAX` peers, springs take too long, and the plane is spanned by two eigenvectors of the Laplacian.

>>> places_of(4, [(0, 1), (1, 2), (2, 3), (0, 3)], "ring")
[[1000, 500], [500, 1000], [0, 500], [500, 0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plora.proto.errors import UsageError

CIRCLES = frozenset({"ring", "ws", "complete"})
SPRINGS_MAX = 3000
SIDE = 1000


def places_of(peers: int, links: Sequence[tuple[int, int]], kind: str) -> list[list[int]]:
    """The place of each peer, [x, y]."""
    if not peers:
        return []
    try:
        import networkx as nx
    except ModuleNotFoundError:
        raise UsageError("networkx is not installed", where="--page", mend="pip install 'plora[sim]'") from None
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(peers))
    graph.add_edges_from(links)
    if kind in CIRCLES:
        found = nx.circular_layout(graph)
    elif peers <= SPRINGS_MAX:
        found = nx.spring_layout(graph, iterations=_steps(peers), seed=0)
    else:
        found = nx.spectral_layout(graph)
    return _scaled(np.array([found[peer] for peer in range(peers)]))


def _steps(peers: int) -> int:
    """Few peers have time to find a good place, and are looked at more closely."""
    return 300 if peers <= 100 else 50


def _scaled(places: np.ndarray[Any, Any]) -> list[list[int]]:
    low, high = places.min(axis=0), places.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled = np.where(high > low, (places - low) / span, 0.5)
    rounded: list[list[int]] = np.rint(scaled * SIDE).astype(int).tolist()
    return rounded
