"""The page of a real peer over plain HTTP: what it answers, and whom it refuses."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.ports import free_port
from tests.swarm.conftest import NODE, Peer
from tests.web.conftest import MakePeer, Page

from plora.node.web.guard import HEADERS
from plora.node.web.routes import ACTIONS, READS
from plora.proto.errors import PloraError
from plora.v1 import admin_pb2 as pb

FORBIDDEN = ("trust", "distrust", "policy", "reload", "publish", "revoke", "key", "export", "hook", "invite", "join")


@pytest.fixture(scope="module")
def page(make_peer: MakePeer, tmp_path_factory: pytest.TempPathFactory) -> Page:
    ada = make_peer("ada")
    ada.start()
    folder = tmp_path_factory.mktemp("a") / "legal"
    ada.signed_folder(folder, seed=1)
    ada.publish(folder)
    ada.until(lambda: ada.plasmids("own"))
    return Page(ada)


def test_the_page_is_there_once_and_keeps_its_address(page: Page) -> None:
    again = page.peer.call("Web", pb.WebRequest())
    assert again.url == page.url
    assert urlsplit(page.url).hostname == "127.0.0.1"
    assert b'<script type="module" src="app.js">' in page.get("/").body
    assert page.get("/app.js").headers["content-type"].startswith("text/javascript")


def test_only_the_user_reads_the_token(page: Page) -> None:
    file = page.peer.home.web_token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert page.token not in "".join(log.read_text() for log in page.peer.logs())
    assert page.token not in page.peer.stderr.read_text()


@pytest.mark.parametrize("name", sorted(READS))
def test_every_answer_is_the_admin_services(page: Page, name: str) -> None:
    """The page says what the socket says."""
    method, ask = READS[name]
    query = {"name": "legal"}
    answer = page.get(f"/api/{name}?name=legal")
    said = page.peer.call(method, ask(query))
    assert answer.status == 200
    assert answer.document.keys() == {field.name for field in said.DESCRIPTOR.fields}
    if name in ("plasmids", "show"):
        (plasmid,) = answer.document.get("plasmids", [answer.document.get("plasmid")])
        assert plasmid["content_id"] in page.peer.plasmids()
        assert plasmid["state"] == "own"


@pytest.mark.parametrize("path", ["/", "/app.js", "/vendor/vendored.json", "/api/status", "/api/nothing", "/nothing"])
def test_every_response_carries_the_headers(page: Page, path: str) -> None:
    answer = page.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "uvicorn" not in answer.headers.get("server", "")


def test_refusals_carry_them_too(page: Page) -> None:
    for answer in (page.get("/", host="evil.example"), page.ask("PUT", "/"), page.act("fetch", "legal", origin="")):
        assert answer.status >= 400
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")


def test_a_rebound_name_gets_nothing(page: Page) -> None:
    port = urlsplit(page.url).port
    for path in ("/", "/api/status", "/api/events"):
        answer = page.get(path, host=f"rebound.example:{port}")
        assert answer.status == 421
        assert page.peer.id.encode() not in answer.body
    assert page.get("/api/status", host=f"localhost:{port}").status == 200


def test_foreign_pages_get_nothing(page: Page) -> None:
    assert page.get("/api/status", origin="http://evil.example").status == 403
    assert page.ask("OPTIONS", "/api/actions/fetch", {"origin": "http://evil.example"}).status == 403
    assert page.act("fetch", "legal", origin="http://evil.example").status == 403


def test_actions_want_the_token(page: Page) -> None:
    refused = page.act("fetch", "legal", authorization="")
    assert (refused.status, "read-only" in refused.document["error"]) == (401, True)
    assert page.act("fetch", "legal", authorization="Bearer guess").status == 401
    assert page.get("/api/session").document["writable"] is False
    assert page.get("/api/session", authorization=f"Bearer {page.token}").document["writable"] is True
    assert page.act("fetch", "legal").document["state"] == "own"


def test_what_the_admin_service_refuses_is_said(page: Page) -> None:
    missing = page.act("fetch", "no-such-thing")
    assert (missing.status, "no-such-thing" in missing.document["error"]) == (400, True)
    assert page.get("/api/show?name=%3Cscript%3E").status == 400
    assert page.get("/api/show").status == 400


@pytest.mark.parametrize("body", ["", "[]", '"legal"', "{", '{"name": 1}', '{"name": "legal", "target": "/tmp/x"}'])
def test_an_action_takes_a_name_and_nothing_else(page: Page, body: str) -> None:
    headers = {"origin": page.origin, "authorization": f"Bearer {page.token}", "content-type": "application/json"}
    assert page.ask("POST", "/api/actions/fetch", headers, body).status == 400


def test_nothing_that_decides_whom_to_believe_is_there(page: Page) -> None:
    assert not [name for name in (*ACTIONS, *READS) if any(word in name for word in FORBIDDEN)]
    for name in FORBIDDEN:
        assert page.act(name, "ada").status == 404
        assert page.get(f"/api/{name}").status == 404


@pytest.mark.parametrize("path", ["/../app.py", "/%2e%2e/routes.py", "/..%2f..%2frun/web.token", "/vendor/../../a.py"])
def test_files_beside_the_page_are_not_served(page: Page, path: str) -> None:
    assert page.get(path).status == 404


def test_the_stream_tells_what_happened(page: Page) -> None:
    place = urlsplit(page.url)
    with socket.create_connection((str(place.hostname), place.port), timeout=20) as line:
        line.sendall(f"GET /api/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        stream = line.makefile("rb")
        kinds = set()
        while "published" not in kinds:
            text = stream.readline().decode()
            if text.startswith("data: ") and "kind" in text:
                kinds.add(json.loads(text.removeprefix("data: "))["kind"])
    assert "boot" in kinds
    assert "round" not in kinds


def test_a_fixed_port_is_open_from_the_start_and_kept_clear_of_others(make_peer: MakePeer) -> None:
    bob, port = make_peer("bob"), free_port()
    bob.settings["web"] = {"listen": f"localhost:{port}"}
    bob.start()
    assert Page(bob).url == f"http://localhost:{port}/"
    cyd = make_peer("cyd")
    cyd.settings["web"] = {"listen": f"127.0.0.1:{port}"}
    cyd.spawn()
    assert cyd.process is not None
    assert cyd.process.wait(20) == 1
    assert f"can't listen on 127.0.0.1:{port}" in cyd.complaints()
    assert "web.listen" in cyd.complaints()
    bob.stop()


def test_a_page_for_other_machines_is_refused(make_peer: MakePeer) -> None:
    dan = make_peer("dan")
    dan.settings["web"] = {"listen": "0.0.0.0:9480"}
    dan.spawn()
    assert dan.process is not None
    assert dan.process.wait(20) == 2
    assert "must be a loopback address" in dan.complaints()


def test_a_token_that_others_can_read_is_refused(make_peer: MakePeer) -> None:
    eve = make_peer("eve")
    eve.start()
    token: Path = eve.home.web_token
    token.write_text("x" * 50)
    token.chmod(0o644)
    with pytest.raises(PloraError, match="others can read"):
        eve.call("Web", pb.WebRequest())
    token.unlink()
    assert Page(eve).get("/api/status").document["name"] == "eve"
    eve.stop()


def test_an_open_page_does_not_keep_the_peer_from_stopping(make_peer: MakePeer) -> None:
    fay: Peer = make_peer("fay")
    fay.start()
    place = urlsplit(Page(fay).url)
    with socket.create_connection((str(place.hostname), place.port), timeout=20) as line:
        line.sendall(f"GET /api/events HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 200")
        fay.stop()
        assert fay.records("stop")
        assert not fay.records("error")


def test_the_command_prints_the_address_that_acts(page: Page) -> None:
    command = [str(NODE.with_name("plora")), "web", "--json", "--home", str(page.peer.home.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {
        "page": page.url,
        "url": page.url_with_token,
        "token_file": str(page.peer.home.web_token),
    }


def test_what_a_container_forwards_is_reached_by_a_loopback_name_alone(make_peer: MakePeer) -> None:
    gil, port = make_peer("gil"), free_port()
    gil.settings["web"] = {"listen": f"0.0.0.0:{port}", "forwarded": True}
    gil.start()
    assert Page(gil).url == f"http://127.0.0.1:{port}/"
    assert Page(gil).get("/api/status").status == 200
    assert Page(gil).get("/api/status", host=f"192.0.2.7:{port}").status == 421
