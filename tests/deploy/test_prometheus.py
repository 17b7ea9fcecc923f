"""A real Prometheus with these rules scrapes real peers, and every query of the dashboard gets an answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.test_observe import OBSERVE, panels
from tests.ports import free_port
from tests.swarm.conftest import MakePeer, Peer, make_peer, swarm

__all__ = ("make_peer", "swarm")

PROMETHEUS = shutil.which("prometheus")
WAIT_S = 90.0
NEVER = {
    "Time in the gate": ["{{detector}}"],  # no detector is switched on here
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not here: apt-get install prometheus"),
]


class Asked:
    """A Prometheus that runs."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address, self.process = address, process

    def get(self, path: str, **query: str) -> Any:
        asked = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """The series that answer a query now."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def until(self, expression: str) -> list[Any]:
        """What a query gives as soon as that is something."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                if found := self.query(expression):
                    return found
            except OSError as error:
                assert self.process.poll() is None, error  # it listens a little later than it starts
            assert time.monotonic() < deadline, f"no answer to {expression}"
            with pytest.raises(subprocess.TimeoutExpired):
                self.process.wait(0.3)


@pytest.fixture
def peers(make_peer: MakePeer, tmp_path: Path) -> list[Peer]:
    """Three that run; bob publishes an adapter whom ada and cyd trust, and a stranger's is held back."""
    ada, bob, cyd = found = [make_peer(name) for name in ("ada", "bob", "cyd")]
    for peer in found:
        peer.settings["metrics"] = f"127.0.0.1:{free_port()}"
        peer.dials(*(other for other in found if other is not peer))
    for peer in (ada, cyd):
        peer.trusts(bob)
    for peer in found:
        peer.start()
    return found


@pytest.fixture
def prometheus(peers: list[Peer], tmp_path: Path) -> Iterator[Asked]:
    """The configuration of deploy/observe, with these peers as targets and a scrape each second."""
    assert PROMETHEUS is not None
    document = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document["rule_files"] = [str(OBSERVE / "rules.yml")]
    (job,) = document["scrape_configs"]
    job["static_configs"] = [{"targets": [peer.settings["metrics"]]} for peer in peers]
    job["relabel_configs"] += [
        {"source_labels": ["__address__"], "regex": peer.settings["metrics"], "target_label": "instance"}
        | {"replacement": peer.name}
        for peer in peers
    ]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_port()}"
    places = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        command = [PROMETHEUS, *places, f"--web.listen-address={address}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Asked(address, process)
    finally:
        process.terminate()
        process.wait(30)


def filled(expression: str) -> str:
    """A query as Grafana sends it."""
    return expression.replace("$__rate_interval", "15s").replace("$peer", ".*")


def test_every_panel_is_answered(prometheus: Asked, peers: list[Peer], tmp_path: Path) -> None:
    ada, bob, _ = peers
    assert len(prometheus.until('up{job="plora"} == 1')) >= 1
    prometheus.until('count(up{job="plora"} == 1) == 3')
    assert {one["metric"]["instance"] for one in prometheus.query("plora_links")} == {"ada", "bob", "cyd"}
    for seed, publisher in enumerate((bob, ada)):  # nobody believes ada's
        publisher.signed_folder(tmp_path / publisher.name, seed=seed)
        publisher.publish(tmp_path / publisher.name)
    prometheus.until("sum(plora_merges_total) > 2")
    prometheus.until("plora:loop_lag_seconds:p99")
    prometheus.until("sum(increase(plora_acceptance_seconds_count[1h])) > 0")
    prometheus.until('sum(plora_objections{reason="unknown_owner"}) == 2')

    silent = [
        (panel["title"], target["legendFormat"])
        for panel in panels()
        for target in panel.get("targets", ())
        if target["legendFormat"] not in NEVER.get(panel["title"], ()) and not prometheus.query(filled(target["expr"]))
    ]
    assert silent == []
    prometheus.until("plora:roots == 1")
    groups = prometheus.get("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def test_a_peer_that_is_killed_is_told_of(prometheus: Asked, peers: list[Peer]) -> None:
    prometheus.until('count(up{job="plora"} == 1) == 3')
    peers[2].kill()
    (pending,) = prometheus.until('ALERTS{alertname="PloraPeerDown"}')
    assert pending["metric"]["instance"] == "cyd"
    prometheus.until("plora_neighbours_unlinked > 0")
