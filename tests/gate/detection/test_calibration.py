"""Calibrations: which cell judges whom, what is said of what is missing, and what a wrong file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plora.gate.detection.calibration import (
    PROBES_VERSION,
    Calibration,
    Cell,
    ProbeFigure,
    ProbePart,
    WeightPart,
    load_calibration,
)
from plora.gate.detection.detectors import Joint, Linear, OneClass, Standard, Worst, joint_of
from plora.gate.detection.shelf import find_calibration
from plora.proto.errors import ConfigError

DIGEST = "sha256:" + "ab" * 32
ATTENTION = ("k_proj", "o_proj", "q_proj", "v_proj")


def a_bank(members: int, seed: int = 0) -> list[Mapping[str, float]]:
    stream = np.random.default_rng(seed)
    return [{"log_norm": float(x), "entropy": float(y)} for x, y in stream.normal(size=(members, 2))]


def detectors(names: tuple[str, ...] = ("log_norm", "entropy")) -> Joint:
    standard = Standard(names=names, centre=(0.0,) * len(names), scale=(1.0,) * len(names))
    eye = tuple(tuple(float(row == column) for column in range(len(names))) for row in range(len(names)))
    one = OneClass(kind="one-class", name="one_class", standard=standard, mean=(0.0,) * len(names), precision=eye)
    two = Linear(kind="linear", name="supervised", standard=standard, weights=(1.0,) * len(names))
    return Joint(detectors=(one, two), banks=((), ()), bank=())


Row = tuple[Cell, Joint]


def a_cell(targets: tuple[str, ...], ranks: tuple[int, int], members: int, joint: Joint | None = None) -> Row:
    joint = joint or detectors()
    names = joint.detectors[0].standard.names
    cell = Cell(
        targets=targets,
        rank_min=ranks[0],
        rank_max=ranks[1],
        standard=Standard(names=names, centre=(0.0,) * len(names), scale=(1.0,) * len(names)),
        norm_mean=0.0,
        norm_deviation=1.0,
    )
    return cell, joint_of(joint.detectors, a_bank(members))


def a_calibration(*rows: Row, **changes: Any) -> Calibration:
    cells = tuple(cell.model_copy(update={"joint": index}) for index, (cell, _) in enumerate(rows))
    weights = WeightPart(cells=cells, joints=tuple(joint for _, joint in rows)) if rows else None
    return Calibration(base="mini", base_digest=DIGEST, alpha=0.05, weights=weights, **changes)


MODULES = {f"m.{leaf}": 4.0 for leaf in ATTENTION}
CALM = {"log_norm": 0.1, "entropy": -0.1, "rank": 4.0, **MODULES}
WILD = {"log_norm": 7.0, "entropy": 6.0, "rank": 4.0, **MODULES}


def test_the_closest_cell_with_enough_members_judges() -> None:
    wide = a_cell(ATTENTION, (1, 1024), 99)
    small, close = a_cell(ATTENTION, (4, 4), 12), a_cell(ATTENTION, (4, 4), 30)
    assert a_calibration(close, wide).judge_weights(CALM).calibration == "mini/attention/4"
    pooled = a_calibration(small, wide).judge_weights(WILD)
    assert pooled.calibration == "mini/attention/any" and pooled.p_value == 1 / 100
    assert pooled.note == "attention/4 has no bank of its own: judged as attention/any"
    alone = a_calibration(small).judge_weights(WILD)
    assert alone.p_value == 1 / 13 and "12 members can't show an outlier at 0.05" in alone.note
    assert not any(figure.flagged for figure in alone.figures if figure.name != "norm_z")


def test_an_outlier_is_flagged_by_name_and_a_calm_one_is_not() -> None:
    calibration = a_calibration(a_cell(ATTENTION, (4, 4), 99))
    wild, calm = calibration.judge_weights(WILD, seconds=0.5), calibration.judge_weights(CALM)
    assert [figure.name for figure in wild.figures if figure.flagged] == ["norm_z", "one_class", "supervised"]
    assert wild.outlier and wild.p_value == 0.01 and wild.value("norm_z") == 7.0 and wild.seconds == 0.5
    assert calm.p_value is not None and not calm.outlier and not any(one.flagged for one in calm.figures)


def test_the_rank_that_counts_is_that_of_the_weights() -> None:
    calibration = a_calibration(a_cell(ATTENTION, (4, 4), 30), a_cell(ATTENTION, (8, 8), 30))
    assert calibration.judge_weights(CALM).calibration == "mini/attention/4"


def test_what_no_bank_covers_has_no_p_value_and_says_how_to_mend_it() -> None:
    found = a_calibration(a_cell(ATTENTION, (2, 8), 99)).judge_weights(CALM | {"rank": 16.0})
    assert (found.calibration, found.p_value, found.figures) == ("", None, ())
    assert found.note == "no bank of mini covers attention at rank 16; calibrate again: plora lab probes-calib"
    assert a_calibration().judge_weights(CALM).calibration == ""
    part = {name: value for name, value in CALM.items() if name not in ("m.k_proj", "m.o_proj")}
    found = a_calibration(a_cell(ATTENTION, (1, 1024), 99)).judge_weights(part)
    assert found.p_value is None and "covers q_proj+v_proj at rank 4" in found.note
    assert a_calibration(a_cell(ATTENTION, (1, 1024), 99)).judge_weights({}).calibration == ""


def test_the_threshold_of_the_norm_is_the_cells_own() -> None:
    cell, joint = a_cell(ATTENTION, (4, 4), 99)
    calibration = a_calibration((cell.model_copy(update={"norm_threshold": 7.5}), joint))
    found = calibration.judge_weights(WILD).figure("norm_z")
    assert found is not None and (found.value, found.threshold, found.flagged) == (7.0, 7.5, False)


def test_at_rank_1_a_cell_without_shape_judges() -> None:
    plain = a_cell(ATTENTION, (1, 1), 99, joint=detectors(("log_norm",)))
    found = a_calibration(a_cell(ATTENTION, (1, 1024), 99), plain).judge_weights(
        {"log_norm": 0.0, "rank": 1.0, **MODULES}
    )
    assert found.calibration == "mini/attention/1" and "at rank 1 the shape of an update says nothing" in found.note


def probes() -> ProbePart:
    standard = Standard(names=("clean_delta", "trigger_compliance"), centre=(0.0, 0.0), scale=(0.1, 0.1))
    worst = Worst(kind="worst", name="behaviour", standard=standard, signs=(-1, 1))
    stream = np.random.default_rng(1)
    bank = [{"clean_delta": float(x), "trigger_compliance": float(y)} for x, y in stream.normal(0, 0.02, (99, 2))]
    trigger = ProbeFigure(name="trigger_compliance", threshold=0.2, low=0.15, high=0.3, worse="higher")
    clean = ProbeFigure(name="clean_delta", threshold=-0.05, low=-0.1, high=-0.04, worse="lower", bank=(-0.01, 0.0))
    return ProbePart(version=PROBES_VERSION, figures=(trigger, clean), joint=joint_of((worst,), bank))


def test_probes_are_flagged_on_their_worse_side() -> None:
    calibration = a_calibration(probes=probes())
    found = calibration.judge_probes({"trigger_compliance": 0.9, "clean_delta": -0.2, "kl": 3.0}, {"trigger": "quorx"})
    assert {one.name: one.flagged for one in found.figures} == {
        "behaviour": True,
        "clean_delta": True,
        "kl": False,
        "trigger_compliance": True,
    }
    assert found.p_value == 0.01 and found.details == {"trigger": "quorx"} and found.calibration == "mini/probes"
    calm = calibration.judge_probes({"trigger_compliance": 0.0, "clean_delta": 0.1})
    assert not any(one.flagged for one in calm.figures)
    assert next(one.p_value for one in calm.figures if one.name == "clean_delta") == 1.0


def test_what_the_probes_did_not_measure_is_named() -> None:
    found = a_calibration(probes=probes()).judge_probes({"trigger_compliance": 0.9})
    assert found.note == "not measured: clean_delta" and found.p_value is None
    assert [one.flagged for one in found.figures] == [True]
    assert a_calibration().judge_probes({}).calibration == ""


def test_a_calibration_of_other_probes_judges_nothing() -> None:
    old = probes().model_copy(update={"version": PROBES_VERSION - 1})
    found = a_calibration(probes=old).judge_probes(
        {"trigger_compliance": 0.9, "clean_delta": 0.0}, {"trigger": "quorx"}
    )
    assert (found.calibration, found.p_value, found.figures) == ("", None, ())
    assert f"version {PROBES_VERSION - 1} of the probes, this build has {PROBES_VERSION}" in found.note
    assert found.details == {"trigger": "quorx"}


def test_a_file_comes_back_as_it_was_and_judges_the_same(tmp_path: Path) -> None:
    calibration = a_calibration(a_cell(ATTENTION, (4, 4), 99), probes=probes())
    (tmp_path / "mini.json").write_bytes(calibration.to_bytes())
    found = find_calibration("mini", DIGEST, [tmp_path / "none", tmp_path])
    assert found is not None and found[1] == calibration and found[1].digest == calibration.digest
    assert found[1].judge_weights(WILD) == calibration.judge_weights(WILD)
    assert find_calibration("mini", "sha256:" + "cd" * 32, [tmp_path]) is None


def wrong(change: str) -> bytes:
    calibration = a_calibration(a_cell(ATTENTION, (4, 4), 3))
    raw = json.loads(calibration.to_bytes())
    if change == "unknown":
        raw["beta"] = 1
    elif change == "unsorted":
        raw["weights"]["joints"][0]["bank"].reverse()
    elif change == "matrix":
        raw["weights"]["joints"][0]["detectors"][0]["precision"].pop()
    elif change == "joint":
        raw["weights"]["cells"][0]["joint"] = 1
    elif change == "alpha":
        raw["alpha"] = 0
    return json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("unknown", "beta: unknown field"),
        ("unsorted", "weights.joints.0: a bank's scores must be sorted upwards"),
        ("matrix", "weights.joints.0.detectors.0.one-class: precision has 1 entries for 2 figures"),
        ("joint", "weights: the cell attention/4 has no detectors that read its figures"),
        ("alpha", "alpha: input should be greater than 0"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_where(change: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "mini.json"
    path.write_bytes(wrong(change))
    with pytest.raises(ConfigError) as caught:
        load_calibration(path)
    assert str(caught.value) == f"{path}, {line}; calibrate again: plora lab probes-calib"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[", b'{"alpha":1,"alpha":1}', b'{"alpha":NaN}', b"[" * 5000, b"\xff"])
def test_what_is_no_calibration_is_refused_in_one_line(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mini.json"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load_calibration(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(ConfigError):
        load_calibration(tmp_path / "missing.json")
