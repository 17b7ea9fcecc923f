"""Who got it from whom: one adapter's way through the swarm as a tree.

Rules:

- A peer's parent is the one that it first heard of it from. Who heard of it from nobody, or from a peer that has no
  log, is a root.
- A ring of parents (clocks or logs that lie) is cut at its first peer, which becomes a root.

>>> tree = tree_of({1: 0, 2: 0, 3: 2, 0: -1})
>>> tree.depths, tree.by_depth, tree.most_children
({1: 1, 2: 1, 3: 2, 0: 0}, [1, 2, 1], (0, 2))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tree:
    """`depths`: steps of each peer from a root; `by_depth`: how many are so far; who told most, and how many."""

    depths: dict[int, int]
    by_depth: list[int]
    most_children: tuple[int, int] | None

    @property
    def mean_depth(self) -> float | None:
        """Steps from a root, on average over those who aren't one."""
        far = [depth for depth in self.depths.values() if depth]
        return sum(far) / len(far) if far else None


def tree_of(parents: Mapping[int, int]) -> Tree:
    """The tree of who has whom as parent."""
    depths: dict[int, int] = {}
    for peer in parents:
        path = [peer]
        while path[-1] not in depths and (parent := parents[path[-1]]) in parents and parent not in path:
            path.append(parent)
        start = depths.get(path[-1], 0)
        for steps, one in enumerate(reversed(path)):
            depths.setdefault(one, start + steps)
    children = Counter(parent for parent in parents.values() if parent in parents)
    most = max(children.items(), key=lambda one: (one[1], -one[0]), default=None)
    counts = Counter(depths.values())
    by_depth = [counts[depth] for depth in range(max(counts, default=-1) + 1)]
    return Tree({peer: depths[peer] for peer in parents}, by_depth, most)
