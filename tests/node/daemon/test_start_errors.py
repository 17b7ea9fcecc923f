"""Whatever prevents a start is one line that says how to mend it, and a non-zero exit."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plora.gate import load_trust, save_trust
from plora.node.daemon.main import main
from plora.node.home import UNFINISHED, init_home
from plora.node.store.home_lock import HomeLock
from plora.proto.errors import ConfigError
from plora.proto.home import Home
from plora.proto.keys import generate_private_key
from plora.proto.swarm import load_swarm

Make = Callable[[str], Any]


def said(home: Home, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[object, list[str]]:
    """Exit code and lines of a start in this process, for faults that stop it before any socket."""
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(home.config), *options])
    return ended.value.code, capsys.readouterr().err.splitlines()


def _missing_key(home: Home) -> None:
    home.identity_key.unlink()


def _foreign_key(home: Home) -> None:
    home.identity_key.unlink()
    generate_private_key("Ed25519").save(home.identity_key)


def _other_kind_of_key(home: Home) -> None:
    home.identity_key.unlink()
    generate_private_key("RSA-PSS-SHA256").save(home.identity_key)


def _readable_key(home: Home) -> None:
    home.identity_key.chmod(0o644)


def _no_config(home: Home) -> None:
    home.config.unlink()


def _garbled_config(home: Home) -> None:
    home.config.write_text("name: [ada")


def _unknown_field(home: Home) -> None:
    home.config.write_text(home.config.read_text() + "\nneighburs: []\n")


def _corrupt_store(home: Home) -> None:
    (home.root / "state.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)


def _newer_store(home: Home) -> None:
    (home.root / "VERSION").write_text("99\n")


def _lost_swarm(home: Home) -> None:
    home.swarm.unlink()


FAULTS: list[tuple[Callable[[Home], None], int, str]] = [
    (_missing_key, 1, "make one with `plora init`, or restore it"),
    (_foreign_key, 1, "the key of another peer"),
    (_other_kind_of_key, 1, "an identity is an Ed25519 key"),
    (_readable_key, 1, "chmod 600"),
    (_no_config, 2, "make a home by `plora init`"),
    (_garbled_config, 2, "peer.yaml"),
    (_unknown_field, 2, "did you mean 'neighbours'?"),
    (_corrupt_store, 1, "restore it from a backup"),
    (_newer_store, 1, "layout '99'"),
    (_lost_swarm, 2, "swarm.json"),
]


@pytest.mark.parametrize(("break_it", "code", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_one_line_and_an_exit_code(
    make_daemon: Make,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Home], None],
    code: int,
    words: str,
) -> None:
    home = make_daemon("ada").home
    break_it(home)
    found, lines = said(home, capsys)
    assert found == code
    (line,) = lines
    assert line.startswith("plora-node: ")
    assert words in line
    assert not home.events.exists()


def test_a_quorum_that_nobody_can_reach_is_refused(make_daemon: Make, capsys: pytest.CaptureFixture[str]) -> None:
    home = make_daemon("ada").home
    home.config.write_text(home.config.read_text().replace("quorum_required: 1", "quorum_required: 3"))
    for options in ((), ("--check",)):
        code, (line,) = said(home, capsys, *options)
        assert code == 2
        assert "3 owners must sign, but trust.yaml names only 1" in line and "plora trust add" in line


def test_check_names_who_was_struck_out_of_a_quorum(make_daemon: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer starts with it all the same, see `test_a_quorum_that_nobody_can_reach_any_more_keeps_nobody_believed`."""
    home, other = make_daemon("ada").home, load_trust(make_daemon("bob").home.trust).owners[0]
    save_trust(home.trust, load_trust(home.trust).with_owner(other).with_distrusted(other.owner))
    home.config.write_text(home.config.read_text().replace("quorum_required: 1", "quorum_required: 2"))
    code, (line,) = said(home, capsys, "--check")
    assert code == 2
    assert "2 owners must sign (policy.quorum_required), but only 1 is trusted here" in line


def test_a_second_daemon_on_one_home_names_the_first(make_daemon: Make, capsys: pytest.CaptureFixture[str]) -> None:
    home = make_daemon("ada").home
    lock = HomeLock(home.root)
    try:
        code, (line,) = said(home, capsys)
    finally:
        lock.release()
    assert code == 1
    assert "another peer works on this home (process" in line


def test_a_home_that_a_peer_started_in_is_no_half_made_one(make_daemon: Make) -> None:
    ada = make_daemon("ada")
    (ada.home.root / UNFINISHED).touch()  # as a kill leaves it after the last step but one
    ada.start()
    ada.stop()
    ada.home.config.unlink()
    with pytest.raises(ConfigError, match="a peer's home is here already"):
        init_home(ada.home.root, name="ada", swarm=load_swarm(ada.home.swarm), listen="127.0.0.1:1", now_s=1)
    assert ada.home.identity_key.exists()


def test_a_port_in_use_is_named(make_daemon: Make) -> None:
    ada = make_daemon("ada")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ada.port))
        taken.listen()
        command = [Path(sys.executable).with_name("plora-node"), "--config", ada.home.config]
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert f"can't listen on 127.0.0.1:{ada.port}" in line
    assert "change `listen` in peer.yaml" in line
    assert not ada.home.admin_socket.exists()


def test_check_says_every_fault_or_that_all_is_good(make_daemon: Make, capsys: pytest.CaptureFixture[str]) -> None:
    home = make_daemon("ada").home
    assert said(home, capsys, "--check") == (0, [f"plora-node: {home.config}: good"])
    text = home.config.read_text()
    home.config.write_text(text.replace("fanout: 1", "fanuot: 1").replace("round_ms: 200", "round_ms: soon"))
    code, lines = said(home, capsys, "--check")
    assert code == 2
    assert len(lines) == 2
    assert any("did you mean 'fanout'?" in line for line in lines)
    assert any("gossip.round_ms" in line for line in lines)
    home.config.write_text(text)
    home.identity_key.chmod(0o640)
    code, (line,) = said(home, capsys, "--check")
    assert code == 1
    assert "readable by others" in line
    assert not (home.root / "state.db").exists()


def test_garbage_is_collected_once_the_program_is_loaded() -> None:
    code = """
import gc, sys
from plora.node.daemon import main
try:
    main()
except SystemExit:
    sys.exit(0 if gc.isenabled() else "a peer would never collect garbage")
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "plora-node" in done.stdout
