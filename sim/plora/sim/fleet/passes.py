"""One round of the fleet, as passes over arrays: who calls whom, what is asked, what is told, what is taken.

- A *plane* is a (n,) uint64 array: bit p of word i says that peer i knows plasmid p of that plane's 64.
- *Callees* are an int32 array: whom each peer calls, or each of `callers` where peers call in an order. Who calls
  nobody calls themself, which changes nothing.
- Passes of one kind over one array are fast; one loop that does all of them is three times slower, for then loads wait
  for stores whose addresses aren't known yet (measured; AMD EPYC).
- Numbers of peers are read as uint32, for loops whose indices may be negative are up to twice as slow (measured).
- `low` and `high` bound the rows that a pass writes: threads that share them out give what one thread gives.
- Draws are counted (`plora.sim.counter`): order matters nowhere but in the passes that say `order`.

Not handled here: which passes make a round (`engine`), figures (`counts`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from plora.sim import counter
from plora.sim.compiled import compiled, inlined

nth, uniform, edge_item = inlined(counter.nth), inlined(counter.uniform), inlined(counter.edge_item)

S32 = np.uint64(32)
Array = Any
"""A numpy array; the docstrings say of what."""


@inlined
def below(word: Any, count: Any) -> Any:
    """A number from 0 to below `count` (< 2^32) by the upper half of a word."""
    return ((word >> S32) * np.uint64(count)) >> S32


@compiled
def draw_slots(callees: Array, starts: Array, of_round: Any, low: int, high: int) -> None:
    """Where in the list of all neighbours each peer's callee stands; `starts` are the n + 1 ends of its rows."""
    for peer in range(low, high):
        first = starts[peer]
        callees[peer] = first + np.int32(below(nth(of_round, np.uint64(peer)), starts[peer + 1] - first))


@compiled
def look_up(callees: Array, neighbours: Array, low: int, high: int) -> None:
    """From places in the list of neighbours to who stands there."""
    for peer in range(low, high):
        callees[peer] = neighbours[np.uint32(callees[peer])]


@compiled
def draw_others(callees: Array, crowd: int, of_round: Any, low: int, high: int) -> None:
    """Anybody else of one's own crowd: peers 0 … crowd-1 are one, the next `crowd` peers another."""
    for peer in range(low, high):
        other = np.int64(below(nth(of_round, np.uint64(peer)), crowd - 1))
        first = peer - peer % crowd
        callees[peer] = first + other + (first + other >= peer)


@compiled
def drop_edges(callers: Array, callees: Array, of_round: Any, share: float) -> None:
    """Calls over an edge that is down in this round (`plora.sim.counter.edges_down`) reach nobody."""
    for call, caller in enumerate(callers):
        a, b = np.uint64(min(caller, callees[call])), np.uint64(max(caller, callees[call]))
        if uniform(nth(of_round, edge_item(a, b))) < share:
            callees[call] = caller


@compiled
def lose(callers: Array, callees: Array, kept: Array, of_round: Any, share: float) -> None:
    """Into `kept` the calls, without that share of them, which is lost; a smaller share loses no others."""
    for call, caller in enumerate(callers):
        lost = uniform(nth(of_round, np.uint64(call))) < share
        kept[call] = caller if lost else callees[call]


@compiled
def answer_one(callers: Array, callees: Array, first: Array, of_round: Any) -> None:
    """Of those who call a peer one is answered, drawn evenly; the calls of the others come to nothing.

    `first` is (n,) uint64 of room to work in. There are less than 2^32 calls.
    """
    number = np.uint64(0xFFFFFFFF)
    first[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
    for call, caller in enumerate(callers):
        ticket = (nth(of_round, np.uint64(call)) & ~number) | np.uint64(call)
        if callees[call] != caller and ticket < first[callees[call]]:
            first[callees[call]] = ticket
    for call, caller in enumerate(callers):
        if callees[call] != caller and first[callees[call]] & number != np.uint64(call):
            callees[call] = caller


@compiled
def ask(known: Array, then: Array, callees: Array, low: int, high: int) -> None:
    """Pull: everybody gets what their callee knew, beside what they knew."""
    then[low:high] = known[low:high]  # in order first: drawn ones then are in the cache
    for peer in range(low, high):
        then[peer] |= known[np.uint32(callees[peer])]


@compiled
def tell(known: Array, then: Array, callees: Array) -> None:
    """Push: callees get what their callers knew."""
    for peer in range(len(callees)):
        then[callees[peer]] |= known[peer]


@compiled
def tell_within(known: Array, then: Array, callees: Array, low: int, high: int) -> None:
    """Push, to callees low … high-1 alone."""
    for peer in range(len(callees)):
        if low <= callees[peer] < high:
            then[callees[peer]] |= known[peer]


@compiled
def gate(then: Array, accepts: Array, refused: Array, low: int, high: int) -> None:
    """What a peer doesn't accept it refuses, and so neither uses nor passes on."""
    for peer in range(low, high):
        refused[peer] |= then[peer] & ~accepts[peer]
        then[peer] &= accepts[peer]


@compiled
def anything(known: Array) -> Any:
    """What anybody knows."""
    found = np.uint64(0)
    for word in known:
        found |= word
    return found


@compiled
def flood(known: Array, then: Array, starts: Array, neighbours: Array, whole: Any, low: int, high: int) -> None:
    """Everybody hears all of their neighbours at once; who knows the `whole` has nothing to hear."""
    for peer in range(low, high):
        heard = known[peer]
        if heard != whole:
            for slot in range(starts[peer], starts[peer + 1]):
                heard |= known[neighbours[slot]]
        then[peer] = heard


@compiled
def flood_by_chance(
    known: Array,
    then: Array,
    starts: Array,
    neighbours: Array,
    whole: Any,
    of_round: Any,
    beta: float,
    low: int,
    high: int,
) -> None:
    """NDlib's SI rule: whoever lacks a plasmid that k neighbours know gets it with probability min(1, beta k)."""
    flood(known, then, starts, neighbours, whole, low, high)
    for peer in range(low, high):
        lacking = then[peer] & ~known[peer]
        while lacking:
            bit = lacking & (~lacking + counter.ONE)
            lacking ^= bit
            knowing = 0
            for slot in range(starts[peer], starts[peer + 1]):
                knowing += (known[neighbours[slot]] & bit) != 0
            if uniform(nth(nth(of_round, np.uint64(peer)), bit)) >= beta * knowing:
                then[peer] ^= bit


@inlined
def hear(known: Array, accepts: Array, refused: Array, peer: Any, said: Any) -> None:
    """One peer takes what it is told."""
    refused[peer] |= said & ~accepts[peer]
    known[peer] |= said & accepts[peer]


@compiled
def meet_in_order(known: Array, accepts: Array, refused: Array, callers: Array, asked: Array, told: Array) -> None:
    """One call after the other, and what is heard is known at once: from `asked`, and by `told`.

    Both directions of one call carry what was known before it.
    """
    for call, caller in enumerate(callers):
        mine, theirs = known[caller], known[asked[call]]
        hear(known, accepts, refused, caller, theirs)
        hear(known, accepts, refused, told[call], mine)
