"""What a supervisor hears of a peer on a real datagram socket: it listens, reloads, leaves, hangs; its certificates."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from plora.node.daemon.supervisor import Supervisor
from plora.v1 import admin_pb2 as pb

Make = Callable[[str], Any]
WAIT_S = 30.0
PING_S = 0.05


class Ear:
    """The supervisor's end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(path)

    def hears(self, within_s: float = WAIT_S) -> dict[str, str]:
        """The next message; TimeoutError where none comes."""
        self._line.settimeout(within_s)
        return dict(line.split("=", 1) for line in self._line.recv(4096).decode().splitlines())

    def hears_of(self, word: str) -> dict[str, str]:
        """The next message with that word, skipping signs of life."""
        while word not in (said := self.hears()):
            assert said.keys() <= {"WATCHDOG", "STATUS"}, said
        return said

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    with tempfile.TemporaryDirectory() as folder:
        made = Ear(f"{folder}/notify")
        yield made
        made.close()


def serial(port: int) -> int:
    """Of the certificate that a peer shows to whoever dials."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as line, context.wrap_socket(line) as session:
        shown = session.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_peer_says_that_it_is_ready_reloads_and_stops(make_daemon: Make, ear: Ear) -> None:
    ada = make_daemon("ada")
    ada.environment = {"NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "300000"}
    ada.spawn()
    assert ear.hears()["READY"] == "1"
    assert serial(ada.port)  # it listens by then
    assert ada.call("Status", pb.StatusRequest()).name == "ada"
    assert ear.hears() == {"WATCHDOG": "1", "STATUS": "0 peers linked, 0 adapters held"}

    ada.signal(signal.SIGHUP)
    assert int(ear.hears_of("RELOADING")["MONOTONIC_USEC"]) > 0
    assert ear.hears()["READY"] == "1"

    ada.edit("round_ms: 200", "round_ms: soon")
    ada.signal(signal.SIGHUP)
    ear.hears_of("RELOADING")
    assert "gossip.round_ms" in ear.hears()["STATUS"]

    assert ada.stop() == 0
    assert ear.hears_of("STOPPING")["STATUS"] == "stopping: SIGTERM"
    with pytest.raises(TimeoutError):
        ear.hears(0.01)


def test_a_process_that_stands_still_gives_no_sign(make_daemon: Make, ear: Ear) -> None:
    ada = make_daemon("ada")
    ada.environment = {"NOTIFY_SOCKET": ear.path, "WATCHDOG_USEC": "150000"}
    ada.spawn()
    ear.hears_of("READY")
    ear.hears_of("WATCHDOG")
    ada.signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        while True:  # what was under way when it stopped
            ear.hears(1.0)
    ada.signal(signal.SIGCONT)
    ear.hears_of("WATCHDOG")


async def test_a_loop_that_hangs_gives_no_sign(ear: Ear) -> None:
    supervisor = Supervisor(ear.path, PING_S)
    supervisor.watch(lambda: "well")
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, ear.hears) == {"WATCHDOG": "1", "STATUS": "well"}
    assert await loop.run_in_executor(None, ear.hears) == {"WATCHDOG": "1", "STATUS": "well"}
    with pytest.raises(TimeoutError):
        ear.hears(10 * PING_S)  # on the loop's own thread, which is what hangs
    assert await loop.run_in_executor(None, ear.hears) == {"WATCHDOG": "1", "STATUS": "well"}
    supervisor.stopping("SIGTERM")
    assert "STOPPING" in ear.hears()


@pytest.mark.parametrize(
    ("environment", "ping_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"}, 0.0),  # meant for another process
        ({"WATCHDOG_USEC": "6000000"}, 2.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_whoever_isnt_asked_gives_no_sign_of_life(environment: dict[str, str], ping_s: float) -> None:
    assert Supervisor.found(environment).ping_s == ping_s
    assert environment == {}


def test_a_supervisor_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    Supervisor(str(tmp_path / "nobody"), 0).ready("well")
    Supervisor("", 0).ready("well")


def test_a_reload_shows_another_certificate_and_keeps_links(make_daemon: Make) -> None:
    ada, bob, cyd = make_daemon("ada"), make_daemon("bob"), make_daemon("cyd")
    bob.neighbour(ada)
    cyd.neighbour(ada)
    ada.start()
    bob.start()
    ada.until(lambda: ada.call("Status", pb.StatusRequest()).links == 1)
    before = serial(ada.port)
    assert serial(ada.port) == before

    ada.signal(signal.SIGHUP)
    after = ada.until(lambda: (now := serial(ada.port)) != before and now)
    cyd.start()  # a new connection, which checks the new certificate
    ada.until(lambda: ada.call("Status", pb.StatusRequest()).links == 2)
    assert serial(ada.port) == after
    assert not ada.events("link_down") and not bob.events("link_down")
