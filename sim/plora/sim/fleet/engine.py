"""A fleet: peers as bits in arrays, a million of them in milliseconds a round. Pure: equal arguments, equal states.

- A plasmid that a peer knows and accepts it passes on; one that it doesn't accept it refuses, for ever (`accepts`).
- In a round everybody calls one neighbour, drawn evenly. `Rule` says what the call does, and when.
- A plasmid that is published between rounds can be heard of in the next one.
- Any number of threads gives the same states: draws are counted, and rows are shared out.

Not handled here: what a scenario means for it (`plora.sim.fleet.runs`), figures (`counts`), verdicts (`gates`).

>>> fleet = Fleet(Crowds(peers=8, crowd=8), plasmids=1, seed=3)
>>> fleet.publish(plasmid=0, peer=5)
>>> for _ in range(4): fleet.step()
>>> [int(row) for row in fleet.known[0]]
[1, 1, 1, 1, 1, 1, 1, 1]
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plora.proto.errors import UsageError
from plora.sim import counter
from plora.sim.fleet import passes

Planes = NDArray[np.uint64]
"""(planes, peers): plasmid p is bit p % 64 of plane p // 64."""
Row = NDArray[np.uint64]
"""A plane of them."""

ROWS_OF_A_THREAD = 1 << 14
"""Fewer rows aren't worth a thread."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a round is.

    `call`: a caller asks (pull), tells (push), or both; in a `flood` everybody hears all neighbours, each plasmid with
    probability min(1, beta k) where k of them know it (the rule of NDlib's SI model).
    `answers`: whether a peer answers all who call it in a round, or one of them, drawn evenly.
    `clock`: `together` all call at once and hear what was known when the round began. Else calls come one after the
    other and count at once: `phased`, in an order that is the same in every round, or by `poisson` clocks, where a
    round is as many calls as peers, each by anybody: the calls of such clocks in their order, without their times.
    """

    call: Literal["push-pull", "push", "pull", "flood"] = "push-pull"
    answers: Literal["all", "one"] = "all"
    clock: Literal["together", "phased", "poisson"] = "together"
    beta: float = 1.0


@dataclass(frozen=True, slots=True)
class Losses:
    """Shares of what comes to nothing, drawn anew each round: edges that are down, questions and answers that are lost.

    Over an edge that is down nothing passes. `told` and `asked` are shares of calls that don't tell, or don't bring an
    answer; the lesser of both happens only together with the other.
    """

    edges: float = 0.0
    told: float = 0.0
    asked: float = 0.0


@dataclass(frozen=True, slots=True)
class Calls:
    """Who called in a round, whom they asked and whom they told; who asks or tells nobody has their own number there.

    What a `Rule` has no use for (asking where all push) may stand there nevertheless. `called` are those to whom
    questions were sent, whatever became of them; `reached` those to whom they came and who answer, if that is the rule.
    """

    callers: NDArray[np.int32]
    asked: NDArray[np.int32]
    told: NDArray[np.int32]
    called: NDArray[np.int32]
    reached: NDArray[np.int32]

    @classmethod
    def of(cls, callers: NDArray[np.int32], called: NDArray[np.int32]) -> Self:
        """Calls of which none is lost."""
        return cls(callers, called, called, called, called)

    def by(self, rule: Rule) -> Calls:
        """Who pushes asks nobody, and who pulls tells nobody."""
        return replace(
            self,
            asked=self.callers if rule.call == "push" else self.asked,
            told=self.callers if rule.call == "pull" else self.told,
        )


class Neighbourhood:
    """Whom peers may call. These call all alike, whatever they brought (but see `regard`)."""

    parts = 1
    """Calls of a round that are made one after the other are drawn in so many parts."""

    def learn(self, known: Row, refused: Row | None, calls: Calls) -> None:
        """What calls that are made at once will teach peers of each other; for one plane, as it is before them."""

    def meet_in_order(self, known: Row, accepts: Row, refused: Row, calls: Calls) -> None:
        """Make calls one after the other; one plane."""
        passes.meet_in_order(known, accepts, refused, calls.callers, calls.asked, calls.told)


