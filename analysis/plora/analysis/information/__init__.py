"""How much one thing says of another: estimators that say what they can't carry.

- `mi_knn`, `mi_knn_interval`: mutual information of continuous variables by nearest neighbours.
- `mine_estimate`: a network's lower bound of it, with its cap; `self_consistency`: whether an estimator can be trusted.
- `transfer_entropy_discrete`, `transfer_entropy_gaussian`: what the past of one series says of the next of another.
- `i_min`, `broja`: what two sources say of a target, together and apart.

Importing this package imports numba (extra `sim` or `lab`), and not torch.
"""

from __future__ import annotations

from plora.analysis.information.decomposition import Decomposition, broja, i_min
from plora.analysis.information.ksg import EstimateWarning, Interval, mi_knn, mi_knn_interval
from plora.analysis.information.neural import Consistency, Estimate, mine_estimate, self_consistency
from plora.analysis.information.transfer import TooFewSamples, transfer_entropy_discrete, transfer_entropy_gaussian

__all__ = [
    "Consistency",
    "Decomposition",
    "Estimate",
    "EstimateWarning",
    "Interval",
    "TooFewSamples",
    "broja",
    "i_min",
    "mi_knn",
    "mi_knn_interval",
    "mine_estimate",
    "self_consistency",
    "transfer_entropy_discrete",
    "transfer_entropy_gaussian",
]
