"""`alignment_gate`: an adapter folder, judged without any peer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.gate.conftest import NOW_MS, Owner, World, factors, safetensors_bytes

from plora.gate import Outcome, Policy, Trust, Verdict, alignment_gate, save_trust
from plora.gate.folder import ALLOWED, CONFIG_BYTES_MAX, ENTRIES_MAX
from plora.merge.peft_folder import adapter_config_bytes
from plora.proto.errors import AdapterError, ManifestError
from plora.proto.home import default_home
from plora.proto.yaml_view import SignedManifest, write_plora_yml


def adapter_folder(world: World, owner: Owner, *attestors: Owner, **changes: Any) -> tuple[Path, SignedManifest]:
    """A folder with the adapter, PEFT's configuration and a signed plora.yml."""
    case = world.case(owner, **changes)
    signed = SignedManifest.of(case.statement, [world.attestation(other, case.statement)[0] for other in attestors])
    folder = world.folder / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(factors()))
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(case.manifest.lora, "mini"))
    write_plora_yml(folder / "plora.yml", signed)
    return folder, signed


def judge(folder: Path, trust: Trust | None, policy: Policy | None = None, **more: Any) -> Verdict:
    return alignment_gate(folder, folder / "plora.yml", policy or Policy(), trust, now_ms=NOW_MS, **more)


def test_good_folder_is_accepted_by_path_text_and_value(world: World, ada: Owner) -> None:
    folder, signed = adapter_folder(world, ada)
    trust = world.trust(ada)
    assert judge(folder, trust).accepted
    assert alignment_gate(str(folder), str(folder / "plora.yml"), Policy(), trust, now_ms=NOW_MS).accepted
    assert alignment_gate(folder, signed, Policy(), trust, now_ms=NOW_MS).accepted


def test_bare_manifest_is_not_signed(world: World, ada: Owner) -> None:
    folder, signed = adapter_folder(world, ada)
    verdict = alignment_gate(folder, signed.manifest, Policy(), world.trust(ada), now_ms=NOW_MS)
    assert (verdict.outcome, verdict.reason) == (Outcome.REJECT, "bad_signature")
    insecure = Policy(signatures_enabled=False, insecure=True)
    assert alignment_gate(folder, signed.manifest, insecure, world.trust(ada), now_ms=NOW_MS).accepted


def test_cosignatures_of_the_file_count(world: World, ada: Owner, bob: Owner) -> None:
    folder, _ = adapter_folder(world, ada, bob)
    trust = world.trust(ada, bob)
    assert judge(folder, trust, Policy(quorum_required=2)).accepted
    assert judge(folder, world.trust(ada), Policy(quorum_required=2)).reason == "below_quorum"


def test_known_statements_count(world: World, ada: Owner, bob: Owner) -> None:
    folder, signed = adapter_folder(world, ada)
    trust, two = world.trust(ada, bob), Policy(quorum_required=2)
    assert judge(folder, trust, two, known=(world.attestation(bob, signed.statement())[0],)).accepted
    struck = world.revocation(ada, "content", signed.statement().id.hex())[0]
    assert judge(folder, trust, known=(struck, ada.record)).reason == "revoked_content"


def test_clock_is_read_only_where_no_time_is_given(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada, issued="1970-01-01T00:00:00Z", expires="1970-01-02T00:00:00Z")
    verdict = alignment_gate(folder, folder / "plora.yml", Policy(), world.trust(ada))
    assert verdict.reason == "expired"
    assert alignment_gate(folder, folder / "plora.yml", Policy(), world.trust(ada), now_ms=1).accepted


def test_swarm_is_checked_where_it_is_known(world: World, ada: Owner) -> None:
    folder, signed = adapter_folder(world, ada)
    assert judge(folder, world.trust(ada), swarm=signed.manifest.swarm).accepted
    assert judge(folder, world.trust(ada), swarm="77" * 32).reason == "wrong_swarm"


