"""Detectors as plain numbers: functions from named figures to one score, higher for what is less like a clean adapter.

Rules:

- They were fitted in the lab (`plora.lab.detection_fit`, scikit-learn) and are judged here by numpy: nothing that could
  run is in the file, and nothing is learned here.
- Every figure is first standardised by the centre and scale of clean adapters, and clipped to `CLIP`, so that one wild
  figure can neither outweigh the rest nor excuse it.
- `OneClass`: root mean square of the Mahalanobis distance under a covariance shrunk after Ledoit and Wolf (2004).
- `Linear`: log-odds of a logistic regression.
- `Worst`: the largest standardised figure, each in the direction that is worse.
- A joint score is the largest of several detectors' scores, each measured from the `offset` of clean adapters in units
  of their `spread`. Both were fixed before the bank was scored, so the joint score's p-value is one conformal p-value.

>>> ruler = Standard(names=("a", "b"), centre=(0.0, 1.0), scale=(1.0, 2.0))
>>> Linear(kind="linear", name="supervised", standard=ruler, weights=(1.0, 1.0)).score({"a": 2.0, "b": 5.0})
4.0
>>> OneClass(kind="one-class", name="one_class", standard=ruler, mean=(0, 0), precision=((1, 0), (0, 1))).score(
...     {"a": 3.0, "b": 9.0}
... ) == 12.5 ** 0.5
True
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from plora.merge.factors import Array
from plora.proto.payload import StrictModel

CLIP = 8.0
"""In deviations. It also bounds what an attacker gains by making a harmless figure extreme."""

Numbers = tuple[float, ...]
Positive = Annotated[float, Field(gt=0)]


class Standard(StrictModel):
    """Which figures a detector reads, and what they are among clean adapters."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    centre: Numbers
    scale: tuple[Positive, ...]

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if not len(self.names) == len(self.centre) == len(self.scale):
            raise ValueError("names, centre and scale must have one entry a figure")
        return self

    def measure(self, figures: Mapping[str, float]) -> Array:
        """The figures as standardised numbers, in the order of `names`. KeyError where one is missing."""
        raw = np.array([figures[name] for name in self.names], np.float64)
        return np.asarray(np.clip((raw - np.array(self.centre)) / np.array(self.scale), -CLIP, CLIP))

    def measured(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The same by name."""
        return dict(zip(self.names, self.measure(figures).tolist(), strict=True))


class _Detector(StrictModel, ABC):
    name: str
    standard: Standard
    offset: float = 0.0
    spread: Positive = 1.0

    def score(self, figures: Mapping[str, float]) -> float:
        """How unlike clean adapters these figures are. KeyError where one is missing."""
        return self._score(self.standard.measure(figures))

    def in_spreads(self, score: float) -> float:
        """A score measured from the clean adapters' offset, in units of their spread."""
        return (score - self.offset) / self.spread

    @abstractmethod
    def _score(self, standardised: Array) -> float:
        """The score of figures in the order of the detector's names."""

    def _check_length(self, name: str, found: int) -> None:
        if found != len(self.standard.names):
            raise ValueError(f"{name} has {found} entries for {len(self.standard.names)} figures")


class OneClass(_Detector):
    """Mahalanobis distance from the clean adapters' mean; `precision` is the inverse of their covariance."""

    kind: Literal["one-class"]
    mean: Numbers
    precision: tuple[Numbers, ...]

    @model_validator(mode="after")
    def _square(self) -> Self:
        for name, found in (("mean", self.mean), ("precision", self.precision), *(("row", r) for r in self.precision)):
            self._check_length(name, len(found))
        return self

    def _score(self, standardised: Array) -> float:
        off = standardised - np.array(self.mean)
        return math.sqrt(max(0.0, float(off @ np.array(self.precision) @ off)) / off.size)


class Linear(_Detector):
    """Log-odds of being poisoned: weights · figures + intercept."""

    kind: Literal["linear"]
    weights: Numbers
    intercept: float = 0.0

    @model_validator(mode="after")
    def _weight_each(self) -> Self:
        self._check_length("weights", len(self.weights))
        return self

    def _score(self, standardised: Array) -> float:
        return float(standardised @ np.array(self.weights)) + self.intercept


class Worst(_Detector):
    """The worst figure; `signs` says by 1 or -1 whether higher or lower is worse."""

    kind: Literal["worst"]
    signs: tuple[Literal[-1, 1], ...]

    @model_validator(mode="after")
    def _sign_each(self) -> Self:
        self._check_length("signs", len(self.signs))
        return self

    def _score(self, standardised: Array) -> float:
        return float((standardised * np.array(self.signs)).max())


Detector = Annotated[OneClass | Linear | Worst, Field(discriminator="kind")]


class Joint(StrictModel):
    """Several detectors and, of the clean adapters of a bank, their scores and the joint ones, each sorted upwards."""

    detectors: Annotated[tuple[Detector, ...], Field(min_length=1)]
    banks: tuple[Numbers, ...]
    bank: Numbers

    @model_validator(mode="after")
    def _sorted_banks(self) -> Self:
        if len(self.banks) != len(self.detectors) or any(len(bank) != len(self.bank) for bank in self.banks):
            raise ValueError("banks must hold as many scores a detector as the joint bank")
        if any(list(bank) != sorted(bank) for bank in (*self.banks, self.bank)):
            raise ValueError("a bank's scores must be sorted upwards")
        return self

    @property
    def names(self) -> frozenset[str]:
        """Every figure that is read."""
        return frozenset(name for detector in self.detectors for name in detector.standard.names)

    def scores(self, figures: Mapping[str, float]) -> Numbers:
        """Each detector's score. KeyError where a figure is missing."""
        return tuple(detector.score(figures) for detector in self.detectors)

    def joined(self, scores: Numbers) -> float:
        """The joint score of the detectors' scores."""
        return max(one.in_spreads(score) for one, score in zip(self.detectors, scores, strict=True))


def joint_of(detectors: tuple[Detector, ...], members: Sequence[Mapping[str, float]]) -> Joint:
    """The detectors with the bank of these members' figures, none of whom was used to fit them."""
    bare = Joint(detectors=detectors, banks=((),) * len(detectors), bank=())
    scores = [bare.scores(figures) for figures in members]
    banks = tuple(tuple(sorted(column)) for column in zip(*scores, strict=True))
    joined = tuple(sorted(bare.joined(row) for row in scores))
    return Joint(detectors=detectors, banks=banks or bare.banks, bank=joined)
