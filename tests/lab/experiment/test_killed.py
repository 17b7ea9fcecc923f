"""The real steps, killed at random: in the end the results are those of a run that nobody touched."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STEPS = (
    *("prepare-data", "calibrate-c", "validate-bounds", "train-all", "sign-all", "swarm-v2-eval", "thesis-sweep"),
    *("consensus-smoke", "grpc-demo", "dump-policy"),
)
KILLS, LONGEST_S = 3, 40.0
PAUSE = threading.Event()
"""Never set: to wait on it is to wait."""


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_three_kills_at_random_end_with_the_same_results(tmp_path: Path) -> None:
    draw = random.Random(os.environ.get("PLORA_SEED", "kills"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for root in (whole, killed):
        shutil.copytree(ROOT / "config", root / "config")
    assert begun(whole).wait() == 0
    shutil.copytree(whole / "keys", killed / "keys")
    for after_s in (draw.uniform(0, LONGEST_S) for _ in range(KILLS)):
        child = begun(killed)
        PAUSE.wait(after_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
    while (code := begun(killed).wait()) == 2:  # a step that outlives the last kill has the lock
        PAUSE.wait(1)
    assert code == 0
    assert results(killed) == results(whole)
    assert list((killed / "results/.experiment/drafts").iterdir()) == []


def begun(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*called("run", root), *STEPS])


def results(root: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(subprocess.check_output(called("results", root)))
    return found


def called(action: str, root: Path) -> list[str]:
    return [sys.executable, "-m", "plora.lab.experiment", action, "--root", str(root)]
