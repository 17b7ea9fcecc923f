"""A calibration: one JSON file a base that says what figures clean adapters have, and judges another adapter's by it.

Rules:

- The file is canonical JSON (RFC 8785), so that it has one digest, and is read strictly: no unknown field, no key
  twice, no number that isn't finite. A wrong file is one line that says where.
- The bank is in the file, and whoever calibrates makes the file. What is judged never enters it, so nobody can drift it
  by submitting, whatever is accepted.
- Weights are judged in a *cell*: adapters of these targets and ranks. No cell is for any targets: of modules that the
  bank's adapters don't change together, nothing is known. Their figures are standardised by the cell's
  clean adapters, then scored by detectors whose bank may be pooled over several cells, and `note` says over which. The
  first cell that covers the adapter and has enough members for a p-value of `alpha` is taken, from the closest to the
  widest. Where none covers it, `Findings.calibration` is empty, and there is no p-value.
- An adapter's rank and targets are what its weights have (`plora.gate.detection.statistics`), not what its file is
  padded to or declares.
- `norm_z` is the z-score of "log_norm" by the cell's mean and standard deviation. The newcomer is not among them: with
  itself among n, |z| could never pass (n - 1) / √n. Its threshold is the cell's own, 3 at the least.
- Probes have a threshold a figure, each with its interval, and one joint score for the p-value. What was not measured
  isn't judged; `note` names it. Nor is anything by a calibration of other probes than this build's.

Not handled: where the figures come from; verdicts.

>>> ruler = Standard(names=("log_norm",), centre=(0.0,), scale=(1.0,))
>>> worst = Worst(kind="worst", name="size", standard=ruler, signs=(1,))
>>> joint = joint_of((worst,), [{"log_norm": x / 9} for x in range(9)])
>>> cell = Cell(targets=("q_proj",), standard=ruler, norm_mean=0, norm_deviation=1)
>>> part = WeightPart(joints=(joint,), cells=(cell,))
>>> calibration = Calibration(base="mini", base_digest="sha256:" + "0" * 64, alpha=0.1, weights=part)
>>> found = calibration.judge_weights({"log_norm": 4.0, "rank": 2.0, "m.q_proj": 4.0})
>>> found.p_value, found.calibration, found.value("norm_z")
(0.1, 'mini/q_proj/any', 4.0)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from plora.gate.detection.conformal import members_needed, outlier_threshold, p_value
from plora.gate.detection.detectors import Joint, Positive, Standard, Worst, joint_of
from plora.gate.detection.readout import Profile
from plora.gate.detection.statistics import targets_of
from plora.gate.findings import Figure, Findings
from plora.proto.canonical import canonical_bytes, parse_canonical
from plora.proto.errors import ConfigError, FormatError
from plora.proto.payload import StrictModel, field_error

__all__ = [
    "Calibration",
    "Cell",
    "ProbeFigure",
    "ProbePart",
    "Provenance",
    "Standard",
    "WeightPart",
    "Worst",
    "joint_of",
    "load_calibration",
]

CALIBRATION_BYTES_MAX = 16 << 20
RANK_MAX = 1024
TAU_NORM_Z = 3.0
PROBES_VERSION = 8
"""Raised with every change of what a figure of the probes (`plora.gate.probing`) means, or how it is measured."""
ATTENTION = ("k_proj", "o_proj", "q_proj", "v_proj")
MLP = ("down_proj", "gate_proj", "up_proj")
TARGETS_CALLED: Mapping[tuple[str, ...], str] = {
    ATTENTION: "attention",
    MLP: "mlp",
    tuple(sorted(ATTENTION + MLP)): "all",
}
RECALIBRATE = "calibrate again: plora lab probes-calib"


class Cell(StrictModel):
    """Adapters of these targets (sorted) and ranks, and what clean ones are like.

    `standard`: centre and scale of their figures; `norm_mean`, `norm_deviation`: of "log_norm"; `norm_threshold`: of
    its z-score; `joint`: which of the part's detectors judge the standardised figures; `pooled`: whose scores are in
    that bank, where not these ones'.
    """

    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    rank_min: Annotated[int, Field(ge=1)] = 1
    rank_max: Annotated[int, Field(ge=1)] = RANK_MAX
    standard: Standard
    norm_mean: float
    norm_deviation: Positive
    norm_threshold: float = TAU_NORM_Z
    joint: Annotated[int, Field(ge=0)] = 0
    pooled: str = ""

    @property
    def name(self) -> str:
        """Targets and ranks, as in "all/4", "attention/2-16" or "mlp/any"."""
        return f"{called(self.targets)}/{_span(self.rank_min, self.rank_max)}"

    def covers(self, statistics: Mapping[str, float], rank: int, targets: tuple[str, ...]) -> bool:
        """Whether adapters of this rank, with these targets and these statistics, may be judged here."""
        fits = self.targets == targets and self.rank_min <= rank <= self.rank_max
        return fits and {"log_norm", *self.standard.names} <= statistics.keys()


class WeightPart(StrictModel):
    """What is known of weights: cells from the closest to the widest, detectors with their banks, and the profile of
    what clean adapters read and write. `version` is that of the statistics."""

    version: Annotated[int, Field(ge=1)] = 1
    profile: Profile | None = None
    joints: Annotated[tuple[Joint, ...], Field(min_length=1)]
    cells: Annotated[tuple[Cell, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _cells_have_detectors(self) -> Self:
        for cell in self.cells:
            if cell.joint >= len(self.joints) or not self.joints[cell.joint].names <= set(cell.standard.names):
                raise ValueError(f"the cell {cell.name} has no detectors that read its figures")
        return self

    def cell_for(
        self, statistics: Mapping[str, float], rank: int, targets: tuple[str, ...], members: int
    ) -> Cell | None:
        """The first cell that covers an adapter and has so many members; the one with the most where none has."""
        covering = [cell for cell in self.cells if cell.covers(statistics, rank, targets)]
        enough = (cell for cell in covering if self.members(cell) >= members)
        return next(enough, max(covering, key=self.members, default=None))

    def members(self, cell: Cell) -> int:
        """How many clean adapters are in a cell's bank."""
        return len(self.joints[cell.joint].bank)


