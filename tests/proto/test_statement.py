from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.canonical import PAYLOAD_BYTES_MAX, canonical_bytes
from plora.proto.dsse import StatementKind, pae
from plora.proto.errors import ManifestError, StatementError
from plora.proto.keys import PrivateKey, generate_private_key, private_key_from_seed
from plora.proto.manifest import Manifest
from plora.proto.payload import Payload
from plora.proto.payloads import (
    PAYLOAD_MODELS,
    Attestation,
    Evidence,
    Freshness,
    OwnerKey,
    OwnerRecord,
    Revocation,
    Vote,
)
from plora.proto.statement import (
    Statement,
    open_statement,
    sign_statement,
    statement_from_json,
    statement_id,
    statement_to_json,
    verify_statement,
)

SWARM, OWNER = "5a" * 32, "ab" * 32
ISSUED = "2026-01-01T00:00:00Z"


def test_signed_manifest(signed: Statement, manifest: Manifest, key: PrivateKey, other_key: PrivateKey) -> None:
    assert open_statement(signed) == manifest
    assert verify_statement(signed, key.public)
    assert not verify_statement(signed, other_key.public)
    assert signed.day == 20_454
    assert signed.id == statement_id(signed.kind, signed.payload)


def test_the_id_ignores_the_signature(manifest: Manifest) -> None:
    key = generate_private_key("RSA-PSS-SHA256")
    signer = {"algo": key.public.algorithm, "pubkey_fingerprint": key.public.key_id}
    renamed = Manifest.of_fields({**manifest.model_dump(), "signer": signer})
    one, two = (sign_statement(StatementKind.MANIFEST, renamed, key) for _ in range(2))
    assert one.signature != two.signature and one.id == two.id
    assert verify_statement(one, key.public) and verify_statement(two, key.public)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    key = private_key_from_seed(bytes(32))
    payload = Attestation(swarm=SWARM, owner=OWNER, target="22" * 32, key_id=key.public.key_id, issued=ISSUED)
    statement = sign_statement(StatementKind.ATTESTATION, payload, key)
    field = data.draw(st.sampled_from(["payload", "signature"]))
    octets = bytearray(getattr(statement, field))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    changes: dict[str, Any] = {field: bytes(octets)}
    assert not verify_statement(dataclasses.replace(statement, **changes), key.public)


def test_attack_044_signature_from_another_context(signed: Statement, key: PrivateKey) -> None:
    bare = dataclasses.replace(signed, signature=key.sign(signed.payload))
    other = dataclasses.replace(signed, signature=key.sign(pae(StatementKind.ATTESTATION, signed.payload)))
    assert not verify_statement(bare, key.public) and not verify_statement(other, key.public)
    assert not verify_statement(dataclasses.replace(signed, kind=StatementKind.ATTESTATION), key.public)


def test_the_payload_names_its_key(signed: Statement, key: PrivateKey, other_key: PrivateKey) -> None:
    by_other = other_key.sign(pae(signed.kind, signed.payload))
    forged = dataclasses.replace(signed, key_id=other_key.public.key_id, signature=by_other)
    assert not verify_statement(forged, other_key.public)
    with pytest.raises(StatementError, match="another key"):
        open_statement(forged)
    renamed = dataclasses.replace(signed, algorithm="RSA-PSS-SHA256")
    assert not verify_statement(renamed, key.public)
    with pytest.raises(StatementError, match="another algorithm"):
        open_statement(renamed)


def test_signing_refuses_another_key_or_kind(manifest: Manifest, key: PrivateKey, other_key: PrivateKey) -> None:
    with pytest.raises(StatementError, match="names key"):
        sign_statement(StatementKind.MANIFEST, manifest, other_key)
    with pytest.raises(StatementError, match="is a manifest, not a vote"):
        sign_statement(StatementKind.VOTE, manifest, key)


