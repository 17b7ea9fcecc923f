"""Peers that call those more often who brought them something, as real peers do (`plora.node.core.reputations`).

- Who brought a peer anything has earned a lot of their own with that peer, for ever, and so has who gave the bytes; all
  other neighbours share one. A call goes to a lot drawn evenly, and from the shared one to anybody in it.
- Of several that bring the same only the first counts, in the order of calls. Bytes come from the first neighbour that
  has them, each peer beginning to look at a place of its own.

Not handled here: offenders, and that regard fades within days.

>>> graph = Regarding([0, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0])
>>> graph.earned[0] = 1  # so peer 0 calls peer 1 half the time
>>> words = np.arange(4, dtype=np.uint64) << np.uint64(62)
>>> graph.draw_for(np.zeros(4, dtype=np.int64), words).tolist()[:2]
[1, 1]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plora.sim import counter
from plora.sim.compiled import compiled, inlined
from plora.sim.fleet.engine import Calls, Graph, Row
from plora.sim.fleet.passes import Array, below, hear, nth


class Regarding(Graph):
    """A graph that remembers who brought whom something: one fleet's, for it changes.

    `earned` has a byte for each entry of `neighbours`: whether that neighbour earned a lot of their own.
    """

    parts = 32

    def __init__(self, starts: ArrayLike, neighbours: ArrayLike) -> None:
        super().__init__(starts, neighbours)
        self.earned = np.zeros(len(self.neighbours), dtype=np.uint8)

    def draw(self, callees: NDArray[np.int32], of_round: np.uint64, low: int, high: int) -> None:
        """Whom peers low … high-1 call."""
        callers = np.arange(low, high)
        words = counter.nth(np.array([of_round]), callers.astype(np.uint64))
        callees[low:high] = self.draw_for(callers, words)

    def draw_for(self, callers: NDArray[Any], words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Whom callers call, by one word each."""
        callees = np.empty(len(callers), dtype=np.int32)
        _draw(callers, callees, self.starts, self.neighbours, self.earned, words)
        return callees

    def learn(self, known: Row, refused: Row | None, calls: Calls) -> None:
        """As `Neighbourhood` has it."""
        seen = known.copy() if refused is None else known | refused
        _earn(known, seen, calls.callers, calls.asked, calls.told, *self.rows(), self.earned)

    def meet_in_order(self, known: Row, accepts: Row, refused: Row, calls: Calls) -> None:
        """As `Neighbourhood` has it."""
        ends = (calls.callers, calls.asked, calls.told)
        _meet_in_order(known, accepts, refused, *ends, *self.rows(), self.earned)


@compiled
def _draw(callers: Array, callees: Array, starts: Array, neighbours: Array, earned: Array, words: Array) -> None:
    for call, caller in enumerate(callers):
        first, last = starts[caller], starts[caller + 1]
        lots = 0
        for slot in range(first, last):
            lots += earned[slot]
        rest = last - first - lots
        callees[call] = caller
        if first == last:
            continue
        lot = np.int64(below(words[call], lots + (rest > 0)))
        of_rest = lot == lots
        place = np.int64(below(nth(words[call], np.uint64(0)), rest)) if of_rest else lot
        for slot in range(first, last):
            if (earned[slot] == 0) == of_rest:
                if place == 0:
                    callees[call] = neighbours[slot]
                place -= 1


@inlined
def _credit_giver(known: Array, starts: Array, neighbours: Array, earned: Array, hearer: Any, bit: Any) -> None:
    first, count = starts[hearer], starts[hearer + 1] - starts[hearer]
    for step in range(count):
        slot = first + (hearer + step) % count
        if known[neighbours[slot]] & bit:
            earned[slot] = 1
            return


@inlined
def _credit_givers(known: Array, starts: Array, neighbours: Array, earned: Array, hearer: Any, news: Any) -> None:
    """Whoever gives a peer the bytes of each plasmid that is news to it."""
    while news:
        bit = news & (~news + counter.ONE)
        news ^= bit
        _credit_giver(known, starts, neighbours, earned, hearer, bit)


@inlined
def _credit(starts: Array, neighbours: Array, earned: Array, hearer: Any, speaker: Any) -> None:
    for slot in range(starts[hearer], starts[hearer + 1]):
        if neighbours[slot] == speaker:
            earned[slot] = 1


@compiled
def _earn(
    known: Array,
    seen: Array,
    callers: Array,
    asked: Array,
    told: Array,
    starts: Array,
    neighbours: Array,
    earned: Array,
) -> None:
    """`seen` are those that each peer knows or refuses, and afterwards also those that come."""
    for call, caller in enumerate(callers):
        for hearer, speaker in ((caller, asked[call]), (told[call], caller)):
            news = known[speaker] & ~seen[hearer]
            if news:
                seen[hearer] |= news
                _credit(starts, neighbours, earned, hearer, speaker)
                _credit_givers(known, starts, neighbours, earned, hearer, news)


@compiled
def _meet_in_order(
    known: Array,
    accepts: Array,
    refused: Array,
    callers: Array,
    asked: Array,
    told: Array,
    starts: Array,
    neighbours: Array,
    earned: Array,
) -> None:
    """`plora.sim.fleet.passes.meet_in_order`, with regard."""
    for call, caller in enumerate(callers):
        mine, theirs = known[caller], known[asked[call]]
        for hearer, speaker, said in ((caller, asked[call], theirs), (told[call], caller, mine)):
            news = said & ~(known[hearer] | refused[hearer])
            if news:
                hear(known, accepts, refused, hearer, said)
                _credit(starts, neighbours, earned, hearer, speaker)
                _credit_givers(known, starts, neighbours, earned, hearer, news)
