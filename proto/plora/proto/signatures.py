"""Signatures over bare SHA-256 digests, and aggregates of them: the specification's public functions.

Rules:

- What is signed is DSSE's encoding of `{"sha256": "<hex>"}` under a payload type of its own, so such a signature is
  never one of a manifest: nobody can use `sign_sha256_hex` to obtain one.
- An aggregate counts *distinct keys*, each with a signature of its own. At most 16 signatures; more is malformed.
- A quorum of 0 or less, or more than there are distinct keys, is refused: it would always, or never, pass.
- `verify_bytes` verifies over the message itself, without any context, for foreign test vectors.
- Not handled here: owners. Plora's own quorum counts owners, never keys (room `gate`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from plora.proto.canonical import canonical_bytes, hex_digest, is_hex_digest, parse_canonical
from plora.proto.dsse import SHA256_CONTEXT, pae
from plora.proto.errors import FormatError, KeyFileError, UsageError
from plora.proto.keys import (
    RSA_PSS_SHA256,
    PublicKey,
    decode_base64,
    generate_private_key,
    load_private_key,
    load_public_key,
    write_new_file,
)

SIGNATURES_MAX = 16
AGGREGATE_BYTES_MAX = 16 * 1024


def generate_keypair(priv_path: Path, pub_path: Path, algorithm: str = RSA_PSS_SHA256) -> None:
    """Make a key pair in two new PEM files, the private one with mode 0600.

    Raises `KeyFileError` when either file exists (nothing is written then), `UsageError` for an unknown algorithm.
    """
    for path in (priv_path, pub_path):
        if path.exists():
            mend = "choose another path; a key file is never overwritten"
            raise KeyFileError("already exists", where=str(path), mend=mend)
    key = generate_private_key(algorithm)
    key.save(priv_path)
    write_new_file(pub_path, key.public.pem().encode("ascii"), mode=0o644)


def sign_sha256_hex(priv_path: Path, sha256_hex: str) -> str:
    """Base64 of the signature over a digest of 64 hexadecimal digits; `FormatError` for any other text."""
    hex_digest(sha256_hex)
    return base64.b64encode(load_private_key(priv_path).sign(_message(sha256_hex))).decode("ascii")


def verify_sha256_hex(pub_path: Path, sha256_hex: str, sig_b64: str) -> bool:
    """Whether `sig_b64` is a signature of `sign_sha256_hex` over this digest; malformed input is simply False."""
    return _verifies(load_public_key(pub_path), sha256_hex, sig_b64)


def verify_bytes(public_key_path: Path, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's over exactly `message`, without any context of Plora's."""
    return load_public_key(public_key_path).verify(message, signature)


def aggregate_signatures(signatures: Iterable[str]) -> str:
    """Canonical JSON that holds 1 to 16 base64 signatures, sorted, each once; `UsageError` for any other count."""
    distinct = sorted(dict.fromkeys(signatures))
    if not 1 <= len(distinct) <= SIGNATURES_MAX:
        raise UsageError(f"{len(distinct)} signatures", mend=f"aggregate 1 to {SIGNATURES_MAX}")
    return canonical_bytes({"schema_version": 0, "signatures": distinct}).decode("utf-8")


def verify_aggregate(aggregate: str, sha256_hex: str, public_keys: Sequence[Path | PublicKey], quorum: int = 2) -> bool:
    """Whether at least `quorum` distinct keys of `public_keys` signed the digest.

    Raises `UsageError` when the quorum can't be meant: not an integer, 0 or less, more than there are distinct keys.
    """
    loaded = (key if isinstance(key, PublicKey) else load_public_key(key) for key in public_keys)
    distinct = {key.key_id: key for key in loaded}
    if isinstance(quorum, bool) or not 1 <= quorum <= len(distinct):
        raise UsageError(
            f"a quorum of {quorum} of {len(distinct)} distinct keys", mend="choose 1 to the number of keys"
        )
    signatures = _signatures_of(aggregate)
    signed = 0
    for key in distinct.values():
        signed += any(_verifies(key, sha256_hex, signature) for signature in signatures)
    return signed >= quorum


def _message(sha256_hex: str) -> bytes:
    return pae(SHA256_CONTEXT, canonical_bytes({"sha256": sha256_hex}))


def _verifies(key: PublicKey, sha256_hex: str, sig_b64: str) -> bool:
    if not is_hex_digest(sha256_hex):
        return False
    try:
        signature = decode_base64(sig_b64)
    except FormatError:
        return False
    return key.verify(_message(sha256_hex), signature)


def _signatures_of(aggregate: str) -> list[str]:
    """The signatures of a well-formed aggregate, an empty list otherwise."""
    try:
        fields = parse_canonical(aggregate.encode("utf-8"), AGGREGATE_BYTES_MAX)
        signatures = fields["signatures"]
        again = aggregate_signatures(signatures)
    except (FormatError, UsageError, UnicodeEncodeError, KeyError, TypeError):
        return []
    return list(signatures) if again == aggregate else []
