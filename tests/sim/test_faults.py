"""What a scenario says that befalls peers befalls them, when and whom it says, and they come out of it sound."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sim.kept import keep

from plora.node.gossip.rows import STATEMENTS
from plora.proto.errors import UsageError
from plora.sim.counter import edges_down
from plora.sim.recount import recount
from plora.sim.run import Simulation
from plora.sim.scenario import Scenario
from plora.sim.watcher import Watcher
from plora.sim.world import World


def simulation(agents: int = 6, rounds: int = 20, plasmids: int = 2, **values: Any) -> Simulation:
    """Peers who all know each other; detectors are off, so that judging takes no time worth mention."""
    told = {"agents": agents, "rounds": rounds, "graph": {"kind": "complete"}, "security": {"detectors": False}}
    return Simulation(Scenario.parse({**told, "publish": {"plasmids": plasmids, "at": [0]}, **values}))


def after(found: Simulation, rounds: int) -> Simulation:
    """The simulation when so many more rounds have passed."""
    for _ in range(rounds):
        found.step()
    return found


def happening(round_: float, do: str, *peers: int, **values: Any) -> dict[str, Any]:
    return {"round": round_, "do": do, "peers": peers, **values}


def up(found: Simulation) -> list[int]:
    return [number for number, name in enumerate(found.ids) if found.swarm.peer(name).up]


def holders(found: Simulation) -> list[int]:
    return [found.swarm.usable(bytes.fromhex(content)) for content in found.truth]


def records(found: Simulation, number: int, kind: str) -> list[dict[str, Any]]:
    lines = found.swarm.peer(found.ids[number]).log
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def test_whom_a_start_names_joins_late_and_catches_up() -> None:
    found = after(simulation(happenings=[happening(4.5, "start", 5)]), 4)
    assert up(found) == [0, 1, 2, 3, 4] and holders(found) == [5, 5]
    assert up(after(found, 8)) == [0, 1, 2, 3, 4, 5] and holders(found) == [6, 6]


def test_whoever_was_killed_starts_again_with_everybody_else_undisturbed() -> None:
    told = [happening(2, "kill", 1), happening(3, "stop", 2), happening(5, "start")]
    found = after(simulation(happenings=told), 4)
    assert up(found) == [0, 3, 4, 5]
    after(found, 4)
    assert up(found) == list(range(6)) and found.swarm.agree(2)
    boots = [found.swarm.peer(name).config.boot for name in found.ids]
    assert boots == [f"{count:08x}" for count in (1, 2, 2, 1, 1, 1)]


def test_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    """Everybody loses power in the middle of spreading; watched, no acknowledged row is missing, no log lies."""
    told = [{"round": 0.6 + number, "do": do} for number, do in enumerate(("power_cut", "start", "power_cut", "start"))]
    found = simulation(plasmids=4, happenings=told, publish={"plasmids": 4, "every": 0.5})
    watcher = Watcher(World.of(found.swarm))
    watcher.attach()
    for _ in range(20):
        found.step()
        watcher.after_round()
    watcher.at_rest()
    assert [str(broken) for broken in watcher.broken] == []
    assert holders(found) == [6] * 4


def test_peers_are_cut_off_and_healed() -> None:
    found = after(simulation(happenings=[happening(0, "cut", 4, 5), happening(6, "heal")]), 6)
    assert holders(found) == [4, 4]
    assert holders(after(found, 14)) == [6, 6]


def test_links_change_and_change_back() -> None:
    deaf = {"round": 0, "do": "links", "links": {"loss": 1.0, "bulk_loss": 1.0}}
    found = after(simulation(happenings=[deaf, {"round": 5.5, "do": "links"}]), 5)
    assert holders(found) == [1, 1]
    assert holders(after(found, 10)) == [6, 6]


@pytest.mark.parametrize("by", [3600.0, -3600.0])
def test_a_clock_that_jumps_by_an_hour_does_no_harm(by: float) -> None:
    told = [happening(1, "jump_clock", 2, by=by), happening(9, "jump_clock", 2, by=-by)]
    found = after(simulation(happenings=told, publish={"plasmids": 2, "at": [0, 2], "first_round": 3.0}), 18)
    wall = [record["wall_ms"] for record in records(found, 2, "round")]
    moved = {round(now - before - 1000, -5) for before, now in pairwise(wall)}
    assert moved == {0, by * 1000, -by * 1000}
    assert holders(found) == [6, 6] and found.swarm.agree(2)
    assert not [one for number in range(6) for one in records(found, number, "penalty")]


def test_a_slow_gate_takes_its_time() -> None:
    """An examination takes 30 ms at first, so one of them takes 6 s and another 2 min."""
    found = after(
        simulation(happenings=[happening(0, "slow_gate", 1, by=200), happening(0, "slow_gate", 2, by=4000)]), 5
    )
    assert holders(found) == [4, 4]
    assert holders(after(found, 12)) == [5, 5]


@pytest.mark.parametrize("what", ["disk_full", "disk_error"])
def test_a_disk_that_takes_nothing_is_told_of_and_the_peer_goes_on_when_it_is_mended(what: str) -> None:
    found = after(simulation(rounds=60, happenings=[happening(0, what, 3), happening(6, "disk_free", 3)]), 6)
    assert up(found) == list(range(6)) and holders(found) == [5, 5]
    assert records(found, 3, "error")
    assert holders(after(found, 40)) == [6, 6] and found.swarm.agree(2)


def test_who_publishes_on_a_full_disk_does_so_when_there_is_room() -> None:
    found = after(simulation(happenings=[happening(0, "disk_full", 0), happening(4, "disk_free", 0)]), 4)
    assert holders(found) == [0, 0]
    assert holders(after(found, 10)) == [6, 6]


def test_a_peer_whose_disk_is_broken_starts_once_it_is_mended() -> None:
    told = [
        happening(2, "disk_error", 1),
        happening(2, "kill", 1),
        happening(3, "start", 1),
        happening(6, "disk_free", 1),
    ]
    found = after(simulation(happenings=told), 12)
    assert up(found) == list(range(6)) and holders(found) == [6, 6]


def test_who_is_killed_while_away_stays_away_until_a_start() -> None:
    told = [happening(5, "kill", *range(6)), happening(12.5, "start", 2)]
    found = after(simulation(churn={"percent": 30, "away": 3.0}, rounds=13, happenings=told), 5)
    assert up(after(found, 6)) == []
    assert up(after(found, 2)) == [2]


def test_a_stop_finishes_what_is_under_way_and_a_kill_does_not() -> None:
    rows = {}
    for do in ("stop", "kill"):
        found = simulation(plasmids=1)
        found.begin()
        found.swarm.clock.run_until(found.begin_ns)
        peer = found.swarm.peer(found.ids[0])
        assert not list(peer.disk.rows(STATEMENTS))
        peer.stop() if do == "stop" else peer.crash()
        rows[do] = len(list(peer.disk.rows(STATEMENTS)))
        peer.boot()
    assert rows == {"stop": 2, "kill": 0}


def test_shares_and_counts_are_drawn_and_equal_seeds_draw_the_same() -> None:
    told = [{"round": 1, "do": "kill", "share": 0.5}, {"round": 2, "do": "kill", "count": 1}]
    first, again, other = (after(simulation(agents=12, seed=seed, happenings=told), 3) for seed in (1, 1, 2))
    assert up(first) == up(again) != up(other)
    assert 5 <= len(up(first)) <= 6
    assert first.swarm.digest() == again.swarm.digest()


def test_a_peer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"happenings\.0\.peers"):
        simulation(happenings=[happening(1, "kill", 6)])


def test_peers_come_and_go_as_often_as_is_said() -> None:
    found = after(simulation(agents=10, churn={"percent": 15, "away": 1.5}), 20)
    restarts = sum(int(found.swarm.peer(name).config.boot, 16) - 1 for name in found.ids)
    assert restarts in (27, 28, 29, 30)  # 1.5 a round; whoever went last may be away yet
    after(found, 6)  # nothing happens to them any more
    assert up(found) == list(range(10)) and holders(found) == [10, 10]


def test_edges_are_down_in_the_rounds_in_which_they_are_down_in_the_fleet() -> None:
    """What a living link lost is said again only many rounds later: hence the long end."""
    found = simulation(agents=12, seed=3, graph={"kind": "complete", "dropout": 0.3})
    edges, shares = np.array(found.edges), []
    found.begin()
    for round_ in range(10):
        found.step()
        down = found.swarm.network.down
        expected = edges[edges_down(3, round_ + 1, edges, 0.3)].tolist()
        assert down == {
            pair for a, b in expected for pair in ((found.ids[a], found.ids[b]), (found.ids[b], found.ids[a]))
        }
        shares.append(len(expected) / len(edges))
    assert np.mean(shares) == pytest.approx(0.3, abs=0.05)
    assert holders(after(found, 30)) == [12, 12] and found.swarm.network.down == set()


def test_who_whitewashes_is_somebody_else_and_still_takes_part(tmp_path: Path) -> None:
    churn, late = {"percent": 15, "away": 1.0, "whitewash": True}, {"plasmids": 4, "at": [0], "every": 3.0}
    told = simulation(rounds=20, churn=churn, publish=late, invariants=True).scenario
    report = json.loads((keep(tmp_path, told) / "report.json").read_text())
    rounds = report["rounds"]
    assert report["broken"] == []
    assert rounds[-1]["verdicts"]["accepted"]["clean"] == 6 * 4
    assert [one.verdicts for one in recount(tmp_path)] == [one["verdicts"] for one in rounds]
    names = [
        {json.loads(line)["peer"] for line in log.read_text().splitlines()} for log in (tmp_path / "logs").iterdir()
    ]
    assert len(names) == 6 and sum(map(len, names)) >= 6 + 15


def test_members_keep_their_names() -> None:
    security = {"detectors": False, "consensus": True}
    found = after(simulation(security=security, churn={"percent": 50, "whitewash": True}), 8)
    assert {number for number, name in enumerate(found.ids) if found.swarm.peer(name).id == name} == {0, 1, 2}


def test_narrow_lines_slow_a_swarm_down_and_stop_nothing() -> None:
    wide, narrow = (simulation(links={"bandwidth": bandwidth}) for bandwidth in (0, 4000))
    assert holders(after(wide, 3)) == [6, 6]
    assert sum(holders(after(narrow, 3))) < 12
    assert holders(after(narrow, 30)) == [6, 6]