def test_default_home_decides_without_trust(world: World, ada: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = adapter_folder(world, ada)
    home = world.folder / "home"
    home.mkdir()
    monkeypatch.setenv("PLORA_HOME", str(home))
    assert judge(folder, None).reason == "unknown_owner"
    save_trust(home / "trust.yaml", world.trust(ada))
    assert judge(folder, None).accepted
    monkeypatch.delenv("PLORA_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/data/plora")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_home() == Path.home() / ".local" / "share" / "plora"


def test_folder_without_an_artifact_waits_for_it(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada)
    (folder / "adapter_model.safetensors").unlink()
    verdict = judge(folder, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.PENDING, "bytes_missing")


def test_configuration_may_be_missing(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada)
    (folder / "adapter_config.json").unlink()
    assert judge(folder, world.trust(ada)).accepted


FOREIGN = [
    "adapter_model.bin",
    "pytorch_model.pt",
    "modeling.py",
    "chat_template.jinja",
    "tokenizer.json",
    "added_tokens.json",
    "index.html",
    "Adapter_Model.safetensors",
    ".hidden",
    "evil\x1b[2J",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_attack_020_023_111_files_that_dont_belong(world: World, ada: Owner, name: str) -> None:
    folder, _ = adapter_folder(world, ada)
    (folder / name).write_bytes(b"x")
    verdict = judge(folder, world.trust(ada))
    assert (verdict.outcome, verdict.stage, verdict.reason) == (Outcome.REJECT, "strict manifest", "folder_refused")
    assert ascii(name) in str(verdict.evidence["detail"])
    assert not verdict.bytes_only


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "plora.yml"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_attack_112_things_that_are_no_files(world: World, ada: Owner, name: str, kind: str) -> None:
    folder, signed = adapter_folder(world, ada)
    path, aside = folder / name, world.folder / "aside"
    path.rename(aside)
    if kind == "link":
        path.symlink_to(aside)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    verdict = alignment_gate(folder, signed, Policy(), world.trust(ada), now_ms=NOW_MS)
    assert verdict.reason == "folder_refused"
    assert "not a regular file" in str(verdict.evidence["detail"])


@pytest.mark.parametrize("name", ALLOWED)
def test_attack_022_a_second_name_through_which_it_could_be_changed(world: World, ada: Owner, name: str) -> None:
    folder, signed = adapter_folder(world, ada)
    os.link(folder / name, world.folder / "second")
    verdict = alignment_gate(folder, signed, Policy(), world.trust(ada), now_ms=NOW_MS)
    assert verdict.reason == "folder_refused"
    assert f"'{name}' is one of 2 names of one file" in str(verdict.evidence["detail"])
    (world.folder / "second").unlink()
    assert alignment_gate(folder, signed, Policy(), world.trust(ada), now_ms=NOW_MS).accepted


def test_too_many_entries_are_not_listed(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada)
    for number in range(ENTRIES_MAX - 3):
        (folder / f"f{number}").touch()
    assert judge(folder, world.trust(ada)).evidence["detail"] == "'f0' doesn't belong to an adapter"
    (folder / "one more").touch()
    assert judge(folder, world.trust(ada)).evidence["detail"] == f"{ENTRIES_MAX + 1} entries"


def test_a_configuration_is_read_up_to_its_limit(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada)
    path = folder / "adapter_config.json"
    raw = path.read_bytes()
    path.write_bytes(raw.ljust(CONFIG_BYTES_MAX))
    assert judge(folder, world.trust(ada)).accepted
    path.write_bytes(raw.ljust(CONFIG_BYTES_MAX + 1))
    assert judge(folder, world.trust(ada)).evidence["detail"] == f"{path.name} is larger than {CONFIG_BYTES_MAX} bytes"


CONFIGS: dict[str, dict[str, Any]] = {
    "016 pissa": {"init_lora_weights": "pissa"},
    "016 olora": {"init_lora_weights": "olora"},
    "016 dora": {"use_dora": True},
    "016 unknown key": {"surprise": 1},
    "015 regex target": {"target_modules": "(a+)+$"},
    "015 regex in pattern": {"rank_pattern": {"(a+)+$": 4}},
    "015 modules to save": {"modules_to_save": ["(a+)+$"]},
    "015 exclude modules": {"exclude_modules": "(a+)+$"},
    "other rank": {"r": 8},
    "other alpha": {"lora_alpha": 16},
    "other dropout": {"lora_dropout": 0.5},
    "other targets": {"target_modules": ["q_proj", "v_proj"]},
    "rslora": {"use_rslora": True},
    "rank pattern": {"rank_pattern": {"q_proj": 2}},
    "alpha pattern": {"alpha_pattern": {"q_proj": 99.0}},
}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_attack_015_016_configuration_says_something_else(world: World, ada: Owner, name: str) -> None:
    folder, _ = adapter_folder(world, ada)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | CONFIGS[name]))
    verdict = judge(folder, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.REJECT, "config_differs")


def test_configuration_is_compared_by_meaning(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": "/tmp/base", "lora_alpha": 8}
    path.write_text(json.dumps(config, indent=4, sort_keys=True))
    assert judge(folder, world.trust(ada)).accepted


@pytest.mark.parametrize("text", ["", "{", "[]", " " * 300_000])
def test_configuration_that_is_none(world: World, ada: Owner, text: str) -> None:
    folder, _ = adapter_folder(world, ada)
    (folder / "adapter_config.json").write_text(text)
    assert judge(folder, world.trust(ada)).reason == "config_differs"


def test_tampered_bytes(world: World, ada: Owner) -> None:
    folder, _ = adapter_folder(world, ada)
    path = folder / "adapter_model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    assert judge(folder, world.trust(ada)).reason == "hash_mismatch"


def test_missing_things_are_errors_not_verdicts(world: World, ada: Owner) -> None:
    folder, signed = adapter_folder(world, ada)
    with pytest.raises(AdapterError, match="not a folder"):
        alignment_gate(world.folder / "nowhere", signed, Policy(), Trust())
    with pytest.raises(ManifestError):
        alignment_gate(folder, folder / "other.yml", Policy(), Trust())


OWN_ONLY: dict[str, dict[str, object]] = {
    "Conv1D": {"fan_in_fan_out": True},
    "tied head": {"ensure_weight_tying": True},
    "pattern": {"target_modules": ".*q_proj"},
    "layers": {"layers_to_transform": [0]},
    "left out": {"exclude_modules": ["k_proj"]},
    "EVA": {"init_lora_weights": "eva"},
}


@pytest.mark.parametrize("what", OWN_ONLY)
def test_what_is_read_of_own_folders_alone_is_refused_of_peers(world: World, ada: Owner, what: str) -> None:
    folder, _ = adapter_folder(world, ada)
    config = json.loads((folder / "adapter_config.json").read_bytes())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **OWN_ONLY[what]}))
    verdict = judge(folder, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.REJECT, "config_differs")
    assert next(iter(OWN_ONLY[what])) in str(verdict.evidence["detail"])
