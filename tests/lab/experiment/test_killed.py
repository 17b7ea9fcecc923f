"""All steps, small and real, killed at random ones: in the end the results are those of a run that nobody touched."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from plora.lab.experiment.config import read_config
from plora.lab.experiment.pipeline import RECORDS, reset
from plora.lab.experiment.steps import STEPS
from plora.lab.experiment.work import DRAFTS, LOGS, Site
from plora.proto.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
CONFIG = "config/plora.yml"
STUDIES = [step for step in STEPS if step.caches]
"""Steps that keep what they made across kills."""

SMALL: Mapping[str, Any] = {
    "domains": ["legal", "medical"],
    "samples": 8,
    "dev_size": 8,
    "schemes": ["attention"],
    "tests": {"paths": ["tests"], "marks": "not nightly", "jobs": 1},
    "spectra": {"sizes": [50, 100], "held_out": [200], "seeds": 2},
    "adapters": {"rank": 1, "scheme": "attention", "steps": 8},
    "zoo": {"kinds": "clean,rare-token", "seeds": "0,1,4,5", "aims": "config/detection.yml"},
    "value_add": {"steps": 4, "times": [1.0], "placebos": True, "cross": True},
    "ablation": {"ranks": [1, 2], "schemes": ["attention"]},
    "alternation": {"rounds": 2, "steps": 2},
    "information": {"family": "er", "agents": 30, "domains": 4, "runs": 8, "surrogates": 10},
}
"""What differs from the dry run."""

PAUSE = threading.Event()
"""Never set: to wait on it is to wait."""


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_three_kills_at_random_steps_end_with_the_same_results(tmp_path: Path) -> None:
    draw = random.Random(os.environ.get("PLORA_SEED", "kills"))
    whole, killed = (prepared(tmp_path / name) for name in ("whole", "killed"))
    assert begun(whole).wait() == 0
    shutil.copytree(whole / "keys", killed / "keys")
    seconds = took(whole)
    others = draw.sample([step for step in STEPS if not step.caches], 2)
    for step in sorted((draw.choice(STUDIES), *others), key=lambda one: one.number):
        child = begun(killed)
        wait_for(child, killed / LOGS / f"{step.label}.log")
        PAUSE.wait(draw.uniform(0, seconds[step.label]))
        child.send_signal(signal.SIGKILL)
        child.wait()
        wait_until_free(killed)
    assert begun(killed).wait() == 0
    assert results(killed) == results(whole)
    assert len(results(whole)) > len(STEPS) and list((killed / DRAFTS).iterdir()) == []


def prepared(root: Path) -> Path:
    """A root with the small configuration, and one test for step 1."""
    shutil.copytree(ROOT / "config", root / "config")
    dry = yaml.safe_load((root / "config/plora.dry.yml").read_text("utf-8"))
    (root / CONFIG).write_text(json.dumps({**dry, **SMALL}), "utf-8")
    (root / "tests").mkdir()
    (root / "tests/test_one.py").write_text("def test_one() -> None:\n    assert sum([1, 1]) == 2\n", "utf-8")
    return root


def begun(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(called("run", root))


def wait_for(child: subprocess.Popen[bytes], log: Path) -> None:
    """Until a step begins, or the run ends."""
    while child.poll() is None and not log.exists():
        PAUSE.wait(0.05)


def wait_until_free(root: Path) -> None:
    """Until what the kill left behind has ended: it holds the lock."""
    site = Site(root, read_config(root / CONFIG), os.environ)
    while True:
        try:
            reset(site, ())
            return
        except UsageError:
            PAUSE.wait(0.05)


def took(root: Path) -> dict[str, float]:
    """Seconds of each step."""
    records = json.loads((root / RECORDS).read_text("utf-8"))
    return {label: record["_values_:"]["seconds"] for label, record in records.items()}


def results(root: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(subprocess.check_output(called("results", root)))
    return found


def called(action: str, root: Path) -> list[str]:
    return [sys.executable, "-m", "plora.lab.experiment", action, "--root", str(root)]
