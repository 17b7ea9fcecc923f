"""Scenarios run the same in each process; what doesn't is found, and told by its round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plora.proto.errors import UsageError
from plora.sim.determinism import chosen, compared, difference
from plora.sim.scenario import Scenario

HASHED = Path(__file__).with_name("hashed.py")
SMALL = Scenario.parse({"agents": 4, "rounds": 3, "graph": {"kind": "ring"}, "publish": {"plasmids": 2}})


def test_a_swarm_is_the_same_in_each_process() -> None:
    assert str(compared(SMALL)).split() == ["swarm", "swarm", "3", "2", "same"]


def test_a_swarm_that_depends_on_the_hash_of_strings_is_found() -> None:
    assert re.fullmatch(r"round 1: .*digest.*; with PYTHONHASHSEED=2", compared(SMALL, (str(HASHED),)).differs)


def test_a_run_that_fails_is_told_with_its_reason() -> None:
    assert compared(SMALL, ("-c", "raise SystemExit('out of patience')")).differs == "failed: out of patience"


def test_the_first_difference_is_told_even_of_values_that_compare_equal() -> None:
    one, two, three = ({"number": number, "heard": 1} for number in (1, 2, 3))
    first = {"rounds": [one, two, three], "report": {"lambda2": float("nan")}, "logs": []}
    other = {"rounds": [one, {**two, "heard": 1.0}, {**three, "heard": 2}], "report": {"lambda2": 0.5}, "logs": []}
    assert difference(first, other) == "round 2: heard"
    assert difference(first, {**other, "rounds": first["rounds"]}) == "report: lambda2"
    assert difference(first, {**first, "report": {"lambda2": float("nan")}}) == ""


def test_all_that_come_along_are_chosen_and_every_rule_of_the_fleet() -> None:
    told = chosen((), rounds=10, peers=100)
    assert {one.fleet.call for one in told if one.name.startswith("fleet-")} == {"push-pull", "push", "pull", "flood"}
    assert {one.engine for one in told if one.name == "replay"} == {"swarm"}
    assert max(one.rounds for one in told) == 10
    with pytest.raises(UsageError, match="repaly: no such scenario"):
        chosen(["repaly"])


@pytest.mark.nightly
@pytest.mark.parametrize("scenario", [pytest.param(one, id=f"{one.engine}-{one.name}") for one in chosen(())])
def test_what_comes_along_is_the_same_in_each_process(scenario: Scenario) -> None:
    assert compared(scenario).differs == ""
