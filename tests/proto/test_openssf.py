"""OpenSSF bundles: the bytes that are signed, strict reading, which keys may make one, and what lies in the folder."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.proto.owners import first, key

from plora.proto.errors import FormatError, KeyFileError, StatementError
from plora.proto.openssf import (
    BUNDLE_BYTES_MAX,
    PAYLOAD_TYPE,
    ExportKey,
    ExportPrivateKey,
    file_digests,
    generate_export_pair,
    load_export_private,
    load_export_public,
    make_bundle,
    read_bundle,
)
from plora.proto.payloads import OwnerKey, OwnerRecord

Document = dict[str, Any]


def private_of(curve: ec.EllipticCurve, number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, curve)


def spki(number: int, curve: ec.EllipticCurve | None = None, point: str = "uncompressed") -> bytes:
    """A DER SubjectPublicKeyInfo; of a compressed point by hand, as cryptography doesn't write it."""
    public = private_of(curve or ec.SECP256R1(), number).public_key()
    plain = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if point == "uncompressed":
        return plain
    short = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    body = plain[2:23] + b"\x03\x22\x00" + short
    return b"\x30" + bytes([len(body)]) + body


SIGNER = private_of(ec.SECP256R1(), 7)
OWN = ExportPrivateKey(ExportKey.from_spki(spki(7)), SIGNER)
OTHER = ExportKey.from_spki(spki(8))


def sealed(signed: Document, kind: str = PAYLOAD_TYPE) -> Document:
    """A bundle around this statement, signed as DSSE says."""
    payload = json.dumps(signed).encode()
    whole = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    signature = SIGNER.sign(whole, ec.ECDSA(hashes.SHA256()))
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }


def statement_over(files: dict[str, bytes]) -> Document:
    """What a bundle says of files, by the format's page and not by our writer."""
    digests = {name: hashlib.sha256(files[name]) for name in sorted(files)}
    root = hashlib.sha256(b"".join(one.digest() for one in digests.values())).hexdigest()
    listed = [{"name": name, "algorithm": "sha256", "digest": one.hexdigest()} for name, one in digests.items()]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "legal", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": {"method": "files"}, "resources": listed},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, one of them in a folder below."""
    made = tmp_path / "model"
    (made / "sub").mkdir(parents=True)
    for name, raw in FILES.items():
        (made / name).write_bytes(raw)
    return made


FILES = {"weights.bin": bytes(1 << 20) + b"the end", "config.json": b"{}", "sub/words.txt": b"words"}


def read(folder: Path, bundle: Document | bytes, *keys: ExportKey) -> Any:
    path = folder.parent / "model.sig"
    path.write_bytes(bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode())
    return read_bundle(path, folder, keys or (OWN.public,))


def test_what_is_written_is_signed_over_dsse_by_the_key_alone(folder: Path) -> None:
    bundle = json.loads(make_bundle("legal", folder, OWN))
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    (signature,) = bundle["dsseEnvelope"]["signatures"]
    whole = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    SIGNER.public_key().verify(base64.b64decode(signature["sig"]), whole, ec.ECDSA(hashes.SHA256()))
    signed, expected = json.loads(payload), statement_over(FILES)
    assert signed["predicate"]["resources"] == expected["predicate"]["resources"]
    assert signed["subject"] == expected["subject"]
    pem = SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == hashlib.sha256(pem).hexdigest()


def test_what_was_written_and_what_others_write_is_read_as_provenance(folder: Path) -> None:
    for bundle in (make_bundle("legal", folder, OWN), sealed(statement_over(FILES))):
        found = read(folder, bundle, OTHER, OWN.public)
        assert (found.subject, found.key_id) == ("legal", hashlib.sha256(spki(7)).hexdigest())
        assert found.files == {name: hashlib.sha256(raw).hexdigest() for name, raw in FILES.items()}


