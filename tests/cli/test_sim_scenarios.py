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
    assert sim("eclipse", "-q") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("eclipse") and shown.rstrip().endswith("Ended as its scenario expects")
    assert "Everything clean reached everybody" in shown  # the one who cuts others off is not counted
    assert sim("eclips", "--json") == 2
    assert "did you mean eclipse" in capsys.readouterr().err
    assert sim("eclipse.toml", "-q") == 2
    told = capsys.readouterr().err
    assert "no such file; did you mean eclipse" in told and "Errno" not in told


def test_one_that_ends_otherwise_says_what_is_not_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hasty.toml"
    path.write_text('agents = 4\nrounds = 1\ngraph = { kind = "ring" }\nexpect = { met = ["two_contents"] }\n')
    for asked in ([path, "--report_dir", tmp_path / "out"], [tmp_path / "out"]):
        assert sim(*map(str, asked), "-q") == 1
        told = capsys.readouterr().err
        assert "met: nobody's log names two_contents" in told and "hasty did not end as it must" in told


@pytest.mark.parametrize("flags", [("--ws_k", "4"), ("--graph", "ws", "--graph-file", "edges")])
def test_a_flag_of_another_kind_of_graph_is_refused(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("--agents", "5000", *flags) == 2
    assert "has none; leave it out, or add --graph" in capsys.readouterr().err
