"""Adapters as the gate would judge them under a calibration, and how often it is right, by kind.

Rules:

- An adapter is *seen* by a layer when that layer alone would quarantine it: weights by an outlying joint p-value or a
  `norm_z` over its threshold; probes by an outlying joint p-value, or by a figure that policies read over its own. What
  no bank covers is quarantined, too.
- A clean adapter that is seen is a false alarm, hard negatives too. There is no other way of being wrong about one.
- Limits by kind are exact (Clopper and Pearson); overall ones draw whole groups. See `plora.lab.rates`.
- What is judged was in neither part of the fit; who calls makes sure of it (`plora.lab.rates.straddling`).

Not handled here: what is found only after a merge (halves of an attack are harmless alone: `MERGED_KINDS`).

>>> seen = [Judged(Reading({"name": "a", "kind": "style", "part": "test"}, ""), weights=False, probes=True)]
>>> by_kind(seen)["style"].text(), by_kind(seen, LAYERS["weights"])["style"].text()
('1 of 1 (at least 0.050)', '0 of 1 (at most 0.950)')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from plora.gate.detection.calibration import Calibration
from plora.gate.detector_stages import CLEAN_DELTA, DOMAIN, NORM_Z, TRIGGER
from plora.gate.findings import Findings
from plora.lab.rates import Rate, clopper_pearson, grouped
from plora.lab.readings import Reading
from plora.lab.zoo.recipes import BENIGN_ALONE

MERGED_KINDS = ("layer-split", *BENIGN_ALONE)
"""Kinds whose single adapters do nothing: they act in a merge."""

POLICY_FIGURES = (NORM_Z, TRIGGER, CLEAN_DELTA, DOMAIN)


@dataclass(frozen=True, slots=True)
class Judged:
    """One adapter, which layers see it, and why."""

    reading: Reading
    weights: bool
    probes: bool
    reasons: tuple[str, ...] = ()

    @property
    def quarantined(self) -> bool:
        """Whether any layer sees it."""
        return self.weights or self.probes


Layer = Callable[[Judged], bool]
LAYERS: Mapping[str, Layer] = {
    "weights": lambda judged: judged.weights,
    "probes": lambda judged: judged.probes,
    "both": lambda judged: judged.quarantined,
}


def judge(calibration: Calibration, reading: Reading) -> Judged:
    """What the gate's layers say of this reading."""
    weights = calibration.judge_weights(reading.statistics, reading.lora) if calibration.weights else None
    probes = calibration.judge_probes(reading.probes) if calibration.probes else None
    seen_by = reasons(weights, "weights"), reasons(probes, "probes")
    return Judged(reading, bool(seen_by[0]), bool(seen_by[1]), (*seen_by[0], *seen_by[1]))


def seen(findings: Findings) -> bool:
    """Whether these findings alone quarantine an adapter."""
    return bool(reasons(findings, ""))


def reasons(findings: Findings | None, layer: str) -> tuple[str, ...]:
    """Why these findings quarantine an adapter; nothing where a layer isn't calibrated at all (None).

    Names of figures beyond their threshold; the layer's name with "jointly" for an outlying joint p-value, with "no
    bank" for what no bank covers.
    """
    if findings is None:
        return ()
    if not findings.calibration:
        return (f"{layer}, no bank",)
    flagged = [figure.name for figure in findings.figures if figure.flagged and figure.name in POLICY_FIGURES]
    return (*flagged, *([f"{layer} jointly"] if findings.outlier else []))


def by_kind(judged: Iterable[Judged], layer: Layer = LAYERS["both"]) -> dict[str, Rate]:
    """How many of each kind a layer sees, by kind in order of the alphabet."""
    kinds: dict[str, list[bool]] = {}
    for one in judged:
        kinds.setdefault(one.reading.kind, []).append(layer(one))
    return {kind: clopper_pearson(sum(hits), len(hits)) for kind, hits in sorted(kinds.items())}


def overall(judged: Sequence[Judged], layer: Layer = LAYERS["both"], seed: int = 0) -> Rate:
    """How many of all these a layer sees, with limits that keep a recipe's adapters together."""
    return grouped([layer(one) for one in judged], [one.reading.recipe["group"] for one in judged], seed=seed)


def clean_of(judged: Iterable[Judged]) -> list[Judged]:
    """Those that nobody made to harm, hard negatives among them."""
    return [one for one in judged if one.reading.clean]


def poisoned_of(judged: Iterable[Judged]) -> list[Judged]:
    """Those that do harm by themselves."""
    return [one for one in judged if harms_alone(one.reading)]


def harms_alone(reading: Reading) -> bool:
    """Whether this adapter does harm without any other."""
    return not reading.clean and reading.kind not in MERGED_KINDS
