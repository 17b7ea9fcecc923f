"""OpenSSF Model Signing bundles: what an owner exports for tools of others, and what is read of theirs as provenance.

Rules:

- The format is a Sigstore bundle v0.3 around DSSE around an in-toto statement that lists each file with its SHA-256
  (https://github.com/sigstore/model-transparency, `model-signing` 1.1). That tool knows NIST curves only and reads the
  first signature only, so an export is a second signature, by a P-256 key that the owner record names for `export`.
- An export key signs nothing of Plora's: no statement is valid under it, and no bundle counts towards a threshold or a
  quorum. A bundle that verifies is *provenance*: evidence of who had these bytes, and nothing more.
- Reading is strict: bounded size, exactly one signature, only SHA-256 of whole files, the listed files and no others.
- Not handled here: certificates, transparency logs and time stamps of Sigstore; who owns the key (`owner_chain`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plora.proto.canonical import canonical_bytes, sha256_hex
from plora.proto.dsse import pae
from plora.proto.errors import FormatError, KeyFileError, StatementError
from plora.proto.keys import decode_base64, read_key_file, write_new_file

ECDSA_P256_SHA256 = "ECDSA-P256-SHA256"
BUNDLE_BYTES_MAX = 1024 * 1024
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
IGNORED = [".git", ".gitattributes", ".gitignore", ".github"]
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class ExportKey:
    """A P-256 public key in its one encoding; `spki` is DER SubjectPublicKeyInfo with the point uncompressed."""

    spki: bytes = field(repr=False)
    _key: ec.EllipticCurvePublicKey = field(repr=False, compare=False)

    @classmethod
    def from_spki(cls, spki: bytes) -> ExportKey:
        """The key in a DER SubjectPublicKeyInfo; `FormatError` for another curve or encoding."""
        try:
            key = serialization.load_der_public_key(spki)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise FormatError("not a public key (DER SubjectPublicKeyInfo)") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise FormatError("not a P-256 key", mend="make one by `plora keygen --only-key --algorithm p256`")
        if _spki(key) != spki:
            raise FormatError("public key in a foreign encoding")
        return cls(spki, key)

    @classmethod
    def from_text(cls, text: str) -> ExportKey:
        """The key in base64 of its DER encoding."""
        return cls.from_spki(decode_base64(text))

    @property
    def key_id(self) -> str:
        """SHA-256 of the encoding, 64 hexadecimal digits."""
        return sha256_hex(self.spki)

    def to_text(self) -> str:
        """Base64 of the DER encoding, on one line."""
        return base64.b64encode(self.spki).decode("ascii")

    def pem(self) -> bytes:
        """The key as a PEM file has it."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (DER) is this key's over the message."""
        try:
            self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class ExportPrivateKey:
    """A P-256 private key."""

    public: ExportKey
    _key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    def sign(self, message: bytes) -> bytes:
        """A signature over exactly `message`, in DER."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a bundle that verified says: its subject's name, the key's id, and SHA-256 of each file in hex."""

    subject: str
    key_id: str
    files: Mapping[str, str]


def generate_export_pair(private: Path, public: Path) -> ExportKey:
    """Make a P-256 key pair in two new PEM files, the private one with mode 0600."""
    for path in (private, public):
        if path.exists():
            raise KeyFileError("already exists", where=str(path), mend="choose another path")
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    write_new_file(private, key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption), mode=0o600)
    made = ExportKey(_spki(key.public_key()), key.public_key())
    write_new_file(public, made.pem(), mode=0o644)
    return made


