"""Owners' keys: Ed25519 and RSA-PSS, loaded strictly, named by a digest of their numbers.

Rules:

- Ed25519 (RFC 8032): the public key must be a canonical encoding of a point of prime order, checked when it is loaded
  and again at each verification.
- RSA: `rsaEncryption` SubjectPublicKeyInfo only, 2048 to 4096 bits, e = 65537; signatures are PSS with SHA-256, MGF1
  with SHA-256 and a salt of exactly 32 bytes. Automatic salt lengths would accept any salt.
- A key id is SHA-256 of the SubjectPublicKeyInfo *re-encoded from the numbers*, and an input encoded in any other way
  is refused, so one key has one id and one text.
- Private key files are made 0600 and never overwritten; one that others can read is refused.
- Not handled here: which owner a key belongs to, and whether anybody trusts it (room `gate`).

>>> key = generate_private_key("Ed25519")
>>> key.public.verify(b"message", key.sign(b"message")), key.public.verify(b"other", key.sign(b"message"))
(True, False)
>>> PublicKey.from_text(key.public.to_text()) == key.public
True
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    RSAPublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.rsa import (
    generate_private_key as generate_rsa_key,
)
from nacl.bindings import crypto_core_ed25519_is_valid_point

from plora.proto.canonical import sha256_hex
from plora.proto.errors import FormatError, KeyFileError, UsageError

ED25519 = "Ed25519"
RSA_PSS_SHA256 = "RSA-PSS-SHA256"
ALGORITHMS = (ED25519, RSA_PSS_SHA256)
SIGNATURE_BYTES_MAX = 512
KEY_FILE_BYTES_MAX = 16 * 1024

_RSA_BITS_MIN = 2048
_RSA_BITS_MAX = 4096
_RSA_BITS_NEW = 3072
_RSA_EXPONENT = 65537
_SALT_BYTES = 32
_PEM_PUBLIC = re.compile(rb"\s*-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*")

_AnyPublic = Ed25519PublicKey | RSAPublicKey
_AnyPrivate = Ed25519PrivateKey | RSAPrivateKey


@dataclass(frozen=True)
class PublicKey:
    """A public key that passed every check of this module; equality and hash are those of its encoding."""

    algorithm: str
    spki: bytes = field(repr=False)
    _key: _AnyPublic = field(repr=False, compare=False)

    @classmethod
    def from_spki(cls, spki: bytes) -> PublicKey:
        """The key in a DER SubjectPublicKeyInfo; `FormatError` when it breaks a rule of this module."""
        try:
            key = serialization.load_der_public_key(spki)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise FormatError("not a public key (DER SubjectPublicKeyInfo)") from error
        made = cls._checked(key)
        if made.spki != spki:
            raise FormatError("public key in a foreign encoding", mend="use rsaEncryption or Ed25519, in plain DER")
        return made

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """The key in base64 of DER SubjectPublicKeyInfo, as `to_text` writes it."""
        return cls.from_spki(decode_base64(text))

    @classmethod
    def _checked(cls, key: object) -> PublicKey:
        if isinstance(key, Ed25519PublicKey):
            if not crypto_core_ed25519_is_valid_point(key.public_bytes_raw()):
                raise FormatError("weak Ed25519 key: not a canonical point of prime order")
            return cls(ED25519, _spki(key), key)
        if not isinstance(key, RSAPublicKey):
            raise FormatError(f"a {type(key).__name__} can't sign here", mend=f"use {' or '.join(ALGORITHMS)}")
        numbers = key.public_numbers()
        if not _RSA_BITS_MIN <= key.key_size <= _RSA_BITS_MAX:
            raise FormatError(f"RSA key of {key.key_size} bits", mend=f"use {_RSA_BITS_MIN} to {_RSA_BITS_MAX} bits")
        if numbers.e != _RSA_EXPONENT:
            raise FormatError(f"RSA key with exponent {numbers.e}", mend=f"use e = {_RSA_EXPONENT}")
        plain = RSAPublicNumbers(numbers.e, numbers.n).public_key()
        return cls(RSA_PSS_SHA256, _spki(plain), plain)

    @cached_property
    def key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits."""
        return sha256_hex(self.spki)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over exactly `message`."""
        try:
            if isinstance(self._key, Ed25519PublicKey):
                if not crypto_core_ed25519_is_valid_point(self._key.public_bytes_raw()):
                    return False
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, _pss(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def to_text(self) -> str:
        """Base64 of the DER SubjectPublicKeyInfo, on one line."""
        return base64.b64encode(self.spki).decode("ascii")

    def pem(self) -> str:
        """The key as a PEM file's text."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(encoding, form).decode("ascii")


