"""A peer's health, asked as its container asks it: a process of its own, by mutual TLS, with the home's keys."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.swarm.conftest import MakePeer, Peer

ASKING_S = 60


def asked(peer: Peer) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plora.node.daemon.healthy", str(peer.home.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=ASKING_S, check=False)


def test_a_peer_is_healthy_while_it_answers(make_peer: MakePeer) -> None:
    ada = make_peer("ada")
    ada.start()
    seen = asked(ada)
    assert (seen.returncode, seen.stderr) == (0, "")
    assert ada.process is not None
    ada.process.send_signal(signal.SIGSTOP)
    hung = asked(ada)
    ada.process.send_signal(signal.SIGCONT)
    assert hung.returncode == 1
    assert "no answer in time" in hung.stderr
    ada.stop()
    gone = asked(ada)
    assert gone.returncode == 1
    assert "nobody listens there" in gone.stderr


def test_another_peer_that_answers_there_is_no_health(make_peer: MakePeer) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    ada.start()
    bob.home.config.write_text(ada.home.config.read_text())
    assert asked(bob).returncode == 1
    assert asked(ada).returncode == 0


def test_a_port_that_only_the_system_knows_cannot_be_asked(make_peer: MakePeer) -> None:
    ada = make_peer("ada")
    ada.home.config.write_text("name: ada\nlisten: 127.0.0.1:0\n")
    seen = asked(ada)
    assert seen.returncode == 2
    assert "give `listen` a port" in seen.stderr
