"""Conformal p-values: how often a score as high as this comes from the clean adapters of a bank.

(Vovk, Gammerman and Shafer 2005; Bates et al. 2023, "Testing for outliers with conformal p-values".)

Rules:

- p = (1 + number of bank scores at least as high) / (n + 1). Ties count against the newcomer's being an outlier.
- If the newcomer is exchangeable with the bank's n members, P(p <= alpha) <= alpha for every n: no distribution is
  assumed. That is on the average over banks; the rate of one bank scatters around it (a Beta distribution, Vovk 2012).
- The bank was not used to fit what scores it. Newcomers never enter it.
- The least p is 1 / (n + 1): with fewer than 1 / alpha - 1 members nothing can be an outlier.

Not handled: where scores come from; several tests at once (join the scores first, then ask for one p-value).

>>> p_value([0.1, 0.2, 0.2, 0.9], 0.2), p_value([0.1, 0.2, 0.2, 0.9], 7.0)
(0.8, 0.2)
>>> members_needed(0.05), outlier_threshold([1.0, 2.0, 3.0], 0.25), outlier_threshold([1.0, 2.0, 3.0], 0.2)
(19, 3.0, None)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

ROUNDING = 1e-9
"""Of alpha · (n + 1), so that 0.05 · 20 is one."""


def p_value(bank: Sequence[float], score: float) -> float:
    """The share of the bank, with the newcomer itself, that scores at least `score`; `bank` is sorted upwards."""
    return (1 + len(bank) - bisect_left(bank, score)) / (len(bank) + 1)


def members_needed(alpha: float) -> int:
    """The least number of members with which a p-value can be `alpha` or less."""
    return math.ceil(1 / alpha - 1 - ROUNDING)


def outlier_threshold(bank: Sequence[float], alpha: float) -> float | None:
    """Scores above this have p <= alpha; None where the bank has too few members. `bank` is sorted upwards."""
    allowed = math.floor(alpha * (len(bank) + 1) + ROUNDING)
    return bank[len(bank) - allowed] if 1 <= allowed <= len(bank) else None