def test_signing_refuses_what_reading_would(manifest: Manifest, key: PrivateKey) -> None:
    unsound = manifest.model_copy(update={"version": 0})
    with pytest.raises(ManifestError):
        sign_statement(StatementKind.MANIFEST, unsound, key)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": ""},
        {"kind": "k" * 101},
        {"kind": "a b"},
        {"kind": "a\x00"},
        {"payload": b""},
        {"payload": b"x" * (PAYLOAD_BYTES_MAX + 1)},
        {"key_id": "AB" * 32},
        {"algorithm": ""},
        {"algorithm": "a" * 33},
        {"signature": b""},
        {"signature": bytes(513)},
    ],
)
def test_bounds(signed: Statement, change: dict[str, Any]) -> None:
    with pytest.raises(StatementError):
        dataclasses.replace(signed, **change)


def test_bounds_are_exact(signed: Statement) -> None:
    for change in ({"kind": "k" * 100}, {"payload": b"x" * PAYLOAD_BYTES_MAX}, {"signature": bytes(512)}):
        dataclasses.replace(signed, **change)


def test_an_unknown_kind_stays_opaque(key: PrivateKey) -> None:
    payload = canonical_bytes({"key_id": key.public.key_id, "issued": "1970-01-02T00:00:00Z", "news": 1})
    kind = "application/vnd.plora.news.v9+json"
    statement = Statement(kind, payload, key.public.key_id, key.public.algorithm, key.sign(pae(kind, payload)))
    assert verify_statement(statement, key.public) and statement.day == 1
    with pytest.raises(StatementError, match="unknown kind"):
        open_statement(statement)


@pytest.mark.parametrize("body", [{}, {"issued": 5}, {"issued": "soon"}, []])
def test_a_day_must_be_named(signed: Statement, body: object) -> None:
    statement = dataclasses.replace(signed, payload=canonical_bytes(body))
    with pytest.raises(StatementError):
        _ = statement.day
    with pytest.raises(StatementError):
        open_statement(statement)


def test_envelope(signed: Statement) -> None:
    text = statement_to_json(signed)
    assert statement_from_json(text) == signed == statement_from_json(text + "\n")


@pytest.mark.parametrize(
    "change", [{"extra": "x"}, {"kind": 5}, {"payload": "%"}, {"signature": None}, {"signature": ""}, {"key_id": "ab"}]
)
def test_a_malformed_envelope(signed: Statement, change: dict[str, Any]) -> None:
    fields = {**json.loads(statement_to_json(signed)), **change}
    with pytest.raises(StatementError):
        statement_from_json(canonical_bytes(fields).decode())


def keyed(key: PrivateKey, **fields: Any) -> dict[str, Any]:
    return {"schema_version": 0, "swarm": SWARM, "issued": ISSUED, "key_id": key.public.key_id, **fields}


def owner_fields(key: PrivateKey, *more: PrivateKey, **change: Any) -> dict[str, Any]:
    keys = [OwnerKey.of(one.public).model_dump() for one in (key, *more)]
    return keyed(key, **{"name": "ada", "version": 1, "keys": keys, "threshold": 1, **change})


def test_owner_record(key: PrivateKey, other_key: PrivateKey) -> None:
    record = OwnerRecord.model_validate(owner_fields(key, other_key))
    assert record.signing_keys() == (key.public, other_key.public)
    opened = open_statement(sign_statement(StatementKind.OWNER, record, key))
    assert opened == record
    assert "owner" not in json.loads(record.to_bytes()) and "previous" not in json.loads(record.to_bytes())


