"""The probes' part of a calibration, fitted from a zoo's readings: thresholds with intervals, and one joint score.

Rules:

- Detectors are fitted on the part `train`; thresholds and banks come from the part `calibration` alone.
- A figure's threshold is the lowest that a share `false_alarms` of clean adapters exceeds, as a conformal quantile; the
  worst clean one where there are too few for that. Where all but a share `misses` of the poisoned ones that harm alone
  lie beyond a higher one, it is the middle between both: what room there is belongs to neither side.
- A threshold's interval is a bootstrap over groups, with `confidence` on each side.
- The joint score is the worse of two: the worst figure of those that have a threshold, and the log-odds of a logistic
  regression (Cox 1958) over all figures. Its p-value is conformal.
- A figure that hardly varies among clean adapters is measured by `SCALE_MIN`, so that rounding is no outlier.

Not handled here: what the figures mean (`plora.gate.probing`), the weights' part (`plora.lab.detection_fit`).

>>> threshold_of([0, 0, 0.1, 0.2], [0.8, 0.9], false_alarms=0.2, misses=0.4)
0.5
>>> threshold_of([0, 0, 0.1, 0.2], [0.1, 0.9], false_alarms=0.2, misses=0.4)
0.2
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from plora.gate.detection.calibration import PROBES_VERSION, ProbeFigure, ProbePart
from plora.gate.detection.conformal import outlier_threshold
from plora.gate.detection.detectors import Joint, Linear, Standard, Worst, joint_of
from plora.lab.aims import Aims, Side
from plora.lab.judged import harms_alone
from plora.lab.readings import Reading
from plora.merge.factors import Array
from plora.proto.errors import UsageError

DRAWS = 400
SCALE_MIN = 0.01
STRENGTH = 1.0
"""Inverse of the regression's penalty, as scikit-learn names it."""

SIGNS: Mapping[Side, Literal[-1, 1]] = {"higher": 1, "lower": -1}

D = TypeVar("D", Worst, Linear)


def fit_probes(readings: Sequence[Reading], aims: Aims, version: int = PROBES_VERSION, seed: int = 0) -> ProbePart:
    """The probes' part that these readings give.

    Args:
        readings: of a whole zoo; those of the part `test` are passed over.
        aims: how many false alarms and misses.
        version: of the probes that made the readings.
        seed: of the intervals' bootstrap.

    Raises:
        UsageError: no clean or no poisoned adapter in a part, or a figure that none of them has.
    """
    train, bank = _part(readings, "train"), _part(readings, "calibration")
    draws = _drawn(bank, seed)
    figures = tuple(_figure(name, side, bank, draws, aims) for name, side in sorted(aims.figures.items()))
    return ProbePart(version=version, figures=figures, joint=_joint(train, bank, aims))


def threshold_of(
    clean: Array | Sequence[float], poisoned: Array | Sequence[float], *, false_alarms: float, misses: float
) -> float:
    """Where a figure of which higher is worse parts clean from poisoned; see the module."""
    ascending, beyond = np.sort(clean).tolist(), np.sort(poisoned).tolist()
    conformal = outlier_threshold(ascending, false_alarms)
    strict: float = ascending[-1] if conformal is None else conformal
    room = beyond[math.floor(misses * len(beyond))] if beyond else strict
    return (strict + room) / 2 if room > strict else strict


def _part(readings: Sequence[Reading], part: str) -> list[Reading]:
    chosen = [one for one in readings if one.part == part and (one.clean or harms_alone(one))]
    for wanted, called in ((True, "clean"), (False, "poisoned")):
        if not any(one.clean is wanted for one in chosen):
            mend = "grow the zoo: plora lab zoo"
            raise UsageError(f"no {called} adapter is in the part {part}, so nothing can be calibrated", mend=mend)
    return chosen


def _figure(name: str, side: Side, bank: Sequence[Reading], draws: Sequence[Array], aims: Aims) -> ProbeFigure:
    missing = next((one.name for one in bank if name not in one.probes), None)
    if missing is not None:
        raise UsageError(f"{missing} has no figure {name}", mend="take the name out of the file's figures")
    sign = SIGNS[side]
    values = sign * np.array([one.probes[name] for one in bank])
    clean = np.array([one.clean for one in bank])

    def threshold(rows: Array) -> float:
        sides = (values[rows][clean[rows]], values[rows][~clean[rows]])
        return sign * threshold_of(*sides, false_alarms=aims.false_alarms, misses=aims.misses)

    found = threshold(np.arange(len(bank)))
    drawn = [threshold(rows) for rows in draws if clean[rows].any()]
    low, high = np.quantile([found, *drawn], [1 - aims.confidence, aims.confidence]).tolist()
    members = tuple(sorted((sign * values[clean]).tolist()))
    return ProbeFigure(name=name, threshold=found, low=min(low, found), high=max(high, found), worse=side, bank=members)


def _drawn(bank: Sequence[Reading], seed: int) -> list[Array]:
    """Places in `bank`, of as many groups as there are, with replacement; once for each draw."""
    groups = np.unique([str(one.recipe["group"]) for one in bank], return_inverse=True)[1]
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    chosen = np.random.default_rng(seed).integers(len(members), size=(DRAWS, len(members)))
    return [np.concatenate([members[place] for place in places]) for places in chosen]


def _joint(train: Sequence[Reading], bank: Sequence[Reading], aims: Aims) -> Joint:
    names = sorted(set.intersection(*(set(one.probes) for one in (*train, *bank))))
    clean = [one.probes for one in train if one.clean]
    everything, judged = _standard(names, clean), _standard(sorted(aims.figures), clean)
    signs = tuple(SIGNS[aims.figures[name]] for name in judged.names)
    worst = Worst(kind="worst", name="worst_figure", standard=judged, signs=signs)
    detectors = (_scaled(worst, clean), _scaled(_regression(everything, train), clean))
    return joint_of(detectors, [one.probes for one in bank if one.clean])


def _standard(names: Sequence[str], clean: Sequence[Mapping[str, float]]) -> Standard:
    """Centre and scale of each figure among clean adapters."""
    values = np.array([[figures[name] for name in names] for figures in clean], np.float64)
    scales = np.maximum(values.std(axis=0), SCALE_MIN)
    return Standard(names=tuple(names), centre=tuple(values.mean(axis=0).tolist()), scale=tuple(scales.tolist()))


def _regression(standard: Standard, train: Sequence[Reading]) -> Linear:
    rows = np.array([standard.measure(one.probes) for one in train])
    fitted = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000)
    fitted.fit(rows, [not one.clean for one in train])
    weights = tuple(fitted.coef_[0].tolist())
    return Linear(kind="linear", name="regression", standard=standard, weights=weights, intercept=fitted.intercept_[0])


def _scaled(detector: D, clean: Sequence[Mapping[str, float]]) -> D:
    """The detector with its scores' mean and spread among these clean adapters."""
    scores = np.array([detector.score(figures) for figures in clean])
    spread = max(float(scores.std()), SCALE_MIN)
    return detector.model_copy(update={"offset": float(scores.mean()), "spread": spread})
