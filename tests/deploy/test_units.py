"""The unit as systemd's own tools see it: no word that it doesn't know, and little that a peer could reach."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "plora-node.service"
EXPOSURE_TENTHS_MAX = "20"


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        excuse = pytest.fail if os.environ.get("CI") else pytest.skip
        excuse("systemd-analyze is missing (apt-get install systemd)")
    return subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["plora-node.service", "plora-node@ada.service"])
def test_systemd_knows_every_word(tmp_path: Path, name: str) -> None:
    there = tmp_path / name.replace("ada", "")
    there.write_text(UNIT.read_text().replace("/opt/plora/bin/plora-node", "/bin/true"))
    done = analyze("verify", "--man=no", tmp_path / name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_peer_is_exposed_by_two_of_ten_at_most() -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_TENTHS_MAX}", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout
