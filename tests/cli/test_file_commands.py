"""The commands that need no peer, on real files."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from plora.proto.owner_files import read_owner_record
from plora.proto.swarm import open_swarm
from plora.proto.yaml_view import read_plora_yml

SIGNED = ("adapter_config.json", "adapter_model.safetensors", "plora.yml")


@pytest.mark.parametrize(("algorithm", "name"), [("ed25519", "Ed25519"), ("rsa", "RSA-PSS-SHA256")])
def test_keygen_makes_an_owner_of_the_walk(plora: Run, world: Path, algorithm: str, name: str) -> None:
    done = plora("keygen", "--name", "bob", "--algorithm", algorithm, "--out", "new/keys", "--json")
    private = Path(done.document["private"])
    statement, record = read_owner_record(Path(done.document["record"]))
    assert done.code == 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert done.document["owner"] == statement.id.hex()
    assert (record.name, record.swarm) == ("bob", open_swarm("walk").id)
    assert [key.key().algorithm for key in record.keys] == [name]


def test_keygen_never_overwrites_a_key(plora: Run, world: Path) -> None:
    before = Path("keys/ada.pem").read_bytes()
    done = plora("keygen", "--name", "ada", "--out", "keys")
    assert done.code == 1
    assert done.err == "plora: keys/ada.pem: already exists; choose another name\n"
    assert Path("keys/ada.pem").read_bytes() == before


def test_sign_says_what_it_signed(plora: Run, world: Path) -> None:
    done = plora("sign", "out/medical", "--key", "keys/eve.pem", "--domain", "medical", "--id", "med-r2", "--json")
    manifest = read_plora_yml(Path("out/medical/plora.yml")).manifest
    raw = Path("out/medical/adapter_model.safetensors").read_bytes()
    assert done.document["content_id"] == read_plora_yml(Path("out/medical/plora.yml")).statement().id.hex()
    assert (manifest.plasmid_id, manifest.domain, manifest.version) == ("med-r2", "medical", 1)
    assert (manifest.lora.r, manifest.lora.target_modules) == (2, ("q_proj",))
    assert manifest.artifacts.sha256 == hashlib.sha256(raw).hexdigest()
    assert sorted(path.name for path in Path("out/medical").iterdir()) == list(SIGNED)


def test_signing_again_makes_a_higher_version(plora: Run, world: Path) -> None:
    for version in (2, 3):
        assert plora("sign", "out/legal", "--key", "keys/ada.pem", "--domain", "legal").code == 0
        assert read_plora_yml(Path("out/legal/plora.yml")).manifest.version == version
    assert plora("sign", "out/legal", "--key", "keys/ada.pem", "--domain", "legal", "--version", "9").code == 0
    assert read_plora_yml(Path("out/legal/plora.yml")).manifest.version == 9


def test_a_restored_home_signs_later_versions(plora: Run, world: Path) -> None:
    Path("restored").write_text("2027-01-15T08:00:00Z\n")
    words = ("sign", "out/medical", "--key", "keys/ada.pem", "--domain", "medical", "--home", ".")
    assert plora(*words, "--json").document["version"] == 1_800_000_000
    refused = plora(*words, "--version", 7)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--version: 7 may have been signed since the backup that this home was made of" in refused.err
    assert plora(*words, "--version", 1_900_000_000).code == 0
    Path("restored").write_text("yesterday")
    assert plora(*words).err.startswith("plora: restored: is no time")


def test_what_training_wrote_goes_into_the_manifest(plora: Run, world: Path) -> None:
    measured = {"domain": "medical", "base": "mini", "val_ppl_before": 9.5, "val_ppl_after": 3.25, "delta_ppl": -6.25}
    Path("out/medical.metrics.json").write_text(json.dumps(measured | {"steps": 3}))
    assert plora("sign", "out/medical", "--key", "keys/ada.pem").code == 0
    manifest = read_plora_yml(Path("out/medical/plora.yml")).manifest
    assert manifest.domain == "medical"
    assert manifest.metrics.model_dump(exclude_none=True) == {
        "val_ppl_before": 9.5,
        "val_ppl_after": 3.25,
        "delta_ppl": -6.25,
    }


@pytest.mark.parametrize(
    ("said", "noted", "domain"),
    [(("--domain", "arithmetic"), True, "arithmetic"), ((), True, "medical"), ((), False, "legal")],
    ids=["an option", "training's notes", "the signature before"],
)
def test_what_is_signed_was_said_noted_or_signed_before(
    plora: Run, world: Path, said: tuple[str, ...], noted: bool, domain: str
) -> None:
    if noted:
        Path("out/legal.metrics.json").write_text(json.dumps({"domain": "medical"}))
    licence = ("--licence", "MIT") if said else ()
    assert plora("sign", "out/legal", "--key", "keys/ada.pem", *said, *licence).code == 0
    manifest = read_plora_yml(Path("out/legal/plora.yml")).manifest
    assert (manifest.domain, manifest.version, manifest.plasmid_id) == (domain, 2, "legal")
    assert manifest.safety.licence == ("MIT" if said else "Apache-2.0")


def test_what_nobody_said_and_nothing_tells_is_named(plora: Run, world: Path) -> None:
    silent = plora("sign", "out/medical", "--key", "keys/ada.pem")
    assert (silent.code, "the domain is not known; name it by --domain" in silent.err) == (2, True)
    nameless = Path("out/legal").rename("out/__")
    (nameless / "plora.yml").unlink()
    silent = plora("sign", nameless, "--key", "keys/ada.pem", "--domain", "legal")
    assert (silent.code, "the plasmid id is not known; name it by --id" in silent.err) == (2, True)


def test_training_for_an_unknown_domain_is_a_wrong_call(plora: Run, world: Path) -> None:
    done = plora("train", "--domain", "astrology", "--out", "out/astrology")
    assert (done.code, done.out) == (2, "")
    assert "astrology" in done.err and "legal" in done.err


def test_verify_accepts_the_owner_alone(plora: Run, world: Path) -> None:
    done = plora("verify", "out/legal", "--owner", "keys/ada.owner")
    assert (done.code, done.out, done.err) == (0, "out/legal: valid\n", "")
    other = plora("verify", "out/legal", "--owner", "keys/eve.owner", "--json")
    assert other.code == 3
    assert other.document["valid"] is False
    assert len(other.document["faults"]) == 2


@pytest.mark.parametrize("at", [20, -1])
def test_verify_names_changed_bytes(plora: Run, world: Path, at: int) -> None:
    artifact = Path("out/legal/adapter_model.safetensors")
    raw = bytearray(artifact.read_bytes())
    raw[at] ^= 1
    artifact.write_bytes(raw)
    done = plora("verify", "out/legal", "--owner", "keys/ada.owner")
    assert done.code == 3
    assert [line.partition(":")[0] for line in done.out.splitlines()] == ["sha256", "chunk_root"]


def test_gate_shows_every_layer_and_accepts(plora: Run, world: Path) -> None:
    done = plora("gate", "out/legal", "--owner", "keys/ada.owner")
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[-1] == "ACCEPT"
    assert [line for line in lines[:-1] if " pass " not in line and " off " not in line] == []
    stages = [
        one["stage"] for one in plora("gate", "out/legal", "--owner", "keys/ada.owner", "--json").document["layers"]
    ]
    assert stages[0] == "envelope and size"
    assert stages[-1] == "consensus"


def test_gate_holds_what_nobody_here_trusts(plora: Run, world: Path) -> None:
    done = plora("gate", "out/legal", "--json")
    assert done.code == 3
    assert (done.document["outcome"], done.document["reason"]) == ("pending", "unknown_owner")


def test_gate_refuses_a_strange_file(plora: Run, world: Path) -> None:
    Path("out/legal/adapter_model.bin").write_bytes(b"\x80\x04.")
    done = plora("gate", "out/legal", "--owner", "keys/ada.owner", "--json")
    assert done.code == 3
    assert (done.document["outcome"], done.document["reason"]) == ("reject", "folder_refused")


def test_gate_follows_a_policy_file(plora: Run, world: Path) -> None:
    Path("policy.yaml").write_text("policy:\n  rank_max: 1\n")
    done = plora("gate", "out/legal", "--owner", "keys/ada.owner", "--policy", "policy.yaml", "--json")
    assert (done.code, done.document["stage"]) == (3, "policy")


def test_gate_uses_trust_and_policy_of_the_home(plora: Run, world: Path) -> None:
    assert plora("init", "--name", "peer", "--swarm", "open:walk").code == 0
    settings = Path("home/peer.yaml")
    settings.write_text(settings.read_text().replace("unknown_owner: wait", "unknown_owner: reject"))
    assert plora("gate", "out/legal", "--json").document["outcome"] == "reject"


def test_show_prints_the_manifest_of_a_folder(plora: Run, world: Path) -> None:
    text = Path("out/legal/plora.yml").read_text()
    assert plora("show", "out/legal").out == text
    document = plora("show", "out/legal", "--json").document
    assert document["manifest"]["plasmid_id"] == "legal"
    assert document["content_id"] == read_plora_yml(Path("out/legal/plora.yml")).statement().id.hex()


def test_init_makes_a_home_once(plora: Run, world: Path) -> None:
    done = plora("init", "--name", "ada", "--home", "peer", "--listen", "127.0.0.1:4999", "--json")
    assert done.code == 0
    assert Path("peer/identity/peer_id").read_text().strip() == done.document["peer"]
    assert len(Path("peer/peer.yaml").read_text().splitlines()) <= 40
    again = plora("init", "--name", "ada", "--home", "peer")
    assert again.code == 2
    assert "a peer's home is here already; start it by `plora up --home " in again.err


def test_init_joins_a_swarm_by_file_or_name(plora: Run, world: Path) -> None:
    first = plora("init", "--name", "ada", "--home", "one", "--json").document["swarm"]
    assert (
        plora("init", "--name", "bob", "--home", "two", "--swarm", "one/swarm.json", "--json").document["swarm"]
        == first
    )
    walk = plora("init", "--name", "cyd", "--home", "three", "--swarm", "open:walk", "--json").document["swarm"]
    assert walk == open_swarm("walk").id != first