FOLLOWING = {"version": 2, "owner": OWNER, "previous": OWNER}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"owner": OWNER}, "absent in version 1"),
        ({"previous": OWNER}, "absent in version 1"),
        ({"lineage": OWNER}, "opens its own lineage"),
        ({**FOLLOWING, "owner": None}, "present in every later"),
        ({**FOLLOWING, "previous": None}, "present in every later"),
        ({"threshold": 2}, "greater than the number"),
        ({"threshold": 0}, "greater than or equal"),
        ({"keys": []}, "at least 1"),
        ({"key_id": "ab" * 32}, "one of its own keys"),
        ({"name": "Ada"}, "a-z"),
    ],
)
def test_owner_record_rules(key: PrivateKey, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        OwnerRecord.model_validate(owner_fields(key, **change))


def test_a_following_record_may_be_signed_by_an_old_key(key: PrivateKey, other_key: PrivateKey) -> None:
    fields = {**owner_fields(other_key, **FOLLOWING), "key_id": key.public.key_id}
    assert OwnerRecord.model_validate(fields).signing_key_ids() == (other_key.public.key_id,)


def test_an_owner_is_named_by_the_first_record_for_ever(key: PrivateKey, other_key: PrivateKey) -> None:
    first = OwnerRecord.model_validate(owner_fields(key))
    following = OwnerRecord.model_validate(owner_fields(other_key, **FOLLOWING))
    assert first.owner_id(bytes(32)) == "00" * 32
    assert following.owner_id(bytes(32)) == OWNER


def test_owner_keys(key: PrivateKey) -> None:
    entry = OwnerKey.of(key.public).model_dump()
    for keys in (
        [entry, entry],
        [{**entry, "purpose": "freshness"}],
        [{**entry, "algorithm": "RSA-PSS-SHA256"}],
        [{**entry, "public_key": "AAAA"}],
    ):
        with pytest.raises(ValueError, match="validation error"):
            OwnerRecord.model_validate(owner_fields(key, keys=keys))


SLOT = {"epoch": OWNER, "owner": OWNER, "lineage": OWNER, "plasmid_id": "legal", "version": 1}
BODIES: list[tuple[type[Payload], dict[str, Any]]] = [
    (Attestation, {"owner": OWNER, "target": "22" * 32}),
    (Revocation, {"owner": OWNER, "target_kind": "content", "target": "22" * 32, "reason": "stolen laptop"}),
    (
        Freshness,
        {"owner": OWNER, "trust_version": 0, "revocation_root": OWNER, "audit_head": OWNER}
        | {"expires": "2026-01-02T00:00:00Z"},
    ),
    (Vote, {"slot": SLOT, "content": OWNER, "choice": "REJECT", "reason": "hash_mismatch"}),
    (Evidence, {"offence": "two_contents", "accused": OWNER, "first": "11" * 32, "second": "22" * 32}),
]


@pytest.mark.parametrize(("model", "body"), BODIES, ids=lambda part: getattr(part, "__name__", ""))
def test_every_payload_travels(key: PrivateKey, model: type[Payload], body: dict[str, Any]) -> None:
    payload = model.from_json(json.dumps(keyed(key, **body)).encode())
    statement = sign_statement(model.kind, payload, key)
    assert open_statement(statement) == payload and verify_statement(statement, key.public)
    assert PAYLOAD_MODELS[statement.kind] is model
    for name in body:
        if name != "reason" or model is Revocation:
            with pytest.raises(StatementError, match="missing field"):
                model.from_json(json.dumps({k: v for k, v in keyed(key, **body).items() if k != name}).encode())


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (Revocation, {"reason": "a\nb"}),
        (Revocation, {"reason": "\u202eabc"}),
        (Revocation, {"reason": "e\u0301"}),
        (Revocation, {"reason": "x" * 201}),
        (Revocation, {"target_kind": "peer"}),
        (Freshness, {"expires": ISSUED}),
        (Vote, {"choice": "accept"}),
        (Evidence, {"first": "22" * 32}),
        (Evidence, {"first": "33" * 32}),
        (Attestation, {"target": "22" * 31}),
    ],
)
def test_payload_rules(key: PrivateKey, model: type[Payload], change: dict[str, Any]) -> None:
    body = next(body for candidate, body in BODIES if candidate is model)
    with pytest.raises(StatementError):
        model.from_json(json.dumps(keyed(key, **{**body, **change})).encode())


def test_there_is_a_model_for_each_kind() -> None:
    assert sorted(PAYLOAD_MODELS) == sorted(StatementKind)


def test_a_record_that_was_changed_has_the_keys_it_names() -> None:
    keys = [OwnerKey.of(private_key_from_seed(bytes([number]) * 32).public) for number in (1, 2)]
    fields = {"swarm": SWARM, "issued": ISSUED, "key_id": keys[0].key_id, "name": "ada", "version": 1, "threshold": 1}
    record = OwnerRecord(**fields, keys=(keys[0],))  # type: ignore[arg-type]
    assert record.signing_key_ids() == (keys[0].key_id,)
    assert record.model_copy(update={"keys": (keys[1],)}).signing_key_ids() == (keys[1].key_id,)
    assert keys[0].model_copy(update={"public_key": keys[1].public_key}).key_id == keys[1].key_id
    assert pickle.loads(pickle.dumps(record)) == record
