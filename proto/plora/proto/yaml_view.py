"""`plora.yml`: the view of a signed manifest on disk, in the specification's shape.

Rules:

- The file is the manifest's fields with `signer.signature_b64` and `cosignatures` added. Text to model to canonical
  bytes gives exactly the payload that was signed, whatever the file's order, quotes and comments.
- Strict YAML (`plora.proto.strict_yaml`); at most 16 co-signatures, one a key; no YAML ever travels between peers.
- A co-signature stands for an attestation of this manifest, whose payload follows from its fields.
- Errors are `ManifestError` and name file, line and field. Signatures are *not* verified here.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError, ManifestError
from plora.proto.fields import HexDigest, Timestamp
from plora.proto.keys import decode_base64
from plora.proto.manifest import Manifest
from plora.proto.payload import StrictModel, field_error
from plora.proto.payloads import Attestation
from plora.proto.statement import Statement, open_statement
from plora.proto.strict_yaml import YAML_BYTES_MAX, Yaml, must_be_quoted, parse_yaml

PLORA_YML = "plora.yml"
COSIGNATURES_MAX = 16
SIGNATURE_CHARACTERS_MAX = 684
SIGN_ANEW = "restore the file, or delete it and sign the folder anew"

_HEADING = "# A signed Plora manifest. Any change to a value voids its signatures.\n"
_ORDER = (
    "schema_version",
    "plasmid_id",
    "version",
    "domain",
    "base_model",
    "base_digest",
    "peft_format",
    "lora",
    "artifacts",
    "metrics",
    "safety",
    "swarm",
    "owner",
    "lineage",
    "issued",
    "expires",
    "signer",
)


class Cosignature(StrictModel):
    """One owner's attestation of the manifest beside it."""

    owner: HexDigest
    key_id: HexDigest
    algo: Literal["Ed25519", "RSA-PSS-SHA256"]
    signature_b64: Annotated[str, Field(min_length=1, max_length=SIGNATURE_CHARACTERS_MAX)]
    issued: Timestamp


@dataclass(frozen=True)
class SignedManifest:
    """A manifest, its owner's signature, and co-signatures."""

    manifest: Manifest
    signature: bytes
    cosignatures: tuple[Cosignature, ...] = ()

    @classmethod
    def of(cls, statement: Statement, attestations: Iterable[Statement] = ()) -> SignedManifest:
        """The view of a manifest statement. Attestations of other statements are left out, and a key's second one; the
        first `COSIGNATURES_MAX` of the rest are kept, sorted by key: whoever has more puts those first that shall be
        kept."""
        manifest = open_statement(statement)
        if not isinstance(manifest, Manifest):
            raise ManifestError("the statement is not a manifest")
        kept = islice(_cosignatures(statement.id.hex(), attestations), COSIGNATURES_MAX)
        return cls(manifest, statement.signature, tuple(sorted(kept, key=lambda one: one.key_id)))

    def statement(self) -> Statement:
        """The manifest as the statement that gossips."""
        signer = self.manifest.signer
        payload = self.manifest.to_bytes()
        return Statement(StatementKind.MANIFEST, payload, signer.pubkey_fingerprint, signer.algo, self.signature)

    def attestations(self) -> tuple[Statement, ...]:
        """The co-signatures as the statements that gossip."""
        target = self.statement().id.hex()
        return tuple(self._attestation(one, target) for one in self.cosignatures)

    def _attestation(self, one: Cosignature, target: str) -> Statement:
        payload = Attestation(
            swarm=self.manifest.swarm, owner=one.owner, target=target, key_id=one.key_id, issued=one.issued
        )
        signature = decode_base64(one.signature_b64)
        return Statement(StatementKind.ATTESTATION, payload.to_bytes(), one.key_id, one.algo, signature)


def to_yaml(signed: SignedManifest) -> str:
    """The text of `plora.yml`; `from_yaml` gives `signed` back."""
    fields = signed.manifest.model_dump(mode="json", exclude_none=True)
    view: dict[str, Any] = {name: fields[name] for name in _ORDER}
    view["signer"] = {**view["signer"], "signature_b64": base64.b64encode(signed.signature).decode("ascii")}
    if signed.cosignatures:
        view["cosignatures"] = [one.model_dump(mode="json") for one in signed.cosignatures]
    return _HEADING + "".join(f"{line}\n" for line in _block(view, ""))


