"""Attacks on what a peer opens on its own machine, against a real `plora-node`: web page, metrics, admin socket."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.attacks.conftest import Watched
    from tests.swarm.conftest import MakePeer, Peer

pytestmark = pytest.mark.timeout(60)

STRANGER = 65_534
KNOCK = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
knock = socket.socket(socket.AF_UNIX)
try:
    knock.connect(sys.argv[1])
except OSError as error:
    sys.exit(type(error).__name__)
sys.exit("connected")
"""


@pytest.fixture
def open_peer(make_peer: MakePeer) -> Peer:
    """A peer with page and metrics."""
    peer = make_peer("ada")
    peer.settings |= {"web": {"listen": f"127.0.0.1:{free_port()}"}, "metrics": f"127.0.0.1:{free_port()}"}
    peer.start()
    return peer


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose parents are everybody's."""
    with tempfile.TemporaryDirectory(prefix="plora-", dir="/tmp") as folder:  # the path of a socket is short
        yield Path(folder)


def asked(place: str, method: str, path: str, **headers: str) -> int:
    """The status of a request with exactly these headers (`_` stands for `-`)."""
    host, _, port = place.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    body = b'{"name":"x"}' if method == "POST" else b""
    for name, value in ({"content-length": str(len(body))} | headers if body else headers).items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {kept: value for kept, value in headers.items() if kept != name}


def test_attack_115_rebinding_and_other_sites(open_peer: Peer, attack: Watched) -> None:
    web, metrics = open_peer.settings["web"]["listen"], open_peer.settings["metrics"]
    token = open_peer.home.web_token.read_text().strip()
    pin = "/api/actions/pin"
    own = {"host": web, "origin": f"http://{web}", "authorization": f"Bearer {token}"}
    posted = own | {"content_type": "application/json"}
    assert asked(web, "GET", "/", host=web) == 200 and asked(metrics, "GET", "/metrics", host=metrics) == 200
    assert asked(web, "POST", pin, **posted) not in (401, 403, 421)
    refused = {
        "name_rebound": asked(web, "GET", "/", host="evil.example"),
        "name_rebound_by_metrics": asked(metrics, "GET", "/metrics", host="evil.example"),
        "other_site_posts": asked(web, "POST", pin, **(posted | {"origin": "http://evil.example"})),
        "form_posts": asked(web, "POST", pin, **(own | {"content_type": "text/plain"})),
        "no_origin": asked(web, "POST", pin, **_without(posted, "origin")),
        "token_in_address": asked(web, "POST", f"{pin}?token={token}", **_without(posted, "authorization")),
        "other_page_embeds": asked(web, "GET", "/api/now", host=web, sec_fetch_site="cross-site"),
    }
    assert refused == {
        "name_rebound": 421,
        "name_rebound_by_metrics": 421,
        "other_site_posts": 403,
        "form_posts": 415,
        "no_origin": 403,
        "token_in_address": 401,
        "other_page_embeds": 403,
    }
    for reason in refused:
        attack.saw("R", reason)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_attack_116_the_admin_socket_and_another_user(place: Path, make_peer: MakePeer, attack: Watched) -> None:
    open_peer = make_peer("ada", root=place / "ada")
    open_peer.start()
    socket = open_peer.home.admin_socket
    above = [folder for folder in socket.parent.parents if folder.is_relative_to(place)]
    for folder in above:
        folder.chmod(0o755)  # what lies above may be as open as it likes
    assert _knock(socket, os.geteuid()) == "connected"
    assert _knock(socket, STRANGER) == "PermissionError"
    attack.saw("R", "PermissionError")


def _knock(socket: Path, user: int) -> str:
    """What connecting comes to, as that user."""
    command = [sys.executable, "-I", "-c", KNOCK, str(socket), str(user)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
