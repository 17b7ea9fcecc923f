"""A search finds what a core without a guard does, makes it small, and writes it so that `plora sim` shows it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.sim.mutants import MUTANTS

from plora.cli.main import main
from plora.cli.sim_search import peer_class
from plora.node.core.effects import Effect
from plora.node.core.events import Event, Publish, Received
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.proto.errors import UsageError
from plora.sim.build import voters
from plora.sim.drawn import draw
from plora.sim.peer import SimPeer
from plora.sim.run import run
from plora.sim.scenario import Happening, Scenario
from plora.sim.search import Found, as_toml, first_break, search
from plora.sim.shrink import shrink, simpler
from plora.sim.swarm import peer_id
from plora.sim.watcher import Broken

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plora.sim", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_honest_peers_break_nothing_in_what_is_drawn() -> None:
    assert search(lambda number: number < 3, seed=1) is None


def test_what_is_drawn_says_most_of_what_a_scenario_may_say() -> None:
    drawn = [draw(3, number) for number in range(60)]
    assert {one.graph.kind for one in drawn} >= {"er", "ring", "complete"}
    assert {one.graph.dropout for one in drawn} == {0.0, 0.1, 0.3}
    assert {one.links.delay for one in drawn} == {"constant", "uniform", "exponential", "lognormal"}
    assert all(any(getattr(one.links, harm) for one in drawn) for harm in ("loss", "duplication", "bandwidth"))
    for way in ("consensus", "members_linked"):
        assert {getattr(one.security, way) for one in drawn} == {True, False}


def test_what_is_told_stands_whatever_is_drawn() -> None:
    told = {"agents": 5, "graph": {"kind": "ring"}, "security": {"consensus": False}}
    for one in (draw(1, number, told) for number in range(20)):
        assert (one.agents, one.graph.kind, one.security.consensus) == (5, "ring", False)
    for one in (draw(7, number, {"agents": 2, "security": {"consensus": True}}) for number in range(10)):
        assert one.agents == 2 and voters(one) <= 2


def test_the_smallest_keeps_what_a_failure_needs_and_nothing_else() -> None:
    happenings = [{"round": number, "do": do} for number, do in enumerate(("kill", "cut", "heal", "start"))]
    adversaries = [{"kind": kind, "count": 1} for kind in ("forger", "corrupter")]
    big = draw(1, 3, {"agents": 12, "rounds": 40, "happenings": happenings, "adversaries": adversaries})

    def fails(one: Scenario) -> bool:
        done = {happening.do for happening in one.happenings}
        return one.agents >= 4 and "cut" in done and any(adversary.kind == "forger" for adversary in one.adversaries)

    small = shrink(big, fails)
    assert (small.agents, small.rounds) == (4, 1)
    assert [one.do for one in small.happenings] == ["cut"]
    assert [one.kind for one in small.adversaries] == ["forger"]
    assert small.links == Scenario().links and not small.core


def test_a_scenario_that_makes_no_sense_is_no_smaller_failure() -> None:
    def fails(one: Scenario) -> bool:
        if one.agents < 3:
            raise UsageError("too few")
        return True

    assert shrink(Scenario(agents=9), fails).agents == 3


def test_steps_end() -> None:
    one = draw(5, 1)
    for _ in range(200):
        steps = list(simpler(one))
        if not steps:
            return
        one = steps[-1]
    pytest.fail("200 steps, and it can still be simpler")


def test_what_is_written_is_the_scenario_that_was_found() -> None:
    scenario = draw(2, 4).model_copy(update={"happenings": (Happening(round=2.5, do="kill", peers=(1,)),)})
    text = as_toml(Found(scenario, Broken("bounds are kept", "too many", 2), 4))
    assert Scenario.parse(tomllib.loads(text) | {"about": ""}) == scenario


def test_a_found_failure_is_written_and_shown_again(tmp_path: Path) -> None:
    mutant = ("--mutant", "tests.sim.mutants:durability")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "0099.jsonl").write_text("of an earlier failure")
    found = command("--until-failure", "--tries", "9", "--json", "--report_dir", str(tmp_path), *mutant)
    assert found.returncode == 1, found.stderr
    told = json.loads(found.stdout)
    assert told["broken"].startswith("nothing is sent before it is durable")
    scenario = tmp_path / "scenario.toml"
    assert str(scenario) in told["replay"] and Scenario.read(scenario).agents <= 3
    assert json.loads((tmp_path / "report.json").read_text())["broken"][0] == told["broken"]
    assert len(list((tmp_path / "logs").iterdir())) == Scenario.read(scenario).agents
    again = command(str(scenario), "-q", *mutant)
    assert again.returncode == 1 and told["broken"] in again.stderr
    assert command(str(scenario), "-q").returncode == 0


def test_a_watched_run_leaves_the_logs_of_one_that_is_not() -> None:
    told = {"agents": 4, "rounds": 4, "graph": {"kind": "complete"}}
    seen, unseen = (run(Scenario.parse(told | {"invariants": watched})) for watched in (True, False))
    assert seen.report["trace_sha256"] == unseen.report["trace_sha256"] and seen.report["broken"] == []


def test_a_mutant_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="nobody"):
        peer_class("tests.sim.mutants:nobody")


class Refusing(PeerCore):
    """Has a defect that raises what a wrong command does."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Nothing from when anything was received."""
        if isinstance(event, Received):
            raise UsageError("not so")
        return super().handle(event, now)


