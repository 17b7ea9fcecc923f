"""Verdicts that stick: what each peer accepts, drawn once for each peer and plasmid.

- A plasmid's chance of being accepted is drawn from a beta distribution around its rate; each peer's verdict, with that
  chance. So two peers' verdicts on one plasmid have the given correlation (a beta-binomial), and a peer never judges
  the same thing anew. Correlation 0: peers judge on their own. Correlation 1: all of them judge alike.
- Draws are counted (`plora.sim.counter`), by plasmid and peer.

Not handled here: which rates real gates have (`plora.sim.verdicts`).

>>> sure, never = Chance(rate=1.0), Chance(rate=0.0)
>>> [f"{word:b}" for word in accepts_of([sure, never, sure], peers=2, seed=1)[0]]
['101', '101']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from plora.sim import counter
from plora.sim.compiled import compiled
from plora.sim.fleet.passes import nth, uniform


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely a peer accepts a plasmid, and how alike two peers' verdicts are (their correlation, 0 to 1)."""

    rate: float = 1.0
    correlation: float = 0.0


def accepts_of(chances: Sequence[Chance], peers: int, seed: int) -> NDArray[np.uint64]:
    """Planes (see `engine`) of what each peer accepts of as many plasmids as there are chances."""
    planes = np.zeros((-(-len(chances) // 64), peers), dtype=np.uint64)
    shared = counter.uniform(counter.words(counter.key(seed, "fleet chances"), 0, np.arange(len(chances))))
    start = counter.key(seed, "fleet verdicts")
    for plasmid, (chance, word) in enumerate(zip(chances, shared, strict=True)):
        of_plasmid = counter.nth(np.array([start]), np.array([plasmid], dtype=np.uint64))[0]
        _draw(planes[plasmid // 64], np.uint64(plasmid % 64), of_plasmid, _share(chance, float(word)))
    return planes


def _share(chance: Chance, word: float) -> float:
    """The share of peers that accept, of a uniform number."""
    rate, correlation = chance.rate, chance.correlation
    if correlation <= 0 or rate in (0, 1):
        return rate
    if correlation >= 1:
        return float(word < rate)
    weight = (1 - correlation) / correlation
    return float(stats.beta.ppf(word, rate * weight, (1 - rate) * weight))


@compiled
def _draw(plane: Any, bit: Any, of_plasmid: Any, share: float) -> None:
    for peer in range(len(plane)):
        if uniform(nth(of_plasmid, np.uint64(peer))) < share:
            plane[peer] |= np.uint64(1) << bit
