"""Scenarios run on the swarm: what is clean arrives, figures are in the logs, equal seeds give equal bytes."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.sim.kept import keep

from plora.cli import simulating
from plora.cli.main import main
from plora.node.core.config import CoreConfig
from plora.proto.errors import UsageError
from plora.sim.build import configured, edges_of
from plora.sim.evaluate import summarised
from plora.sim.recount import recount
from plora.sim.run import Simulation, run
from plora.sim.scenario import (
    Adversaries,
    Churn,
    Expect,
    Graph,
    GraphKind,
    Happening,
    Links,
    Publishing,
    Scenario,
    Security,
)

CORE = CoreConfig(peer="", swarm="", boot="")


def scenario(**values: Any) -> Scenario:
    """Ten peers and three adapters, unless something else is said."""
    return Scenario.parse({"agents": 10, "rounds": 15, "publish": {"plasmids": 3}, **values})


GRAPHS: tuple[dict[str, Any], ...] = (
    {"kind": "er", "p": 0.5, "connected": True},
    {"kind": "ws", "k": 4, "beta": 0.3},
    {"kind": "ba", "m": 2},
    {"kind": "regular", "d": 3, "connected": True},
    {"kind": "hypercube"},
    {"kind": "complete"},
    {"kind": "star"},
    {"kind": "ring"},
)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: str(graph["kind"]))
def test_what_is_clean_arrives_in_every_topology(seed: int, graph: dict[str, Any]) -> None:
    outcome = run(scenario(agents=8, rounds=10, seed=seed, graph=graph))
    assert outcome.report["clean_arrived"] and outcome.report["graph"]["connected"]
    assert set(outcome.rounds[-1].coverage.values()) == {1.0}
    assert outcome.rounds[-1].verdicts["accepted"] == {"clean": 24, "trojan": 0}


def test_what_the_cores_hold_is_what_the_tally_counts() -> None:
    simulation = Simulation(scenario(rounds=4))
    for _ in range(4):
        found = simulation.step()
        held = tuple(simulation.swarm.usable(bytes.fromhex(content)) for content in simulation.truth)
        assert found.holders == held


def test_what_is_sent_is_counted_and_what_is_doubled_is_redundant() -> None:
    outcome = run(scenario(graph={"kind": "complete"}, links={"duplication": 0.5}))
    traffic = outcome.report["traffic"]
    kinds = traffic["frames"].values()
    assert traffic["messages"] == outcome.rounds[-1].messages == sum(kind["messages"] for kind in kinds)
    assert traffic["wire_bytes"] == sum(kind["wire_bytes"] for kind in kinds) > traffic["bytes"] > 0
    assert 0.4 < traffic["redundancy"] < 0.7  # questions and answers are doubled alike: 1 - 1 / 1.5² are of no use
    assert outcome.rounds[-1].useless == traffic["statements_heard"] - 6 * 9  # of owners and adapters, at nine others


def test_the_warm_up_counts_apart_and_hops_along_causes_are_those_that_statements_carry() -> None:
    outcome = run(scenario(graph={"kind": "ring"}))
    traffic = outcome.report["traffic"]
    assert traffic["warm_up"]["messages"] >= 20 and "Hello" not in traffic["frames"]  # links greet before round 1
    assert outcome.simulation
    logs = (peer.log for peer in outcome.simulation.swarm.peers.values())
    carried = Counter(str(json.loads(line)["hops"]) for log in logs for line in log if '"statement_seen"' in line)
    assert traffic["hops"] == carried and len(carried) > 3


def test_shares_are_of_the_component_that_holds_the_publishers() -> None:
    graph = {"p": 0.12}
    outcome = run(scenario(agents=12, seed=3, graph=graph, publish={"plasmids": 1, "at": [0]}))
    told = outcome.report["graph"]
    assert not told["connected"] and told["reached"] < 12 and sum(told["components"]) == 12
    assert outcome.report["clean_arrived"] and outcome.rounds[-1].holders == (told["reached"],)


def test_shares_are_of_honest_peers(tmp_path: Path) -> None:
    """A flooder takes nothing up that others publish."""
    told = {"agents": 6, "rounds": 8, "graph": {"kind": "complete"}, "publish": {"plasmids": 2, "at": [0]}}
    keep(tmp_path, Scenario.parse({**told, "adversaries": [{"kind": "flooder", "peers": [3]}]}))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clean_arrived"] and report["graph"]["reached"] == 5
    assert [(one["reachable"], one["holders"][-1]) for one in report["adapters"]] == [(5, 5)] * 2
    assert report["rounds"][-1]["coverage"] == {"arithmetic": 1.0, "legal": 1.0}
    assert report["theory"] is not None
    for one, row in zip(recount(tmp_path), report["rounds"], strict=True):
        assert (one.coverage, one.mutual_information) == (row["coverage"], row["mutual_information"])


def test_settings_of_the_core_are_told_as_they_are_declared() -> None:
    told = {"phase": 0.25, "denied": ["ab"], "recipe": {"max_delta_fro": 2}, "limits": {"lan_exempt": False}}
    found = configured(CORE, told, "core")
    assert (found.phase, found.denied, found.recipe.max_delta_fro, found.limits.lan_exempt) == (0.25, ("ab",), 2, False)
    assert configured(found, {"phase": None}, "core").phase is None


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"round_ms": "5"}, r"core\.round_ms"),
        ({"round_ms": True}, r"core\.round_ms"),
        ({"fanout": 1.5}, r"core\.fanout"),
        ({"limits": {"store_max": [1]}}, r"core\.limits\.store_max"),
        ({"phase": float("inf")}, "phase"),
        ({"phase": 1.0}, "phase: 1.0 is no part of a round"),
        ({"phase": -0.1}, "phase: -0.1 is no part of a round"),
        ({"members": {}}, r"core\.members"),
    ],
)
def test_settings_of_another_type_or_out_of_bounds_are_named(told: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        configured(CORE, told, "core")


def test_what_the_engine_cannot_do_is_named() -> None:
    with pytest.raises(UsageError, match=r"core\.fanuot"):
        run(scenario(core={"fanuot": 2}))
    with pytest.raises(UsageError, match=r"publish\.at"):
        run(scenario(publish={"at": [10]}))
    with pytest.raises(UsageError, match=r"security\.members"):
        run(scenario(agents=2, security={"consensus": True}))


def test_synchronous_peers_begin_their_rounds_at_once() -> None:
    simulation = Simulation(scenario(synchronous=True, rounds=3))
    simulation.step()
    simulation.step()
    lines = [
        json.loads(line) for peer in simulation.swarm.peers.values() for line in peer.log if '"kind":"round"' in line
    ]
    begun = {line["mono_ns"] % simulation.round_ns for line in lines}
    assert begun == {simulation.round_ns // 2}


def test_members_vote_and_late_adapters_come() -> None:
    late = {"plasmids": 2, "first_round": 2.0, "every": 1.5}
    outcome = run(scenario(graph={"kind": "complete"}, publish=late, security={"consensus": True, "quorum": 2}))
    assert outcome.report["clean_arrived"] and outcome.rounds[0].holders == (0, 0)
    first = outcome.report["adapters"][0]["rounds_to"]
    assert 0 < first["50%"] <= first["90%"] <= first["100%"] <= 13


@pytest.mark.parametrize(("kind", "linked"), [("ring", False), ("ring", True), ("complete", False)])
def test_a_report_says_that_members_who_do_not_know_each_other_certify_nothing(kind: str, linked: bool) -> None:
    council = {"detectors": False, "consensus": True, "quorum": 4, "members_linked": linked}
    told = scenario(rounds=12, graph={"kind": kind}, security=council, publish={"plasmids": 1})
    report = run(told).report
    lost = kind == "ring" and not linked
    assert report["clean_arrived"] == (not lost)
    assert ["0 of 6 members know a quorum of 4" in note for note in report["notes"]] == [True] * lost


def test_members_are_linked_beside_the_graph_whatever_it_is() -> None:
    councils = ({"consensus": True, "members_linked": linked} for linked in (True, False))
    linked, apart = (set(edges_of(scenario(agents=8, graph={"kind": "ring"}, security=one))) for one in councils)
    assert apart < linked and linked - apart == {(0, 2)}  # of the ring's first three, who vote


@pytest.mark.parametrize(("detectors", "notes"), [(True, 1), (False, 0)])
def test_a_report_says_that_detectors_find_nothing(detectors: bool, notes: int) -> None:
    told = scenario(rounds=1, publish={"plasmids": 2, "trojan_rate": 0.5}, security={"detectors": detectors})
    assert len(run(told).report["notes"]) == notes


def test_the_command_knows_the_graphs_of_a_scenario() -> None:
    """It can't import them: `plora --help` loads no room."""
    assert simulating.GraphKind == GraphKind


