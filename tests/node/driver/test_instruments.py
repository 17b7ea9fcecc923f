"""What detectors need of a base, and how each lack is said; nothing here looks into an adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.base import base_info
from plora.gate import Policy
from plora.gate.detection.calibration import Calibration, Cell, Standard, WeightPart, Worst, joint_of
from plora.gate.detection.statistics import STATISTICS_VERSION
from plora.node.driver.instruments import NO_BASE, detector_troubles
from plora.proto.home import Home

BOTH = Policy(tensor_outliers=True, probes=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Home(tmp_path)


def calibrated(home: Home, *, version: int = STATISTICS_VERSION, digest: str = "") -> None:
    """A calibration of weights alone."""
    plain = Standard(names=("log_norm",), centre=(0.0,), scale=(1.0,))
    joint = joint_of((Worst(kind="worst", name="size", standard=plain, signs=(1,)),), [{"log_norm": 0.0}])
    cell = Cell(targets=("q_proj",), standard=plain, norm_mean=0.0, norm_deviation=1.0)
    weights = WeightPart(version=version, joints=(joint,), cells=(cell,))
    made = Calibration(base="mini", base_digest=digest or base_info("mini").digest, alpha=0.02, weights=weights)
    home.calibration.mkdir()
    (home.calibration / "mini.json").write_bytes(made.to_bytes())


def test_what_is_switched_off_lacks_nothing(home: Home) -> None:
    assert detector_troubles(Policy(), home, ("mini",)) == []


def test_a_calibration_of_weights_says_nothing_of_probes(home: Home) -> None:
    calibrated(home)
    assert detector_troubles(Policy(tensor_outliers=True), home, ("mini",)) == []
    (said,) = detector_troubles(BOTH, home, ("mini",))
    assert "says nothing of probes" in said and "plora lab probes-calib" in said


def test_a_calibration_of_other_statistics_is_not_used(home: Home) -> None:
    calibrated(home, version=STATISTICS_VERSION + 1)
    (said,) = detector_troubles(Policy(tensor_outliers=True), home, ("mini",))
    assert f"of statistics {STATISTICS_VERSION + 1}, and here are {STATISTICS_VERSION}" in said


def test_a_file_that_is_no_calibration_is_named(home: Home) -> None:
    home.calibration.mkdir()
    (home.calibration / "mini.json").write_text("{}")
    (said,) = detector_troubles(BOTH, home, ("mini",))
    assert "calibration/mini.json" in said


def test_a_base_that_is_not_on_this_machine_holds_all(home: Home) -> None:
    assert detector_troubles(BOTH, home, ("nobody/has-this",)) == [NO_BASE]
