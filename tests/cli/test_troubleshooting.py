"""docs/troubleshooting.md quotes what a peer that can't start really says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Run

PAGE = (Path(__file__).resolve().parents[2] / "docs/troubleshooting.md").read_text()
QUOTED = frozenset(line.strip() for line in PAGE.splitlines() if line.startswith("    plora"))


def foreign_key(home: Path) -> None:
    shutil.copyfile(home.parent / "other/identity/key.pem", home / "identity/key.pem")


def setting(old: str, new: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / "peer.yaml").write_text((home / "peer.yaml").read_text().replace(old, new))

    return change


FAULTS: dict[str, Callable[[Path], object]] = {
    "missing key": lambda home: (home / "identity/key.pem").unlink(),
    "foreign key": foreign_key,
    "readable key": lambda home: (home / "identity/key.pem").chmod(0o644),
    "no swarm": lambda home: (home / "swarm.json").unlink(),
    "no settings": lambda home: (home / "peer.yaml").unlink(),
    "no YAML": lambda home: (home / "peer.yaml").write_text(": : ["),
    "unknown field": setting("  fanout:", "  fanuot:"),
    "wrong value": setting("round_ms: 1000", "round_ms: soon"),
    "damaged store": lambda home: (home / "state.db").write_bytes(b"\x93" * 5000),
    "another layout": lambda home: (home / "VERSION").write_text("9\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_page_quotes_the_line(plora: Run, world: Path, fault: str) -> None:
    for name in ("home", "other"):
        assert plora("init", "--name", "ada", "--home", name, "--listen", "127.0.0.1:0").code == 0
    home = world / "home"
    FAULTS[fault](home)
    command = [str(Path(sys.executable).with_name("plora-node")), "--config", str(home / "peer.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert _general(line.replace(str(home), "HOME")) in {_general(quoted) for quoted in QUOTED}


def _general(line: str) -> str:
    """A line without the digits of peer ids."""
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", line)