def load_export_private(path: Path) -> ExportPrivateKey:
    """The P-256 key in a PEM file that nobody else can read; `KeyFileError` for any other."""
    try:
        key = serialization.load_pem_private_key(read_key_file(path, private=True), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError("not a private key without passphrase", where=str(path)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        mend = "make one by `plora keygen --only-key --algorithm p256`"
        raise KeyFileError("not a P-256 key", where=str(path), mend=mend)
    return ExportPrivateKey(ExportKey(_spki(key.public_key()), key.public_key()), key)


def load_export_public(path: Path) -> ExportKey:
    """The P-256 key in a PEM file (`BEGIN PUBLIC KEY`); `KeyFileError` for any other."""
    try:
        key = serialization.load_pem_public_key(read_key_file(path, private=False))
        return ExportKey.from_spki(
            key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError("not a public key in PEM", where=str(path)) from error
    except FormatError as error:
        raise KeyFileError(error.what, where=str(path), mend=error.mend) from error


def make_bundle(subject: str, folder: Path, key: ExportPrivateKey) -> bytes:
    """The bundle over every file in a folder, as JSON text."""
    payload = canonical_bytes(_statement(subject, file_digests(folder)))
    signature = base64.b64encode(key.sign(pae(PAYLOAD_TYPE, payload))).decode("ascii")
    return canonical_bytes(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": sha256_hex(key.public.pem())}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode("ascii"),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": signature, "keyid": ""}],
            },
        }
    )


def read_bundle(path: Path, folder: Path, keys: Iterable[ExportKey]) -> Provenance:
    """What a bundle says of a folder. Raises StatementError where no key made it or the folder holds other files."""
    with path.open("rb") as stream:
        raw = stream.read(BUNDLE_BYTES_MAX + 1)
    try:
        envelope = _bundle(raw)
        payload, signature = decode_base64(envelope["payload"]), decode_base64(envelope["signatures"][0]["sig"])
        signed = json.loads(payload)
        subject, listed = str(signed["subject"][0]["name"]), _listed(signed)
    except (ValueError, KeyError, IndexError, TypeError, FormatError) as error:
        raise StatementError("is no OpenSSF bundle that Plora reads", where=str(path)) from error
    key = next((one for one in keys if one.verify(pae(PAYLOAD_TYPE, payload), signature)), None)
    if key is None:
        raise StatementError("no export key of the owner made it", where=str(path), mend="name its --owner")
    there = file_digests(folder)
    differing = sorted(name for name in {**listed, **there} if listed.get(name) != there.get(name))
    if differing:
        raise StatementError(f"{', '.join(differing[:3])} is not what was signed", where=str(folder))
    return Provenance(subject, key.key_id, listed)


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file under a folder by its path in it, in order; links are StatementErrors."""
    paths = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    found = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            raise StatementError(f"{name} is no plain file", where=str(folder), mend="export a folder of plain files")
        if name.split("/")[0] not in IGNORED:
            found[name] = _digest(path)
    return dict(sorted(found.items()))


def _bundle(raw: bytes) -> dict[str, Any]:
    document = json.loads(raw) if len(raw) <= BUNDLE_BYTES_MAX else {}
    envelope: dict[str, Any] = document["dsseEnvelope"]
    if document["mediaType"] != MEDIA_TYPE or envelope["payloadType"] != PAYLOAD_TYPE:
        raise ValueError("another format")
    if len(envelope["signatures"]) != 1:
        raise ValueError("more than one signature")
    return envelope


def _listed(signed: Mapping[str, Any]) -> dict[str, str]:
    predicate = signed["predicate"]
    known = (signed["_type"], signed["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
    if not known or predicate["serialization"]["method"] != "files":
        raise ValueError("another statement")
    resources = predicate["resources"]
    if any(one["algorithm"] != "sha256" for one in resources):
        raise ValueError("another digest")
    listed = {str(one["name"]): str(one["digest"]) for one in resources}
    if len(listed) != len(resources) or signed["subject"][0]["digest"]["sha256"] != _root(listed):
        raise ValueError("the root is not that of the files")
    return listed


def _statement(subject: str, files: Mapping[str, str]) -> dict[str, Any]:
    serialization_of = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": IGNORED}
    resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in files.items()]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject, "digest": {"sha256": _root(files)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"serialization": serialization_of, "resources": resources},
    }


def _root(files: Mapping[str, str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in files.values())).hexdigest()


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_READ_BYTES):
            whole.update(piece)
    return whole.hexdigest()


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
