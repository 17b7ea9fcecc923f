"""The scenarios that come along end as they say that they must; and one that can't is told from one that does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plora.proto.errors import UsageError
from plora.sim import scenarios
from plora.sim.expectations import failures
from plora.sim.kinds import KINDS
from plora.sim.run import run
from plora.sim.scenario import Expect, Scenario


def each(*quick: str) -> list[Any]:
    """All names, the longer ones nightly only."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.nightly) for name in scenarios.names()]


@pytest.mark.parametrize("name", each("clock-skew", "eclipse", "late-joiner", "rolling-upgrade"))
def test_it_ends_as_it_says(name: str) -> None:
    assert failures(run(scenarios.find(name))) == []


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", scenarios.names())
def test_it_ends_so_for_other_seeds(name: str, seed: int) -> None:
    told = scenarios.find(name)
    expect = told.expect.model_copy(update={"met": ()})  # chance decides who is caught by what
    assert failures(run(told.model_copy(update={"seed": seed, "expect": expect}))) == []


@pytest.mark.parametrize("name", scenarios.names())
def test_each_says_what_it_is_about_and_what_must_hold(name: str) -> None:
    told = scenarios.find(name)
    assert told.about and told.expect.clean_accepted == 1.0


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean replay"):
        scenarios.find("repaly")


def test_what_is_not_as_expected_is_named_in_a_sentence() -> None:
    lonely = {"plasmids": 2, "at": [0, 2], "domains": ["legal"]}
    harsh = {"agents": 4, "rounds": 1, "graph": {"kind": "ring"}, "publish": lonely, "security": {"detectors": False}}
    expect = {"clean_accepted": 1.0, "agree": True, "met": ["two_contents"]}
    ended = run(Scenario.parse({**harsh, "expect": expect}))
    assert [sentence.split(":")[0] for sentence in failures(ended)] == ["clean_accepted", "agree", "met"]
    assert ended.report["unexpected"] == failures(ended)
    with pytest.raises(UsageError, match="only the swarm"):
        failures(replace(ended, simulation=None))
    assert failures(replace(ended, scenario=ended.scenario.model_copy(update={"expect": Expect()}))) == []


def test_another_release_is_asked_as_all_others_are() -> None:
    deaf = {"agents": 2, "rounds": 3, "graph": {"kind": "complete"}, "links": {"bulk_loss": 1.0}}
    told = {**deaf, "publish": {"plasmids": 1}, "adversaries": [{"kind": "elder", "peers": [1]}]}
    ended = run(Scenario.parse({**told, "expect": {"clean_accepted": 1.0}}))
    assert failures(ended) == ["clean_accepted: 0.500, at least 1.0 was expected"]
    assert ended.report["adversaries"] == [] and [one["kind"] for one in ended.report["other_releases"]] == ["elder"]


def test_nobody_who_is_up_is_no_agreement() -> None:
    told = {"agents": 2, "rounds": 2, "graph": {"kind": "complete"}, "happenings": [{"round": 1, "do": "kill"}]}
    assert failures(run(Scenario.parse({**told, "expect": {"agree": True}}))) == ["agree: nobody is up at the end"]


def test_the_manual_names_every_scenario_and_every_kind() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert [name for name in (*scenarios.names(), *KINDS) if f"`{name}`" not in manual] == []
