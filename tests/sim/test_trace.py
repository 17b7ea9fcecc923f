"""A run read again from its folder says what its report says, and who was up and linked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from matplotlib.lines import Line2D
from tests.sim.kept import SMALL, keep

from plora.analysis.outcomes import OUTCOMES
from plora.cli.sim_replay import Sayings
from plora.proto.errors import UsageError
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.picture import drawn, write_pictures
from plora.sim.plans import WORDS
from plora.sim.run import WARM_UP_S
from plora.sim.scenario import Action, Happening, Scenario
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring
from plora.sim.trace import LINES_MAX, Trace, read_report, read_trace
from plora.sim.truth import CLEAN, Truth, to_plain

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keep(tmp_path_factory.mktemp("run"))


def counted(trace: Trace) -> list[dict[str, dict[str, int]]]:
    """After each round, pairs by outcome and kind, from the frames alone."""
    standing: dict[tuple[int, int], int] = {}
    rounds = []
    for frame in trace.frames:
        standing |= {(peer, adapter): outcome for peer, adapter, outcome in frame.verdicts}
        count = {outcome: {"clean": 0, "trojan": 0} for outcome in OUTCOMES}
        for (_, adapter), outcome in standing.items():
            if outcome >= 0:
                count[OUTCOMES[outcome]]["trojan" if trace.truth[adapter].trojan else "clean"] += 1
        rounds.append(count)
    return rounds


def test_frames_say_what_the_report_says(folder: Path) -> None:
    trace = read_trace(folder)
    assert counted(trace)[1:] == [one["verdicts"] for one in trace.report["rounds"]]
    assert trace.peers == SMALL.agents and trace.frames[-1].number == SMALL.rounds


def test_a_quiet_swarm_is_up_and_linked_from_the_start(folder: Path) -> None:
    trace = read_trace(folder)
    assert trace.frames[0].up == list(range(6)) and trace.frames[0].linked == ring(6).pairs()
    assert not any(frame.down or frame.unlinked for frame in trace.frames)
    moved = {link for frame in trace.frames for link in frame.moved}
    assert len(moved) >= 5 and moved <= set(ring(6).pairs())  # whoever is to hear anything needs one way at least


def test_a_peer_that_was_killed_is_down_until_it_boots_again(tmp_path: Path) -> None:
    swarm = Swarm(seed=3)
    ids = swarm.add(4, ring(4))
    swarm.boot()
    swarm.run(WARM_UP_S)
    swarm.peer(ids[2]).crash()
    swarm.run(6.5)
    swarm.peer(ids[2]).boot()
    swarm.run(6.5)
    swarm.write_logs(tmp_path / "logs")
    owner = make_owner("ada", SWARM_ID)
    content = make_plasmid(owner, "p0", tiny_adapter(0)).content_id.hex()
    truth = Truth("p0", content, "legal", CLEAN, "ada", peer=0, round=0.0)
    clock = {"begin_ns": WARM_UP_S * SECOND_NS, "round_ns": SECOND_NS}
    (tmp_path / "report.json").write_text(
        json.dumps({"clock": clock, "rounds": [{}] * 13, "scenario": {"happenings": []}})
    )
    (tmp_path / "truth.json").write_text(json.dumps(to_plain([truth])))
    frames = read_trace(tmp_path).frames
    assert [(frame.number, frame.down) for frame in frames if frame.down] == [(1, [2])]
    assert [(frame.number, frame.up) for frame in frames if frame.number and frame.up] == [(7, [2])]
    parted = [frame.number for frame in frames if frame.unlinked]
    joined = [frame.number for frame in frames if frame.number and frame.linked]
    assert parted and joined and min(parted) <= 4 and min(joined) >= 7


def test_whoever_comes_back_under_another_name_is_the_same_peer(tmp_path: Path) -> None:
    fickle = {"agents": 6, "rounds": 8, "graph": {"kind": "ring"}, "publish": {"plasmids": 1}}
    keep(tmp_path, Scenario.parse({**fickle, "churn": {"percent": 15, "away": 1, "whitewash": True}}))
    trace = read_trace(tmp_path)
    assert trace.peers == 6 and len(trace.numbers) > 6 and set(trace.numbers.values()) == set(range(6))
    again = {number for frame in trace.frames[1:] for number in frame.up}
    joined = {number for frame in trace.frames[1:] for link in frame.linked for number in link}
    assert again and again <= joined
    told = [Sayings(trace)(line) for frame in trace.frames for line in frame.lines]
    assert told and all(line.startswith("peer ") for line in told)


def test_a_peer_without_neighbours_is_up_though_its_log_is_silent(tmp_path: Path) -> None:
    alone = Scenario.parse({"agents": 3, "rounds": 5, "graph": {"kind": "er", "p": 0}, "publish": {"plasmids": 1}})
    frames = read_trace(keep(tmp_path, alone)).frames
    assert frames[0].up == [0, 1, 2] and not any(frame.down for frame in frames)


def test_who_breaks_rules_and_what_the_scenario_does_is_told(tmp_path: Path) -> None:
    forged = Scenario.parse(
        {"agents": 4, "rounds": 6, "graph": {"kind": "complete"}, "publish": {"plasmids": 1}}
        | {"adversaries": [{"kind": "forger", "peers": [2]}]}
    )
    keep(tmp_path, forged)
    report = read_report(tmp_path)
    assert report["adversaries"] == [{"peer": 2, "kind": "forger", "from_round": 0.0}]
    cut = Happening(round=3, do="cut", peers=(1,)).model_dump(mode="json")
    (tmp_path / "report.json").write_text(json.dumps(report | {"scenario": report["scenario"] | {"happenings": [cut]}}))
    trace = read_trace(tmp_path)
    assert trace.liars == {2: "forger"}
    assert [frame.number for frame in trace.frames if frame.planned] == [4]  # at 3.0 the fourth round begins
    told = [Sayings(trace)(line) for frame in trace.frames for line in frame.lines]
    assert any("penalty" in line and "for peer 2 (forger)" in line for line in told), told


def test_a_few_of_the_broken_invariants_are_named(folder: Path) -> None:
    trace = read_trace(folder)
    assert trace.alarms == []
    alarms = replace(trace, report={**trace.report, "broken": ["a: x", "b: y", "c: z", "d", "e"]}).alarms
    assert alarms[0] == "an invariant broke: a: x" and alarms[-1] == "and 2 more" and len(alarms) == 4
    hasty = replace(trace, report={**trace.report, "unexpected": ["agree: 2 different sets"]})
    assert hasty.alarms == ["not as expected: agree: 2 different sets"]


def test_all_that_a_scenario_may_do_has_words() -> None:
    assert set(WORDS) == set(get_args(Action))


def test_what_happens_seldom_is_told_before_what_happens_all_the_time(tmp_path: Path) -> None:
    keep(tmp_path)
    log = tmp_path / "logs" / "0002.jsonl"
    lines = log.read_text().splitlines()
    seldom = next(line for line in lines if '"kind":"audited"' in line).replace('"kind":"audited"', '"kind":"repair"')
    usual = [next(line for line in lines if '"kind":"knowledge"' in line)] * 40
    frame = next(frame for frame in read_trace(tmp_path).frames if usual[0] + "\n" in frame.lines)
    at = json.loads(usual[0])["mono_ns"]
    seldom = re.sub(r'"mono_ns":\d+', f'"mono_ns":{at - 1}', seldom)
    log.write_text("\n".join([*lines, seldom, *usual]) + "\n")
    told = read_trace(tmp_path).frames[frame.number]
    assert seldom + "\n" in told.lines and len(told.lines) == LINES_MAX
    assert told.untold == len(frame.lines) + len(usual) + 1 - LINES_MAX


def test_a_run_without_logs_has_no_peers_to_be_seen(folder: Path, tmp_path: Path) -> None:
    for name in ("report.json", "truth.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    trace = read_trace(tmp_path)
    assert trace.peers == 0 and trace.frames == () and trace.report["graph"]["peers"] == SMALL.agents


def test_a_folder_that_holds_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run of a simulation") as caught:
        read_trace(tmp_path)
    assert "report.json" in str(caught.value)


def test_pictures_are_png_and_pdf_and_equal_for_equal_reports(folder: Path, tmp_path: Path) -> None:
    paths = write_pictures(tmp_path, read_report(folder))
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG", b"%PDF"]
    again = tmp_path / "again"
    again.mkdir()
    write_pictures(again, read_report(folder))
    assert [(again / path.name).read_bytes() for path in paths] == [path.read_bytes() for path in paths]


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def test_pictures_show_the_report(folder: Path) -> None:
    report = read_report(folder)
    coverage, verdicts, traffic, information, *_ = drawn(report).axes
    lines = {line.get_label(): [y for _, y in points(line)] for line in coverage.lines}
    assert lines["legal"] == [0, *(100 * one["coverage"]["legal"] for one in report["rounds"])]
    marks = [x for line in coverage.lines if line.get_marker() == "s" for x, _ in points(line)]
    assert sorted(marks) == sorted(one["100%"] for one in report["rounds_to"].values())
    shown = {line.get_label(): points(line)[-1][1] for line in verdicts.lines}
    assert shown["accepted, clean"] == report["gate"]["pairs"]["accepted"]["clean"]
    assert sum(y for _, y in points(traffic.lines[0])) == report["traffic"]["messages"]
    assert max(y for _, y in points(information.lines[0])) == max(one["mutual_information"] for one in report["rounds"])
