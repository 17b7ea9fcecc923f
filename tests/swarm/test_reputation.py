"""Reputation on real processes: an owner who cheats is held, over a restart, until a person forgives them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from tests.cli.conftest import Ran, Run, runner
from tests.ports import free_port
from tests.swarm.conftest import MakePeer, Peer

from plora.proto.wire import statement_to_pb
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


def state(peer: Peer, content_id: bytes) -> str:
    found = peer.plasmids().get(content_id.hex())
    return found.state if found else ""


def read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
        return str(answer.read().decode())


def page_of(peer: Peer) -> list[dict[str, object]]:
    """What the web page shows of reputations."""
    found: list[dict[str, object]] = json.loads(read(f"{peer.settings['web']['listen']}/api/reputations"))[
        "reputations"
    ]
    return found


def metrics_of(peer: Peer) -> str:
    return read(f"{peer.settings['metrics']}/metrics")


def test_an_owner_who_signs_two_contents_is_held_until_forgiven(
    plora: Run, make_peer: MakePeer, tmp_path: Path
) -> None:
    ada, bob, twin = (make_peer(name) for name in ("ada", "bob", "twin"))
    ada.settings |= {"policy": {"reputation": True}, "metrics": f"127.0.0.1:{free_port()}"}
    ada.settings["web"] = {"listen": f"127.0.0.1:{free_port()}"}
    for peer in (ada, twin):
        peer.trusts(bob)
    ada.dials(bob)
    for peer in (bob, ada, twin):
        peer.start()

    def tell(*words: object) -> Ran:
        return plora(*words, "--home", ada.home.root)

    good = bob.signed_folder(tmp_path / "medical", seed=1)
    bob.publish(tmp_path / "medical")
    ada.until(lambda: state(ada, good.content_id) == "accepted")
    assert "0.67" in tell("trust", "ls").out and "reputation" not in tell("peers").out
    (linked,) = tell("peers", "--json").document
    assert linked["reputation"]["score"] == 0.75
    for number, peer in ((2, bob), (3, twin)):
        bob.signed_folder(tmp_path / str(number) / "legal", seed=number)
        folder, record = str(tmp_path / str(number) / "legal"), statement_to_pb(bob.made.owner.statement)
        peer.call("Publish", pb.PublishRequest(folder=folder, statements=[record]))
    ada.dials(twin)
    ada.reload()

    ada.until(lambda: state(ada, good.content_id) == "quarantined")
    said = tell("why", "medical")
    assert said.code == 3 and "the reputation of bob here is 0.17, below 0.30" in said.out
    assert "two contents" in tell("trust", "reputation").out
    ada.stop()
    ada.start()
    assert state(ada, good.content_id) == "quarantined"

    (seen_here,) = [one for one in page_of(ada) if one["kind"] == "owner"]
    assert (seen_here["name"], seen_here["fault"], seen_here["held"]) == ("bob", "two_contents", 1)
    assert 'plora_reputations{of="faulted"} 1.0' in metrics_of(ada)

    unasked = tell("trust", "forgive", "bob")
    assert (unasked.code, "say --yes" in unasked.err) == (2, True)
    forgiven = tell("trust", "forgive", "bob", "--yes")
    assert forgiven.out == "bob is a newcomer: 0.17 before, 0.50 now\n"
    ada.until(lambda: state(ada, good.content_id) == "accepted")
    again = tell("trust", "forgive", "bob", "--yes")
    assert (again.code, "nothing is held against" in again.err) == (2, True)
    seen = [(one["subject_kind"], one["reason"]) for one in ada.records("reputation")]
    assert ("owner", "two_contents") in seen and ("owner", "forgiven") in seen
