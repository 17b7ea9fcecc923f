"""Information in the network, of real runs of the fleet: neighbours say something of each other, strangers less."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plora.lab.net_it import faults, main, measure_into


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net_it_metrics.json"
    return measure_into(path, "ws", agents=40, domains=4, seeds=range(10), surrogates=19)


def test_neighbours_say_more_of_each_other_than_strangers(artifact: Path) -> None:
    told = json.loads(artifact.read_text())
    near, far = told["transfer_entropy"]["neighbours"], told["transfer_entropy"]["strangers"]
    assert near["low"] > far["high"] and near["p"] == 0.05 and near["surrogate_95"] < near["low"]
    assert told["mutual_information"][0]["mean"] > 1 > 0 == told["mutual_information"][-1]["mean"]
    assert faults(artifact) == []


BREAKS: dict[str, Callable[[Any], Any]] = {
    "missing": lambda told: told["mutual_information"].pop(),
    "outside of its interval": lambda told: told["mutual_information"][1].update(low=9.0),
    "bits of neighbours": lambda told: told["transfer_entropy"]["neighbours"].update(high=0.0),
    "no probability": lambda told: told["transfer_entropy"]["strangers"].update(p=0.0),
    "too few": lambda told: told["transfer_entropy"].update(neighbours={"refused": "too few"}),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_artifact_is_refused(artifact: Path, tmp_path: Path, fault: str) -> None:
    told = json.loads(artifact.read_text())
    BREAKS[fault](told)
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(told))
    assert len(faults(broken)) == 1 and fault in faults(broken)[0]


def test_the_command_writes_or_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.json"
    small = ["--agents", "12", "--domains", "2", "--surrogates", "3", "--out", str(out)]
    assert main(["--family", "ba", "--seeds", "3", *small]) == 0
    assert "3 runs" in json.loads(out.read_text())["transfer_entropy"]["neighbours"]["refused"]
    assert main(["--seeds", "1", *small]) == 2 and "have no spread" in capsys.readouterr().out
