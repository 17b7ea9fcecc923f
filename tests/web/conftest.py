"""A real swarm behind the page: peers of `tests.swarm`, and plain HTTP as any program on the machine speaks it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.ports import free_port
from tests.swarm.conftest import WAIT_S, Peer, settings

from plora.node.home import init_home
from plora.proto.swarm import Swarm, new_swarm
from plora.v1 import admin_pb2 as pb

CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), "")
FLAGS = [f"--{flag}" for flag in ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
WIDTH = 300
MEASURED_MS = 1_780_000_000_000
FIGURES = (
    ("legal", (96.2, 116.9, 140.1), (26.2, 30.5, 34.9), (24.1, 28.4, 33.2), (-108.1, -88.5, -71.0)),
    ("medical", (91.1, 99.0, 107.6), (91.0, 99.2, 108.0), (90.7, 98.8, 107.1), (-0.9, -0.2, 0.4)),
)
"""What is said to be measured: (low, value, high) of the base, of the merge before, of the merge, and after - base."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Page:
    """The web page of a running peer, over plain HTTP."""

    peer: Peer
    url: str = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        reply = self.peer.call("Web", pb.WebRequest())
        self.url, self.token = reply.url, Path(reply.token_file).read_text("ascii").strip()

    @property
    def origin(self) -> str:
        return self.url.rstrip("/")

    @property
    def url_with_token(self) -> str:
        return f"{self.url}#token={self.token}"

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: str | None = None) -> Answer:
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port or 80, timeout=WAIT_S)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers)

    def act(self, action: str, name: str, **headers: str) -> Answer:
        """A POST as the page sends it; headers replace those, with `_` for `-`, and an empty one leaves it out."""
        usual = {"origin": self.origin, "authorization": f"Bearer {self.token}", "content-type": "application/json"}
        named = usual | {header.replace("_", "-"): value for header, value in headers.items()}
        return self.ask(
            "POST", f"/api/actions/{action}", {k: v for k, v in named.items() if v}, json.dumps({"name": name})
        )


def made(root: Path, name: str, swarm: Swarm) -> Peer:
    port = free_port()
    new = init_home(root / name, name=name, swarm=swarm, listen=f"127.0.0.1:{port}", now_s=int(time.time()))
    return Peer(new, port, settings(name, port))


MakePeer = Callable[[str], Peer]


@pytest.fixture(scope="module")
def make_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePeer]:
    """`make_peer(name)`: a peer of one swarm that lives as long as the module's tests."""
    root, swarm = tmp_path_factory.mktemp("w"), new_swarm("test", bytes(range(64)))
    peers: list[Peer] = []

    def make(name: str) -> Peer:
        peers.append(made(root, name, swarm))
        return peers[-1]

    yield make
    for peer in peers:
        peer.discard()


def _merged(peer: Peer) -> list[int]:
    """How many adapters are in each merge."""
    return [len(one.inputs) for one in peer.call("Merges", pb.MergesRequest()).merges if one.inputs]


def _measured(peer: Peer) -> None:
    """Report figures of the merge that is served, as `plora measure` does."""
    (merge,) = peer.call("Merges", pb.MergesRequest()).merges
    measure = pb.Measure(generation=merge.generation, before=merge.before[0], by="ada@host", wall_ms=MEASURED_MS)
    for domain, base, before, after, change in FIGURES:
        figures = {"base": base, "before": before, "after": after, "change": change}
        estimates = {name: pb.Estimate(value=one[1], low=one[0], high=one[2]) for name, one in figures.items()}
        measure.domains.add(domain=domain, documents=200, **estimates)
    peer.call("Measured", pb.MeasuredRequest(base_model=merge.base_model, measure=measure))


@pytest.fixture(scope="module")
def five(make_peer: MakePeer, tmp_path_factory: pytest.TempPathFactory) -> list[Peer]:
    """Ada, who dials four others and trusts all but eve. Each publishes one adapter; ada's are merged."""
    peers = [make_peer(name) for name in ("ada", "bob", "cyd", "dan", "eve")]
    ada, eve = peers[0], peers[-1]
    ada.dials(*peers[1:])
    ada.trusts(*peers[1:-1])
    for peer in peers:
        peer.spawn()
    folder = tmp_path_factory.mktemp("f")
    for number, (peer, domain) in enumerate(zip(peers, ("legal", "medical", "code", "poetry", "art"), strict=True)):
        peer.ready()
        peer.signed_folder(folder / domain, seed=number, width=WIDTH)
        peer.publish(folder / domain)
        ada.until(lambda: _merged(ada))  # her own alone is generation 1: there is a merge to go back to
    ada.until(lambda: len(ada.plasmids("accepted")) == 3 and len(ada.plasmids("waiting")) == 1)
    ada.until(lambda: _merged(ada) == [4])
    _measured(ada)
    assert eve.process is not None
    return peers


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
