"""OpenSSF Model Signing: its own command line verifies what Plora exports, and Plora reads what it signs."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.conftest import Ran, Run, write_tiny_adapter

from plora.proto.canonical import canonical_bytes
from plora.proto.errors import FormatError, StatementError
from plora.proto.openssf import ExportKey, load_export_public, read_bundle
from plora.proto.owner_chain import read_owner_file
from plora.proto.payloads import OwnerKey

TOOL = (sys.executable, "-m", "model_signing")
needs_tool = pytest.mark.skipif(
    find_spec("model_signing") is None or find_spec("OpenSSL") is None,
    reason="the command `model_signing` isn't installed: pip install model-signing pyOpenSSL",
)
OWNER = ("--owner", "keys/ada.owner")


@pytest.fixture
def exporting(plora: Run, world: Path) -> Path:
    """ada's owner file names an export key; a plain adapter folder of two files."""
    assert plora("keygen", "--name", "export", "--only-key", "--algorithm", "p256", "--out", "keys").code == 0
    added = ("--add-export", "keys/export.pub", "--key", "keys/ada.pem", "--yes")
    assert plora("owner", "rotate", *added).code == 0
    return write_tiny_adapter(Path("out/plain"), 3)


def exported(plora: Run, folder: Path, key: str = "keys/export.pem") -> Ran:
    return plora("export", folder, "--openssf", "model.sig", "--key", key, *OWNER)


def tool(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TOOL, *map(str, words)], check=False, capture_output=True, text=True, timeout=110)


def verified(folder: Path, signature: str = "model.sig") -> subprocess.CompletedProcess[str]:
    return tool("verify", "key", "--signature", signature, "--public_key", "keys/export.pub", folder)


@needs_tool
def test_the_tool_verifies_an_export_and_sees_a_changed_file(plora: Run, exporting: Path) -> None:
    assert exported(plora, exporting).code == 0
    done = verified(exporting)
    assert done.returncode == 0, done.stdout + done.stderr
    (exporting / "adapter_config.json").write_text("{}")
    assert verified(exporting).returncode != 0


@needs_tool
def test_plora_reads_what_the_tool_signs_as_provenance(plora: Run, exporting: Path) -> None:
    done = tool("sign", "key", "--signature", "theirs.sig", "--private_key", "keys/export.pem", exporting)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = plora("verify", exporting, *OWNER, "--openssf", "theirs.sig", "--json")
    assert (shown.code, shown.document["counts_as_signature"]) == (0, False)
    assert sorted(shown.document["files"]) == ["adapter_config.json", "adapter_model.safetensors"]


def test_plora_reads_its_own_export_and_counts_it_nowhere(plora: Run, exporting: Path) -> None:
    assert exported(plora, exporting).code == 0
    shown = plora("verify", exporting, *OWNER, "--openssf", "model.sig")
    assert (shown.code, "provenance, no signature of Plora's" in shown.out) == (0, True)
    assert plora("verify", exporting, *OWNER).code != 0
    assert plora("gate", exporting, *OWNER).code != 0


def test_an_export_key_is_no_signing_key_of_the_owner(plora: Run, exporting: Path) -> None:
    file = read_owner_file(Path("keys/ada.owner"))
    (entry,) = [one for one in file.newest[1].keys if one.purpose == "export"]
    assert entry.key_id not in file.newest[1].signing_key_ids()
    assert entry.key_id not in file.authority.keys
    with pytest.raises(FormatError):
        entry.key()
    refused = plora("sign", exporting, "--key", "keys/export.pem", "--domain", "legal")
    assert refused.code == 1


@pytest.mark.parametrize("change", ["a byte", "a further file", "a missing file", "another owner's key"])
def test_what_is_not_what_was_signed_is_refused(plora: Run, exporting: Path, change: str) -> None:
    assert exported(plora, exporting).code == 0
    if change == "a byte":
        weights = exporting / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    elif change == "a further file":
        (exporting / "evil.py").write_text("")
    elif change == "a missing file":
        (exporting / "adapter_config.json").unlink()
    owner = "keys/eve.owner" if change.startswith("another") else "keys/ada.owner"
    shown = plora("verify", exporting, "--owner", owner, "--openssf", "model.sig")
    assert (shown.code, shown.out) == (1, "")


@pytest.mark.parametrize("field", ["mediaType", "payloadType", "two signatures", "no JSON", "too long", "digest"])
def test_other_bundles_are_refused(plora: Run, exporting: Path, field: str) -> None:
    assert exported(plora, exporting).code == 0
    path, key = Path("model.sig"), load_export_public(Path("keys/export.pub"))
    bundle = json.loads(path.read_text())
    envelope = bundle["dsseEnvelope"]
    if field == "two signatures":
        envelope["signatures"] *= 2
    elif field == "payloadType":
        envelope[field] = "text/plain"
    elif field == "digest":
        payload = base64.b64decode(envelope["payload"])
        envelope["payload"] = base64.b64encode(
            payload.replace(b'"algorithm":"sha256"', b'"algorithm":"blake2b"')
        ).decode()
    else:
        bundle[field] = "text/plain"
    texts = {"no JSON": b"[", "too long": b" " * (1 << 20) + path.read_bytes()}
    path.write_bytes(texts.get(field) or canonical_bytes(bundle))
    with pytest.raises(StatementError, match="is no OpenSSF bundle"):
        read_bundle(path, exporting, [key])


def test_keys_of_other_curves_and_purposes_are_refused(plora: Run, exporting: Path) -> None:
    file = read_owner_file(Path("keys/ada.owner"))
    signing = file.first.keys[0]
    with pytest.raises(FormatError):
        ExportKey.from_text(signing.public_key)
    with pytest.raises(ValueError, match="export"):
        OwnerKey.model_validate(signing.model_dump() | {"purpose": "export"})
    stray = plora("keygen", "--name", "stray", "--only-key", "--algorithm", "p256", "--out", "keys")
    assert stray.code == 0
    done = exported(plora, exporting, "keys/stray.pem")
    assert (done.code, "is no export key of ada" in done.err) == (2, True)


def test_the_bundle_lies_beside_what_it_is_about(plora: Run, exporting: Path) -> None:
    done = plora("export", exporting, "--openssf", exporting / "model.sig", "--key", "keys/export.pem", *OWNER)
    assert (done.code, "lies in the folder" in done.err) == (2, True)
