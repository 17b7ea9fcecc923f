"""The weights' part of a calibration, fitted from a zoo's readings: a profile, two detectors, and their banks.

Rules:

- Detectors are fitted on the part `train`; banks are the clean adapters of the part `calibration`. Nothing of the part
  `test` is looked at.
- The profile says what the clean adapters of `train` read and write. Their own novelty is measured against the others:
  each is left out of what it is compared with.
- A cell is one set of targets at one rank; a wider one is these targets at any rank. Targets of which `train` or the
  bank has no clean adapter have none. Figures are standardised by a cell's clean adapters of `train`, drawn towards the
  next wider cell, at last towards all adapters, by `NEIGHBOURS` members: what differs by recipe is taken out.
- The detectors are fitted on all cells at once: a one-class one (covariance shrunk after Ledoit and Wolf 2004), and a
  supervised one (logistic regression, Cox 1958).
- A cell's bank is its own where that has members enough for `alpha`, else that of the next wider cell, at last all.
  Members are scored as newcomers to the cell are: standardised by their own cell of the same width.
- `norm_z` has the bank's conformal threshold at `alpha`, or at what so few members allow; `TAU_NORM_Z` at the least.
  Each member is measured by the others, as a newcomer is: with itself among n, its |z| could not pass (n - 1) / √n.
- At rank 1 shape says nothing: detectors without it are fitted for that rank.
- Numbers are kept at `DIGITS` digits, before banks are scored.

Not handled here: reading adapters (`plora.gate.detection.statistics`), the probes' part (`plora.lab.probe_fit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from sklearn.covariance import LedoitWolf  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from plora.gate.detection.calibration import TAU_NORM_Z, Cell, WeightPart, called
from plora.gate.detection.conformal import members_needed, outlier_threshold
from plora.gate.detection.detectors import Detector, Joint, Linear, OneClass, Standard, joint_of
from plora.gate.detection.statistics import SHAPE, STATISTICS_VERSION, targets_of
from plora.lab.profile_fit import fit_profile
from plora.lab.readings import Reading
from plora.merge.factors import Array
from plora.proto.errors import UsageError

NEIGHBOURS = 8
MEMBERS_MIN = 2
"""Clean adapters of a part."""
SCALE_MIN = 1e-3
STRENGTH = 0.01
"""Inverse of the regression's penalty, as scikit-learn names it."""
PRIOR = 3.0
"""How much larger the regression takes novelty to be than the rest: it is penalised by the square of that less."""
TAIL = 0.9
ONE_CLASS_SHARE = 0.25
"""Of the joint score, against the supervised detector's: it is the weaker one on every known kind."""
DIGITS = 6
UNUSED = ("rank", "unread")

Key = tuple[tuple[str, ...], int]
"""Targets and rank; () and 0 mean any."""
ANY: Key = ((), 0)
WIDTHS = 3
RANKS_MIN = (2, 1)
"""Of detectors that read shape, and of those that don't."""
D = TypeVar("D", OneClass, Linear)


@dataclass(frozen=True, slots=True)
class Member:
    """One adapter as the fit sees it."""

    figures: Mapping[str, float]
    targets: tuple[str, ...]
    rank: int
    clean: bool

    @property
    def keys(self) -> tuple[Key, Key, Key]:
        """Its cells, from the closest to the widest."""
        return (self.targets, self.rank), (self.targets, 0), ANY


def fit_weights(readings: Sequence[Reading], alpha: float) -> WeightPart:
    """The weights' part that these readings give.

    Args:
        readings: of a whole zoo; those of the part `test` are passed over.
        alpha: the share of clean adapters that may be outliers; says how many members a bank needs.

    Raises:
        UsageError: a part has no clean adapters, or `train` no poisoned ones.
    """
    train = [one for one in readings if one.part == "train"]
    bank = [one for one in readings if one.part == "calibration" and one.clean]
    _check(train, bank)
    profile, novelty = fit_profile([one.statistics for one in train if one.clean])
    left_out = iter(novelty)
    members = [_member(one, next(left_out) if one.clean else profile.figures(one.statistics)) for one in train]
    banked = [_member(one, profile.figures(one.statistics)) for one in bank]
    joints: list[Joint] = []
    cells: list[Cell] = []
    for rank_min in RANKS_MIN:
        fit = RanksFit(rank_min, members, banked, alpha)
        cells += [cell.model_copy(update={"joint": cell.joint + len(joints)}) for cell in fit.cells]
        joints += fit.joints
    if not cells:
        raise UsageError("the zoo's parts train and calibration share no modules", mend="grow it: plora lab zoo")
    return WeightPart(version=STATISTICS_VERSION, profile=profile, joints=tuple(joints), cells=tuple(cells))


