"""What reports say of graphs and of rounds by theory."""

from __future__ import annotations

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
    assert rounds["observed"] == sum(took) / 4 and rounds["complete_graph"] <= rounds["observed"] + 1


def test_what_is_under_way_has_no_rounds_yet() -> None:
    report = run(Scenario.parse({"agents": 16, "rounds": 1, "graph": {"kind": "ring"}})).report
    assert report["theory"]["observed"] is None and report["theory"]["spectral_shape"] > 10
