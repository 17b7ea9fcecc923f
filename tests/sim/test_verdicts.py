"""Verdicts are beta-binomial by kind, stick to a pair of peer and adapter, and are what real cores decide by."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, pvariance

import pytest

from plora.proto.errors import UsageError
from plora.sim.run import run
from plora.sim.scenario import Scenario
from plora.sim.verdicts import NO_VERDICTS, Rate, VerdictModel, model_of, said_of

PEERS, ADAPTERS = 20, 400


def shares(rate: Rate) -> list[float]:
    """Of each of many adapters, the share of peers who accept it."""
    model = VerdictModel({"phrase": rate})
    found = [[model.accepts(5, f"p{peer}", f"a{one}", "phrase") for peer in range(PEERS)] for one in range(ADAPTERS)]
    return [fmean(row) for row in found]


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_shares_have_the_mean_and_the_correlation_that_were_told(correlation: float) -> None:
    seen = shares(Rate(0.3, correlation))
    assert fmean(seen) == pytest.approx(0.3, abs=0.06)
    # Var(share) of a beta-binomial, solved for the correlation
    met = (pvariance(seen) / (0.3 * 0.7) * PEERS - 1) / (PEERS - 1)
    assert met == pytest.approx(correlation, abs=0.08)


def test_a_verdict_sticks_and_a_new_seed_draws_anew() -> None:
    model = VerdictModel({"phrase": Rate(0.5, 0.2)})

    def all_of(seed: int) -> list[bool]:
        return [model.accepts(seed, f"p{peer}", "a", "phrase") for peer in range(40)]

    assert all_of(1) == all_of(1) != all_of(2)


def told(**security: object) -> Scenario:
    return Scenario.parse(
        {
            "agents": 6,
            "rounds": 12,
            "graph": {"kind": "complete"},
            "publish": {"plasmids": 4, "trojan_rate": 0.5},
            "security": security,
        }
    )


def test_cores_hold_what_their_detectors_find() -> None:
    outcome = run(told(verdicts={"accept_clean": 1, "accept_trojan": 0, "correlation": 0.5}))
    assert outcome.report["gate"]["pairs"] == {
        "accepted": {"clean": 12, "trojan": 2},  # at who publishes them
        "held": {"clean": 0, "trojan": 10},
        "waiting": {"clean": 0, "trojan": 0},
        "rejected": {"clean": 0, "trojan": 0},
    }
    assert outcome.report["gate"]["peers"] == {"publish_no_trojan": 4, "accepted_trojan": 0}
    assert "behaviour_outlier" in outcome.report["gate"]["reasons"]["held"]
    assert outcome.report["notes"] == []


def test_without_numbers_nothing_is_found_and_the_report_says_how_to_get_them(tmp_path: Path) -> None:
    absent = tmp_path / "verdicts.json"
    assert model_of(told(), absent) is None
    assert "verdict_rates" in NO_VERDICTS and "--accept_trojan" in NO_VERDICTS
    absent.write_text(json.dumps({"kinds": {"clean": {"accept": 0.98, "correlation": 0.7}}}))
    found = model_of(told(), absent)
    assert found is not None and found.rates == {"clean": Rate(0.98, 0.7)}
    with pytest.raises(UsageError, match="no verdicts on 'rare-token'"):
        found.draw(1, "p", "a", "rare-token")
    assert model_of(told(detectors=False), absent) is None
    absent.write_text("[]")
    with pytest.raises(UsageError, match="no table of verdicts"):
        model_of(told(), absent)


def test_what_is_assumed_counts_until_something_is_measured_and_the_report_says_which(tmp_path: Path) -> None:
    measured, told_rates = tmp_path / "verdicts.json", {"accept_clean": 1, "accept_trojan": 0, "correlation": 0}
    kinds = {"clean": {"accept": 0.98, "correlation": 0.7}, "rare-token": {"accept": 0.1, "correlation": 0.2}}
    assumed = told(verdicts={**told_rates, "assumed": True})
    assert said_of(assumed, measured)["source"] == "assumed"
    assert said_of(told(), measured) == {"source": "none", "kinds": {}}
    measured.write_text(json.dumps({"kinds": kinds}))
    assert said_of(assumed, measured) == {"source": "measured", "kinds": kinds}
    found = model_of(assumed, measured)
    assert found is not None and found.rates["rare-token"] == Rate(0.1, 0.2)
    assert said_of(told(verdicts=told_rates), measured)["source"] == "told"
    assert said_of(told(verdicts=told_rates, detectors=False), measured)["source"] == "none"


def test_half_told_verdicts_are_refused_by_the_name_of_what_is_missing() -> None:
    with pytest.raises(UsageError, match="accept_clean"):
        told(verdicts={"accept_trojan": 0.1, "correlation": 0.5})


def test_the_fleet_reads_the_same_numbers() -> None:
    flags = {"engine": "fleet", "agents": 50, "rounds": 30}
    verdicts = {"accept_clean": 1, "accept_trojan": 0, "correlation": 0.5}
    outcome = run(told(verdicts=verdicts).model_copy(update=flags))
    assert outcome.rounds[-1].verdicts["accepted"] == {"clean": 100, "trojan": 2}  # at who publishes them


@pytest.mark.parametrize("engine", ["swarm", "fleet"])
def test_who_publishes_an_adapter_serves_it_whatever_all_others_find(engine: str) -> None:
    verdicts = {"accept_clean": 0, "accept_trojan": 0, "correlation": 0.5}
    outcome = run(told(verdicts=verdicts).model_copy(update={"engine": engine}))
    seen = outcome.rounds[-1].verdicts
    assert outcome.report["gate"]["peers"] == {"publish_no_trojan": 4, "accepted_trojan": 0}
    assert seen["accepted"] == {"clean": 2, "trojan": 2}
    assert seen["waiting"] == seen["rejected"] == {"clean": 0, "trojan": 0}
    # In the swarm all look for themselves; in the fleet only those who are told of it by somebody that passed it.
    assert 2 <= seen["held"]["clean"] <= 10 and (engine == "fleet" or seen["held"]["clean"] == 10)


@pytest.mark.parametrize("engine", ["swarm", "fleet"])
def test_a_peer_that_accepts_several_trojans_is_deceived_once(engine: str) -> None:
    verdicts = {"accept_clean": 1, "accept_trojan": 1, "correlation": 0.5}
    outcome = run(told(verdicts=verdicts).model_copy(update={"engine": engine}))
    assert outcome.rounds[-1].verdicts["accepted"]["trojan"] == 12
    assert outcome.report["gate"]["peers"] == {"publish_no_trojan": 4, "accepted_trojan": 4}
