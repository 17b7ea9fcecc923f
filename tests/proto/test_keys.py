from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.errors import FormatError, KeyFileError, UsageError
from plora.proto.keys import (
    ALGORITHMS,
    ED25519,
    RSA_PSS_SHA256,
    PrivateKey,
    PublicKey,
    decode_base64,
    generate_private_key,
    load_private_key,
    load_public_key,
    private_key_from_seed,
)


@pytest.fixture(scope="module", params=ALGORITHMS)
def made(request: pytest.FixtureRequest) -> PrivateKey:
    return generate_private_key(request.param)


def test_sign_verify_and_texts(made: PrivateKey) -> None:
    signature = made.sign(b"message")
    again = PublicKey.from_text(made.public.to_text())
    assert again == made.public and again.key_id == made.public.key_id and again.algorithm == made.public.algorithm
    assert again.verify(b"message", signature)
    assert not again.verify(b"messagf", signature)
    assert not again.verify(b"message", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert made.public.key_id not in repr(made).replace(made.public.key_id, "", 1)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_save_and_load(made: PrivateKey, tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "key.pem"
    made.save(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = load_private_key(path, passphrase)
    assert loaded.public == made.public
    assert made.public.verify(b"x", loaded.sign(b"x"))
    with pytest.raises(KeyFileError, match="already exists"):
        made.save(path)


def test_a_passphrase_is_needed_and_must_be_right(key: PrivateKey, tmp_path: Path) -> None:
    locked, plain = tmp_path / "locked.pem", tmp_path / "plain.pem"
    key.save(locked, "right")
    key.save(plain)
    with pytest.raises(KeyFileError, match="give its passphrase"):
        load_private_key(locked)
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        load_private_key(locked, "wrong")
    with pytest.raises(KeyFileError, match="leave the passphrase out"):
        load_private_key(plain, "any")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o601])
def test_a_key_that_others_can_read_is_refused(key: PrivateKey, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    key.save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        load_private_key(path)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    for load in (load_private_key, load_public_key):
        with pytest.raises(KeyFileError, match="plora keygen"):
            load(missing)
    missing.touch(mode=0o600)
    with pytest.raises(KeyFileError, match="not a private key"):
        load_private_key(missing)
    with pytest.raises(KeyFileError, match="not a public key"):
        load_public_key(missing)
    with pytest.raises(KeyFileError, match="can't be written"):
        generate_private_key().save(tmp_path / "no" / "folder.pem")


def foreign_keys() -> list[tuple[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]]:
    return [
        ("1024 bits", rsa.generate_private_key(65537, 1024)),
        ("exponent 3", rsa.generate_private_key(3, 2048)),
        ("can't sign here", ec.generate_private_key(ec.SECP256R1())),
    ]


def test_attack_045_foreign_key_files(tmp_path: Path) -> None:
    for reason, foreign in foreign_keys():
        private, public = tmp_path / f"{reason}.pem", tmp_path / f"{reason}.pub"
        private.write_bytes(
            foreign.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        private.chmod(0o600)
        public.write_bytes(
            foreign.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        with pytest.raises(KeyFileError, match=reason):
            load_private_key(private)
        with pytest.raises(KeyFileError, match=reason):
            load_public_key(public)


def test_public_pem_takes_one_block_only(key: PrivateKey, tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(key.public.pem(), encoding="ascii")
    assert load_public_key(path) == key.public
    path.write_text(key.public.pem() * 2, encoding="ascii")
    with pytest.raises(KeyFileError, match="one 'BEGIN PUBLIC KEY' block"):
        load_public_key(path)


def test_unknown_algorithm() -> None:
    with pytest.raises(UsageError, match="RSA-PSS-SHA256"):
        generate_private_key("ECDSA")


@pytest.mark.parametrize("text", ["YQ", "YQ==\n", " YQ==", "YR==", "Y-==", "é", "YQ==YQ=="])
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(FormatError):
        decode_base64(text)


def test_base64() -> None:
    assert decode_base64("YQ==") == b"a"


def test_rfc_8032_vector_2() -> None:
    key = private_key_from_seed(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 511))
def test_any_changed_bit_voids_a_signature(message: bytes, bit: int) -> None:
    key = private_key_from_seed(bytes(32))
    signature = bytearray(key.sign(message))
    assert key.public.verify(message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not key.public.verify(message, bytes(signature))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
def test_openssl_agrees_on_rsa_pss(tmp_path: Path) -> None:
    made = generate_private_key(RSA_PSS_SHA256)
    made.save(tmp_path / "key")
    for name, data in (("pub", made.public.pem().encode()), ("message", b"hello"), ("sig", made.sign(b"hello"))):
        (tmp_path / name).write_bytes(data)
    options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-sigopt", "rsa_mgf1_md:sha256"]
    verify = ["openssl", "dgst", "-sha256", *options, "-verify", "pub", "-signature", "sig", "message"]
    assert b"Verified OK" in subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True).stdout
    sign = ["openssl", "dgst", "-sha256", *options, "-sign", "key", "-out", "theirs", "message"]
    subprocess.run(sign, cwd=tmp_path, check=True, capture_output=True)
    assert made.public.verify(b"hello", (tmp_path / "theirs").read_bytes())


def test_algorithm_names() -> None:
    assert (ED25519, RSA_PSS_SHA256) == ("Ed25519", "RSA-PSS-SHA256")
