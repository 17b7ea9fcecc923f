"""The figures are drawn from real artifacts of small size, the same again, and what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plora.analysis.figures import FIGURES, write_figures
from plora.cli.main import main
from plora.lab.calibrate_c import calibrate_into
from plora.lab.validate_bounds import validate_into
from plora.sim.evaluate import summarised
from plora.sim.run import run
from plora.sim.scenario import Scenario

SMALL = {"agents": 6, "rounds": 4, "graph": {"kind": "ring"}, "publish": {"plasmids": 3, "trojan_rate": 0.34}}


def difference(value: float) -> dict[str, Any]:
    """As `plora.lab.value_add` has it."""
    interval = {"value": value, "low": value - 0.2, "high": value + 0.1}
    return {"nll": interval, "question_information": interval, "em": interval}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for family in ("er", "ws", "ba"):
        calibrate_into(folder, family, sizes=(32, 64), held_out=(128,), seeds=range(2))
    validate_into(folder, sizes=(16,), seeds=range(1))
    report = run(Scenario.parse(SMALL)).report
    (folder / "sim").mkdir()
    (folder / "sim" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "summary_v2.json").write_text(json.dumps(summarised(folder / "sim")), encoding="utf-8")
    write_lines(folder / "thesis_sweep.jsonl", [{"digest": "ab", "at": {}, "report": report}])
    cells = [("baseline", 0.0), ("adapter", -2.0), ("placebo_shuffled", 0.1)]
    rows = [
        {"cell": cell, "domain": domain, "difference": difference(value)}
        for domain in ("legal", "medical")
        for cell, value in cells
    ]
    write_lines(folder / "value_add" / "value_add.jsonl", rows)
    kinds = [("attention", 1), ("all", 4)]
    write_lines(
        folder / "ablation.jsonl",
        [{"domain": "legal", "scheme": scheme, "rank": rank, "difference": difference(-1.0)} for scheme, rank in kinds],
    )
    losses = {name: {"legal": 2.0} for name in ("base", "own", "merged")}
    write_lines(
        folder / "alt_train_merge" / "rounds.jsonl",
        [{"provenance": {}}]
        + [{"round": number, "nll": losses, "moved": None if number == 1 else 0.1} for number in (1, 2)],
    )
    return folder


def test_all_are_drawn_and_the_command_says_so(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["figures", "--results", str(results), "--out", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert not ended.value.code and told["missing"] == [] and len(told["written"]) == 2 * len(FIGURES)
    assert sorted(map(str, tmp_path.iterdir())) == sorted(told["written"])
    assert all(Path(path).read_bytes().startswith((b"%PDF", b"\x89PNG")) for path in told["written"])


def test_what_is_missing_or_broken_is_named_and_equal_artifacts_make_equal_files(results: Path, tmp_path: Path) -> None:
    (tmp_path / "bounds_validation.json").write_bytes((results / "bounds_validation.json").read_bytes())
    (tmp_path / "summary_v2.json").write_text('{"runs": [{"gate"', encoding="utf-8")
    write_lines(tmp_path / "ablation.jsonl", [{"rank": 4}])
    written, missing = write_figures(tmp_path, tmp_path / "figures")
    assert [path.name for path in written] == ["bounds.pdf", "bounds.png"]
    said = {one.figure: str(one) for one in missing}
    assert said["constant_c"] == "constant_c: c_calib_er.json isn't there; make calibrate-c"
    assert "can't be read" in said["gate"] and "KeyError: 'scheme'" in said["ablation"]
    assert not list((tmp_path / "figures").glob(".draft*"))
    again, _ = write_figures(tmp_path, tmp_path / "again")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]


def test_where_nothing_can_be_drawn_the_command_fails(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["figures", "--results", str(tmp_path)])
    assert ended.value.code == 1
