"""Who can be reached at all: shares are of the peers in those components of the graph that hold a publisher.

Peers that break rules are not counted: what they take up is their own matter.

>>> truth = [Truth("p0", "ab" * 32, "legal", "clean", "ada", peer=0, round=0.0)]
>>> reach = Reach([0, 0, 1], truth)
>>> reach.of_adapter(0).tolist(), reach.of_domain("legal").tolist(), reach.size
([True, True, False], [True, True, False], 2)
>>> Reach([0, 0, 1], truth, adversaries=[1]).size
1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plora.sim.truth import Truth

Mask = np.ndarray[Any, np.dtype[np.bool_]]


class Reach:
    """The peers that each adapter can get to. `components`: for each peer the number of its component."""

    def __init__(self, components: ArrayLike, truth: Sequence[Truth], adversaries: Iterable[int] = ()) -> None:
        self.components = np.asarray(components)
        self._honest = np.ones(len(self.components), dtype=bool)
        self._honest[list(adversaries)] = False
        self.truth = tuple(truth)
        self.domains = tuple(dict.fromkeys(one.domain for one in truth))

    @property
    def anybody(self) -> Mask:
        """Honest peers in a component that holds any publisher."""
        return self._with(self.truth)

    @property
    def deceivable(self) -> Mask:
        """Those of `anybody` who publish no trojan: whoever of them accepts one was deceived."""
        mask = self.anybody
        mask[[one.peer for one in self.truth if one.trojan]] = False
        return mask

    @property
    def size(self) -> int:
        """How many those are."""
        return int(self.anybody.sum())

    def of_domain(self, domain: str) -> Mask:
        """Honest peers in a component that holds a publisher of this domain."""
        return self._with([one for one in self.truth if one.domain == domain])

    def of_adapter(self, number: int) -> Mask:
        """Honest peers in the component of this adapter's publisher."""
        return self._with(self.truth[number : number + 1])

    def sizes(self) -> list[int]:
        """How many peers each component has, the largest first."""
        return sorted(np.bincount(self.components).tolist(), reverse=True)

    def _with(self, truth: Sequence[Truth]) -> Mask:
        publishers = self.components[[one.peer for one in truth]]
        mask: Mask = np.isin(self.components, publishers) & self._honest
        return mask
