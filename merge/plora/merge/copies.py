"""Which adapters are one update under several names: factored anew, padded, stored otherwise, scaled, or with noise.

Rules:

- Two adapters are copies where the cosine of their updates over all modules is over `COPY_COSINE`: 1.4 % of noise, or
  the rounding of half precision. Trainings that differ only in their seed stay far below. Opposite ones are no copies.
- Of copies the first counts, whatever their lengths: nobody takes the place of an adapter that was there before.
- A copy is one of an adapter that counts. Copies of copies alone are none: else a chain of small steps would join
  adapters that are unlike.
- Only those are compared whole whose *sketches* lie close: UᵀΔWV for random U and V of a few columns, in every module,
  so that it doesn't matter where the energy is. A hash of all digests draws them: nobody knows beforehand where to look
  different.

Not handled: adapters that share a part of an update, or one module of it; copies with more noise than that; a copy that
came before its original.

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> from plora.merge.lora_config import LoraSpec
>>> from plora.merge.peft_folder import Adapter
>>> spec = LoraSpec(r=1, alpha=1, target_modules=("q_proj",))
>>> def one(x, y, scale):
...     pair = FactorPair(np.float32([[x / scale, y / scale]]), np.float32([[scale]]))
...     return Adapter.of({"q_proj": pair}, spec)
>>> same, other, again = one(1, 2, 1), one(2, -1, 1), one(1, 2, 3)
>>> counting([same, other, again])
{2: 0}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial

import numpy as np

from plora.merge.factors import Array
from plora.merge.similarity import cosines_of, inner_products
from plora.merge.source import Source

COPY_COSINE = 1 - 1e-4
PROBES = 8
"""Columns of U and of V."""
CLOSE_COSINE = 0.99
"""Of sketches, which have PROBES² entries a module: far below what sketches of copies come to."""


def counting(sources: Sequence[Source]) -> Mapping[int, int]:
    """For each copy (by its place) the place of the one that counts for it.

    Sources are given in the order in which they came, and differ in their digests.
    """
    found: dict[int, int] = {}
    for near in _groups(cosines_of(_sketched_gram(sources)) > CLOSE_COSINE):
        alike = cosines_of(_gram([sources[place] for place in near])) > COPY_COSINE
        found |= {near[one]: near[first] for one, first in _firsts(alike).items()}
    return found


def _firsts(alike: Array) -> dict[int, int]:
    """For each place that is like an earlier one that counts, the first such one."""
    found: dict[int, int] = {}
    for place in range(len(alike)):
        first = next((one for one in range(place) if alike[one, place] and one not in found), None)
        if first is not None:
            found[place] = first
    return found


def _gram(sources: Sequence[Source]) -> Array:
    """⟨ΔWᵢ, ΔWⱼ⟩ over all modules."""
    total = np.zeros((len(sources),) * 2)
    for module in sorted({module for source in sources for module in source.modules()}):
        total += inner_products([source.pair(module) if module in source.modules() else None for source in sources])
    return total


def _sketched_gram(sources: Sequence[Source]) -> Array:
    """Inner products of sketches, (K, K): zero for one source, which has no copy."""
    gram = np.zeros((len(sources),) * 2)
    if len(sources) > 1:
        for rows in _sketches(sources):
            gram += rows @ rows.T
    return gram


def _sketches(sources: Sequence[Source]) -> Iterator[Array]:
    """(K, PROBES²) for each module; those of one size share U and V, which take time to draw."""
    drawn = cache(partial(_drawn, "\n".join(sorted(source.digest for source in sources))))
    for name in sorted({name for source in sources for name in source.modules()}):
        rows = np.zeros((len(sources), PROBES**2))
        for place, source in enumerate(sources):
            if name in source.modules():
                pair = source.pair(name)
                left, right = drawn("out", pair.out_features), drawn("in", pair.in_features)
                pushed, pulled = pair.A.astype(np.float64) @ right, left.T @ pair.B.astype(np.float64)
                rows[place] = pair.scale * (pulled @ pushed).ravel()
        yield rows


def _drawn(seed: str, side: str, features: int) -> Array:
    """(features, PROBES), normal."""
    key = hashlib.sha256(f"{seed}\n{side}\n{features}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big"))).standard_normal((features, PROBES))


def _groups(close: Array) -> list[list[int]]:
    """Places that hang together, of those that are close to another one."""
    groups: list[list[int]] = []
    seen: set[int] = set()
    for start in range(len(close)):
        group, open_ = [], [start]
        while open_:
            place = open_.pop()
            if place not in seen:
                seen.add(place)
                group.append(place)
                open_ += np.flatnonzero(close[place]).tolist()
        if len(group) > 1:
            groups.append(sorted(group))
    return groups
