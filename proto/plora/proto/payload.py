"""What all signed payloads share: their common fields, their canonical bytes, and strict reading.

Rules:

- Models are frozen and strict: no coercion, no unknown field.
- A payload's bytes are RFC 8785 of all its fields; a field that is None is left out, a default is written. Reading
  refuses bytes that writing would not have produced, so one content has one byte string and one id.
- Each payload names the key that signs it (`signer_key_id`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from plora.proto.canonical import canonical_bytes, parse_canonical
from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError, StatementError
from plora.proto.fields import HexDigest, SchemaVersion, Timestamp


class StrictModel(BaseModel):
    """A frozen block of fields that takes exactly what its types say."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Payload(StrictModel, ABC):
    """The fields that every signed payload carries."""

    kind: ClassVar[StatementKind]
    error: ClassVar[type[FormatError]] = StatementError

    schema_version: SchemaVersion = 0
    swarm: HexDigest
    issued: Timestamp

    @property
    @abstractmethod
    def signer_key_id(self) -> str:
        """Id of the key that must have signed this payload, 64 hexadecimal digits."""

    def to_bytes(self) -> bytes:
        """The canonical bytes that are signed."""
        return canonical_bytes(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The model of canonical bytes; raises the kind's error, with the field in `where`."""
        parse_canonical(payload)
        made = cls.from_json(payload)
        if made.to_bytes() != payload:
            what = "a field has another than its canonical spelling (null, or a default left out)"
            raise cls.error(what, mend="re-create it with Plora")
        return made

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The model of JSON that may leave defaults out; keys given twice must have been refused before."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise field_error(error, cls.error) from error


class KeyedPayload(Payload):
    """A payload that names its signing key in the field `key_id`."""

    key_id: HexDigest

    @property
    def signer_key_id(self) -> str:
        """The field `key_id`."""
        return self.key_id


def field_error(error: ValidationError, kind: type[FormatError]) -> FormatError:
    """The first complaint of pydantic as one of ours: the field's path in `where`, a cure where there is one."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    cures = {"extra_forbidden": "remove it, or correct its spelling", "missing": "add it"}
    what = {"extra_forbidden": "unknown field", "missing": "missing field"}.get(first["type"], message)
    return kind(what[:1].lower() + what[1:], where=where, mend=cures.get(first["type"], ""))
