"""A home is made whole or not at all, also where whoever made it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plora.node.home import UNFINISHED, init_home, take_away_unfinished
from plora.node.joining import check_home
from plora.proto.errors import ConfigError
from plora.proto.swarm import new_swarm
from plora.proto.ticket import Ticket

SWARM = new_swarm("team", bytes(range(64)))
MAKE = """\
import os, sys
from pathlib import Path
from plora.node.home import init_home
from plora.proto.swarm import new_swarm

def further(made):
    print("half made", flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), 9)

swarm = new_swarm("team", bytes(range(64)))
init_home(Path(sys.argv[1]), name="ada", swarm=swarm, listen="127.0.0.1:1", now_s=1, further=further)
"""


def test_what_a_killed_init_left_is_not_in_the_way(tmp_path: Path) -> None:
    root = tmp_path / "ada"
    with subprocess.Popen([sys.executable, "-c", MAKE, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as making:
        assert making.stdout is not None and making.stdin is not None
        assert making.stdout.readline() == b"half made\n"
        with pytest.raises(ConfigError, match="is being made here"):
            init_home(root, name="ada", swarm=SWARM, listen="127.0.0.1:1", now_s=1)
        making.stdin.close()
        assert making.wait() == -signal.SIGKILL
    half = (root / "identity" / "peer_id").read_text()
    assert not (root / "peer.yaml").exists()

    ticket = Ticket("aa" * 32, ("192.0.2.1:4700",), bytes(16), SWARM.id[:8], 0, 100, "ada")
    check_home(root, ticket)  # nor in that of `plora join`
    made = init_home(root, name="ada", swarm=SWARM, listen="127.0.0.1:1", now_s=1)
    assert made.home.config.exists() and made.peer_id != half.strip()
    assert not (root / UNFINISHED).exists()


def test_a_peers_home_is_never_taken_away(tmp_path: Path) -> None:
    made = init_home(tmp_path / "ada", name="ada", swarm=SWARM, listen="127.0.0.1:1", now_s=1)
    (made.home.root / UNFINISHED).touch()  # killed after its last step but one
    take_away_unfinished(made.home.root)
    with pytest.raises(ConfigError, match="a peer's home is here already"):
        init_home(made.home.root, name="ada", swarm=SWARM, listen="127.0.0.1:1", now_s=1)
    assert made.home.peer_id.read_text().strip() == made.peer_id


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "peer.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        init_home(tmp_path, name="ada", swarm=SWARM, listen="127.0.0.1:1", now_s=1)
    assert [path.name for path in tmp_path.iterdir()] == ["peer.txt"]
