from __future__ import annotations

import base64
import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from plora.proto.errors import FormatError, KeyFileError, UsageError
from plora.proto.keys import ALGORITHMS, PublicKey, load_private_key, load_public_key
from plora.proto.signatures import (
    aggregate_signatures,
    generate_keypair,
    sign_sha256_hex,
    verify_aggregate,
    verify_bytes,
    verify_sha256_hex,
)

DIGEST, OTHER = "12" * 32, "34" * 32


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Three Ed25519 key pairs."""
    folder = tmp_path_factory.mktemp("keys")
    made = [(folder / f"{name}.pem", folder / f"{name}.pub") for name in ("ada", "bob", "cyd")]
    for private, public in made:
        generate_keypair(private, public, "Ed25519")
    return made


def test_the_default_is_rsa_pss_and_nothing_is_overwritten(tmp_path: Path) -> None:
    private, public = tmp_path / "priv.pem", tmp_path / "pub.pem"
    generate_keypair(private, public)
    assert load_public_key(public).algorithm == "RSA-PSS-SHA256"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    signature = sign_sha256_hex(private, DIGEST)
    assert verify_sha256_hex(public, DIGEST, signature)
    before = private.read_bytes()
    for new in ((private, tmp_path / "x"), (tmp_path / "x", public)):
        with pytest.raises(KeyFileError, match="already exists"):
            generate_keypair(*new)
    assert private.read_bytes() == before and not (tmp_path / "x").exists()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sign_and_verify(tmp_path: Path, algorithm: str) -> None:
    private, public = tmp_path / "priv.pem", tmp_path / "pub.pem"
    generate_keypair(private, public, algorithm)
    signature = sign_sha256_hex(private, DIGEST)
    assert verify_sha256_hex(public, DIGEST, signature)
    assert not verify_sha256_hex(public, OTHER, signature)
    for malformed in ("", "%", signature[:-4], signature + "\n"):
        assert not verify_sha256_hex(public, DIGEST, malformed)
    for malformed in ("", DIGEST.upper() + "A", DIGEST + "\n", DIGEST[:-1]):
        assert not verify_sha256_hex(public, malformed, signature)
        with pytest.raises(FormatError, match="64 lower-case"):
            sign_sha256_hex(private, malformed)


def test_attack_087_the_digest_context_is_no_oracle(pairs: list[tuple[Path, Path]]) -> None:
    private, public = pairs[0]
    signature = base64.b64decode(sign_sha256_hex(private, DIGEST))
    assert not verify_bytes(public, bytes.fromhex(DIGEST), signature)
    assert not verify_bytes(public, DIGEST.encode(), signature)
    raw = load_private_key(private).sign(bytes.fromhex(DIGEST))
    assert verify_bytes(public, bytes.fromhex(DIGEST), raw)
    assert not verify_sha256_hex(public, DIGEST, base64.b64encode(raw).decode())


def test_aggregate(pairs: list[tuple[Path, Path]]) -> None:
    signatures = [sign_sha256_hex(private, DIGEST) for private, _ in pairs]
    publics = [public for _, public in pairs]
    both = aggregate_signatures(signatures[:2])
    assert verify_aggregate(both, DIGEST, publics) and verify_aggregate(both, DIGEST, publics, quorum=2)
    assert not verify_aggregate(both, DIGEST, publics, quorum=3)
    assert not verify_aggregate(both, OTHER, publics, quorum=1)
    assert verify_aggregate(aggregate_signatures(signatures), DIGEST, publics, quorum=3)
    assert aggregate_signatures(reversed(signatures)) == aggregate_signatures(signatures)


def test_attack_040_041_one_signer_counts_once(pairs: list[tuple[Path, Path]]) -> None:
    private, public = pairs[0]
    signature = sign_sha256_hex(private, DIGEST)
    aggregate = aggregate_signatures([signature] * 5)
    assert not verify_aggregate(aggregate, DIGEST, [public, pairs[1][1]], quorum=2)
    with pytest.raises(UsageError, match="of 1 distinct"):
        verify_aggregate(aggregate, DIGEST, [public, public, load_public_key(public)], quorum=2)


@pytest.mark.parametrize("quorum", [0, -1, 4, True])
def test_attack_046_a_quorum_that_means_nothing(pairs: list[tuple[Path, Path]], quorum: int) -> None:
    keys: Sequence[PublicKey | Path] = [public for _, public in pairs]
    with pytest.raises(UsageError, match="quorum"):
        verify_aggregate(aggregate_signatures([sign_sha256_hex(pairs[0][0], DIGEST)]), DIGEST, keys, quorum)


def test_attack_049_garbage_beside_good_signatures(pairs: list[tuple[Path, Path]]) -> None:
    good = [sign_sha256_hex(private, DIGEST) for private, _ in pairs[:2]]
    publics = [public for _, public in pairs]
    assert verify_aggregate(aggregate_signatures([*good, "AAAA", "%"]), DIGEST, publics)
    for count in (0, 17):
        with pytest.raises(UsageError):
            aggregate_signatures(f"{place}" for place in range(count))
    flood = sorted([*good, *(f"{place}" for place in range(15))])
    text = json.dumps({"schema_version": 0, "signatures": flood}, separators=(",", ":"))
    assert not verify_aggregate(text, DIGEST, publics)


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", '{"signatures":5}', '{"signatures":[5]}', "\ud800"])
def test_a_malformed_aggregate_verifies_nothing(pairs: list[tuple[Path, Path]], text: str) -> None:
    assert not verify_aggregate(text, DIGEST, [public for _, public in pairs], quorum=1)


def test_an_untagged_aggregate_verifies_nothing(pairs: list[tuple[Path, Path]]) -> None:
    signature = sign_sha256_hex(pairs[0][0], DIGEST)
    for text in (f'{{"signatures":["{signature}"]}}', f'["{signature}"]', signature):
        assert not verify_aggregate(text, DIGEST, [pairs[0][1]], quorum=1)
