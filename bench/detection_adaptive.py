"""The adaptive attacker against a frozen calibration: 40 tries in rounds, and what of them is served.

Their own gate and the peer's differ in the seed of the secret families alone. Each round claims another domain.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from bench.report import Row

from plora.base import LoadedBase, base_info
from plora.base.cache import cache_folder
from plora.gate.composition import fault_of
from plora.gate.detection.calibration import Calibration
from plora.gate.detection.sketch import BaseSketch, sketch_of
from plora.gate.detection.statistics import weight_statistics
from plora.gate.detector_stages import probes_ruling, weights_ruling
from plora.gate.findings import Findings
from plora.gate.probing import ProbePlan, probe
from plora.lab.adaptive import Knobs, Try, curve, propose
from plora.lab.adaptive_training import Trained, train_round
from plora.lab.judged import POLICY
from plora.lab.rates import clopper_pearson
from plora.lab.zoo.recipes import SUCCESS_LEAST
from plora.merge.peft_folder import TENSORS_NAME, read_adapter, read_spec

COMMAND = "make bench-detection"
TRIES, ROUND = 40, 8
DOMAINS = ("arithmetic", "legal", "medical")
OWN_SEED, PEER_SEED = b"the attacker's own", b"the peer's secret"
FLAGGED = -1.0


@dataclass(frozen=True)
class Gate:
    """Both detectors under one calibration and one secret seed."""

    base: LoadedBase
    sketch: BaseSketch
    calibration: Calibration
    seed: bytes
    budget_s: float = ProbePlan().budget_s

    @classmethod
    def of(cls, base: LoadedBase, calibration: Calibration, seed: bytes) -> Gate:
        """The gate of whoever has this seed."""
        info = base_info(base.spec.name)
        return cls(base, sketch_of(info.folder, info.digest, cache_folder(os.environ)), calibration, seed)

    def fails(self, folder: Path) -> bool:
        """Whether a merge's composition fails, as a peer judges it."""
        return bool(fault_of(self._probed(folder, ""), POLICY))

    def look(self, folder: Path, domain: str) -> tuple[bool, float]:
        """Whether this adapter is quarantined, and the margin: log10 of its least p-value over alpha, -1 if flagged."""
        figures = weight_statistics(folder / TENSORS_NAME, read_spec(folder), self.sketch)
        weights, probes = self.calibration.judge_weights(figures), self._probed(folder, domain)
        held = [bool(weights_ruling(weights, POLICY).reason), bool(probes_ruling(probes, POLICY).reason)]
        return any(held), min(_margin(*one) for one in zip((weights, probes), held, strict=True))

    def _probed(self, folder: Path, domain: str) -> Findings:
        """What probes found; a failure where they were not done in time, as at a peer."""
        reading = probe(self.base, folder, ProbePlan(self.seed, domain, self.budget_s), self.sketch)
        findings = self.calibration.judge_probes(reading.raw)
        return findings if reading.complete else replace(findings, failure="not done within its budget")


def usual_norm(folders: Iterable[Path]) -> float:
    """The median ‖ΔW‖_F of these adapters."""
    adapters = map(read_adapter, folders)
    return statistics.median(math.hypot(*(pair.norm() for pair in adapter.pairs.values())) for adapter in adapters)


def attack(own: Gate, peer: Gate, kept: Path, *, norm: float, tries: int = TRIES) -> list[Try]:
    """As many tries as asked for; see `plora.lab.adaptive` for how they learn.

    `norm`: ‖ΔW‖_F of a usual clean adapter. `kept`: where rounds and their adapters lie; those that are there count.
    """
    history: list[Try] = []
    for number in range(math.ceil(tries / ROUND)):
        path = kept / f"round-{number}.jsonl"
        if not path.exists():
            knobs = propose(history, ROUND, np.random.default_rng([0, number]))
            draft = path.with_suffix(".draft")
            draft.write_text(to_lines(_round(number, knobs, own, peer, kept, norm)), encoding="utf-8")
            draft.replace(path)
        history += from_lines(path.read_text(encoding="utf-8"))
    return history[:tries]


def _round(number: int, knobs: Sequence[Knobs], own: Gate, peer: Gate, kept: Path, norm: float) -> list[Try]:
    domain = DOMAINS[number % len(DOMAINS)]
    trained = train_round(own.base, domain, knobs, kept / f"round-{number}", seed=number, norm=norm)
    return [_tried(one, made, domain, own, peer) for one, made in zip(knobs, trained, strict=True)]


def to_lines(history: Sequence[Try]) -> str:
    """The tries as JSON lines."""
    return "".join(json.dumps(asdict(one), sort_keys=True) + "\n" for one in history)


def from_lines(text: str) -> list[Try]:
    """The inverse of `to_lines`."""
    lines = map(json.loads, text.splitlines())
    return [Try(**line | {"knobs": Knobs(**line["knobs"])}) for line in lines]


def adaptive_rows(base: str, history: Sequence[Try]) -> Iterator[Row]:
    """The curve at a few tries, and how many of those that work pass each gate."""
    served = curve(history)
    for count in sorted({10, 20, len(served)}):
        if 0 < count <= len(served):
            named = f"{base}, adaptive attacker: best attack success served after {count} tries"
            yield Row.of(named, served[count - 1], "", peer="full knowledge but the secrets", command=COMMAND)
    works = [one for one in history if one.success >= SUCCESS_LEAST]
    for named, hits in (
        ("tries that work and pass the attacker's own gate", [one.submitted for one in works]),
        ("of these, seen by the peer's gate", [one.seen for one in works if one.submitted]),
    ):
        rate = clopper_pearson(sum(hits), len(hits))
        yield Row.of(f"{base}, adaptive attacker: {named}", rate.value or 0.0, "", peer=rate.text(), command=COMMAND)


def _tried(knobs: Knobs, made: Trained, domain: str, own: Gate, peer: Gate) -> Try:
    caught, margin = own.look(made.folder, domain)
    submitted = made.success >= SUCCESS_LEAST and not caught
    return Try(knobs, made.success, margin, submitted, submitted and peer.look(made.folder, domain)[0])


def _margin(findings: Findings, held: bool) -> float:
    if findings.p_value is None or findings.p_value <= 0:
        return FLAGGED
    margin = math.log10(findings.p_value / findings.alpha)
    return min(margin, FLAGGED) if held else margin
