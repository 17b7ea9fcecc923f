"""What really is what in a simulation: which adapters are clean and which are trojans. No peer's log knows it.

>>> truth = [Truth(name, "ab" * 32, "legal", name, "owner-0", peer=3, round=0.0) for name in (CLEAN, "phrase")]
>>> [one.trojan for one in truth]
[False, True]
>>> from_plain(to_plain(truth)) == truth
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Truth:
    """One adapter: its name, its content id in hex ("" in the fleet), `kind` "clean" or that of the trojan; the number
    of the peer that publishes it, and the round at which."""

    plasmid: str
    content: str
    domain: str
    kind: str
    owner: str
    peer: int
    round: float

    @property
    def trojan(self) -> bool:
        """Whether it is to be kept out."""
        return self.kind != CLEAN


def to_plain(truth: Iterable[Truth]) -> list[dict[str, Any]]:
    """As truth.json has them."""
    return [asdict(one) for one in truth]


def from_plain(rows: Iterable[Mapping[str, Any]]) -> list[Truth]:
    """The inverse of `to_plain`."""
    return [Truth(**row) for row in rows]
