"""`plora quarantine` on a real peer: listed, shown, released after a question, deleted with its verdict kept."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Run, runner
from tests.swarm.conftest import MakePeer, Peer

from plora.merge.draft import Facts, sign_folder
from plora.merge.peft_folder import adapter_config_bytes
from plora.sim.material import BASE, BASE_DIGEST, tiny_adapter

pytestmark = pytest.mark.slow


def empty_folder(peer: Peer, folder: Path) -> Path:
    """A signed adapter that changes nothing, which the gate keeps apart."""
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(tiny_adapter(1, scale=0.0))
    lora = {"r": 4, "alpha": 8.0, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(lora, BASE))
    now = int(time.time())
    sign_folder(folder, peer.made.owner, Facts("empty", "legal", 1, BASE, BASE_DIGEST, "MIT", now - 60, now + 3600))
    return folder


def held_back(plora: Run, peer: Peer) -> None:
    """Wait until a worker has looked at the bytes."""
    here = ("--home", peer.home.root)
    peer.until(lambda: json.loads(plora("why", "empty", "--json", *here).out)["state"] == "quarantined")


def test_what_a_person_makes_of_it(make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plora, ada = runner(capfd), make_peer("ada")
    ada.start()
    here = ("--home", ada.home.root)
    assert plora("publish", empty_folder(ada, tmp_path / "empty"), *here).code == 0
    held_back(plora, ada)
    listed = plora("quarantine", "ls", "--json", *here).document
    assert [(one["name"], one["reason"]) for one in listed] == [("ada/empty@1", "all_zero")]
    shown = plora("quarantine", "show", "empty", *here).out
    assert "! tensor values" in shown and f"the next merge of {BASE}" in shown

    asked = plora("quarantine", "release", "empty", *here)
    assert asked.code != 0 and "say --yes" in asked.err, "nobody is there to ask"
    assert plora("quarantine", "release", "empty", "--yes", *here).code == 0
    after = json.loads(plora("why", "empty", "--json", *here).out)
    assert (after["state"], after["outcome"]) == ("own", "accept")
    assert (ada.home.root / "adapters" / "ada--empty").is_dir()
    assert "released" in plora("events", "--kind", "wished", *here).out
    assert "is not in quarantine" in plora("quarantine", "rm", "empty", "--yes", *here).err


def test_deleted_bytes_leave_the_verdict(
    make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, ada = runner(capfd), make_peer("ada")
    ada.start()
    here = ("--home", ada.home.root)
    assert plora("publish", empty_folder(ada, tmp_path / "empty"), *here).code == 0
    held_back(plora, ada)
    blobs = ada.home.root / "blobs"
    held = [path for path in blobs.rglob("*") if path.is_file()]
    assert held
    assert plora("quarantine", "rm", "empty", "--yes", *here).code == 0
    ada.until(lambda: not any(path.is_file() for path in blobs.rglob("*")))
    assert json.loads(plora("why", "empty", "--json", *here).out)["state"] == "quarantined"


def test_deleted_bytes_come_back_into_quarantine_when_asked_for(
    make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, ada, bob = runner(capfd), make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    ada.start()
    bob.start()
    assert plora("publish", empty_folder(ada, tmp_path / "empty"), "--home", ada.home.root).code == 0
    held_back(plora, ada)
    assert plora("quarantine", "release", "empty", "--yes", "--home", ada.home.root).code == 0, "so that ada gives it"
    here, blobs = ("--home", bob.home.root), bob.home.root / "blobs"
    bob.until(lambda: any(path.is_file() for path in blobs.rglob("*")))
    held_back(plora, bob)
    assert plora("quarantine", "rm", "empty", "--yes", *here).code == 0
    bob.until(lambda: not any(path.is_file() for path in blobs.rglob("*")))
    fetched = plora("fetch", "empty", *here)
    assert (fetched.code, "quarantined" in fetched.err) == (3, True), "it is here, and it isn't used"
    assert any(path.is_file() for path in blobs.rglob("*"))