class RanksFit:
    """Cells and joints for adapters of this rank and more; none where the zoo has too few of them."""

    def __init__(self, rank_min: int, train: Sequence[Member], bank: Sequence[Member], alpha: float) -> None:
        names = {name for one in train for name in one.figures}
        without = (*UNUSED, *(SHAPE if rank_min == 1 else ()))
        self._names = sorted(name for name in names if not name.startswith(without))
        self._rank_min, self._alpha = rank_min, alpha
        self._bank = [one for one in bank if self._fits(one)]
        self.joints: list[Joint] = []
        self.cells: list[Cell] = []
        self._joints: dict[tuple[Key, int], int] = {}
        fitting = [one for one in train if self._fits(one)]
        clean = [one for one in fitting if one.clean]
        if min(len(clean), len(self._bank)) < MEMBERS_MIN or len(clean) == len(fitting):
            return
        self._standards = _standards(self._names, clean)
        self._ranks = (rank_min, max(one.rank for one in clean))
        self._detectors = _detectors(self._names, [(one, self._measured(one, 0)) for one in fitting])
        self.cells += [self._cell(key) for key in sorted(filter(self._judges, self._standards), key=_closest_first)]

    def _fits(self, one: Member) -> bool:
        return one.rank >= self._rank_min and set(self._names) <= one.figures.keys()

    def _judges(self, key: Key) -> bool:
        """Whether there is a cell here: for targets in the bank; without shape for rank 1 alone, and for any rank."""
        targets, rank = key
        return any(targets == one.targets for one in self._bank) and (self._rank_min > 1 or rank <= 1)

    def _measured(self, one: Member, width: int) -> dict[str, float]:
        """The figures of a member, standardised by its cell of this width or the next that there is."""
        key = next(key for key in one.keys[width:] if key in self._standards)
        return self._standards[key].measured(one.figures)

    def _cell(self, key: Key) -> Cell:
        targets, rank = key
        width = _width(key)
        pool = self._pool(key)
        standard = self._standards[key]
        logs = np.array([self._measured(one, width)["log_norm"] for one in self._bank if pool in one.keys])
        place = standard.names.index("log_norm")
        centre, scale = standard.centre[place], standard.scale[place]
        low, high = (rank, rank) if rank else self._ranks
        return Cell(
            targets=targets,
            rank_min=low,
            rank_max=high,
            standard=standard,
            norm_mean=_short(centre + scale * float(logs.mean())),
            norm_deviation=_short(scale * max(float(logs.std(ddof=1)), SCALE_MIN)),
            norm_threshold=_norm_threshold(logs, self._alpha),
            joint=self._joint(pool, width),
            pooled="" if pool == key else _called(pool),
        )

    def _pool(self, key: Key) -> Key:
        """Whose members are in the bank of a cell: its own, else those of the next wider one that has enough."""
        wider = (key, _wider(key))
        return next(
            (one for one in wider if sum(one in m.keys for m in self._bank) >= members_needed(self._alpha)), ANY
        )

    def _joint(self, pool: Key, width: int) -> int:
        if (pool, width) not in self._joints:
            figures = [self._measured(one, width) for one in self._bank if pool in one.keys]
            self._joints[pool, width] = len(self.joints)
            self.joints.append(joint_of(self._detectors, figures))
        return self._joints[pool, width]


def _check(train: Sequence[Reading], bank: Sequence[Reading]) -> None:
    for what, found in (
        ("two clean adapters in the part train", sum(one.clean for one in train) >= MEMBERS_MIN),
        ("a poisoned adapter in the part train", any(not one.clean for one in train)),
        ("two clean adapters in the part calibration", len(bank) >= MEMBERS_MIN),
    ):
        if not found:
            raise UsageError(f"the zoo lacks {what}", mend="grow it: plora lab zoo")


