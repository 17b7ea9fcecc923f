"""A results folder of small size: real artifacts where they are cheap, else rows as the lab writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from plora.lab.calibrate_c import calibrate_into
from plora.lab.validate_bounds import validate_into
from plora.sim.evaluate import summarised
from plora.sim.run import run
from plora.sim.scenario import Scenario

SMALL = {"agents": 6, "rounds": 4, "graph": {"kind": "ring"}, "publish": {"plasmids": 3, "trojan_rate": 0.34}}


def difference(value: float) -> dict[str, Any]:
    """As `plora.lab.value_add` has it."""
    interval = {"value": value, "low": value - 0.2, "high": value + 0.1}
    return {"nll": interval, "question_information": interval, "em": interval}


def swept(report: Mapping[str, Any], seed: int, detectors: bool, rounds: int | None) -> dict[str, Any]:
    """A run's report as if of this seed, in which each adapter took so many rounds to 90 %, or never came so far."""
    made = deepcopy(dict(report))
    made["scenario"] |= {"seed": seed, "security": {**made["scenario"]["security"], "detectors": detectors}}
    for one in made["adapters"]:
        one["rounds_to"]["90%"] = rounds
    return made


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for family in ("er", "ws", "ba"):
        calibrate_into(folder, family, sizes=(32, 64), held_out=(128,), seeds=range(2))
    validate_into(folder, sizes=(16,), seeds=range(1))
    report = run(Scenario.parse(SMALL)).report
    (folder / "sim").mkdir()
    (folder / "sim" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "summary_v2.json").write_text(json.dumps(summarised(folder / "sim")), encoding="utf-8")
    runs = [(1, True, 6), (1, False, 3), (2, True, None), (2, False, 3)]
    rows = [{"digest": "ab", "at": {}, "report": swept(report, *one)} for one in runs]
    write_lines(folder / "thesis_sweep.jsonl", rows)
    cells = [("baseline", 0.0), ("adapter", -2.0), ("placebo_shuffled", 0.1)]
    rows = [
        {"cell": cell, "domain": domain, "difference": difference(value)}
        for domain in ("legal", "medical")
        for cell, value in cells
    ]
    write_lines(folder / "value_add" / "value_add.jsonl", rows)
    kinds = [("attention", 1), ("all", 4)]
    write_lines(
        folder / "ablation.jsonl",
        [{"domain": "legal", "scheme": scheme, "rank": rank, "difference": difference(-1.0)} for scheme, rank in kinds],
    )
    losses = {name: {"legal": 2.0} for name in ("base", "own", "merged")}
    write_lines(
        folder / "alt_train_merge" / "rounds.jsonl",
        [{"provenance": {}}]
        + [{"round": number, "nll": losses, "moved": None if number == 1 else 0.1} for number in (1, 2)],
    )
    return folder
