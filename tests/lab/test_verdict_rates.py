"""Rates of verdicts: a correlation is found again in votes drawn with it; the simulator reads what is written."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from plora.lab.readings import Reading, write_table
from plora.lab.verdict_rates import correlation, counted, few, main, table_of
from plora.proto.errors import UsageError
from plora.sim.verdicts import Rate, VerdictModel


def drawn(mean: float, alike: float, adapters: int, peers: int, seed: int) -> list[list[bool]]:
    """Votes on adapters whose chances are beta distributed."""
    draws = Random(seed)
    spread = (1 - alike) / alike
    chances = [draws.betavariate(mean * spread, (1 - mean) * spread) for _ in range(adapters)]
    return [[draws.random() < chance for _ in range(peers)] for chance in chances]


@pytest.mark.parametrize("alike", [0.1, 0.5, 0.9])
def test_the_correlation_is_that_within_adapters_and_not_between_kinds(alike: float) -> None:
    votes = {"phrase": drawn(0.1, alike, 400, 5, 1), "style": drawn(0.7, alike, 400, 5, 2)}
    assert correlation(votes) == pytest.approx(alike, abs=0.07)


def test_nothing_that_was_probed_gives_no_correlation() -> None:
    with pytest.raises(UsageError, match="nothing was probed"):
        correlation({"clean": []})


def reading(name: str, kind: str, part: str = "test") -> Reading:
    return Reading({"name": name, "kind": kind, "part": part}, "sha256:0")


def test_only_tested_adapters_that_act_alone_count_and_few_of_each_kind() -> None:
    rows = [reading("a", "clean"), reading("b", "clean-hard"), reading("c", "phrase"), reading("d", "phrase", "train")]
    found = counted([*rows, reading("e", "collusion-2")])
    assert [one.name for one in found] == ["a", "b", "c"]
    assert [one.name for one in few(found, 1)] == ["a", "c"]


def test_the_simulator_draws_by_what_is_written(tmp_path: Path) -> None:
    alone = {"clean": [True, True, True, False], "phrase": [False, False]}
    votes = {"clean": [[True, True], [True, True]], "phrase": [[True, False], [False, True]]}
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps(table_of(alone, votes, {"base": "mini"})))
    model = VerdictModel.read(path)
    assert model is not None and model.rates == {"clean": Rate(0.75, 1.0), "phrase": Rate(0.0, 0.0)}


def test_a_missing_table_says_how_to_make_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--base", "mini", "--out", str(tmp_path / "verdicts.json"), "--table"]
    assert main([*told, str(tmp_path / "no.xz")]) != 0
    assert "make bench-detection" in "".join(capsys.readouterr())
    write_table(tmp_path / "one.xz", [reading("a", "clean")])
    assert main([*told, str(tmp_path / "one.xz"), "--secrets", "1"]) != 0
    assert "2 at least" in "".join(capsys.readouterr())