class RefusingPeer(SimPeer):
    core_class = Refusing


@pytest.mark.parametrize(("peer", "raised"), [(MUTANTS["raising"], "KeyError"), (RefusingPeer, "UsageError")])
def test_an_exception_in_a_core_is_a_break_and_ends_a_watched_run(peer: type[SimPeer], raised: str) -> None:
    scenario = draw(1, 0)
    broken = first_break(scenario, peer)
    assert broken is not None and raised in broken.invariant
    outcome = run(scenario, peer=peer)
    assert outcome.report["broken"] == [str(broken)] and len(outcome.rounds) == max(1, broken.round)


def test_a_scenario_that_cannot_be_built_is_refused_and_no_break() -> None:
    with pytest.raises(UsageError, match="no peer 9"):
        first_break(Scenario.parse({"agents": 3, "publish": {"at": [9]}}))


def test_what_is_found_is_kept_before_it_is_made_smaller_which_ends_in_time() -> None:
    kept: list[Found] = []
    found = search(lambda _: True, seed=1, peer=MUTANTS["raising"], keep=kept.append, in_time=lambda: False)
    assert found is not None and kept[0].scenario == draw(1, found.number)
    assert found.scenario.agents == kept[0].scenario.agents


@pytest.mark.parametrize(
    "flags",
    [
        ("--tries", "0"),
        ("--tries", "-5"),
        ("--minutes", "-1"),
        ("--minutes", "nan"),
        ("--engine", "fleet"),
        ("--plot",),
        ("--page",),
        ("--trace",),
        ("--logs", "here"),
        ("--all_clean",),
    ],
)
def test_a_search_refuses_what_it_cannot_do(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", "--until-failure", *flags])
    assert ended.value.code == 2 and flags[0] in capsys.readouterr().err


class Stumbling(PeerCore):
    """Peer 2's fails over whatever is published."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        if isinstance(event, Publish) and self.config.peer == peer_id(2):
            raise KeyError("nothing of the kind")
        return super().handle(event, now)


class Stumbler(SimPeer):
    core_class = Stumbling


def test_an_exception_in_a_core_is_told_with_its_peer() -> None:
    told = Scenario.parse({"agents": 4, "rounds": 3, "graph": {"kind": "complete"}, "invariants": True})
    broken = run(told, peer=Stumbler).report["broken"]
    assert len(broken) == 1 and "(KeyError): peer 2 in round" in broken[0]


@pytest.mark.parametrize("limit", ["--tries", "--minutes"])
def test_limits_of_a_search_without_one_are_refused_in_a_line(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", limit, "3", "--agents", "4"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and limit in said and "--until-failure" in said and len(said.splitlines()) == 1
