"""Which adapters are one update under several names: factored anew, padded, stored otherwise, scaled, or with noise.

Rules:

- Two adapters are copies where the cosine of their updates over all modules is over `COPY_COSINE`: 1.4 % of noise, or
  the rounding of half precision. Trainings that differ only in their seed stay far below. Opposite ones are no copies.
- Copies of copies are copies. Of all of them the longest counts, of equally long ones the first by digest: so nobody
  can make another's adapter weigh less by publishing a shorter copy of it. (A longer one counts for no more than its
  publisher could have had by itself.)
- Only those are compared whole whose *sketches* lie close: u ᵀΔW v for a few random u and v in a few modules, which a
  hash of all digests draws, so that nobody knows beforehand where to look different.
- Equal inputs give equal answers: nothing depends on their order.

Not handled: adapters that share a part of an update, or one module of it; copies with more noise than that.

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> from plora.merge.lora_config import LoraSpec
>>> from plora.merge.peft_folder import Adapter
>>> spec = LoraSpec(r=1, alpha=1, target_modules=("q_proj",))
>>> def one(x, y, scale):
...     pair = FactorPair(np.float32([[x / scale, y / scale]]), np.float32([[scale]]))
...     return Adapter.of({"q_proj": pair}, spec)
>>> same, other, again = one(1, 2, 1), one(2, -1, 1), one(1, 2, 3)
>>> counting([same, other, again]) in ({0: 2}, {2: 0})
True
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from plora.merge.factors import Array, FactorPair
from plora.merge.similarity import cosines_of, inner_products
from plora.merge.source import Source

COPY_COSINE = 1 - 1e-4
SKETCHED_MODULES = 8
PROBES = 16
CLOSE_COSINE = 0.99
"""Of sketches, which have (SKETCHED_MODULES · PROBES) entries: far below what sketches of copies come to."""


def counting(sources: Sequence[Source]) -> Mapping[int, int]:
    """For each copy (by its place) the place of the one that counts for it. Sources differ in their digests."""
    found: dict[int, int] = {}
    for near in _groups(cosines_of(_sketched_gram(sources)) > CLOSE_COSINE):
        gram = _gram([sources[place] for place in near])
        for alike in _groups(cosines_of(gram) > COPY_COSINE):
            copies = {near[one]: float(gram[one, one]) for one in alike}
            counts = min(copies, key=lambda place: (-copies[place], sources[place].digest))
            found |= {place: counts for place in copies if place != counts}
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
    """(K, PROBES) for each module that is drawn: the first ones of each source, in an order that a hash gives."""
    seed = "\n".join(sorted(source.digest for source in sources))
    names = [frozenset(source.modules()) for source in sources]
    keys = {name: hashlib.sha256(f"{seed}\n{name}".encode()).digest() for name in sorted(frozenset().union(*names))}
    drawn = {name for each in names for name in sorted(each, key=keys.__getitem__)[:SKETCHED_MODULES]}
    for name in sorted(drawn, key=keys.__getitem__):
        holders = [place for place, each in enumerate(names) if name in each]
        out, into, _ = sources[holders[0]].shape(name)
        draws = np.random.Generator(np.random.Philox(key=int.from_bytes(keys[name][:16], "big")))
        left, right = draws.standard_normal((out, PROBES)), draws.standard_normal((into, PROBES))
        rows = np.zeros((len(sources), PROBES))
        for place in holders:
            rows[place] = _probed(sources[place].pair(name), left, right)
        yield rows


def _probed(pair: FactorPair, left: Array, right: Array) -> Array:
    """uᵀΔWv of each pair of columns."""
    pushed, pulled = pair.A.astype(np.float64) @ right, left.T @ pair.B.astype(np.float64)
    return np.asarray(pair.scale * np.einsum("rk,kr->k", pushed, pulled))


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
