"""`make test-containers` as a test of its own; `tests/containers.py` says what it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MINUTES_MAX = 30


@pytest.mark.nightly
@pytest.mark.timeout(MINUTES_MAX * 60)
@pytest.mark.skipif(
    os.getuid() != 0 or not Path("/etc/debian_version").exists(), reason="containers are made by root on Debian"
)
def test_five_containers_agree_after_a_cut_and_a_kill() -> None:
    command = ["bash", str(ROOT / ".ci" / "with-image"), sys.executable, "-m", "tests.containers"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
