"""What is known after each round of a simulation, whichever engine ran it: the series that reports are made from.

- *Reached* are the peers of those components of the graph that hold a publisher: nobody else can learn anything, and
  shares are of them. Of a domain or an adapter only the components of its own publishers count.
- Whoever accepted an adapter holds its bytes. Coverage asks what peers think they know: a trojan that was accepted
  counts like any adapter.

>>> round_1 = Round(1, holders=(4, 1), coverage={"legal": 0.5}, accepted={"legal": 5}, mutual_information=0.0)
>>> round_1.holders[0], round_1.verdicts
(4, {})
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Round:
    """The state when round `number` (from 1) has passed.

    `holders`: how many reached peers accepted each adapter, in the order of the truth. By domain: `coverage`, the share
    of reached peers that accepted one of it, and `accepted`, pairs of peer and adapter. `mutual_information` is
    I(Agent; Domain) in bits. `verdicts`: pairs by outcome and kind, {"accepted": {"clean": 12, "trojan": 1}, …}.
    `deceived`: how many reached peers that publish no trojan accepted one.
    So far: `messages` (frames sent) of `wire_bytes`, `bytes` of artifacts that came, `heard` (statements received),
    `useless` (those of them that were known already). `digest` names the whole state: equal runs have equal ones.
    """

    number: int
    holders: tuple[int, ...]
    coverage: Mapping[str, float]
    accepted: Mapping[str, int]
    mutual_information: float
    verdicts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    deceived: int = 0
    messages: int = 0
    bytes: int = 0
    heard: int = 0
    useless: int = 0
    wire_bytes: int = 0
    digest: str = ""
