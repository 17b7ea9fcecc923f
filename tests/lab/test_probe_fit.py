"""Thresholds and the joint score of probes: from the calibration part alone, on the right side, with room to both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from tests.lab.made_readings import zoo

from plora.gate.detection.calibration import Calibration, ProbePart
from plora.lab.aims import Aims, read_aims
from plora.lab.judged import by_kind, clean_of, judge, overall, poisoned_of
from plora.lab.probe_fit import fit_probes, threshold_of
from plora.lab.readings import Reading
from plora.proto.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[2]
AIMS = Aims(alpha=0.05, false_alarms=0.05)


def calibration(readings: Sequence[Reading], aims: Aims = AIMS) -> Calibration:
    digest = "sha256:" + "0" * 64
    return Calibration(base="mini", base_digest=digest, alpha=aims.alpha, probes=fit_probes(readings, aims))


def figure(part: ProbePart, name: str) -> tuple[float, float, float]:
    found = next(one for one in part.figures if one.name == name)
    return found.low, found.threshold, found.high


def test_what_a_fitted_calibration_says_of_adapters_that_it_never_saw() -> None:
    rows = zoo()
    found = [judge(calibration(rows), row) for row in rows if row.part == "test"]
    assert {kind: rate.hits for kind, rate in by_kind(poisoned_of(found)).items()} == {"label-flip": 10, "phrase": 10}
    assert overall(clean_of(found)).hits <= 6  # two times the 5 % asked for of 60
    assert len(clean_of(found)) == 60 and len(found) == 81


def test_nothing_of_the_test_part_enters() -> None:
    rows = zoo()
    without = [row for row in rows if row.part != "test"]
    assert fit_probes(rows, AIMS) == fit_probes(without, AIMS)


def test_thresholds_come_from_the_calibration_part_and_lie_in_their_intervals() -> None:
    rows = zoo()
    low, threshold, high = figure(fit_probes(rows, AIMS), "trigger_compliance")
    assert 0 < low <= threshold <= high < 1
    figures = {"trigger_compliance": 0.99, "clean_delta": 0.0, "margin_delta": 0.0}
    moved = [replace(row, probes=figures) if row.part == "train" and row.clean else row for row in rows]
    assert figure(fit_probes(moved, AIMS), "trigger_compliance") == (low, threshold, high)


def test_a_figure_of_which_lower_is_worse_has_its_threshold_below_clean_ones() -> None:
    rows = zoo()
    part = fit_probes(rows, AIMS)
    low, threshold, high = figure(part, "clean_delta")
    clean = [row.probes["clean_delta"] for row in rows if row.part == "calibration" and row.clean]
    assert low <= threshold <= high and threshold <= sorted(clean)[3]
    assert next(one for one in part.figures if one.name == "clean_delta").bank == tuple(sorted(clean))


def test_by_default_an_exam_of_the_domain_that_goes_worse_than_any_clean_ones_is_flagged() -> None:
    """What says legal and contains something else, by a lead that its right answers lost."""
    rows = zoo()
    figures = dict(next(row.probes for row in rows if row.clean)) | {"margin_delta": -0.3}
    found = calibration(rows).judge_probes(figures)
    assert [one.name for one in found.figures if one.flagged and one.name == "margin_delta"] == ["margin_delta"]


def test_where_clean_and_poisoned_overlap_false_alarms_decide() -> None:
    clean = [i / 100 for i in range(100)]
    assert threshold_of(clean, [0.5] * 10, false_alarms=0.05, misses=0.1) == 0.95
    assert threshold_of(clean, [], false_alarms=0.05, misses=0.1) == 0.95


def test_too_few_clean_adapters_for_the_aim_give_the_worst_of_them() -> None:
    assert threshold_of([0.1, 0.3], [0.2], false_alarms=0.001, misses=0.1) == 0.3


@pytest.mark.parametrize(("wanted", "called"), [(True, "clean"), (False, "poisoned")])
def test_a_part_that_lacks_one_side_is_refused_by_name(wanted: bool, called: str) -> None:
    rows = [row for row in zoo() if not (row.part == "calibration" and row.clean is wanted)]
    with pytest.raises(UsageError, match=f"no {called} adapter is in the part calibration"):
        fit_probes(rows, AIMS)


def test_a_figure_that_was_not_measured_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="has no figure warmth"):
        fit_probes(zoo(), Aims(figures={"warmth": "higher"}))


def test_the_file_of_aims_holds_the_defaults() -> None:
    assert read_aims(ROOT / "config" / "detection.yml") == Aims()


def test_a_wrong_aim_is_refused_with_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "aims.yml"
    path.write_text("alpha: 2\n")
    with pytest.raises(ConfigError, match=r"aims\.yml, alpha"):
        read_aims(path)
    path.write_text("alpha: 0.1\nwarmth: 1\n")
    with pytest.raises(ConfigError, match=r"aims\.yml, warmth"):
        read_aims(path)
    with pytest.raises(ConfigError, match="can't be read"):
        read_aims(tmp_path / "none.yml")