@dataclass(frozen=True)
class PrivateKey:
    """A private key; its `repr` shows the public key's id only."""

    public: PublicKey
    _key: _AnyPrivate = field(repr=False, compare=False)

    def sign(self, message: bytes) -> bytes:
        """A signature over exactly `message`: 64 bytes (Ed25519) or the modulus' length (RSA-PSS, randomised)."""
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, _pss(), hashes.SHA256())

    def save(self, path: Path, passphrase: str | None = None) -> None:
        """Write PKCS #8 PEM to a new file of mode 0600, encrypted when a passphrase is given.

        Raises `KeyFileError` when the file exists: a key is never overwritten.
        """
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase.encode("utf-8"))
        pem = self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        write_new_file(path, pem, mode=0o600)


def generate_private_key(algorithm: str = ED25519) -> PrivateKey:
    """A new key from the system's randomness; `UsageError` for an algorithm not in `ALGORITHMS`."""
    if algorithm == ED25519:
        return _private(Ed25519PrivateKey.generate())
    if algorithm == RSA_PSS_SHA256:
        return _private(generate_rsa_key(_RSA_EXPONENT, _RSA_BITS_NEW))
    raise UsageError(f"unknown algorithm '{algorithm}'", mend=f"use {' or '.join(ALGORITHMS)}")


def private_key_from_seed(seed: bytes) -> PrivateKey:
    """The Ed25519 key of a 32-byte RFC 8032 secret, for test vectors and simulations."""
    return _private(Ed25519PrivateKey.from_private_bytes(seed))


def load_private_key(path: Path, passphrase: str | None = None) -> PrivateKey:
    """The key in a PEM file that nobody else can read.

    Raises `KeyFileError` when the file is missing, readable by group or others, not a private key that this module
    knows, or when the passphrase is missing or wrong.
    """
    pem = read_key_file(path, private=True)
    secret = None if passphrase is None else passphrase.encode("utf-8")
    try:
        return _private(serialization.load_pem_private_key(pem, secret))
    except TypeError as error:
        mend = "give its passphrase" if passphrase is None else "leave the passphrase out"
        raise KeyFileError(str(error).rstrip("."), where=str(path), mend=mend) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "not a private key, or the passphrase is wrong"
        raise KeyFileError(what, where=str(path), mend="make one with `plora keygen`") from error
    except FormatError as error:
        raise KeyFileError(error.what, where=str(path), mend=error.mend) from error


def load_public_key(path: Path) -> PublicKey:
    """The key in a PEM file (`BEGIN PUBLIC KEY`); `KeyFileError` when it is missing, foreign or weak."""
    match = _PEM_PUBLIC.fullmatch(read_key_file(path, private=False))
    if match is None:
        raise KeyFileError("not a public key in PEM", where=str(path), mend="expected one 'BEGIN PUBLIC KEY' block")
    try:
        return PublicKey.from_text("".join(match[1].decode("ascii").split()))
    except FormatError as error:
        raise KeyFileError(error.what, where=str(path), mend=error.mend) from error


def write_new_file(path: Path, data: bytes, mode: int) -> None:
    """Create `path` with `mode` and write `data` durably; `KeyFileError` when it exists or can't be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        mend = "choose another path; a key file is never overwritten"
        raise KeyFileError("already exists", where=str(path), mend=mend) from error
    except OSError as error:
        raise KeyFileError(f"can't be written ({error.strerror})", where=str(path)) from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def decode_base64(text: str) -> bytes:
    """Bytes of canonical, padded base64 without blanks; `FormatError` for any other spelling."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise FormatError("not base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise FormatError("base64 in another than its one canonical spelling")
    return data


def _private(key: object) -> PrivateKey:
    if isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
        return PrivateKey(PublicKey._checked(key.public_key()), key)
    raise FormatError(f"a {type(key).__name__} can't sign here", mend=f"use {' or '.join(ALGORITHMS)}")


def _spki(key: _AnyPublic) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pss() -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=_SALT_BYTES)


def read_key_file(path: Path, *, private: bool) -> bytes:
    """The bytes of a key file; `KeyFileError` when it can't be read, or a private one can be read by others."""
    try:
        with path.open("rb") as stream:
            if private and os.name == "posix" and stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                raise KeyFileError("readable by others", where=str(path), mend=f"chmod 600 {path}")
            return stream.read(KEY_FILE_BYTES_MAX)
    except OSError as error:
        mend = "make one with `plora keygen`" if isinstance(error, FileNotFoundError) else ""
        raise KeyFileError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error
