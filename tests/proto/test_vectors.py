"""The committed vectors, made by an implementation that shares no code with Plora's."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mnemonic import Mnemonic
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from plora.gate.consensus import Member, Membership
from plora.gate.root import revocation_root
from plora.node.transport.identity import mark_key
from plora.proto.canonical import canonical_bytes, parse_canonical
from plora.proto.chunks import chunk_hashes, chunk_root, describe_artifact
from plora.proto.dsse import StatementKind, pae
from plora.proto.errors import FormatError
from plora.proto.keys import PublicKey
from plora.proto.owner_chain import OwnerFile
from plora.proto.signatures import verify_sha256_hex
from plora.proto.statement import Statement, open_statement, verify_statement
from plora.proto.swarm import Swarm, open_swarm
from plora.proto.ticket import Ticket, read_ticket
from plora.proto.words import meeting_words

HERE = Path(__file__).parent
VECTORS = HERE / "vectors"


def vectors(name: str) -> list[Any]:
    return list(json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8")))


def statement_of(vector: Mapping[str, str]) -> Statement:
    signature = base64.b64decode(vector["signature"])
    return Statement(vector["kind"], vector["payload"].encode(), vector["key_id"], vector["algorithm"], signature)


@pytest.mark.parametrize("vector", vectors("statements"), ids=lambda v: f"{v['kind'].split('.')[2]}-{v['algorithm']}")
def test_statement(vector: Mapping[str, str]) -> None:
    statement = statement_of(vector)
    key = PublicKey.from_text(vector["public_key"])
    assert statement.id.hex() == vector["id"]
    assert hashlib.sha256(pae(statement.kind, statement.payload)).hexdigest() == vector["signed_sha256"]
    assert key.key_id == vector["key_id"]
    assert verify_statement(statement, key)
    assert open_statement(statement).to_bytes() == statement.payload
    assert canonical_bytes(parse_canonical(statement.payload)) == statement.payload


def test_every_kind_has_a_vector_under_both_algorithms() -> None:
    assert len({(v["kind"], v["algorithm"]) for v in vectors("statements")}) == 2 * len(StatementKind)


@pytest.mark.parametrize("vector", vectors("keys"), ids=lambda v: v["name"])
def test_attack_042_045_public_key(vector: Mapping[str, Any]) -> None:
    if vector["refused"] is None:
        key = PublicKey.from_text(vector["public_key"])
        assert (key.key_id, key.to_text()) == (vector["key_id"], vector["public_key"])
    else:
        with pytest.raises(FormatError, match=vector["refused"]):
            PublicKey.from_text(vector["public_key"])


@pytest.mark.parametrize("vector", vectors("signatures"), ids=lambda v: v["name"])
def test_attack_043_045_signature(vector: Mapping[str, Any]) -> None:
    key = PublicKey.from_text(vector["public_key"])
    assert key.verify(vector["message"].encode(), base64.b64decode(vector["signature"])) is vector["valid"]


@pytest.mark.parametrize(
    "vector", [v for v in vectors("signatures") if v["name"].startswith("Ed25519")], ids=lambda v: v["name"]
)
def test_pynacl_agrees(vector: Mapping[str, Any]) -> None:
    raw = base64.b64decode(vector["public_key"])[-32:]
    try:
        VerifyKey(raw).verify(vector["message"].encode(), base64.b64decode(vector["signature"]))
        valid = True
    except (BadSignatureError, ValueError):
        valid = False
    assert valid is vector["valid"]


@pytest.mark.parametrize("vector", vectors("chunks"), ids=lambda v: str(v["size_bytes"]))
def test_chunks(vector: Mapping[str, Any], tmp_path: Path) -> None:
    data = bytes(place % 251 for place in range(vector["size_bytes"]))
    hashes = chunk_hashes(data, vector["chunk_bytes"])
    assert [one.hex() for one in hashes] == vector["hashes"]
    assert chunk_root(hashes).hex() == vector["root"]
    path = tmp_path / "artifact"
    path.write_bytes(data)
    description = describe_artifact(path, vector["chunk_bytes"])
    assert description == describe_artifact(data, vector["chunk_bytes"])
    assert description.sha256 == hashlib.sha256(data).hexdigest()
    assert (description.size_bytes, description.chunk_count) == (len(data), len(hashes))


def test_sha256_context(tmp_path: Path) -> None:
    (vector,) = vectors("sha256_context")
    public = tmp_path / "pub.pem"
    public.write_text(PublicKey.from_text(vector["public_key"]).pem(), encoding="ascii")
    assert verify_sha256_hex(public, vector["sha256"], vector["signature"])


@pytest.mark.parametrize("vector", vectors("tickets"), ids=lambda v: v["name"])
def test_ticket(vector: Mapping[str, Any]) -> None:
    fields = {name: vector[name] for name in ("peer", "swarm", "made_s", "expires_s", "name")}
    ticket = Ticket(addresses=tuple(vector["addresses"]), token=bytes.fromhex(vector["token"]), **fields)
    assert ticket.text() == vector["text"]
    assert read_ticket(vector["text"]) == ticket
    words = meeting_words(vector["peer"], vector["joiner"], bytes.fromhex(vector["public_key"]))
    assert words == "-".join(Mnemonic("english").wordlist[place] for place in vector["words"])


def test_derived() -> None:
    """Revocation roots, open swarms, marks and epochs, each as the code makes it."""
    found = {one["what"]: one for one in vectors("derived")}
    revoked, swarm, mark, epoch = (found[what] for what in ("revocations", "open swarm", "mark", "epoch"))
    assert revocation_root(map(bytes.fromhex, revoked["ids"])) == revoked["root"]
    assert (open_swarm(swarm["name"]).id, open_swarm(swarm["name"]).secret) == (swarm["id"], swarm["secret"])
    made = mark_key(Swarm("", "0" * 64, mark["secret"])).public_key().public_bytes_raw()
    assert made.hex() == mark["public_key"]
    members = tuple(Member(one["name"], PublicKey.from_text(one["key"]), one["peer"]) for one in epoch["members"])
    assert Membership(epoch["swarm"], members, epoch["quorum"], epoch["number"]).epoch == epoch["id"]


def test_rotation() -> None:
    (vector,) = vectors("rotation")
    file = OwnerFile(tuple(map(statement_of, vector["statements"])))
    assert [one.id.hex() for one in file.statements] == [one["id"] for one in vector["statements"]]
    at = file.authority
    assert (file.id, at.record, at.threshold) == (vector["owner"], vector["record"], vector["threshold"])
    assert (sorted(at.current), list(at.void_keys)) == (vector["current"], vector["void"])
    assert list(at.lineages) == vector["lineages"]


def test_the_committed_files_are_what_the_script_writes(tmp_path: Path) -> None:
    script = (HERE / "make_vectors.py").read_text(encoding="utf-8")
    (tmp_path / "make_vectors.py").write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, "make_vectors.py"], cwd=tmp_path, check=True, timeout=60)
    for path in sorted((tmp_path / "vectors").iterdir()):
        assert (VECTORS / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