class ProbeFigure(StrictModel):
    """One of the probes' figures: its threshold, the interval of that, which side is worse, and clean values."""

    name: str
    threshold: float
    low: float
    high: float
    worse: Literal["higher", "lower"]
    bank: tuple[float, ...] = ()

    def judged(self, value: float) -> Figure:
        """The figure with this value: flagged beyond its threshold; the p-value is that of the bank in `worse`."""
        sign = 1 if self.worse == "higher" else -1
        bank = sorted(sign * one for one in self.bank)
        p = p_value(bank, sign * value) if bank else None
        return Figure(self.name, value, self.threshold, p, sign * value > sign * self.threshold)


class ProbePart(StrictModel):
    """What is known of behaviour; `version` is that of the probes."""

    version: Annotated[int, Field(ge=1)]
    figures: Annotated[tuple[ProbeFigure, ...], Field(min_length=1)]
    joint: Joint


class Provenance(StrictModel):
    """Where a calibration comes from: the zoo, how many of it were used, what thresholds aim at."""

    zoo: str = ""
    clean: Annotated[int, Field(ge=0)] = 0
    poisoned: Annotated[int, Field(ge=0)] = 0
    false_alarms_max: float | None = None
    misses_max: float | None = None


class Calibration(StrictModel):
    """All that is known of clean adapters of one base."""

    kind: Literal["plora-calibration/1"] = "plora-calibration/1"
    base: str
    base_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    alpha: Annotated[float, Field(gt=0, lt=1)]
    weights: WeightPart | None = None
    probes: ProbePart | None = None
    provenance: Provenance = Provenance()

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` of the canonical form."""
        return f"sha256:{hashlib.sha256(self.to_bytes()).hexdigest()}"

    def to_bytes(self) -> bytes:
        """The canonical JSON of all fields."""
        return canonical_bytes(self.model_dump(mode="json"))

    def judge_weights(self, statistics: Mapping[str, float], seconds: float = 0.0) -> Findings:
        """What the statistics of an adapter (`plora.gate.detection.statistics`) say, in the closest cell."""
        rank, targets = round(statistics.get("rank", 0)), targets_of(statistics)
        part, needed = self.weights, members_needed(self.alpha)
        figures = {**statistics, **(part.profile.figures(statistics) if part and part.profile else {})}
        cell = part.cell_for(figures, rank, targets, needed) if part else None
        if part is None or cell is None:
            note = f"no bank of {self.base} covers {called(targets)} at rank {rank}; {RECALIBRATE}"
            return Findings("", seconds=seconds, note=note)
        z = (figures["log_norm"] - cell.norm_mean) / cell.norm_deviation
        shown, p = self._joint(part.joints[cell.joint], cell.standard.measured(figures))
        first = Figure("norm_z", z, cell.norm_threshold, flagged=z > cell.norm_threshold)
        note = "; ".join(_notes(cell, targets, rank, part.members(cell), self.alpha))
        return Findings(f"{self.base}/{cell.name}", (first, *shown), p, self.alpha, seconds, note)

    def judge_probes(
        self, raw: Mapping[str, float], details: Mapping[str, str] | None = None, seconds: float = 0.0
    ) -> Findings:
        """What a reading of the probes (`plora.gate.probing`) says."""
        if self.probes is None or self.probes.version != PROBES_VERSION:
            return Findings("", seconds=seconds, note=self._no_probes(), details=dict(details or {}))
        known = {one.name: one for one in self.probes.figures}
        figures = tuple(
            known[name].judged(raw[name]) if name in known else Figure(name, raw[name]) for name in sorted(raw)
        )
        missing = sorted((known.keys() | self.probes.joint.names) - raw.keys())
        joint, joined = self._joint(self.probes.joint, raw)
        note = f"not measured: {', '.join(missing)}" if missing else ""
        return Findings(
            f"{self.base}/probes", figures + joint, joined, self.alpha, seconds, note, details=dict(details or {})
        )

    def _no_probes(self) -> str:
        if self.probes is None:
            return f"nothing is known of probes on {self.base}; {RECALIBRATE}"
        versions = f"version {self.probes.version} of the probes, this build has {PROBES_VERSION}"
        return f"the calibration of {self.base} is of {versions}; {RECALIBRATE}"

    def _joint(self, joint: Joint, figures: Mapping[str, float]) -> tuple[tuple[Figure, ...], float | None]:
        """A figure a detector, and the joint p-value; neither where something that they read was not measured."""
        if not joint.names <= figures.keys() or not joint.bank:
            return (), None
        scores = joint.scores(figures)
        found = zip(joint.detectors, joint.banks, scores, strict=True)
        shown = tuple(self._figure(one.name, bank, score) for one, bank, score in found)
        return shown, p_value(joint.bank, joint.joined(scores))

    def _figure(self, name: str, bank: tuple[float, ...], score: float) -> Figure:
        p = p_value(bank, score)
        return Figure(name, score, outlier_threshold(bank, self.alpha), p, p <= self.alpha)


def load_calibration(path: Path) -> Calibration:
    """The calibration in a file. Raises ConfigError with one line that says what is wrong and where."""
    try:
        with path.open("rb") as file:
            raw = file.read(CALIBRATION_BYTES_MAX + 1)
        parse_canonical(raw, CALIBRATION_BYTES_MAX)
        return Calibration.model_validate_json(raw)
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=RECALIBRATE) from error
    except ValidationError as error:
        fault = field_error(error, FormatError)
        raise ConfigError(fault.what, where=f"{path}, {fault.where}", mend=RECALIBRATE) from error
    except FormatError as error:
        raise ConfigError(error.what, where=str(path), mend=RECALIBRATE) from error


def called(targets: tuple[str, ...]) -> str:
    """What a set of targets is called: "all", "attention", "mlp", or their names; "any" for none in particular."""
    return TARGETS_CALLED.get(targets, "+".join(targets) or "any")


def _span(low: int, high: int) -> str:
    if (low, high) == (1, RANK_MAX):
        return "any"
    return str(low) if low == high else f"{low}-{high}"


def _notes(cell: Cell, targets: tuple[str, ...], rank: int, members: int, alpha: float) -> Iterator[str]:
    own = f"{called(targets)}/{rank}"
    if cell.name != own:
        yield f"{own} has no bank of its own: judged as {cell.name}"
    if cell.pooled:
        yield f"the bank is pooled over {cell.pooled}"
    if members < members_needed(alpha):
        yield f"{members} members can't show an outlier at {alpha:g}"
    if rank == 1:
        yield "at rank 1 the shape of an update says nothing and is left out"
