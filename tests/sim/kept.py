"""A small run that is kept in a folder as `plora sim --report_dir` keeps it."""

from __future__ import annotations

import json
from pathlib import Path

from plora.sim.run import Simulation, run
from plora.sim.scenario import Scenario
from plora.sim.truth import to_plain

SMALL = Scenario.parse(
    {"agents": 6, "rounds": 8, "graph": {"kind": "ring"}, "publish": {"plasmids": 3, "trojan_rate": 0.34, "every": 1}}
)


def keep(folder: Path, scenario: Scenario = SMALL) -> Path:
    outcome = run(scenario)
    assert isinstance(outcome.simulation, Simulation)
    (folder / "report.json").write_text(json.dumps(outcome.report, sort_keys=True))
    (folder / "truth.json").write_text(json.dumps(to_plain(outcome.truth)))
    outcome.simulation.swarm.write_logs(folder / "logs")
    return folder
