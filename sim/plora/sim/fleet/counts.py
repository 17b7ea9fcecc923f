"""Figures of a fleet's state. All are of whole numbers, so that no order of adding changes them.

>>> planes = np.array([[1, 3, 0, 3]], dtype=np.uint64)
>>> holders(planes, plasmids=2).tolist()
[3, 2]
>>> mutual_information(np.array([[1, 0], [0, 1]]))
1.0
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plora.sim.fleet.compiled import compiled

Planes = NDArray[np.uint64]
ROWS = 255
"""So many words are added in eight counters of a bit each, side by side."""


def holders(planes: Planes, plasmids: int) -> NDArray[np.int64]:
    """How many peers' bits are set, for each plasmid."""
    return np.concatenate([_holders(plane) for plane in planes])[:plasmids]


def set_bits(planes: Planes) -> int:
    """How many bits are set at all."""
    return int(np.bitwise_count(planes).sum(dtype=np.int64))


def known_of(planes: Planes, domains: Sequence[int], count: int) -> NDArray[np.int64]:
    """(peers, `count`): how many plasmids of each domain each peer knows; `domains` has the domain of each plasmid."""
    table = np.zeros((planes.shape[1], count), dtype=np.int64)
    for domain in range(count):
        for plane, words in enumerate(planes):
            mask = sum(1 << bit for bit, one in enumerate(domains[plane * 64 : plane * 64 + 64]) if one == domain)
            table[:, domain] += np.bitwise_count(words & np.uint64(mask))
    return table


def mutual_information(table: NDArray[np.int64]) -> float:
    """I(row; column) in bits of the joint distribution table / table.sum(); 0 of an empty table."""
    total = int(table.sum())
    if not total:
        return 0.0
    joint, rows, columns = (_x_log_x(each) for each in (table.ravel(), table.sum(axis=1), table.sum(axis=0)))
    return max(0.0, (joint - rows - columns) / total + float(np.log2(total)))


def digest(*planes: Planes) -> str:
    """SHA-256 of a state."""
    whole = hashlib.sha256()
    for each in planes:
        whole.update(np.ascontiguousarray(each, dtype="<u8").data)
    return whole.hexdigest()


def _x_log_x(values: NDArray[np.int64]) -> float:
    different, times = np.unique(values[values > 0], return_counts=True)
    return float((times * different * np.log2(different)).sum())


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
