"""Whom a scenario means by some peers: those that it names, a share, a count, or everybody.

- A peer that isn't there is refused, and so is a share of so few that it is nobody's: what is said happens to somebody.
- Of a count larger than the peers that there are, all of them are meant.

>>> from random import Random
>>> pick(Choice(peers=(2, 0)), 4, range(4), Random(1), "happenings.0"), pick(Choice(), 3, range(3), Random(1), "there")
([2, 0], [0, 1, 2])
>>> pick(Choice(share=0.1), 4, range(4), Random(1), "happenings.0")
Traceback (most recent call last):
    ...
plora.proto.errors.UsageError: happenings.0.share: 0.1 of 4 peers is nobody; say a larger one, or a count
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from plora.proto.errors import UsageError
from plora.sim.scenario import Choice


def pick(choice: Choice, agents: int, free: Sequence[int], draws: Random, where: str) -> list[int]:
    """The peers that are meant, by number.

    Args:
        choice: what is said of them.
        agents: how many peers there are.
        free: those that a share or a count is drawn from.
        draws: what they are drawn by.
        where: the place of the choice in its scenario, for errors.
    """
    for number in choice.peers:
        check(number, agents, f"{where}.peers")
    if choice.peers:
        return list(choice.peers)
    if everybody(choice):
        return list(range(agents))
    count = choice.count if choice.count is not None else round((choice.share or 0.0) * agents)
    if choice.share and not count and choice.count is None:
        mend = "say a larger one, or a count"
        raise UsageError(f"{choice.share:g} of {agents} peers is nobody", where=f"{where}.share", mend=mend)
    return sorted(draws.sample(free, min(count, len(free))))


def check(number: int, agents: int, where: str) -> None:
    """`UsageError` for the number of a peer that isn't there."""
    if not 0 <= number < agents:
        raise UsageError(f"there is no peer {number}", where=where, mend=f"use 0 to {agents - 1}")


def everybody(choice: Choice) -> bool:
    """Whether all are meant, since nothing else is said."""
    return not choice.peers and choice.share is None and choice.count is None
