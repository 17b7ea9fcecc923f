"""The statement: the small signed unit that gossips.

Rules:

- Exactly one signature, by the key that the payload names; it covers DSSE's encoding of kind and payload.
- Id = SHA-256(`plora/statement/v1` ‖ 00 ‖ kind ‖ 00 ‖ payload). The signature is not in it: RSA-PSS is randomised.
- A payload is canonical JSON of at most 16 KiB. A statement of an unknown kind is kept opaque: it has an id and a day.
- Not handled here: whose key it is and whether it is trusted (room `gate`), the wire's encoding (room `node`).

>>> from plora.proto.keys import private_key_from_seed
>>> from plora.proto.payloads import Attestation
>>> key = private_key_from_seed(bytes(32))
>>> payload = Attestation(
...     swarm="00" * 32, owner="11" * 32, target="22" * 32, key_id=key.public.key_id, issued="2026-01-01T00:00:00Z"
... )
>>> statement = sign_statement(StatementKind.ATTESTATION, payload, key)
>>> verify_statement(statement, key.public), open_statement(statement) == payload, statement.day
(True, True, 20454)
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from plora.proto.canonical import (
    PAYLOAD_BYTES_MAX,
    is_hex_digest,
    parse_canonical,
    sha256,
)
from plora.proto.dsse import STATEMENT_ID_TAG, StatementKind, pae
from plora.proto.errors import FormatError, StatementError
from plora.proto.fields import epoch_day
from plora.proto.keys import SIGNATURE_BYTES_MAX, PrivateKey, PublicKey, decode_base64
from plora.proto.payload import Payload
from plora.proto.payloads import PAYLOAD_MODELS

ENVELOPE_BYTES_MAX = 32 * 1024

_KIND = re.compile(r"[\x21-\x7e]{1,100}")
_ALGORITHM = re.compile(r"[A-Za-z0-9-]{1,32}")
_ENVELOPE_FIELDS = ("kind", "payload", "key_id", "algorithm", "signature")


@dataclass(frozen=True)
class Statement:
    """One payload under one signature; making one with a field out of bounds raises `StatementError`."""

    kind: str
    payload: bytes
    key_id: str
    algorithm: str
    signature: bytes

    def __post_init__(self) -> None:
        if _KIND.fullmatch(self.kind) is None:
            raise StatementError("the kind is not 1 to 100 printable ASCII characters")
        if not 0 < len(self.payload) <= PAYLOAD_BYTES_MAX:
            raise StatementError(f"a payload of {len(self.payload)} bytes, the limit is {PAYLOAD_BYTES_MAX}")
        if not is_hex_digest(self.key_id):
            raise StatementError("the key id is not 64 lower-case hexadecimal digits")
        if _ALGORITHM.fullmatch(self.algorithm) is None:
            raise StatementError("the algorithm's name is malformed")
        if not 0 < len(self.signature) <= SIGNATURE_BYTES_MAX:
            raise StatementError(f"a signature of {len(self.signature)} bytes, the limit is {SIGNATURE_BYTES_MAX}")

    @cached_property
    def id(self) -> bytes:
        """The 32-byte statement id; for a manifest, the content id."""
        return statement_id(self.kind, self.payload)

    @cached_property
    def day(self) -> int:
        """Days since 1970 at which the payload was issued; `StatementError` when the payload doesn't say."""
        issued = self.body().get("issued")
        try:
            return epoch_day(issued if isinstance(issued, str) else "")
        except ValueError as error:
            raise StatementError(str(error), where="issued") from error

    @cached_property
    def version(self) -> int:
        """The version that the payload says, before anybody checked it; 0 where it says none."""
        try:
            version = self.body().get("version")
        except StatementError:
            return 0
        return version if isinstance(version, int) else 0

    @cached_property
    def opened(self) -> Payload:
        """What `open_statement` gives, or raises, kept as long as the statement: all who ask share one payload."""
        return open_statement(self)

    def body(self) -> dict[str, Any]:
        """The payload as plain JSON fields; `StatementError` when it is no canonical JSON object."""
        body = parse_canonical(self.payload)
        if not isinstance(body, dict):
            raise StatementError("the payload is not a JSON object")
        return body


