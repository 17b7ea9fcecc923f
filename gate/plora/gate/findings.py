"""Findings: what one detector saw in one artifact under one calibration; the figures that people and policies read.

Rules:

- A detector looks at weights or at behaviour; both say what they saw in this one form, so `why`, the page and `plora
  gate` need know one. A verdict is a stage's business (`plora.gate.byte_stages`), never the detector's.
- A figure has a threshold or a conformal p-value, or both, or neither where it is shown only. `flagged` says that it is
  on the wrong side of its threshold.
- `calibration` names the bank or the thresholds that were used; empty where none covers this base, these targets and
  this rank, and then there is no `p_value` either, and `note` says what is missing.
- `alpha` is the share of clean adapters that the calibration is willing to call outliers: a joined `p_value` at or
  under it makes an `outlier`. It goes with the findings, so that whoever reads them needs no calibration.
- What a worker says is read strictly: it may have been taken over by what it looked at.
- `failure` says why there is nothing to read, or not all: the worker was killed over it, or gave up half way.
- `details` (a trigger that was found, what it brought forth) are for the person at this peer. They never leave it: who
  submits again and again would learn the secret probes.

>>> findings = Findings("mini/all/4", (Figure("norm_z", 0.5, threshold=3.0),), p_value=0.4, alpha=0.02)
>>> Findings.from_json(findings.to_json()) == findings, findings.value("norm_z"), findings.value("depth")
(True, 0.5, None)
>>> findings.outlier
False
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its value, the threshold that it is compared with, its conformal p-value."""

    __pydantic_config__: ClassVar = STRICT

    name: str
    value: float
    threshold: float | None = None
    p_value: float | None = None
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """What a detector saw. `p_value` joins those of its figures; `note` is a sentence; `seconds` is what it took."""

    __pydantic_config__: ClassVar = STRICT

    calibration: str
    figures: tuple[Figure, ...] = ()
    p_value: float | None = None
    alpha: float = 0.0
    seconds: float = 0.0
    note: str = ""
    failure: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def outlier(self) -> bool:
        """Whether the joined p-value is that of one clean adapter in 1 / alpha, or rarer."""
        return self.p_value is not None and self.p_value <= self.alpha

    def figure(self, name: str) -> Figure | None:
        """The figure of this name; None where there is none."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def value(self, name: str) -> float | None:
        """The value of the figure of this name; None where there is no such figure."""
        found = self.figure(name)
        return None if found is None else found.value

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Findings:
        """The inverse of `to_json`. Raises ValueError for anything else, and for numbers that are none."""
        return _FINDINGS.validate_json(text)


_FINDINGS = TypeAdapter(Findings)


def poisoning_score(findings: Iterable[Findings]) -> float | None:
    """One score in [0, 1] of several detectors: 1 - p, with p the least of k joined p-values times k (Bonferroni).

    None where no detector has a p-value. A clean adapter has at least s in at most a share 1 - s of cases.

    >>> poisoning_score([Findings("a", p_value=0.02, alpha=0.02), Findings("b", p_value=0.5, alpha=0.02)])
    0.96
    >>> poisoning_score([Findings("", note="no calibration")]) is None
    True
    """
    p_values = [one.p_value for one in findings if one.p_value is not None]
    return round(1 - min(1.0, len(p_values) * min(p_values)), 4) if p_values else None
