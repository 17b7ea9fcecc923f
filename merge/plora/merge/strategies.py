"""Strategies: how the updates of one module become one. Factor pairs and weights in, a truncated pair out.

Rules:

- `weighted_sum`: Σ wᵢΔWᵢ, exact by stacking the factors, then truncated once (task arithmetic, Ilharco et al. 2023).
  The order of the operands is the caller's; sorted operands give equal bytes.
- `sequential`: S <- truncate(S + wᵢΔWᵢ), one after another: what a peer gets that never keeps its inputs. The order
  matters as soon as a step discards something.
- A strategy says how much it discarded: the fraction of ‖·‖²_F of the exact weighted sum that the result misses for
  `weighted_sum`; for `sequential`, 1 − Π(1 − fractionᵢ) over the steps, which says what the steps lost.

Not handled: elementwise rules (TIES, DARE), which leave the low-rank set.

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> one = FactorPair(A=np.array([[1.0, 0.0]]), B=np.array([[2.0], [0.0]]))
>>> weighted_sum([one, one], [0.25, 0.25], rank_max=1).pair.dense().round(12).tolist()
[[1.0, 0.0], [0.0, 0.0]]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from plora.merge.factors import FactorPair, concat
from plora.merge.truncate import Truncation, truncate

RANK_MAX_DEFAULT = 16

Strategy = Callable[[Sequence[FactorPair], Sequence[float], int], Truncation]


def weighted_sum(pairs: Sequence[FactorPair], weights: Sequence[float], rank_max: int = RANK_MAX_DEFAULT) -> Truncation:
    """Σ wᵢΔWᵢ truncated to `rank_max`. Raises AdapterError where shapes differ or there is nothing to add."""
    return truncate(concat(_weighted(pairs, weights)), rank_max)


def sequential(pairs: Sequence[FactorPair], weights: Sequence[float], rank_max: int = RANK_MAX_DEFAULT) -> Truncation:
    """The weighted updates applied one after another, truncated after each; errors as in `weighted_sum`."""
    first, *others = _weighted(pairs, weights)
    result = truncate(first, rank_max)
    kept = 1.0 - result.discarded_energy
    for pair in others:
        result = truncate(concat([result.pair, pair]), rank_max)
        kept *= 1.0 - result.discarded_energy
    return result._replace(discarded_energy=1.0 - kept)


def _weighted(pairs: Sequence[FactorPair], weights: Sequence[float]) -> list[FactorPair]:
    return [pair.times(weight) for pair, weight in zip(pairs, weights, strict=True)]


STRATEGIES: Mapping[str, Strategy] = {"weighted_sum": weighted_sum, "sequential": sequential}
# Whose result is a function of the set of operands: they are sorted by digest first.
ORDER_FREE = frozenset({"weighted_sum"})
