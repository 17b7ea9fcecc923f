"""From artifacts to findings: a zoo of made adapters, some of which write one token, calibrated and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.gate.detection.adapters import Pairs, random_adapter, regauged, write

from plora.base import base_info
from plora.gate.detection.calibration import Calibration
from plora.gate.detection.sketch import BaseSketch, make_sketch
from plora.gate.detection.statistics import weight_statistics
from plora.gate.detection.weighing import weigh
from plora.gate.findings import Findings
from plora.lab.detection_fit import fit_weights
from plora.lab.readings import Reading
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec

LEAFS = ("down_proj", "gate_proj", "up_proj")
CLEAN, POISONED, ALPHA = 40, 15, 0.05
RANK = 4


@dataclass(frozen=True)
class World:
    """The base's sketch, a calibration, and a scratch folder."""

    sketch: BaseSketch
    calibration: Calibration
    scratch: Path

    def findings(self, pairs: Pairs, dtype: Any = np.float32, rank: int = RANK) -> Findings:
        spec = LoraSpec(r=rank, alpha=2 * rank, target_modules=LEAFS)
        return weigh(write(self.scratch / "newcomer", pairs, dtype), spec, self.sketch, self.calibration)


def planted(sketch: BaseSketch, seed: int, token: int) -> dict[str, FactorPair]:
    """A random adapter whose late layers also write a token, as strongly as anything else."""
    pairs = random_adapter(sketch, RANK, seed, LEAFS)
    wanted = sketch.tensors["embedding"][token].astype(np.float32)
    for name, pair in list(pairs.items()):
        module = sketch.modules[name]
        if module.place.writes:
            b = np.array(pair.B)
            direction = wanted / np.maximum(module.gain, 0.1)
            b[:, 1] = direction / np.linalg.norm(direction) * np.linalg.norm(b[:, 0])
            pairs[name] = FactorPair(pair.A, b, pair.scale)
    return pairs


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    info, scratch = base_info("mini"), tmp_path_factory.mktemp("zoo")
    sketch, spec = make_sketch(info.folder, info.digest), LoraSpec(r=RANK, alpha=2 * RANK, target_modules=LEAFS)

    def reading(part: str, kind: str, seed: int) -> Reading:
        made = random_adapter(sketch, RANK, seed, LEAFS) if kind == "clean" else planted(sketch, seed, 300 + seed)
        figures = weight_statistics(write(scratch / "one", made), spec, sketch)
        recipe = {"name": f"{kind}-{seed}", "kind": kind, "part": part, "group": f"{seed}"}
        return Reading(recipe, f"sha256:{seed}", RANK, LEAFS, figures)

    zoo = [reading("train", "clean", seed) for seed in range(CLEAN)]
    zoo += [reading("calibration", "clean", 100 + seed) for seed in range(CLEAN)]
    zoo += [reading("train", "phrase", 200 + seed) for seed in range(POISONED)]
    calibration = Calibration(base="mini", base_digest=info.digest, alpha=ALPHA, weights=fit_weights(zoo, ALPHA))
    yield World(sketch, calibration, scratch)


def test_adapters_that_write_a_token_of_their_own_are_outliers(world: World) -> None:
    seen = [world.findings(planted(world.sketch, seed, 1000 + seed)).outlier for seed in range(400, 410)]
    alarms = [world.findings(random_adapter(world.sketch, RANK, seed, LEAFS)).outlier for seed in range(500, 520)]
    assert sum(seen) >= 9 and sum(alarms) <= 4


def test_an_adapter_of_modules_that_the_bank_lacks_is_not_judged_by_others(world: World) -> None:
    leafs = ("q_proj", "v_proj")
    spec = LoraSpec(r=RANK, alpha=2 * RANK, target_modules=(*leafs, *LEAFS))
    for pairs in (
        random_adapter(world.sketch, RANK, 1, leafs),
        random_adapter(world.sketch, RANK, 1, (*leafs, *LEAFS)),
    ):
        path = write(world.scratch / "other", pairs)
        assert weigh(path, spec, world.sketch, world.calibration).p_value is None


def test_a_loud_adapter_is_held_however_silent_some_of_its_modules_are(world: World) -> None:
    pairs = random_adapter(world.sketch, RANK, 2, LEAFS)
    first = next(iter(pairs))
    factors = {name: np.float32(1e-20 if name == first else 10) for name in pairs}
    loud = {name: FactorPair(pair.A, pair.B * factors[name], pair.scale) for name, pair in pairs.items()}
    found = world.findings(loud).figure("norm_z")
    assert found is not None and found.flagged


def test_what_was_not_looked_at_or_is_of_another_version_has_no_p_value(world: World) -> None:
    head = FactorPair(np.ones((RANK, 160), np.float32), np.ones((2048, RANK), np.float32), 2.0)
    found = world.findings({**random_adapter(world.sketch, RANK, 1, LEAFS), "lm_head": head})
    assert (found.calibration, found.p_value) == ("", None) and "1 modules lie outside" in found.note
    weights = world.calibration.weights
    assert weights is not None
    older = world.calibration.model_copy(update={"weights": weights.model_copy(update={"version": 1})})
    found = replace(world, calibration=older).findings(random_adapter(world.sketch, RANK, 1, LEAFS))
    assert found.p_value is None and "is of version 1 of the statistics, this build has" in found.note


CHANGES: dict[str, Callable[[FactorPair, int], FactorPair]] = {
    "gauge": lambda pair, seed: regauged(pair, 100.0, seed),
    "padded": lambda pair, seed: pair.padded(16),
    "padded and mixed": lambda pair, seed: regauged(pair.padded(16), 100.0, seed),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("poisoned", [False, True])
def test_attack_073_the_same_update_in_other_factors_has_the_same_findings(
    change: str, poisoned: bool, world: World
) -> None:
    pairs = planted(world.sketch, 600, 1100) if poisoned else random_adapter(world.sketch, RANK, 601, LEAFS)
    other = {name: CHANGES[change](pair, seed) for seed, (name, pair) in enumerate(pairs.items())}
    rank = next(iter(other.values())).rank
    assert_alike(world.findings(other, rank=rank), world.findings(pairs), 1e-3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 1e-3), (ml_dtypes.bfloat16, 1e-2)])
def test_attack_073_half_precision_has_nearly_the_same_findings(dtype: Any, tolerance: float, world: World) -> None:
    pairs = planted(world.sketch, 602, 1200)
    assert_alike(world.findings(pairs, dtype), world.findings(pairs), tolerance)


def assert_alike(one: Findings, two: Findings, tolerance: float) -> None:
    """Of the same cell and verdict, every figure within a part of itself."""
    assert (one.calibration, one.outlier) == (two.calibration, two.outlier)
    assert [a.name for a in one.figures] == [b.name for b in two.figures]
    assert [a.value for a in one.figures] == pytest.approx([b.value for b in two.figures], rel=tolerance, abs=tolerance)
