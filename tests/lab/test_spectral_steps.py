"""The constant C and the bounds as files: what they say, and that broken ones are seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plora.analysis.diffusion import push_pull_rounds_exact
from plora.lab import calibrate_c, validate_bounds
from plora.lab.spread import graph_of, rounds_to_all
from plora.proto.errors import UsageError
from plora.sim.topology import complete, star

SMALL = {"sizes": (32, 64), "held_out": (128,), "seeds": range(2)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for family in ("er", "ws"):
        calibrate_c.calibrate_into(folder, family, **SMALL)
    validate_bounds.validate_into(folder, sizes=(16, 48), seeds=range(100, 102))
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_rounds_are_those_of_theory() -> None:
    over_seeds = [rounds_to_all(complete(8), seed) for seed in range(200)]
    assert sum(over_seeds) / 200 == pytest.approx(push_pull_rounds_exact(8), abs=0.06)
    assert 1 <= rounds_to_all(star(40), 1) <= 2


def test_a_family_that_isnt_known_is_refused() -> None:
    with pytest.raises(UsageError, match="torus"):
        graph_of("torus", 32, 1)


def test_the_artifacts_are_sound_and_the_same_again(results: Path, tmp_path: Path) -> None:
    path = results / "c_calib_er.json"
    assert calibrate_c.faults(path) == [] and len(read(path)["runs"]) == 4
    again = calibrate_c.calibrate_into(tmp_path, "er", **SMALL)
    assert again.read_bytes() == path.read_bytes() and list(tmp_path.iterdir()) == [again]


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        ({"runs": []}, "runs: 0 graphs"),
        ({"C": {"value": 2.0, "low": 0.1, "high": 0.9}, "C_bound": 3.0}, "C is outside"),
        ({"C_bound": 0.0}, "the largest C"),
        ({"runs_held_out": [{"n": 128, "seed": 0, "lambda2": 0.0, "rounds": 4.0}]}, "runs_held_out: λ₂"),
    ],
)
def test_a_broken_calibration_is_seen(results: Path, tmp_path: Path, broken: dict[str, Any], seen: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(read(results / "c_calib_er.json") | broken), encoding="utf-8")
    assert any(fault.startswith(seen) for fault in calibrate_c.faults(path))


def test_proved_bounds_hold_and_others_fail_where_they_must(results: Path) -> None:
    path = results / "bounds_validation.json"
    document = read(path)
    assert validate_bounds.faults(path) == [] and document["holds"]
    by_name = {bound["name"]: bound for bound in document["bounds"]}
    assert set(document["C_bound"]) == {"er", "ws"} and by_name["calibrated rounds"]["graphs"] == 8
    failed = {violation["graph"] for violation in by_name["random cuts from below"]["violations"]}
    assert {"ring n=64", "barbell n=64"} <= failed
    assert by_name["exact cut"]["graphs"] == 6 + 3 * 2


def test_a_broken_bound_is_seen(results: Path, tmp_path: Path) -> None:
    document = read(results / "bounds_validation.json")
    document["bounds"][0]["violations"] = [{"graph": "ring n=16", "left": 2.0, "right": 1.0}]
    path = tmp_path / "b.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "cheeger, lower" in validate_bounds.faults(path)[0]


def test_bounds_without_a_calibration_say_nothing_of_rounds(tmp_path: Path) -> None:
    path = validate_bounds.validate_into(tmp_path, sizes=(16,), seeds=range(1))
    assert "calibrated rounds" not in {bound["name"] for bound in read(path)["bounds"]}
    (tmp_path / "c_calib_er.json").write_text("{}", encoding="utf-8")
    assert validate_bounds.main(["--results", str(tmp_path), "--sizes", "16"]) == UsageError.exit_code
