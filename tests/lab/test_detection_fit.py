"""The weights' part of a calibration: fitted on one part, banked on another, and what it then says of newcomers."""

from __future__ import annotations

import numpy as np
import pytest

from plora.gate.detection.calibration import Calibration
from plora.lab.detection_fit import fit_weights
from plora.lab.profile_fit import fit_profile
from plora.lab.readings import Reading
from plora.proto.errors import UsageError

ATTENTION, MLP = ("k_proj", "o_proj", "q_proj", "v_proj"), ("down_proj", "gate_proj", "up_proj")
DIGEST = "sha256:" + "ab" * 32
ALPHA = 0.05
PARTS = ("train", "calibration", "test")
CELLS = {f"mini/{targets}/{rank}" for targets in ("attention", "mlp") for rank in (2, 4)}
SHAPE = ("share", "entropy")


def reading(part: str, number: int, stream: np.random.Generator, poisoned: bool = False, rank: int = 0) -> Reading:
    """Figures that differ by targets and rank much more than by poison; poisoned ones write a token of their own."""
    targets = (ATTENTION, MLP)[number % 2]
    rank = rank or (2, 4)[number // 2 % 2]
    base = 5.0 * (number % 2) + rank
    names = ("log_norm", "norm_slope", "row_tail", "written_top", *(SHAPE if rank > 1 else ()))
    figures = dict(zip(names, (base + stream.normal(0, 0.2, len(names))).tolist(), strict=True))
    figures["norm_slope"] += 0.4 * poisoned
    figures |= {f"w.{token}": float(3 + stream.normal(0, 0.3)) for token in range(5)}
    figures |= {f"w.{100 + number if poisoned else 5}": 4.0, "rank": float(rank), "unread": 0.0}
    figures |= {f"m.{target}": 4.0 for target in targets}
    kind = "phrase" if poisoned else "clean"
    recipe = {"name": f"{part}-{kind}-{number}", "kind": kind, "part": part, "group": f"{part}{number}"}
    return Reading(recipe, f"sha256:{part}{number}", rank, targets, figures)


def zoo(seed: int, clean: int = 60, poisoned: int = 30, parts: tuple[str, ...] = PARTS) -> list[Reading]:
    stream = np.random.default_rng(seed)
    rows = [reading(part, i, stream) for part in parts for i in range(clean)]
    return rows + [reading(part, i, stream, poisoned=True) for part in parts for i in range(poisoned)]


def calibrated(readings: list[Reading], alpha: float = ALPHA) -> Calibration:
    return Calibration(base="mini", base_digest=DIGEST, alpha=alpha, weights=fit_weights(readings, alpha))


def test_poisoned_newcomers_are_outliers_and_clean_ones_are_about_as_often_as_promised() -> None:
    alarms: list[bool] = []
    seen: list[bool] = []
    for seed in range(4):
        readings = zoo(seed)
        calibration = calibrated(readings)
        for one in readings:
            if one.part == "test":
                found = calibration.judge_weights(one.statistics)
                assert found.calibration in {
                    f"mini/{targets}/{rank}" for targets in ("attention", "mlp") for rank in (2, 4)
                }
                (alarms if one.clean else seen).append(found.outlier)
    assert np.mean(seen) > 0.9
    assert np.mean(alarms) < 0.1


def test_what_differs_by_recipe_alone_does_not_count() -> None:
    """Sizes of the two targets lie 25 deviations apart; each is judged by its own cell."""
    calibration = calibrated(zoo(0))
    for one in zoo(9, clean=8, poisoned=0, parts=("test",)):
        found = calibration.judge_weights(one.statistics)
        assert abs(found.value("norm_z") or 0) < 4 and "bank is pooled over" in found.note


def test_attack_072_the_part_test_and_newcomers_change_nothing() -> None:
    readings = zoo(1)
    kept = [one for one in readings if one.part != "test"]
    assert fit_weights(readings, ALPHA) == fit_weights(kept, ALPHA)


def test_a_bank_is_the_cells_own_where_it_has_members_enough() -> None:
    small, large = calibrated(zoo(2), 0.3), calibrated(zoo(2), 0.005)
    newcomer = zoo(3, clean=1, poisoned=0, parts=("test",))[0]
    assert small.judge_weights(newcomer.statistics).note == ""
    note = large.judge_weights(newcomer.statistics).note
    assert note == "the bank is pooled over any/any; 60 members can't show an outlier at 0.005"


def test_ranks_and_modules_beyond_the_bank_are_not_covered() -> None:
    calibration = calibrated(zoo(4))
    stream = np.random.default_rng(5)
    one = calibration.judge_weights(reading("test", 0, stream, rank=1).statistics)
    assert one.calibration == "mini/attention/1-4" and one.p_value is not None and "at rank 1 the shape" in one.note
    known = reading("test", 0, stream).statistics
    assert calibration.judge_weights({**known, "rank": 16.0}).calibration == ""
    for others in ({"m.up_proj": 4.0}, {"m.lm_head": 1.0}):
        assert calibration.judge_weights({**known, **others}).calibration == ""


def test_modules_of_the_part_train_alone_have_no_cell() -> None:
    rows = [one for one in zoo(8) if one.part != "calibration" or "m.q_proj" in one.statistics]
    weights = fit_weights(rows, ALPHA)
    assert {cell.targets for cell in weights.cells} == {ATTENTION}
    with pytest.raises(UsageError, match="share no modules"):
        fit_weights([one for one in rows if one.part != "train" or "m.up_proj" in one.statistics], ALPHA)


def test_the_norm_has_a_threshold_that_a_small_bank_of_a_heavy_tail_can_bear() -> None:
    """At 3 deviations, norms that scatter as Student's t with 2 degrees of freedom would often be held."""
    stream = np.random.default_rng(11)
    alarms: list[bool] = []
    for seed in range(8):
        readings = zoo(seed, clean=24, poisoned=8)
        for one in readings:
            one.statistics["log_norm"] += float(stream.standard_t(2))  # type: ignore[index]
        calibration = calibrated(readings)
        found = (calibration.judge_weights(one.statistics) for one in readings if one.part == "test" and one.clean)
        alarms += [one.figures[0].flagged for one in found]
    norms = [cell.norm_threshold for seed in range(2) for cell in fit_weights(zoo(seed), ALPHA).cells]
    assert np.mean(alarms) <= ALPHA and min(norms) == 3.0


def test_a_zoo_of_rank_1_alone_is_judged_without_shape() -> None:
    stream = np.random.default_rng(7)
    rows = [reading(part, i, stream, i % 3 == 0, rank=1) for part in PARTS for i in range(60)]
    found = calibrated(rows).judge_weights(rows[1].statistics)
    assert found.calibration == "mini/mlp/1" and found.p_value is not None


def test_novelty_of_a_member_is_measured_against_the_others() -> None:
    others = [{"w.1": 3.0, "w.2": value} for value in (1.0, 1.2, 0.8, 1.1)]
    outlier = {"w.1": 3.0, "w.7": 9.0}
    profile, novelty = fit_profile([*others, outlier])
    without, _ = fit_profile(others)
    assert novelty[-1]["written_novelty"] == pytest.approx(without.figures(outlier)["written_novelty"], rel=0.05)
    assert profile.figures(outlier)["written_novelty"] < novelty[-1]["written_novelty"] / 3
    assert profile.read.tokens == () and "read_novelty" not in novelty[0]


@pytest.mark.parametrize("missing", ["clean train", "poisoned train", "clean calibration"])
def test_a_zoo_that_is_too_small_says_what_it_lacks(missing: str) -> None:
    word, part = missing.split()
    rows = [one for one in zoo(6) if not (one.part == part and one.clean == (word == "clean"))]
    with pytest.raises(UsageError, match=f"the zoo lacks .*{word}.* in the part {part}; grow it"):
        fit_weights(rows, ALPHA)
