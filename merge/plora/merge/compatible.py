"""Which adapters can't be merged with the others, so that one of them doesn't keep all from being merged.

Rules:

- Two adapters clash where a module has other sizes in one than in the other, is an embedding here and a linear layer
  there, or is fused here and in parts there: they are of two layouts of the base. One may clash with itself.
- Whoever clashes with most is left out first, until nobody clashes: one of another layout can't push out two that
  agree. Of several with as many clashes the one with the largest content digest goes: every peer leaves out the same.

Not handled: which layout is the base's; a peer that has the base's configuration refuses others before.

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> from plora.merge.lora_config import LoraSpec
>>> from plora.merge.peft_folder import Adapter
>>> def one(wide, seed):
...     a, b = np.full((1, wide), seed, np.float32), np.ones((2, 1), np.float32)
...     return Adapter.of({"q_proj": FactorPair(a, b)}, LoraSpec(r=1, alpha=1, target_modules=("q_proj",)))
>>> misfits([one(3, 1), one(4, 2), one(3, 3)])
{1: "updates of different shapes (2, 3) and (2, 4) can't be added"}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from plora.merge.layout import check_together
from plora.merge.source import Source
from plora.proto.errors import AdapterError


def misfits(sources: Sequence[Source]) -> dict[int, str]:
    """The places of those to leave out, each with one of its clashes in words; none where all can be merged."""
    if not _clash(sources):
        return {}
    alone = {place: why for place, source in enumerate(sources) if (why := _clash([source]))}
    others = [place for place in range(len(sources)) if place not in alone]
    clashes = {(i, j): why for i, j in combinations(others, 2) if (why := _clash([sources[i], sources[j]]))}
    left_out = dict(alone)
    while clashes:
        counts = Counter(place for pair in clashes for place in pair)
        worst = max(counts, key=lambda place: (counts[place], sources[place].digest))
        left_out[worst] = next(why for pair, why in clashes.items() if worst in pair)
        clashes = {pair: why for pair, why in clashes.items() if worst not in pair}
    return left_out


def _clash(sources: Sequence[Source]) -> str:
    try:
        check_together(sources)
    except AdapterError as error:
        return error.what
    return ""