class Graph(Neighbourhood):
    """Who knows whom, in rows: `starts` (n + 1) and `neighbours` (of everybody, one after the other)."""

    def __init__(self, starts: ArrayLike, neighbours: ArrayLike) -> None:
        self.starts = np.asarray(starts, dtype=np.int32)
        # One more, at which those look who have no neighbours and stand at the end.
        self.neighbours = np.append(np.asarray(neighbours, dtype=np.int32), np.int32(0))
        self.peers = len(self.starts) - 1
        self._alone = np.flatnonzero(np.diff(self.starts) == 0).astype(np.int32)

    def rows(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """`starts` and `neighbours`."""
        return self.starts, self.neighbours

    def draw(self, callees: NDArray[np.int32], of_round: np.uint64, low: int, high: int) -> None:
        """Whom peers low … high-1 call."""
        passes.draw_slots(callees, self.starts, of_round, low, high)
        passes.look_up(callees, self.neighbours, low, high)
        alone = self._alone[np.searchsorted(self._alone, low) : np.searchsorted(self._alone, high)]
        callees[alone] = alone

    def draw_for(self, callers: NDArray[Any], words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Whom callers call, by one word each."""
        first, counts = self.starts[callers], self.starts[callers + 1] - self.starts[callers]
        found = self.neighbours[first + _below(words, counts)]
        return np.where(counts > 0, found, callers).astype(np.int32)


@dataclass(frozen=True)
class Crowds(Neighbourhood):
    """Complete graphs of `crowd` peers each, side by side: of the same rule as many independent runs as crowds."""

    peers: int
    crowd: int

    def rows(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Nothing: UsageError."""
        raise UsageError("crowds have no lists of neighbours", mend="floods need another graph")

    def draw(self, callees: NDArray[np.int32], of_round: np.uint64, low: int, high: int) -> None:
        """Whom peers low … high-1 call."""
        if self.crowd == 1:
            callees[low:high] = np.arange(low, high)
        else:
            passes.draw_others(callees, self.crowd, of_round, low, high)

    def draw_for(self, callers: NDArray[Any], words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Whom callers call, by one word each."""
        first = callers - callers % self.crowd
        others = first + _below(words, np.full(len(callers), self.crowd - 1))
        return np.where(self.crowd > 1, others + (others >= callers), callers).astype(np.int32)


class Fleet:
    """The peers, what they know (`known`, `refused`: planes) and the number of rounds that have passed."""

    def __init__(
        self,
        graph: Graph | Crowds,
        plasmids: int,
        seed: int = 0,
        rule: Rule | None = None,
        losses: Losses | None = None,
        accepts: Planes | None = None,
        threads: int = 1,
    ) -> None:
        self.peers, self.round = graph.peers, 0
        self.rule, self.losses, self.graph = rule or Rule(), losses or Losses(), graph
        planes = -(-plasmids // 64)
        self.known = np.zeros((planes, self.peers), dtype=np.uint64)
        self._then = np.zeros_like(self.known)
        self.accepts = accepts
        self.refused = np.zeros_like(self.known) if accepts is not None else None
        self._keys = {purpose: counter.key(seed, f"fleet {purpose}") for purpose in _PURPOSES}
        self._keys["edges"] = counter.key(seed, "dropout")
        self._callers = np.arange(self.peers, dtype=np.int32)
        self._callees = np.zeros(self.peers, dtype=np.int32)
        self.latest = Calls.of(self._callers, self._callers)
        self._threads = _Threads(threads, self.peers)
        _check(self.rule, self.losses, graph)

    def publish(self, plasmid: int, peer: int) -> None:
        """Somebody has a plasmid of their own, whatever their gate thinks of it."""
        bit = np.uint64(1 << plasmid % 64)
        self.known[plasmid // 64, peer] |= bit
        if self.accepts is not None:
            self.accepts[plasmid // 64, peer] |= bit

    def arrays(self) -> list[NDArray[Any]]:
        """All that a synchronous round reads or writes, but for who calls whom: the graph's rows and the planes."""
        gate = [] if self.accepts is None or self.refused is None else [self.accepts, self.refused]
        return [*self.graph.rows(), self.known, self._then, *gate]

    def step(self) -> None:
        """Let a round pass."""
        if self.rule.call == "flood":
            self._flood()
        elif self.rule.clock == "together":
            self._meet_together()
        else:
            self._meet_in_order()
        self.round += 1

    def _meet_together(self) -> None:
        of_round = self._word("calls")
        self._threads.each(partial(self.graph.draw, self._callees, of_round))
        self.latest = self._come_through(self._callers, self._callees)
        asked, told = self.latest.asked, self.latest.told
        for plane, (known, then) in enumerate(zip(self.known, self._then, strict=True)):
            self.graph.learn(known, None if self.refused is None else self.refused[plane], self.latest)
            if self.rule.call == "push":
                then[:] = known
            else:
                self._threads.each(partial(passes.ask, known, then, asked))
            if self.rule.call != "pull":
                self._tell(known, then, told)
            self._judge(then, plane)
        self.known, self._then = self._then, self.known

    def _tell(self, known: NDArray[np.uint64], then: NDArray[np.uint64], told: NDArray[np.int32]) -> None:
        if self._threads.count == 1:
            passes.tell(known, then, told)
        else:
            self._threads.each(partial(passes.tell_within, known, then, told))

    def _judge(self, then: NDArray[np.uint64], plane: int) -> None:
        if self.accepts is None or self.refused is None:
            return
        accepts, refused = self.accepts[plane], self.refused[plane]
        self._threads.each(partial(passes.gate, then, accepts, refused))

    def _flood(self) -> None:
        starts, neighbours = self.graph.rows()
        of_round = counter.nth(np.array([self._word("chance")]), np.arange(len(self.known), dtype=np.uint64))
        for plane, (known, then) in enumerate(zip(self.known, self._then, strict=True)):
            rows = (known, then, starts, neighbours, np.uint64(passes.anything(known)))
            if self.rule.beta >= 1:
                self._threads.each(partial(passes.flood, *rows))
            else:
                self._threads.each(partial(passes.flood_by_chance, *rows, of_round[plane], self.rule.beta))
            self._judge(then, plane)
        self.known, self._then = self._then, self.known

    def _meet_in_order(self) -> None:
        callers, words = self._callers_in_order()
        parts = self.graph.parts if self.rule.answers == "all" else 1
        accepts = np.full_like(self.known, _ALL) if self.accepts is None else self.accepts
        refused = np.zeros_like(self.known) if self.refused is None else self.refused
        made = []
        for part, drawn in enumerate(zip(np.array_split(callers, parts), np.array_split(words, parts), strict=True)):
            made.append(self._come_through(drawn[0], self.graph.draw_for(*drawn), part))
            for plane, known in enumerate(self.known):
                self.graph.meet_in_order(known, accepts[plane], refused[plane], made[-1])
        columns = zip(*((one.callers, one.asked, one.told, one.called, one.reached) for one in made), strict=True)
        self.latest = Calls(*map(np.concatenate, columns))

    def _callers_in_order(self) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
        """Who calls, in that order, and a word of each call to draw whom."""
        items = np.arange(self.peers)
        words = counter.words(self._keys["calls"], self.round, items)
        if self.rule.clock == "phased":
            callers = np.argsort(counter.words(self._keys["phases"], 0, items), kind="stable")
            words = words[callers]
        else:
            drawn = counter.words(self._keys["phases"], self.round, items)
            callers = _below(drawn, np.full(self.peers, self.peers))
        return callers.astype(np.int32), words

    def _come_through(self, callers: NDArray[np.int32], callees: NDArray[np.int32], part: int = 0) -> Calls:
        """What becomes of calls, after all that may come between; `callees` are changed in place."""
        called = callees.copy() if self.losses.edges or self.rule.answers == "one" else callees
        if self.losses.edges:
            passes.drop_edges(callers, callees, self._word("edges"), self.losses.edges)
        if self.rule.answers == "one":
            passes.answer_one(callers, callees, np.empty(self.peers, dtype=np.uint64), self._word("answers"))
        kept = [callees, callees]
        for way, share in enumerate((self.losses.asked, self.losses.told)):
            if share:
                kept[way] = np.empty_like(callees)
                passes.lose(callers, callees, kept[way], _nth(self._word("loss"), part), share)
        return Calls(callers, kept[0], kept[1], called, kept[1]).by(self.rule)

    def _word(self, purpose: str) -> np.uint64:
        return _nth(self._keys[purpose], self.round)


_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_PURPOSES = ("calls", "phases", "answers", "loss", "chance")


class _Threads:
    """Shares out rows; the interpreter's lock is not held in compiled passes."""

    def __init__(self, count: int, rows: int) -> None:
        self.count = max(1, min(count, rows // ROWS_OF_A_THREAD))
        ends = [rows * part // self.count for part in range(self.count + 1)]
        self._parts = list(pairwise(ends))
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    def each(self, work: Callable[[int, int], Any]) -> None:
        """Do the work for all rows, each part once."""
        if self._pool is None:
            work(*self._parts[0])
        else:
            list(self._pool.map(work, *zip(*self._parts, strict=True)))


def _nth(seed: np.uint64, index: int) -> np.uint64:
    word: np.uint64 = counter.nth(np.array([seed]), np.array([index], dtype=np.uint64))[0]
    return word


def _below(words: NDArray[np.uint64], counts: NDArray[Any]) -> NDArray[np.int64]:
    """`passes.below` of arrays."""
    return (((words >> passes.S32) * counts.astype(np.uint64)) >> passes.S32).astype(np.int64)


def _check(rule: Rule, losses: Losses, graph: Graph | Crowds) -> None:
    if rule.call == "flood" and (not isinstance(graph, Graph) or rule.clock != "together" or losses != Losses()):
        raise UsageError("a flood is together, over a given graph, and loses nothing", mend="use another rule.call")
