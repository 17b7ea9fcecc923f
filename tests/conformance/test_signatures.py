"""Others' tools verify what Plora signs, and Plora what they sign: securesystemslib, OpenSSL's command line, PyNaCl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from nacl.signing import SigningKey, VerifyKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._crypto_signer import CryptoSigner
from securesystemslib.signer._key import SSlibKey
from securesystemslib.signer._signature import Signature

from plora.proto.dsse import StatementKind, pae
from plora.proto.keys import (
    ED25519,
    RSA_PSS_SHA256,
    PrivateKey,
    generate_private_key,
    load_private_key,
    load_public_key,
)
from plora.proto.payloads import Attestation
from plora.proto.statement import Statement, sign_statement, verify_statement

MESSAGE = b"what is signed\x00\xff" * 7
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the command `openssl` isn't installed")
SCHEMES = {ED25519: ("ed25519", "ed25519"), RSA_PSS_SHA256: ("rsa", "rsassa-pss-sha256")}
PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-sigopt", "rsa_mgf1_md:sha256")


@pytest.fixture(scope="module", params=[ED25519, RSA_PSS_SHA256])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    return generate_private_key(str(request.param))


def foreign_key(key: PrivateKey) -> SSlibKey:
    """The public key as securesystemslib names it."""
    kind, scheme = SCHEMES[key.public.algorithm]
    public = key.public.spki[-32:].hex() if kind == "ed25519" else key.public.pem()
    return SSlibKey(key.public.key_id, kind, scheme, {"public": public})


def attestation(key: PrivateKey) -> Statement:
    payload = Attestation(
        swarm="ab" * 32, issued="2026-01-01T00:00:00Z", key_id=key.public.key_id, owner="cd" * 32, target="ef" * 32
    )
    return sign_statement(StatementKind.ATTESTATION, payload, key)


def enveloped(statement: Statement) -> Envelope:
    return Envelope(
        statement.payload, statement.kind, {statement.key_id: Signature(statement.key_id, statement.signature.hex())}
    )


def test_securesystemslib_verifies_a_statement_as_a_dsse_envelope(key: PrivateKey) -> None:
    statement = attestation(key)
    envelope = enveloped(statement)
    assert envelope.pae() == pae(statement.kind, statement.payload)
    assert list(envelope.verify([foreign_key(key)], 1)) == [key.public.key_id]
    other = Envelope(statement.payload, StatementKind.VOTE, envelope.signatures)
    with pytest.raises(VerificationError):
        other.verify([foreign_key(key)], 1)


def test_plora_verifies_what_securesystemslib_signs(key: PrivateKey, tmp_path: Path) -> None:
    key.save(tmp_path / "key.pem")
    signer = CryptoSigner(load_pem_private_key((tmp_path / "key.pem").read_bytes(), None), foreign_key(key))
    unsigned = Envelope(attestation(key).payload, StatementKind.ATTESTATION, {})
    made = unsigned.sign(signer)
    statement = Statement(
        StatementKind.ATTESTATION, unsigned.payload, key.public.key_id, key.public.algorithm,
        bytes.fromhex(made.signature),
    )  # fmt: skip
    assert verify_statement(statement, key.public)


@needs_openssl
def test_openssl_verifies_what_plora_signs(key: PrivateKey, tmp_path: Path) -> None:
    write_all(key, tmp_path, key.sign(MESSAGE))
    assert openssl_verifies(key, tmp_path)
    (tmp_path / "message").write_bytes(MESSAGE + b".")
    assert not openssl_verifies(key, tmp_path)


@needs_openssl
def test_plora_verifies_what_openssl_signs(key: PrivateKey, tmp_path: Path) -> None:
    write_all(key, tmp_path, b"")
    if key.public.algorithm == ED25519:
        run("pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "message", "-out", "signature", at=tmp_path)
    else:
        run("dgst", "-sha256", *PSS, "-sign", "key.pem", "-out", "signature", "message", at=tmp_path)
    assert key.public.verify(MESSAGE, (tmp_path / "signature").read_bytes())


@needs_openssl
@pytest.mark.parametrize("salt", ["0", "20", "max"])
def test_a_pss_signature_of_openssl_with_another_salt_is_refused(tmp_path: Path, salt: str) -> None:
    key = generate_private_key(RSA_PSS_SHA256)
    write_all(key, tmp_path, b"")
    other = [part.replace("saltlen:32", f"saltlen:{salt}") for part in PSS]
    run("dgst", "-sha256", *other, "-sign", "key.pem", "-out", "signature", "message", at=tmp_path)
    assert not key.public.verify(MESSAGE, (tmp_path / "signature").read_bytes())


@needs_openssl
@pytest.mark.parametrize("algorithm", ["ED25519", "RSA"])
def test_a_key_that_openssl_made_is_read_with_the_id_that_openssl_gives(tmp_path: Path, algorithm: str) -> None:
    bits = ("-pkeyopt", "rsa_keygen_bits:2048") if algorithm == "RSA" else ()
    run("genpkey", "-algorithm", algorithm, *bits, "-out", "key.pem", at=tmp_path)
    (tmp_path / "key.pem").chmod(0o600)
    run("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub", at=tmp_path)
    run("pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "key.der", at=tmp_path)
    digest = run("dgst", "-sha256", "-r", "key.der", at=tmp_path).stdout.split()[0].decode()
    private = load_private_key(tmp_path / "key.pem")
    assert private.public.key_id == load_public_key(tmp_path / "key.pub").key_id == digest


def test_pynacl_and_plora_verify_each_other() -> None:
    key = generate_private_key(ED25519)
    assert VerifyKey(key.public.spki[-32:]).verify(MESSAGE, key.sign(MESSAGE)) == MESSAGE
    theirs = SigningKey.generate()
    ours = type(key.public).from_spki(key.public.spki[:-32] + bytes(theirs.verify_key))
    assert ours.verify(MESSAGE, theirs.sign(MESSAGE).signature)


def write_all(key: PrivateKey, folder: Path, signature: bytes) -> None:
    key.save(folder / "key.pem")
    (folder / "key.pub").write_text(key.public.pem())
    (folder / "message").write_bytes(MESSAGE)
    (folder / "signature").write_bytes(signature)


def openssl_verifies(key: PrivateKey, at: Path) -> bool:
    command: tuple[str, ...]
    if key.public.algorithm == ED25519:
        command = (
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "key.pub",
            "-rawin",
            "-in",
            "message",
            "-sigfile",
            "signature",
        )
    else:
        command = ("dgst", "-sha256", *PSS, "-verify", "key.pub", "-signature", "signature", "message")
    return run(*command, at=at, check=False).returncode == 0


def run(*command: str, at: Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    assert OPENSSL is not None
    return subprocess.run([OPENSSL, *command], cwd=at, check=check, capture_output=True, timeout=60)
