"""Figures of a fleet's state. Counts are whole numbers, so that no order of adding changes them.

>>> planes = np.array([[1, 3, 0, 3]], dtype=np.uint64)
>>> holders(planes, plasmids=2).tolist()
[3, 2]
>>> knowing = Knowing.of(planes, [0, 1], 2)
>>> knowing.by_domain.tolist(), knowing.by_count.tolist()
([3, 2], [1, 1, 2])
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from plora.sim.compiled import compiled
from plora.sim.fleet.engine import Calls

Planes = NDArray[np.uint64]
ROWS = 255
"""So many words are added in eight counters of a bit each, side by side."""


@dataclass(frozen=True, slots=True)
class Knowing:
    """`by_domain`: how many peers know something of each domain; `by_count`: how many know of 0, 1, 2 … domains."""

    by_domain: NDArray[np.int64]
    by_count: NDArray[np.int64]

    @classmethod
    def of(cls, planes: Planes, domains: Sequence[int], count: int) -> Self:
        """Of a state, the domain (below `count`) of each plasmid being given."""
        masks = np.zeros((count, len(planes)), dtype=np.uint64)
        for plasmid, domain in enumerate(domains):
            masks[domain, plasmid // 64] |= np.uint64(1 << plasmid % 64)
        found = cls(np.zeros(count, dtype=np.int64), np.zeros(count + 1, dtype=np.int64))
        _count_domains(planes, masks, found.by_domain, found.by_count)
        return found

    def mutual_information(self) -> float:
        """I(Agent; Domain) in bits, as `plora.analysis.diffusion.mutual_information` has it of the whole table."""
        total = int(self.by_domain.sum())
        if not total:
            return 0.0
        peers = float((self.by_count * _x_log_x(np.arange(len(self.by_count)))).sum())
        return max(0.0, float(np.log2(total)) - (peers + float(_x_log_x(self.by_domain).sum())) / total)


def holders(planes: Planes, plasmids: int) -> NDArray[np.int64]:
    """How many peers' bits are set, for each plasmid."""
    return np.concatenate([_holders(plane) for plane in planes])[:plasmids]


def has_any(planes: Planes, plasmids: Sequence[int]) -> NDArray[np.bool_]:
    """For each peer whether any of these plasmids' bits is set.

    >>> has_any(np.array([[1, 3, 0, 2]], dtype=np.uint64), [1]).tolist()
    [False, True, False, True]
    """
    masks = np.zeros(len(planes), dtype=np.uint64)
    for plasmid in plasmids:
        masks[plasmid // 64] |= np.uint64(1 << plasmid % 64)
    found = np.zeros(planes.shape[1], dtype=np.bool_)
    for plane, mask in zip(planes, masks, strict=True):
        found |= plane & mask != 0
    return found


def heard(known: Planes, refused: Planes | None, calls: Calls) -> int:
    """How many plasmids calls carried that one side had and the other neither knew nor refused when they began."""
    count = 0
    for plane, words in enumerate(known):
        lacking = ~(words if refused is None else words | refused[plane])
        count += _carried(words, lacking, calls.asked, calls.callers)
        count += _carried(words, lacking, calls.callers, calls.told)
    return count


def frames(calls: Calls, call: str) -> int:
    """Questions that were sent, lost ones among them, and an answer to each that came, unless callers only push."""
    questions = int(np.count_nonzero(calls.called != calls.callers))
    return questions + (0 if call == "push" else int(np.count_nonzero(calls.reached != calls.callers)))


def digest(*planes: Planes) -> str:
    """SHA-256 of a state."""
    whole = hashlib.sha256()
    for each in planes:
        whole.update(np.ascontiguousarray(each, dtype="<u8").data)
    return whole.hexdigest()


def _x_log_x(values: NDArray[np.int64]) -> NDArray[np.float64]:
    return values.astype(np.float64) * np.log2(np.maximum(values, 1))


def _carried(words: NDArray[np.uint64], lacking: NDArray[np.uint64], speakers: Any, hearers: Any) -> int:
    return int(np.bitwise_count(words[speakers] & lacking[hearers]).sum(dtype=np.int64))


@compiled
def _count_domains(planes: Any, masks: Any, by_domain: Any, by_count: Any) -> None:
    for peer in range(planes.shape[1]):
        count = 0
        for domain in range(len(masks)):
            found = np.uint64(0)
            for plane in range(len(planes)):
                found |= planes[plane, peer] & masks[domain, plane]
            by_domain[domain] += found != 0
            count += found != 0
        by_count[count] += 1


@compiled
def _holders(plane: Any) -> Any:
    counts = np.zeros(64, dtype=np.int64)
    digits = np.zeros(8, dtype=np.uint64)
    for first in range(0, len(plane), ROWS):
        digits[:] = 0
        for carry in plane[first : first + ROWS]:
            for place in range(8):
                digits[place], carry = digits[place] ^ carry, digits[place] & carry
                if carry == 0:
                    break
        for place in range(8):
            for bit in range(64):
                counts[bit] += np.int64((digits[place] >> np.uint64(bit)) & np.uint64(1)) << place
    return counts
