"""The figures are drawn from real artifacts of small size, the same again, and what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plora.analysis.figures import FIGURES, write_figures
from plora.cli.main import main


@pytest.mark.nightly
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
    (tmp_path / "ablation.jsonl").write_text('{"rank": 4}\n', encoding="utf-8")
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
