"""An owner's keys, records and words, made in a line each; for tests of rotations and of owners' files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

from plora.proto.dsse import StatementKind
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.payloads import Attestation, OwnerKey, OwnerRecord, Revocation
from plora.proto.statement import Statement, open_statement, sign_statement

SWARM = "5a" * 32
ISSUED = "2026-01-01T00:00:00Z"
Signed = tuple[Statement, OwnerRecord]


@cache
def key(name: str) -> PrivateKey:
    """The fixed key of a name; most are single letters, so that `"abc"` is a set of three."""
    return private_key_from_seed(hashlib.sha256(name.encode()).digest())


def key_id(name: str) -> str:
    return key(name).public.key_id


def first(names: str, threshold: int = 1, *, by: str = "") -> Signed:
    """The record that makes an owner of these keys, signed by the first of them unless another is named."""
    return _record(names, threshold, by or names[0], version=1)


def after(before: Signed, names: str, threshold: int = 1, *, by: str, **more: object) -> Signed:
    """A record that follows another, signed by one key; it opens a lineage unless `lineage` is given."""
    statement, record = before
    links = {"owner": record.owner_id(statement.id), "previous": statement.id.hex(), "version": record.version + 1}
    return _record(names, threshold, by, **links | more)


def word(target: Statement, owner: str, by: str, issued: str = ISSUED) -> tuple[Statement, Attestation]:
    """An attestation by a key in an owner's name."""
    body = Attestation(swarm=SWARM, issued=issued, key_id=key_id(by), owner=owner, target=target.id.hex())
    return sign_statement(StatementKind.ATTESTATION, body, key(by)), body


def strike(owner: str, kind: str, target: str, by: str, reason: str = "stolen") -> tuple[Statement, Revocation]:
    """A revocation by a key in an owner's name."""
    fields = {"owner": owner, "target_kind": kind, "target": target, "reason": reason}
    body = Revocation.model_validate({"swarm": SWARM, "issued": ISSUED, "key_id": key_id(by), **fields})
    return sign_statement(StatementKind.REVOCATION, body, key(by)), body


def forged(statement: Statement) -> Statement:
    """The same statement under a signature that is nobody's."""
    return replace(statement, signature=bytes(64))


def _record(names: str, threshold: int, by: str, **more: object) -> Signed:
    keys = tuple(OwnerKey.of(key(name).public) for name in names)
    fields = {"swarm": SWARM, "issued": ISSUED, "key_id": key_id(by), "name": "house"}
    made = OwnerRecord.model_validate({**fields, "keys": keys, "threshold": threshold, **more})
    statement = sign_statement(StatementKind.OWNER, made, key(by))
    record = open_statement(statement)
    assert isinstance(record, OwnerRecord)
    return statement, record
