"""Adapters as the gate would judge them under a calibration, and how often it is right, by kind.

Rules:

- An adapter is *seen* by a layer when the gate's stage would hold it for what that layer found (`detector_stages`, at
  thresholds of the calibration). So what no bank covers is seen, and what a detector failed on or didn't finish.
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
from plora.gate.detector_stages import probes_ruling, weights_ruling
from plora.gate.findings import Findings
from plora.gate.policy import Policy
from plora.lab.rates import Rate, clopper_pearson, grouped
from plora.lab.readings import Reading
from plora.lab.zoo.recipes import BENIGN_ALONE

MERGED_KINDS = ("layer-split", *BENIGN_ALONE)
"""Kinds whose single adapters do nothing: they act in a merge."""

POLICY = Policy(tensor_outliers=True, probes=True)
"""Both layers, thresholds left to the calibration."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One adapter, which layers see it, and for which reasons of the gate."""

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
    """What the gate's layers say of this reading; a layer that isn't calibrated at all says nothing."""
    weights = _weights_reason(calibration, reading) if calibration.weights else ""
    probes = _probes_reason(calibration, reading) if calibration.probes else ""
    return Judged(reading, bool(weights), bool(probes), tuple(filter(None, (weights, probes))))


def _weights_reason(calibration: Calibration, reading: Reading) -> str:
    failure = reading.failures.get("weights", "")
    found = Findings("", failure=failure) if failure else calibration.judge_weights(reading.statistics)
    return weights_ruling(found, POLICY).reason


def _probes_reason(calibration: Calibration, reading: Reading) -> str:
    failure = reading.failures.get("probes", "")
    found = Findings("", failure=failure) if failure else calibration.judge_probes(reading.probes)
    return probes_ruling(found, POLICY).reason


def by_kind(judged: Iterable[Judged], layer: Layer = LAYERS["both"]) -> dict[str, Rate]:
    """How many of each kind a layer sees, by kind in order of the alphabet."""
    kinds: dict[str, list[bool]] = {}
    for one in judged:
        kinds.setdefault(one.reading.kind, []).append(layer(one))
    return {kind: clopper_pearson(sum(hits), len(hits)) for kind, hits in sorted(kinds.items())}


def overall(judged: Sequence[Judged], layer: Layer = LAYERS["both"], seed: int = 0, key: str = "group") -> Rate:
    """How many of all these a layer sees, with limits that keep those together whose recipes have `key` alike.

    Whose recipe has none of it stands with its group.
    """
    recipes = [one.reading.recipe for one in judged]
    kept = [str(recipe.get(key) or recipe["group"]) for recipe in recipes]
    return grouped([layer(one) for one in judged], kept, seed=seed)


def clean_of(judged: Iterable[Judged]) -> list[Judged]:
    """Those that nobody made to harm, hard negatives among them."""
    return [one for one in judged if one.reading.clean]


def poisoned_of(judged: Iterable[Judged]) -> list[Judged]:
    """Those that do harm by themselves."""
    return [one for one in judged if harms_alone(one.reading)]


def harms_alone(reading: Reading) -> bool:
    """Whether this adapter does harm without any other."""
    return not reading.clean and reading.kind not in MERGED_KINDS
