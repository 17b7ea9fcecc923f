"""What reports say of graphs and of rounds by theory."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.sim import theory
from plora.sim.run import run
from plora.sim.scenario import Scenario
from plora.sim.topology import complete, graph_of, ring


def test_a_spectrum_is_of_the_largest_component() -> None:
    apart = graph_of(9, [(0, 8), (1, 3), (3, 5), (5, 7), (7, 1), (2, 4)])
    assert theory.spectrum(apart) == theory.spectrum(ring(4))
    assert theory.spectrum(ring(1)) is None


def test_nothing_is_said_of_what_is_too_large() -> None:
    assert theory.spectrum(ring(theory.PEERS_MAX + 1)) is None
    assert theory.spectrum(complete(1002)) is None


def test_bounds_of_a_spectrum_hold() -> None:
    found = theory.spectrum(ring(40))
    assert found is not None and not found["conductance"]["exact"]
    for name in ("normalized", "combinatorial"):
        lower, upper = found[f"cheeger_{name}"]
        assert lower < found[f"lambda2_{name}"] < upper


@pytest.mark.parametrize("synchronous", [True, False])
def test_rounds_of_a_run_stand_beside_theory(synchronous: bool) -> None:
    told = {"agents": 16, "rounds": 14, "graph": {"kind": "complete"}, "synchronous": synchronous}
    report = run(Scenario.parse({**told, "publish": {"plasmids": 4}})).report
    took = [one["rounds_to"]["100%"] for one in report["adapters"]]
    rounds = report["theory"]
    assert report["graph"]["spectrum"]["lambda2_combinatorial"] == pytest.approx(16)
    assert rounds["observed"] == sum(took) / 4 - (0 if synchronous else 0.5)


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_fleet_on_a_complete_graph_takes_the_rounds_of_theory(synchronous: bool) -> None:
    """The mean of 200 adapters, which share one run's calls."""
    told = {"agents": 400, "rounds": 24, "synchronous": synchronous, "publish": {"plasmids": 200}}
    fleet = {"regard": False, "poisson": not synchronous}
    report = run(Scenario.parse({**told, "engine": "fleet", "graph": {"kind": "complete"}, "fleet": fleet})).report
    assert report["theory"]["observed"] == pytest.approx(report["theory"]["complete_graph"], abs=0.5)


@pytest.mark.parametrize("fleet", [{"call": "pull"}, {"call": "push"}, {"call": "flood"}, {"answers": "one"}])
def test_theory_has_nothing_to_say_of_other_rules(fleet: dict[str, str]) -> None:
    told = {"engine": "fleet", "agents": 30, "rounds": 2, "graph": {"kind": "ring"}, "fleet": fleet}
    report = run(Scenario.parse(told)).report
    assert report["theory"] is None and report["graph"]["spectrum"]


def test_a_complete_graph_needs_no_spectrum_to_be_compared() -> None:
    told = {"engine": "fleet", "agents": 20_000, "rounds": 1, "synchronous": True, "fleet": {"regard": False}}
    report = run(Scenario.parse({**told, "graph": {"kind": "complete"}})).report
    assert report["graph"]["spectrum"] is None and report["theory"]["spectral_shape"] is None
    assert report["theory"]["complete_graph"] == pytest.approx(12.32, abs=0.01)


def test_adapters_of_another_component_are_not_compared_though_it_be_as_large(tmp_path: Path) -> None:
    edges = tmp_path / "edges"
    edges.write_text("0 1\n2 3\n")
    told = {"engine": "fleet", "agents": 4, "rounds": 3, "graph": {"kind": "file", "file": edges}}
    late = {"plasmids": 2, "at": (0, 2), "every": 9.0}
    assert run(Scenario.parse({**told, "publish": late})).report["theory"]["observed"] == 0.5


def test_what_is_under_way_has_no_rounds_yet() -> None:
    report = run(Scenario.parse({"agents": 16, "rounds": 1, "graph": {"kind": "ring"}})).report
    assert report["theory"]["observed"] is None and report["theory"]["spectral_shape"] > 10
