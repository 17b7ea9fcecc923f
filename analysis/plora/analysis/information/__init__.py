"""How much one thing says of another: estimators that say what they can't carry.

- `mi_knn`, `mi_knn_interval`: mutual information of continuous variables by nearest neighbours.

Importing this package imports numba (extra `sim` or `lab`).
"""

from __future__ import annotations

from plora.analysis.information.ksg import EstimateWarning, Interval, mi_knn, mi_knn_interval

__all__ = ["EstimateWarning", "Interval", "mi_knn", "mi_knn_interval"]