def test_only_the_key_that_made_it_and_only_for_this_use_verifies(folder: Path) -> None:
    good = sealed(statement_over(FILES))
    for bundle, keys in ((good, (OTHER,)), (sealed(statement_over(FILES), "text/plain"), (OWN.public,))):
        with pytest.raises(StatementError, match="no export key of the owner made it"):
            read(folder, bundle, *keys)
    good["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(b"no DER").decode()
    with pytest.raises(StatementError, match="no export key"):
        read(folder, good)


# Each is signed by the owner's key: only strict reading refuses it.


def blake(signed: Document) -> None:
    signed["predicate"]["resources"][1]["algorithm"] = "blake2b"


def sharded(signed: Document) -> None:
    signed["predicate"]["serialization"]["method"] = "shards"


def another_type(signed: Document) -> None:
    signed["_type"] = "https://in-toto.io/Statement/v0.1"


def another_predicate(signed: Document) -> None:
    signed["predicateType"] = "https://slsa.dev/provenance/v1"


def another_root(signed: Document) -> None:
    signed["subject"][0]["digest"]["sha256"] = "00" * 32


def one_listed_twice(signed: Document) -> None:
    signed["predicate"]["resources"].append(signed["predicate"]["resources"][0])


def no_subject(signed: Document) -> None:
    signed["subject"] = []


@pytest.mark.parametrize(
    "spoil", [blake, sharded, another_type, another_predicate, another_root, one_listed_twice, no_subject]
)
def test_a_signed_statement_of_another_form_is_refused(folder: Path, spoil: Callable[[Document], None]) -> None:
    signed = statement_over(FILES)
    spoil(signed)
    with pytest.raises(StatementError, match="is no OpenSSF bundle that Plora reads"):
        read(folder, sealed(signed))


@pytest.mark.parametrize(
    "change",
    [
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.2+json"},
        {"payloadType": "text/plain"},
        {"payload": "not base64"},
        {"signatures": []},
        {"signatures": "doubled"},
    ],
)
def test_another_bundle_is_refused(folder: Path, change: Document) -> None:
    bundle = sealed(statement_over(FILES))
    (place, value), envelope = next(iter(change.items())), bundle["dsseEnvelope"]
    (bundle if place == "mediaType" else envelope)[place] = envelope[place] * 2 if value == "doubled" else value
    with pytest.raises(StatementError, match="is no OpenSSF bundle that Plora reads"):
        read(folder, bundle)


def test_a_bundle_is_read_up_to_its_limit(folder: Path) -> None:
    raw = json.dumps(sealed(statement_over(FILES))).encode()
    assert read(folder, raw.ljust(BUNDLE_BYTES_MAX)).subject == "legal"
    for refused in (raw.ljust(BUNDLE_BYTES_MAX + 1), b"[", b"", b"{}"):
        with pytest.raises(StatementError, match="is no OpenSSF bundle"):
            read(folder, refused)


@pytest.mark.parametrize(
    ("name", "raw"),
    [("config.json", b"{ }"), ("sub/words.txt", None), ("more.py", b""), ("sub/.gitignore", b"*"), ("sub/.git", b"")],
)
def test_a_folder_holds_what_was_signed_and_nothing_else(folder: Path, name: str, raw: bytes | None) -> None:
    path = folder / name
    path.unlink() if raw is None else path.write_bytes(raw)
    with pytest.raises(StatementError, match=f"{name} is not what was signed"):
        read(folder, sealed(statement_over(FILES)))


def test_what_git_keeps_at_the_top_is_no_part_of_the_model(folder: Path) -> None:
    (folder / ".git").mkdir()
    for name in (".git/HEAD", ".gitattributes", ".gitignore"):
        (folder / name).write_text("x")
    assert list(file_digests(folder)) == sorted(FILES)


@pytest.mark.parametrize("to", ["config.json", "sub", "nowhere"])
def test_a_link_is_no_file_of_a_model(folder: Path, to: str) -> None:
    (folder / "link").symlink_to(folder / to)
    with pytest.raises(StatementError, match="link is no plain file"):
        file_digests(folder)


# Keys


def test_an_export_key_is_p256_in_its_one_encoding() -> None:
    made = ExportKey.from_text(base64.b64encode(spki(7)).decode())
    assert (made, made.to_text()) == (OWN.public, base64.b64encode(spki(7)).decode())
    assert isinstance(serialization.load_der_public_key(spki(7, point="compressed")), ec.EllipticCurvePublicKey)
    for raw, said in (
        (spki(7, ec.SECP384R1()), "not a P-256 key"),
        (spki(7, ec.SECP256K1()), "not a P-256 key"),
        (key("a").public.spki, "not a P-256 key"),
        (spki(7, point="compressed"), "foreign encoding"),
        (spki(7) + b"\x00", "not a public key|foreign encoding"),
        (b"", "not a public key"),
    ):
        with pytest.raises(FormatError, match=said):
            ExportKey.from_spki(raw)


def test_a_pair_is_kept_from_others_and_overwrites_nothing(tmp_path: Path) -> None:
    private, public = tmp_path / "x.pem", tmp_path / "x.pub"
    made = generate_export_pair(private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert load_export_private(private).public == made == load_export_public(public)
    assert made.verify(b"words", load_export_private(private).sign(b"words"))
    assert not made.verify(b"other", load_export_private(private).sign(b"words"))
    before = private.read_bytes()
    for pair in ((private, tmp_path / "y.pub"), (tmp_path / "y.pem", public)):
        with pytest.raises(KeyFileError, match="already exists"):
            generate_export_pair(*pair)
    assert private.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [private, public]
    private.chmod(0o640)
    with pytest.raises(KeyFileError, match="readable by others"):
        load_export_private(private)


def test_files_of_other_keys_are_refused(tmp_path: Path) -> None:
    path, own = tmp_path / "it.pem", serialization.PrivateFormat.PKCS8
    p384, plain = private_of(ec.SECP384R1(), 7), serialization.NoEncryption()
    locked = SIGNER.private_bytes(Encoding.PEM, own, serialization.BestAvailableEncryption(b"secret"))
    cases = ((locked, "without passphrase"), (p384.private_bytes(Encoding.PEM, own, plain), "not a P-256 key"))
    path.touch(mode=0o600)
    for raw, said in (*cases, (b"words", "without passphrase"), (OWN.public.pem(), "without passphrase")):
        path.write_bytes(raw)
        with pytest.raises(KeyFileError, match=said):
            load_export_private(path)
    for raw, said in (
        (p384.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "not a P-256 key"),
        (key("a").public.pem().encode(), "not a P-256 key"),
        (b"words", "not a public key in PEM"),
    ):
        path.write_bytes(raw)
        with pytest.raises(KeyFileError, match=said):
            load_export_public(path)


def test_an_owners_record_names_an_export_key_that_signs_nothing_of_the_owners() -> None:
    entry, record = OwnerKey.exporting(OWN.public), first("a")[1]
    assert entry.key_id == OWN.public.key_id
    fields = record.model_dump() | {"keys": (record.keys[0], entry)}
    assert OwnerRecord.model_validate(fields).signing_key_ids() == record.signing_key_ids()
    with pytest.raises(ValueError, match="threshold is greater"):
        OwnerRecord.model_validate(fields | {"threshold": 2})
    for changed in ({"purpose": "sign"}, {"purpose": "freshness"}, {"algorithm": "Ed25519"}):
        with pytest.raises(ValueError, match="export"):
            OwnerKey.model_validate(entry.model_dump() | changed)
