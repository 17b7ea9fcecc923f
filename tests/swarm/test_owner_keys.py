"""An owner outlives the theft of a key, on real processes: revoke, rotate, publish anew, and every peer goes along."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run, runner
from tests.swarm.conftest import MakePeer, Peer

from plora.proto.owner_chain import read_owner_file
from plora.sim.material import BASE_DIGEST

pytestmark = pytest.mark.slow
HIGHEST = 2**53 - 1


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


def reason(peer: Peer, content_id: str) -> str:
    found = peer.plasmids().get(content_id)
    return str(found.reason) if found else ""


def test_a_stolen_key_that_used_up_the_versions_is_outlived(plora: Run, make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    for peer in (ada, bob):
        peer.start()
    file = ada.home.owner_folder / "ada.owner"
    second = tmp_path / "second.pem"
    assert plora("keygen", "--name", "second", "--only-key", "--out", tmp_path).code == 0
    added = ("--add", tmp_path / "second.pub", "--home", ada.home.root, "--yes")
    assert plora("owner", "rotate", *added).code == 0
    assert plora("owner", "publish", "--home", ada.home.root).out == "published ada, version 2\n"
    bob.until(lambda: bob.records("rotated"))

    taken = ada.signed_folder(tmp_path / "legal", seed=1, version=HIGHEST)
    ada.publish(tmp_path / "legal")
    bob.until((bob.home.adapters / "ada--legal").exists)

    by_second = ("--key", second, "--owner", file, "--yes")
    stolen = read_owner_file(file).first.key_id
    assert plora("owner", "revoke-key", stolen[:16], "--reason", "stolen", *by_second).code == 0
    assert plora("owner", "rotate", "--threshold", "1", *by_second).code == 0
    assert plora("owner", "publish", "--home", ada.home.root).out == "published ada, version 3\n"
    bob.until(lambda: reason(bob, taken.content_id.hex()) == "revoked_key")
    bob.until(lambda: not (bob.home.adapters / "ada--legal").exists())

    second.with_suffix(".owner").write_bytes(file.read_bytes())
    folder = tmp_path / "again" / "legal"
    ada.signed_folder(folder, seed=2)
    facts = ("--key", second, "--domain", "legal", "--base", "mini", "--base-digest", BASE_DIGEST, "--version", 1)
    signed = plora("sign", folder, *facts, "--json").document
    ada.publish(folder)
    bob.until(lambda: bob.plasmids("accepted").get(signed["content_id"]))
    bob.stop()
    bob.start()
    assert bob.plasmids()[signed["content_id"]].state == "accepted"
    assert reason(bob, taken.content_id.hex()) == "revoked_key"