def from_yaml(data: bytes | str, where: str = PLORA_YML) -> SignedManifest:
    """The signed manifest in the text of a `plora.yml`; `ManifestError` names `where`, the line and the field."""
    try:
        document = parse_yaml(data.encode("utf-8") if isinstance(data, str) else data)
    except UnicodeEncodeError as error:
        raise ManifestError("not UTF-8", where=where) from error
    except FormatError as error:
        raise _at(error, where, error.where) from error
    try:
        return _signed(document)
    except FormatError as error:
        raise _at(error, where, document.where(error.where)) from error


def read_plora_yml(path: Path) -> SignedManifest:
    """The signed manifest in a file; `ManifestError` when it can't be read or is malformed."""
    try:
        with path.open("rb") as stream:
            data = stream.read(YAML_BYTES_MAX + 1)
    except OSError as error:
        mend = "sign the adapter first: `plora sign`" if isinstance(error, FileNotFoundError) else ""
        raise ManifestError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error
    return from_yaml(data, str(path))


def write_plora_yml(path: Path, signed: SignedManifest) -> None:
    """Write the view to `path`, replacing what stood there in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(to_yaml(signed), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ManifestError(f"can't be written ({error.strerror})", where=str(path)) from error


def _cosignatures(target: str, attestations: Iterable[Statement]) -> Iterator[Cosignature]:
    keys: dict[str, None] = {}
    for statement in attestations:
        payload = open_statement(statement)
        if isinstance(payload, Attestation) and payload.target == target and payload.key_id not in keys:
            keys[payload.key_id] = None
            yield Cosignature.model_validate(
                {
                    "owner": payload.owner,
                    "key_id": payload.key_id,
                    "algo": statement.algorithm,
                    "signature_b64": base64.b64encode(statement.signature).decode("ascii"),
                    "issued": payload.issued,
                }
            )


def _signed(document: Yaml) -> SignedManifest:
    if not isinstance(document.tree, dict):
        raise FormatError("not a mapping of fields")
    fields = dict(document.tree)
    cosignatures = fields.pop("cosignatures", [])
    signature = b""
    if isinstance(fields.get("signer"), dict):
        signer = dict(fields["signer"])
        signature = _signature(signer.pop("signature_b64", None), "signer.signature_b64")
        fields["signer"] = signer
    manifest = Manifest.from_json(json.dumps(fields, allow_nan=False).encode("utf-8"))
    return SignedManifest(manifest, signature, _read_cosignatures(cosignatures))


def _read_cosignatures(entries: object) -> tuple[Cosignature, ...]:
    if not isinstance(entries, list) or len(entries) > COSIGNATURES_MAX:
        raise FormatError(f"must be a list of at most {COSIGNATURES_MAX}", where="cosignatures")
    made: list[Cosignature] = []
    for place, entry in enumerate(entries):
        where = f"cosignatures.{place}"
        try:
            made.append(Cosignature.model_validate(entry))
        except ValidationError as error:
            complaint = field_error(error, ManifestError)
            path = ".".join(part for part in (where, complaint.where) if part)
            raise ManifestError(complaint.what, where=path, mend=complaint.mend) from error
        _signature(made[-1].signature_b64, f"{where}.signature_b64")
    if len(frozenset(one.key_id for one in made)) != len(made):
        raise FormatError("a key must not co-sign twice", where="cosignatures", mend="remove one")
    return tuple(made)


def _signature(text: object, where: str) -> bytes:
    if not isinstance(text, str) or not 0 < len(text) <= SIGNATURE_CHARACTERS_MAX:
        raise FormatError("no signature", where=where, mend="sign the adapter: `plora sign`")
    try:
        return decode_base64(text)
    except FormatError as error:
        raise FormatError(error.what, where=where) from error


def _at(error: FormatError, file: str, place: str) -> ManifestError:
    where = ", ".join(part for part in (file, place) if part)
    return ManifestError(error.what, where=where, mend=error.mend or SIGN_ANEW)


def _block(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, member in value.items():
        if isinstance(member, dict) and member:
            yield f"{indent}{_text(key)}:"
            yield from _block(member, indent + "  ")
        elif isinstance(member, list) and member and isinstance(member[0], dict):
            yield f"{indent}{_text(key)}:"
            for entry in member:
                first, *others = _block(entry, indent + "    ")
                yield f"{indent}  - {first.strip()}"
                yield from others
        else:
            yield f"{indent}{_text(key)}: {_flow(member)}"


def _flow(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_flow(item) for item in value)}]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value)


def _number(value: float) -> str:
    text = repr(value)
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent}" if mark else text


def _text(text: str) -> str:
    plain = text.isascii() and text.replace("_", "a").replace("-", "a").replace(".", "a").replace("/", "a").isalnum()
    if plain and text[0].isalnum() and not must_be_quoted(text):
        return text
    return json.dumps(text, ensure_ascii=False)