def test_every_option_of_a_scenario_stands_for_one_of_its_fields() -> None:
    assert set(simulating.PLACES) <= set(inspect.signature(simulating.sim).parameters)
    for place in simulating.PLACES.values():
        part: Any = Scenario.parse(
            {"security": {"verdicts": {"accept_clean": 1.0, "accept_trojan": 0.0, "correlation": 0.0}}}
        )
        for field in place.split("."):
            part = getattr(part, field)


def test_the_page_has_every_field_of_scenarios_and_of_reports() -> None:
    page = (Path(__file__).parents[2] / "docs/simulator.md").read_text()
    report = run(scenario(agents=3, rounds=1)).report
    told = {name for table in (report, report["traffic"], report["graph"], report["rounds"][0]) for name in table}
    parts = (Scenario, Graph, Links, Publishing, Security, Happening, Adversaries, Churn, Expect)
    fields = {name for part in parts for name in part.model_fields}
    assert {name for name in told | fields if f"`{name}`" not in page and f"`{name} =" not in page} == set()


def command(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plora.sim", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )


def test_the_command_is_deterministic_under_every_hash_seed(tmp_path: Path) -> None:
    arguments = ("--agents", "5", "--graph_p", "0.8", "--seed", "4", "--loss", "0.1", "--rounds", "4", "-q")
    for hash_seed in "12":
        done = command(*arguments, "--report_dir", str(tmp_path / hash_seed), hash_seed=hash_seed)
        assert done.returncode == 0, done.stderr
    first, second = (sorted((tmp_path / hash_seed).rglob("*.json*")) for hash_seed in "12")
    assert len(first) == 7 and [one.read_bytes() for one in first] == [one.read_bytes() for one in second]
    report = json.loads((tmp_path / "1" / "report.json").read_text())
    assert len(report["rounds"]) == 4 and report["scenario"]["links"]["loss"] == 0.1
    again = recount(tmp_path / "1")
    for name in ("coverage", "accepted", "mutual_information", "verdicts"):
        assert [getattr(one, name) for one in again] == [row[name] for row in report["rounds"]]
    summed = summarised(tmp_path)["runs"]
    assert [one["path"] for one in summed] == [str(tmp_path / "1"), str(tmp_path / "2")]
    assert summed[0]["coverage"] == report["rounds"][-1]["coverage"]
    assert [one.heard for one in again] == [row["statements_heard"] for row in report["rounds"]]


def test_the_command_fails_where_what_is_clean_must_arrive_and_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", "--agents", "6", "--graph", "ring", "--rounds", "1", "--all_clean"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and "clean adapters didn't reach everybody" in out
    assert err.splitlines()[-1].startswith("plora: not every clean adapter reached everybody")


def test_the_command_says_what_is_wrong() -> None:
    done = command("--agents", "0")
    assert done.returncode == 2 and "agents" in done.stderr and not done.stdout and done.stderr.count("\n") == 1


def test_flags_that_go_together_are_named_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", "--accept_trojan", "0.1"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert all(f"--{name}" in said for name in ("accept_clean", "accept_trojan", "correlation")), said


def test_without_its_libraries_the_command_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['scipy'] = None; import plora.cli.main; plora.cli.main.main(['sim', '--rounds', '1'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "pip install 'plora[sim]'" in done.stderr.splitlines()[-1]
