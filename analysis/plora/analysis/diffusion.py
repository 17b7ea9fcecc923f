"""How knowledge spreads: what is measured of a swarm, and what theory expects of gossip and of gates.

Rules:

- Knowledge is a matrix K (agents × domains): who has what.
- Information is in bits. An expectation says its model: who calls, how often, how many are answered.
- What was not reached is None, never a number.

Not handled here: intervals (they come from several seeds), and what an expectation says of graphs it isn't about.

>>> coverage([[1, 0], [1, 1]]).tolist()
[1.0, 0.5]
>>> mutual_information([[1, 0], [0, 1]])
1.0
>>> rounds_to([0.25, 0.5, 1.0], 0.9)
3
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import exp, log, ulp
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ONE_ANSWER_MAX = 7


def coverage(knowledge: ArrayLike) -> Array:
    """For each domain the share of agents that know it."""
    return np.asarray(_matrix(knowledge).mean(axis=0))


def mutual_information(knowledge: ArrayLike) -> float:
    """I(Agent; Domain) in bits, of the joint distribution p = K / ΣK: how much agents are specialised.

    0 when all know all, and when nobody knows anything. Cover and Thomas, Elements of Information Theory, 2.3.
    """
    counts = _matrix(knowledge)
    if not counts.sum():
        return 0.0
    joint = counts / counts.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    known = joint > 0
    return max(0.0, float((joint[known] * np.log2(joint[known] / apart[known])).sum()))


def deltas(series: Sequence[float]) -> list[float]:
    """What each value is above the one before; before the first is 0."""
    return [after - before for before, after in zip((0.0, *series), series, strict=False)]


def rounds_to(series: Sequence[float], share: float) -> int | None:
    """The first round, from 1, after which at least that share was covered (to the last bit of a float)."""
    return next((number for number, value in enumerate(series, 1) if value >= share - ulp(share)), None)


def redundancy(heard: int, useless: int) -> float:
    """The share of what was heard that was known already; 0 when nothing was heard."""
    if not 0 <= useless <= heard:
        raise ValueError(f"{useless} of {heard} can't have been known")
    return useless / heard if heard else 0.0


def push_pull_rounds(n: int, c: float = 0.0) -> float:
    """log₃ n + log₂ ln n + c: expected rounds of push-pull on a complete graph of n >= 3, all calls answered.

    Where everybody calls somebody each round, c is 0.15 at n = 2⁶ and 0.11 at 2⁸ by the exact chain.
    Karp et al., "Randomized rumor spreading" (FOCS 2000); Doerr and Kostrygin, "Randomized rumor spreading revisited"
    (ICALP 2017).
    """
    if n < 3:
        raise ValueError(f"no such expectation for n = {n}; use push_pull_rounds_exact")
    return log(n, 3) + log(log(n), 2) + c


def push_pull_rounds_exact(n: int, answers: Literal["all", "one"] = "all") -> float:
    """The expectation of rounds on a complete graph without an approximation: how many are informed is a Markov chain.

    Everybody calls one of the n - 1 others each round. With `answers="one"` each answers one of those who call it,
    drawn evenly, and the calls of the others come to nothing; n is then at most `ONE_ANSWER_MAX`, else a few hundred.
    """
    if n < 1 or (answers == "one" and n > ONE_ANSWER_MAX):
        raise ValueError(f"no exact expectation for n = {n} with {answers} answered")
    gains = _gains if answers == "all" else _gains_of_one_answer
    expected = np.zeros(n + 1)
    for informed in range(n - 1, 0, -1):
        gain = gains(n, informed)
        expected[informed] = (1 + gain[1:] @ expected[informed + 1 :]) / (1 - gain[0])
    return float(expected[1])


def asynchronous_rounds(n: int) -> float:
    """(n-1)/n · H(n-1): expected time of push-pull on a complete graph whose peers call at rate 1 each.

    Each has a clock of its own, as in Boyd et al., "Randomized gossip algorithms" (IEEE Trans. Inf. Theory 52, 2006):
    from k informed the next comes at rate 2 k (n-k) / (n-1).
    """
    return (n - 1) / n * sum(1 / k for k in range(1, n))


def star_rounds(from_hub: bool) -> int:
    """Rounds of synchronous push-pull on a star: all leaves call the hub each round, so 1 from it and 2 from a leaf."""
    return 1 if from_hub else 2


def percolation_share(c: float, q: float = 1.0) -> float:
    """P = q (1 - exp(-cP)): the share of peers in the giant component of an Erdős-Rényi graph of mean degree c.

    Each peer lets things through with probability q, by a verdict that sticks. 0 at and below the threshold q = 1/c.
    Callaway et al., "Network robustness and fragility" (Phys. Rev. Lett. 85, 2000): site percolation.
    """
    if q * c <= 1:
        return 0.0
    low, high = 0.0, q  # q (1 - exp(-cP)) - P is positive below the root and negative above it
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if q * (1 - exp(-c * middle)) > middle else (low, middle)
    return high


def detection_needed(c: float) -> float:
    """1 - 1/c: which share of peers must refuse a trojan so that it stays among few (reference as above)."""
    return max(0.0, 1 - 1 / c) if c > 0 else 0.0


def component_sizes(neighbours: Sequence[Sequence[int]], passing: ArrayLike | None = None) -> list[int]:
    """Sizes of the components, the largest first; only of those peers that let things through, if some are named."""
    left = [True] * len(neighbours) if passing is None else np.asarray(passing, bool).tolist()
    sizes = []
    for first in range(len(neighbours)):
        stack, size = ([first] if left[first] else []), 0
        left[first] = False
        while stack:
            size += 1
            for other in neighbours[stack.pop()]:
                if left[other]:
                    left[other] = False
                    stack.append(other)
        sizes += [size] if size else []
    return sorted(sizes, reverse=True)


def _matrix(knowledge: ArrayLike) -> Array:
    found = np.asarray(knowledge, np.float64)
    if found.ndim != 2 or (found < 0).any():
        raise ValueError(f"knowledge is agents × domains, none negative, not of shape {found.shape}")
    return found


def _gains(n: int, informed: int) -> Array:
    """Probabilities of 0 … n-k newly informed in a round that k of n know.

    The k pushes go to distinct ones as balls to boxes; each of the others pulls with probability k / (n-1).
    """
    from scipy.stats import binom  # type: ignore[import-untyped]

    rest = n - informed
    gain = np.zeros(rest + 1)
    for pushed, chance in enumerate(_occupancy(n - 1, rest, informed)):
        others = rest - pushed
        gain[pushed:] += chance * binom.pmf(np.arange(others + 1), others, informed / (n - 1))
    return gain


def _occupancy(boxes: int, wanted: int, balls: int) -> Array:
    """Probabilities of how many of the wanted boxes hold at least one of the balls thrown into all boxes."""
    chance = np.zeros(wanted + 1)
    chance[0] = 1.0
    full = np.arange(wanted + 1)
    for _ in range(balls):
        fresh = (wanted - full) / boxes
        chance = chance * (1 - fresh) + np.concatenate(([0.0], (chance * fresh)[:-1]))
    return chance


def _gains_of_one_answer(n: int, informed: int) -> Array:
    """As `_gains`, counted over all (n-1)ⁿ ways to call and all sets of k informed, where the first caller is answered.

    Who is informed is then as good as drawn, and so is which of several callers is the first.
    """
    calls = np.stack(np.unravel_index(np.arange((n - 1) ** n), (n - 1,) * n))
    calls += calls >= np.arange(n)[:, None]  # nobody calls itself
    answered = np.stack([~(calls[:caller] == calls[caller]).any(axis=0) for caller in range(n)])
    gain = np.zeros(n - informed + 1)
    for chosen in combinations(range(n), informed):
        knows = np.isin(np.arange(n), chosen)
        then = np.repeat(knows[:, None], calls.shape[1], axis=1)
        for caller in range(n):
            met = answered[caller] & (knows[caller] | knows[calls[caller]])
            then[caller] |= met
            then[calls[caller][met], np.flatnonzero(met)] = True
        gain += np.bincount(then.sum(axis=0) - informed, minlength=len(gain))
    return np.asarray(gain / gain.sum())
