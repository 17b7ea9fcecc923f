"""`plora sim NAME`: scenarios that come along are named and found, and one that ends otherwise than it must says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plora.cli.main import main
from plora.sim import scenarios


def sim(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["sim", *arguments])
    return int(ended.value.code or 0)


def test_all_are_named_with_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("--list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["scenarios"]
    assert [one["name"] for one in listed] == scenarios.names() and all(one["about"] for one in listed)


def test_one_runs_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("eclipse", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scenario"]["name"] == "eclipse"
    assert sim("eclips", "--json") == 2
    assert "did you mean eclipse" in capsys.readouterr().err


def test_one_that_ends_otherwise_says_what_is_not_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hasty.toml"
    path.write_text('agents = 4\nrounds = 1\ngraph = { kind = "ring" }\nexpect = { met = ["two_contents"] }\n')
    assert sim(str(path), "-q") == 1
    told = capsys.readouterr().err
    assert "met: nobody's log names two_contents" in told and "hasty did not end as it must" in told
