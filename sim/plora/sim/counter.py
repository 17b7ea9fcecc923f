"""Randomness by counting: each draw is a pure function of what it is for, so that neither order nor threads matter.

A *word* is 64 random bits. It is an output of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), which can be had without those before it:

- `key(seed, purpose)` names a sequence of sequences;
- the sequence of a round is that of SplitMix64 seeded with the round-th output of SplitMix64 seeded with the key;
- a word is the item-th output of that.

`nth`, `uniform` and `edge_item` are arithmetic of 64 bits alone, so that compiled loops run these very functions:
`numba.njit(nth)` draws the words that `words` draws.

Not handled here: secrets (this is no cryptography), and the swarm's own streams (`plora.node.core.streams`).

>>> [int(word) for word in words(key(7, "calls"), 3, np.arange(2))]
[4404188067112522698, 14057878431042560065]
>>> edges_down(7, 3, np.array([[0, 1], [1, 2], [2, 3], [3, 4]]), 0.5).tolist()
[False, True, False, True]
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S11, S27, S30, S31, S32 = (np.uint64(shift) for shift in (11, 27, 30, 31, 32))
ONE = np.uint64(1)
UNIT = 2.0**-53


def key(seed: int, purpose: str) -> np.uint64:
    """What a seed's draws for one purpose start from; any whole number is a seed."""
    return np.uint64(int.from_bytes(hashlib.sha256(f"{seed}\x00{purpose}".encode()).digest()[:8], "big"))


def nth(seed: Any, index: Any) -> Any:
    """The index-th output, from 0, of SplitMix64 with that seed; both uint64, arrays where it isn't compiled."""
    state = seed + GAMMA * (index + ONE)
    state = (state ^ (state >> S30)) * FIRST
    state = (state ^ (state >> S27)) * SECOND
    return state ^ (state >> S31)


def words(start: np.uint64, round_: int, items: NDArray[Any]) -> NDArray[np.uint64]:
    """A word for each item (whole numbers from 0, of any shape) in a round (from 0)."""
    of_round = nth(np.array([start]), np.array([round_], np.uint64))
    drawn: NDArray[np.uint64] = nth(of_round, np.asarray(items).astype(np.uint64))
    return drawn


def uniform(word: Any) -> Any:
    """A word's upper 53 bits as a number from 0 to below 1."""
    return (word >> S11) * UNIT


def edge_item(a: Any, b: Any) -> Any:
    """The number that an edge a < b of peers below 2^32 is counted by; both uint64."""
    return (a << S32) | b


def edges_down(seed: int, round_: int, edges: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """Which edges are down in a round, each with probability `share`, drawn anew each round.

    `edges` has shape (m, 2), the smaller end first. The answer for an edge depends on the seed, the round and its two
    ends, never on which other edges there are: all engines that ask get the same.
    """
    ends = np.asarray(edges).astype(np.uint64).reshape(-1, 2)
    down: NDArray[np.bool_] = uniform(words(key(seed, "dropout"), round_, edge_item(ends[:, 0], ends[:, 1]))) < share
    return down
