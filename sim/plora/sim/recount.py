"""A run's rounds once more, from what it left in its folder: the event logs, the truth, and the report's set-up.

The figures that come from event logs are those of the report; `messages`, `wire_bytes` and `digest` are not in the logs
and stay empty.
"""

from __future__ import annotations

import json
from pathlib import Path

from plora.node.transport.traffic import Traffic
from plora.proto.record_lines import Record, record_from_line
from plora.sim.build import edges_of
from plora.sim.event_log import log_files
from plora.sim.reach import Reach
from plora.sim.report import measured
from plora.sim.rounds import Round
from plora.sim.scenario import Scenario
from plora.sim.tally import Tally, take
from plora.sim.topology import components
from plora.sim.truth import from_plain


def recount(folder: Path) -> list[Round]:
    """The rounds of the run whose report folder this is."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    truth = from_plain(json.loads((folder / "truth.json").read_text(encoding="utf-8")))
    scenario = Scenario.parse(report["scenario"])
    logs = {path.stem: _records(path) for path in log_files(folder / "logs")}
    named = {log[0].peer if log else name: log for name, log in logs.items()}
    tally = Tally(named, truth)
    told = ((record, name) for name, log in named.items() for record in log)
    records = sorted(told, key=lambda one: one[0].mono_ns)  # stable: each log keeps its order
    adversaries = [one["peer"] for one in report["adversaries"]]
    reach = Reach(components(scenario.agents, edges_of(scenario)), truth, adversaries)
    clock, rounds, next_record = report["clock"], [], 0
    for number in range(1, len(report["rounds"]) + 1):
        end_ns = clock["begin_ns"] + number * clock["round_ns"]
        while next_record < len(records) and records[next_record][0].mono_ns <= end_ns:
            take(tally, *records[next_record])
            next_record += 1
        rounds.append(measured(number, tally, reach, Traffic(), digest=""))
    return rounds


def _records(log: Path) -> list[Record]:
    with log.open(encoding="utf-8") as lines:
        return list(map(record_from_line, lines))