def _member(one: Reading, novelty: Mapping[str, float]) -> Member:
    figures = {name: value for name, value in one.statistics.items() if "." not in name} | dict(novelty)
    return Member(figures, targets_of(one.statistics), round(figures["rank"]), one.clean)


def _width(key: Key) -> int:
    targets, rank = key
    return 0 if rank else 1 if targets else 2


def _wider(key: Key) -> Key:
    targets, rank = key
    return (targets, 0) if rank else ANY


def _closest_first(key: Key) -> tuple[int, Key]:
    return _width(key), key


def _called(key: Key) -> str:
    targets, rank = key
    return f"{called(targets)}/{rank or 'any'}"


def _norm_threshold(logs: Array, alpha: float) -> float:
    """Of the z-score of a newcomer to these log norms, from the z-score that each has among the others."""
    others = len(logs) - 1
    mean = (logs.sum() - logs) / others
    variance = (np.square(logs).sum() - np.square(logs) - others * np.square(mean)) / max(others - 1, 1)
    scores = (logs - mean) / np.maximum(np.sqrt(np.maximum(variance, 0.0)), SCALE_MIN)
    found = outlier_threshold(sorted(scores.tolist()), max(alpha, 1 / (len(logs) + 1)))
    return _short(max(found or 0.0, TAU_NORM_Z))


def _standards(names: Sequence[str], clean: Sequence[Member]) -> dict[Key, Standard]:
    """What clean adapters are like in each cell; scales are those of all cells of the same width together."""
    values = np.array([[one.figures[name] for name in names] for one in clean])
    centres: dict[Key, Array] = {}
    for key in sorted({key for one in clean for key in one.keys}, key=_closest_first, reverse=True):
        centres[key] = _centre(values[[key in one.keys for one in clean]], centres.get(_wider(key)))
    scales = []
    for width in range(WIDTHS):
        off = values - [centres[one.keys[width]] for one in clean]
        scales.append(_shorts(np.maximum(np.sqrt(np.square(off).mean(axis=0)), SCALE_MIN)))
    return {
        key: Standard(names=tuple(names), centre=_shorts(centre), scale=scales[_width(key)])
        for key, centre in centres.items()
    }


def _centre(rows: Array, wider: Array | None) -> Array:
    """The mean of these rows, drawn towards that of the next wider cell."""
    if wider is None:
        return np.asarray(rows.mean(axis=0))
    return np.asarray((rows.sum(axis=0) + NEIGHBOURS * wider) / (len(rows) + NEIGHBOURS))


def _detectors(names: Sequence[str], fitting: Sequence[tuple[Member, Mapping[str, float]]]) -> tuple[Detector, ...]:
    """The one-class and the supervised detector of standardised figures."""
    rows = np.array([[figures[name] for name in names] for _, figures in fitting])
    clean = np.array([one.clean for one, _ in fitting])
    plain = Standard(names=tuple(names), centre=(0.0,) * len(names), scale=(1.0,) * len(names))
    shrunk = LedoitWolf().fit(rows[clean])
    precision = tuple(_shorts(row) for row in shrunk.precision_)
    mean = _shorts(shrunk.location_)
    one_class = OneClass(kind="one-class", name="one_class", standard=plain, mean=mean, precision=precision)
    prior = np.array([PRIOR if "novelty" in name else 1.0 for name in names])
    fitted = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=5000).fit(rows * prior, ~clean)
    weights, intercept = _shorts(fitted.coef_[0] * prior), _short(float(fitted.intercept_[0]))
    supervised = Linear(kind="linear", name="supervised", standard=plain, weights=weights, intercept=intercept)
    members = [figures for one, figures in fitting if one.clean]
    return _in_spreads(one_class, members, ONE_CLASS_SHARE), _in_spreads(supervised, members, 1.0)


def _in_spreads(detector: D, clean: Sequence[Mapping[str, float]], share: float) -> D:
    """The detector with the median of these clean adapters' scores, and what lies between it and their upper tail."""
    scores = np.array([detector.score(figures) for figures in clean])
    offset, high = np.quantile(scores, [0.5, TAIL])
    changes = {"offset": _short(float(offset)), "spread": _short(max(float(high - offset), SCALE_MIN) / share)}
    return detector.model_copy(update=changes)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _shorts(values: Array) -> tuple[float, ...]:
    return tuple(_short(value) for value in values.tolist())
