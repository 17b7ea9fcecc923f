"""The payloads of all statements other than the manifest, and the table from kind to model.

Rules:

- Every payload names swarm, time of issue, signing key, and the owner on whose behalf it is signed. The first record
  of an owner can't name the owner: the owner's id *is* that record's statement id.
- An owner record without `lineage` opens a lineage, named by its own statement id; with it, it continues that one.
- Not handled here: whether a threshold was reached or a rotation is legitimate (room `gate`).
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from plora.proto.canonical import INTEGER_MAX
from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError
from plora.proto.fields import Counter, HexDigest, Id, ListAsTuple, Text, Timestamp, parse_timestamp
from plora.proto.keys import PublicKey
from plora.proto.manifest import Manifest
from plora.proto.openssf import ECDSA_P256_SHA256, ExportKey
from plora.proto.payload import KeyedPayload, Payload, StrictModel

OWNER_KEYS_MAX = 16
KEYS_READ_MAX = 512


@lru_cache(maxsize=KEYS_READ_MAX)  # the same few keys are read from record after record
def _key_of(text: str) -> PublicKey:
    return PublicKey.from_text(text)


class OwnerKey(StrictModel):
    """One key of an owner: base64 of its DER SubjectPublicKeyInfo, and what it may be used for."""

    algorithm: Literal["Ed25519", "RSA-PSS-SHA256", "ECDSA-P256-SHA256"]
    public_key: Annotated[str, Field(max_length=1024)]
    purpose: Literal["sign", "freshness", "export"] = "sign"

    @model_validator(mode="after")
    def _key_is_sound(self) -> Self:
        exports = self.purpose == "export"
        if exports != (self.algorithm == ECDSA_P256_SHA256):
            raise ValueError(f"{ECDSA_P256_SHA256} is for the purpose export, which takes no other")
        try:
            algorithm = ECDSA_P256_SHA256 if exports and self.export_key() else self.key().algorithm
        except FormatError as error:
            raise ValueError(str(error)) from error
        if algorithm != self.algorithm:
            raise ValueError(f"the public key is an {algorithm} key")
        return self

    def key(self) -> PublicKey:
        """The key itself; `FormatError` for an export key, which signs nothing of Plora's."""
        return _key_of(self.public_key)

    def export_key(self) -> ExportKey:
        """The key of an entry whose purpose is export."""
        return ExportKey.from_text(self.public_key)

    @property
    def key_id(self) -> str:
        """The key's id, 64 hexadecimal digits."""
        return self.export_key().key_id if self.purpose == "export" else self.key().key_id

    @classmethod
    def exporting(cls, key: ExportKey) -> Self:
        """The entry of a key that signs exports only."""
        entry = {"algorithm": ECDSA_P256_SHA256, "public_key": key.to_text(), "purpose": "export"}
        return cls.model_validate(entry)

    @classmethod
    def of(cls, key: PublicKey, purpose: str = "sign") -> Self:
        """The entry of a key, of a signing key if nothing else is said."""
        return cls.model_validate({"algorithm": key.algorithm, "public_key": key.to_text(), "purpose": purpose})


class OwnerRecord(KeyedPayload):
    """Who an owner is from this version on: name, keys, and how many of them must sign the next record."""

    kind: ClassVar[StatementKind] = StatementKind.OWNER

    owner: HexDigest | None = None
    previous: HexDigest | None = None
    lineage: HexDigest | None = None
    name: Id
    version: Counter
    keys: Annotated[tuple[OwnerKey, ...], ListAsTuple, Field(min_length=1, max_length=OWNER_KEYS_MAX)]
    threshold: Annotated[int, Field(ge=1, le=OWNER_KEYS_MAX)]

    @model_validator(mode="after")
    def _first_or_following(self) -> Self:
        first = self.version == 1
        if first != (self.owner is None) or first != (self.previous is None):
            raise ValueError("owner and previous are absent in version 1 and present in every later version")
        if first and self.lineage is not None:
            raise ValueError("the first record opens its own lineage")
        return self

    @model_validator(mode="after")
    def _keys_and_threshold(self) -> Self:
        signing = self.signing_key_ids()
        if len(frozenset(entry.public_key for entry in self.keys)) != len(self.keys):
            raise ValueError("a key must not be listed twice")
        if self.threshold > len(signing):
            raise ValueError("threshold is greater than the number of signing keys")
        if self.version == 1 and self.key_id not in signing:
            raise ValueError("the first record must be signed by one of its own keys")
        return self

    def owner_id(self, statement_id: bytes) -> str:
        """The owner's id, 64 hexadecimal digits: of the first record it is the id of the statement that carries it."""
        return self.owner or statement_id.hex()

    def signing_keys(self) -> tuple[PublicKey, ...]:
        """The keys that may sign for this owner, in the record's order."""
        return tuple(entry.key() for entry in self.keys if entry.purpose == "sign")

    def signing_key_ids(self) -> tuple[str, ...]:
        """Ids of the keys that may sign for this owner, in the record's order."""
        return tuple(key.key_id for key in self.signing_keys())


class Attestation(KeyedPayload):
    """An owner's key vouches for another statement: a co-signature, or one more of a threshold."""

    kind: ClassVar[StatementKind] = StatementKind.ATTESTATION

    owner: HexDigest
    target: HexDigest


class Revocation(KeyedPayload):
    """A key, a content or a whole owner is void, for ever."""

    kind: ClassVar[StatementKind] = StatementKind.REVOCATION

    owner: HexDigest
    target_kind: Literal["key", "content", "owner"]
    target: HexDigest
    reason: Text


class Freshness(KeyedPayload):
    """What an owner's freshness key saw as newest, and until when that may be relied on."""

    kind: ClassVar[StatementKind] = StatementKind.FRESHNESS

    owner: HexDigest
    trust_version: Annotated[int, Field(ge=0, le=INTEGER_MAX)]
    revocation_root: HexDigest
    audit_head: HexDigest
    expires: Timestamp

    @model_validator(mode="after")
    def _expires_after_issue(self) -> Self:
        if parse_timestamp(self.expires) <= parse_timestamp(self.issued):
            raise ValueError("expires must be later than issued")
        return self


class Slot(StrictModel):
    """What a vote is about; the swarm is the payload's own."""

    epoch: HexDigest
    owner: HexDigest
    lineage: HexDigest
    plasmid_id: Id
    version: Counter


class Choice(StrEnum):
    """A vote; REJECT is advice and may become ACCEPT later, never the reverse."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"


class Vote(KeyedPayload):
    """A member's word on one content for one slot; the member is the signing key."""

    kind: ClassVar[StatementKind] = StatementKind.VOTE

    slot: Slot
    content: HexDigest
    choice: Choice
    reason: Text | None = None


class Evidence(KeyedPayload):
    """Two statements, named by id in ascending order, that one key or owner may not both have signed.

    `statements` are their envelopes in the same order, so that the proof outlives what it is about.
    """

    kind: ClassVar[StatementKind] = StatementKind.EVIDENCE

    offence: Literal["two_contents", "two_votes"]
    accused: HexDigest
    first: HexDigest
    second: HexDigest
    statements: Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], ListAsTuple] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first >= self.second:
            raise ValueError("first must be the smaller id, and not the same as second")
        return self


PAYLOAD_MODELS: dict[str, type[Payload]] = {
    model.kind: model for model in (Manifest, Attestation, OwnerRecord, Revocation, Freshness, Vote, Evidence)
}
"""The model of each kind; a kind that is not here is kept opaque and relayed."""
