"""Every way a fetch can fail ends in one line that says what to do; the hub is a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from plora.base import BaseSpec
from plora.base.hub import fetch_base
from plora.base.registry import DEFAULT_BASE, PINNED_REVISIONS
from plora.proto.errors import BaseModelError

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "modeling_evil.py": b"raise SystemExit"}
PAGE = (Path(__file__).resolve().parents[2] / "docs/hub.md").read_text()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """`a/STATUS` answers with that status and error code; `a/good` is a model of three files."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        name = self.path.removeprefix("/api/models/").split("/")[1]
        if name == "good" and "/revision/" in self.path:
            siblings = [{"rfilename": file} for file in FILES]
            self.answer(200, json.dumps({"id": "a/good", "sha": COMMIT, "siblings": siblings}).encode())
        elif "/tree/" in self.path:
            tree = [{"type": "file", "path": file, "oid": file, "size": len(raw)} for file, raw in FILES.items()]
            self.answer(200, json.dumps(tree).encode())
        elif name.isdecimal() or "-" in name:
            status, _, code = name.partition("-")
            self.answer(int(status), b"", {"X-Error-Code": code} if code else {})
        else:
            raw = FILES[self.path.rsplit("/", 1)[1]]
            self.answer(200, raw, {"X-Repo-Commit": COMMIT, "ETag": f'"{len(raw)}"'})

    do_HEAD = do_GET  # noqa: N815

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def hub() -> Iterator[HTTPServer]:
    Hub.asked = []
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def environ(server: HTTPServer, tmp_path: Path) -> dict[str, str]:
    address = f"http://127.0.0.1:{server.server_port}"
    return {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path), "HF_TOKEN": "hf_secret"}


@pytest.mark.parametrize(
    ("name", "what", "mend"),
    [
        ("401", "doesn't know this token", "HF_TOKEN"),
        ("401-RepoNotFound", "doesn't know this token", "check the name"),
        ("403", "refuses this token", "HF_TOKEN"),
        ("403-GatedRepo", "licence to be accepted", "https://huggingface.co/a/403-GatedRepo"),
        ("404", "no such model", "check the name"),
        ("500", "the hub fails itself (HTTP 500)", "try again later"),
        ("404-RevisionNotFound", "no revision 'main'", "after '@'"),
    ],
)
def test_refusals_say_what_to_do(hub: HTTPServer, tmp_path: Path, name: str, what: str, mend: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        fetch_base(BaseSpec(f"a/{name}", "hub", None, "main"), environ(hub, tmp_path))
    assert what in caught.value.what
    assert mend in caught.value.mend
    assert "hf_secret" not in str(caught.value)
    assert_quoted(caught.value)


def test_no_hub_and_nothing_cached_says_how_to_fetch(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Hub) as closed:
        address = environ(closed, tmp_path)
    with pytest.raises(BaseModelError) as caught:
        fetch_base(BaseSpec("a/b", "hub", None, PINNED_REVISIONS[DEFAULT_BASE]), address)
    assert "can't be reached" in caught.value.what
    assert f"hf download a/b --revision {PINNED_REVISIONS[DEFAULT_BASE]}" in caught.value.mend
    assert_quoted(caught.value)


def assert_quoted(error: BaseModelError) -> None:
    """docs/hub.md shows the whole line, for the specification's model."""
    line = f"    plora: {error}\n".replace(error.where, "google/gemma-3-1b-it")
    assert line in PAGE


def test_a_fetch_is_pinned_and_brings_no_code(hub: HTTPServer, tmp_path: Path) -> None:
    spec = fetch_base(BaseSpec("a/good", "hub", None, "main"), environ(hub, tmp_path))
    assert spec.revision == COMMIT
    assert spec.folder is not None
    assert sorted(path.name for path in spec.folder.iterdir()) == ["config.json", "model.safetensors"]
    assert {token for _, token in Hub.asked} == {"Bearer hf_secret"}
