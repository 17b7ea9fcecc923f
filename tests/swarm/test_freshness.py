"""A pinned root on real processes: STALE until two of its owners spoke, fresh by their word, over a restart too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Run, runner
from tests.swarm.conftest import MakePeer, Peer

pytestmark = pytest.mark.slow


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


def test_a_peer_with_a_root_accepts_once_its_owners_spoke(plora: Run, make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    files = {peer.name: peer.home.owner_folder / f"{peer.name}.owner" for peer in (ada, bob)}
    for peer in (ada, bob):
        assert plora("keygen", "--name", f"{peer.name}-fresh", "--only-key", "--out", tmp_path).code == 0
        added = ("--add-freshness", tmp_path / f"{peer.name}-fresh.pub", "--home", peer.home.root, "--yes")
        assert plora("owner", "rotate", *added).code == 0
    assert plora("root", "new", *files.values(), "--threshold", "2", "--out", tmp_path / "root.yaml").code == 0
    for peer in (ada, bob):
        peer.settings["root"] = str(tmp_path / "root.yaml")
        peer.start()

    def signing(peer: Peer) -> tuple[object, ...]:
        key = tmp_path / f"{peer.name}-fresh.pem"
        return "--key", key, "--owner", files[peer.name], "--home", peer.home.root

    def issue(peer: Peer) -> str:
        return plora("freshness", "issue", *signing(peer), "--yes").out

    legal = ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    bob.until(lambda: bob.plasmids("deferred"))
    why = plora("why", "legal", "--home", bob.home.root)
    assert "STALE: 0 of 2 owners of the pinned root said lately how new the swarm is" in why.out
    assert any(line.startswith("STALE") for line in bob.status.warnings)
    assert "STALE" in plora("doctor", "--home", bob.home.root).out

    asked = plora("freshness", "issue", *signing(ada))
    assert (asked.code, "now        stale: 0 of 2 spoke lately" in asked.err) == (2, True)
    assert issue(ada) == "ada said it; this peer is stale: 1 of 2 spoke lately\n"
    assert issue(bob) == "bob said it; this peer is fresh: 2 of 2 spoke lately\n"
    bob.until(lambda: bob.plasmids("accepted").get(legal.content_id.hex()))
    ada.until(lambda: ada.plasmids("own").get(legal.content_id.hex()))
    assert [one["state"] for one in bob.records("freshness")] == ["stale", "fresh"]
    bob.stop()
    bob.start()
    shown = json.loads(plora("freshness", "show", "--home", bob.home.root, "--json").out)
    assert (shown["state"], shown["signed"]) == ("fresh", ["ada", "bob"])
    assert re.fullmatch(r"[0-9a-f]{64}", shown["audit_head"]) and shown["audit_head"] != "0" * 64
    assert not any(line.startswith("STALE") for line in bob.status.warnings)
