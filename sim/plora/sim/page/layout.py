"""Where peers are drawn: numbers from 0 to 1000, the same for equal links.

- Rings, small worlds and complete graphs are circles. Others are drawn by springs; with more than `SPRINGS_MAX` peers,
  springs take too long, and the plane is spanned by two eigenvectors of the Laplacian.
- Each component has a square of its own, whose area grows with its peers; squares stand in rows, the largest first.

>>> places_of(4, [(0, 1), (1, 2), (2, 3), (0, 3)], "ring")
[[1000, 500], [500, 1000], [0, 500], [500, 0]]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plora.proto.errors import UsageError

if TYPE_CHECKING:
    import networkx as nx

CIRCLES = frozenset({"ring", "ws", "complete"})
SPRINGS_MAX = 3000
SIDE = 1000
GAP = 0.15
"""Between squares, of what one peer has."""

Places = np.ndarray[Any, np.dtype[np.float64]]


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
    parts = sorted((sorted(part) for part in nx.connected_components(graph)), key=lambda part: (-len(part), part[0]))
    places = np.zeros((peers, 2))
    for part, (corner, side) in zip(parts, _squares([len(part) for part in parts]), strict=True):
        places[part] = corner + side * _drawn(graph.subgraph(part), part, kind)
    rounded: list[list[int]] = np.rint(_scaled(places) * SIDE).astype(int).tolist()
    return rounded


def _squares(sizes: Sequence[int]) -> Iterator[tuple[Places, float]]:
    """A corner and the side of the square of each component, row by row."""
    wide = max(np.sqrt(sizes[0]), np.sqrt(sum(sizes)) * (1 + GAP))
    x = y = high = 0.0
    for side in np.sqrt(sizes):
        if x and x + side > wide + GAP:
            x, y, high = 0.0, y + high + GAP, 0.0
        yield np.array([x, y]), float(side) - (GAP if len(sizes) > 1 else 0.0)
        x, high = x + side + GAP, max(high, side)


def _drawn(graph: nx.Graph[int], part: Sequence[int], kind: str) -> Places:
    """The places of a component from 0 to 1."""
    import networkx as nx

    found: dict[int, Places]
    if kind in CIRCLES:
        found = nx.circular_layout(graph)
    elif len(part) <= SPRINGS_MAX:
        found = nx.spring_layout(graph, iterations=_steps(len(part)), seed=0)
    else:
        found = nx.spectral_layout(graph)
    return _scaled(np.array([found[peer] for peer in part]))


def _steps(peers: int) -> int:
    """Few peers have time to find a good place, and are looked at more closely."""
    return 300 if peers <= 100 else 50


def _scaled(places: Places) -> Places:
    low, high = places.min(axis=0), places.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled: Places = np.where(high > low, (places - low) / span, 0.5)
    return scaled