def statement_id(kind: str, payload: bytes) -> bytes:
    """The 32-byte id of a payload of a kind."""
    return sha256(STATEMENT_ID_TAG + kind.encode("utf-8") + b"\x00" + payload)


def sign_statement(kind: StatementKind, payload: Payload, key: PrivateKey) -> Statement:
    """Sign `payload`; raises `StatementError` when it is of another kind or names another key."""
    if payload.kind is not kind:
        raise StatementError(f"the payload is a {payload.kind.short}, not a {kind.short}")
    if payload.signer_key_id != key.public.key_id:
        raise StatementError(f"the payload names key {payload.signer_key_id[:12]}, not {key.public.key_id[:12]}")
    data = payload.to_bytes()
    made = Statement(kind, data, key.public.key_id, key.public.algorithm, key.sign(pae(kind, data)))
    open_statement(made)  # what this side would refuse to read must not leave it
    return made


def verify_statement(statement: Statement, key: PublicKey) -> bool:
    """Whether `key` is the key that statement and payload name, and the signature is its signature."""
    if (statement.key_id, statement.algorithm) != (key.key_id, key.algorithm):
        return False
    try:
        named = named_key_id(statement)
    except StatementError:
        return False
    return named == key.key_id and key.verify(pae(statement.kind, statement.payload), statement.signature)


def named_key_id(statement: Statement) -> str:
    """The key id that the payload names, without reading the rest of it; also for unknown kinds."""
    body = statement.body()
    signer = body.get("signer")
    manifest = statement.kind == StatementKind.MANIFEST and isinstance(signer, dict)
    named = signer.get("pubkey_fingerprint") if manifest else body.get("key_id")  # type: ignore[union-attr]
    if not isinstance(named, str):
        raise StatementError("the payload doesn't name its key", where="key_id")
    return named


def open_statement(statement: Statement) -> Payload:
    """The payload, strictly parsed from the bytes at each call. The signature is *not* verified here.

    Raises `StatementError` (`ManifestError` for a manifest) when the kind is unknown, the payload breaks its schema or
    names another key than the statement.
    """
    model = PAYLOAD_MODELS.get(statement.kind)
    if model is None:
        raise StatementError(f"unknown kind '{statement.kind}'", mend="a newer Plora may know it")
    payload = model.from_bytes(statement.payload)
    if payload.signer_key_id != statement.key_id:
        raise StatementError("the payload names another key than the statement", where="key_id")
    algorithm = getattr(getattr(payload, "signer", None), "algo", statement.algorithm)
    if algorithm != statement.algorithm:
        raise StatementError("the payload names another algorithm than the statement", where="signer.algo")
    return payload


def statement_to_json(statement: Statement) -> str:
    """An envelope for files: one canonical JSON object, payload and signature in base64, without a line end."""
    fields = {
        "kind": str(statement.kind),
        "payload": base64.b64encode(statement.payload).decode("ascii"),
        "key_id": statement.key_id,
        "algorithm": statement.algorithm,
        "signature": base64.b64encode(statement.signature).decode("ascii"),
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))  # canonical, for all of it is printable ASCII


def statement_from_json(text: str) -> Statement:
    """The statement in an envelope; `StatementError` when it is malformed. A line end at its end is allowed."""
    fields = parse_canonical(text.removesuffix("\n").encode("utf-8"), ENVELOPE_BYTES_MAX)
    if not isinstance(fields, dict) or sorted(fields) != sorted(_ENVELOPE_FIELDS):
        raise StatementError(f"an envelope has exactly the fields {', '.join(_ENVELOPE_FIELDS)}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise StatementError("every field of an envelope is text")
    try:
        payload, signature = decode_base64(fields["payload"]), decode_base64(fields["signature"])
    except FormatError as error:
        raise StatementError(error.what) from error
    return Statement(fields["kind"], payload, fields["key_id"], fields["algorithm"], signature)
