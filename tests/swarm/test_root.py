"""Two owners of a pinned root revoke what a third published, by the commands: it unmerges on every real process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run, runner
from tests.swarm.conftest import MakePeer, Peer

pytestmark = pytest.mark.slow


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


def owner_file(peer: Peer) -> Path:
    return peer.home.owner_folder / f"{peer.name}.owner"


def pin(plora: Run, members: list[Peer], peers: list[Peer], folder: Path) -> None:
    """Each member gets a key for freshness, and every peer the root that they make."""
    for peer in members:
        assert plora("keygen", "--name", f"{peer.name}-fresh", "--only-key", "--out", folder).code == 0
        added = ("--add-freshness", folder / f"{peer.name}-fresh.pub", "--home", peer.home.root, "--yes")
        assert plora("owner", "rotate", *added).code == 0
    made = plora("root", "new", *map(owner_file, members), "--threshold", "2", "--out", folder / "root.yaml")
    assert made.code == 0
    for peer in peers:
        peer.settings["root"] = str(folder / "root.yaml")


def state(peer: Peer, content_id: str) -> str:
    found = peer.plasmids().get(content_id)
    return str(found.reason or found.state) if found else ""


def test_two_owners_of_the_root_take_back_what_a_third_published(
    plora: Run, make_peer: MakePeer, tmp_path: Path
) -> None:
    ada, bob, cyd = peers = [make_peer(name) for name in ("ada", "bob", "cyd")]
    pin(plora, [ada, bob], peers, tmp_path)
    for peer in (ada, bob):
        peer.dials(cyd)
        peer.trusts(cyd)
    for peer in peers:
        peer.start()
    for peer in (ada, bob):
        key = tmp_path / f"{peer.name}-fresh.pem"
        signed_by = ("--key", key, "--owner", owner_file(peer), "--home", peer.home.root)
        assert plora("freshness", "issue", *signed_by, "--yes").code == 0
    legal = cyd.signed_folder(tmp_path / "legal", seed=1).content_id.hex()
    cyd.publish(tmp_path / "legal")
    for peer in (ada, bob):
        peer.until((peer.home.adapters / "cyd--legal").exists)

    said = ("--reason", "names of people", "--home", ada.home.root)
    asked = plora("root", "revoke", "content", "cyd/legal", *said)
    assert (asked.code, "changes    1 plasmids at this peer, 1 of them in use" in asked.err) == (2, True)
    assert json.loads(plora("root", "show", "--home", ada.home.root, "--json").out)["revocations"] == []
    begun = plora("root", "revoke", "content", "cyd/legal", *said, "--yes", "--json").document
    assert (begun["signed"], begun["counts"]) == (["ada"], False)
    assert plora("root", "revoke", "content", "cyd/legal", *said, "--yes").code == 3
    own = plora("root", "revoke", "owner", ada.made.owner.id, "--reason", "x", "--home", ada.home.root, "--yes")
    assert (own.code, "plora owner end" in own.err) == (3, True)
    stranger = plora("root", "revoke", "owner", "cyd", "--reason", "x", "--home", cyd.home.root, "--yes")
    assert (stranger.code, "cyd is no owner of the pinned root" in stranger.err) == (2, True)

    bob.until(lambda: json.loads(plora("root", "show", "--home", bob.home.root, "--json").out)["revocations"])
    assert state(bob, legal) == "accepted"
    signed = plora("root", "sign", begun["id"][:12], "--home", bob.home.root, "--yes")
    assert (signed.code, signed.out) == (0, "bob signed the revocation of cyd/legal@1: it counts\n")
    for peer in peers:
        peer.until(lambda peer=peer: state(peer, legal) == "revoked_content")  # type: ignore[misc]
        peer.until(lambda peer=peer: not list(peer.home.adapters.glob("*legal")))  # type: ignore[misc]
    assert "names of people (by the pinned root)" in plora("why", legal[:12], "--home", ada.home.root).out
    bob.stop()
    bob.start()
    assert state(bob, legal) == "revoked_content"
