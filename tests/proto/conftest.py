"""What the tests of the contracts share: fixed keys, and a manifest's plain fields."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from plora.proto.dsse import StatementKind
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.manifest import Manifest
from plora.proto.payloads import Attestation
from plora.proto.statement import Statement, sign_statement

SWARM = "5a" * 32


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    """Ada's key."""
    return private_key_from_seed(hashlib.sha256(b"ada").digest())


@pytest.fixture(scope="session")
def other_key() -> PrivateKey:
    """Bob's key."""
    return private_key_from_seed(hashlib.sha256(b"bob").digest())


@pytest.fixture
def fields(key: PrivateKey) -> dict[str, Any]:
    """The fields of a manifest that is in order."""
    return copy.deepcopy(
        {
            "schema_version": 0,
            "plasmid_id": "legal-r4",
            "domain": "legal",
            "base_model": "google/gemma-3-1b-it",
            "peft_format": "lora",
            "lora": {"r": 4, "alpha": 8, "dropout": 0.1, "target_modules": ["q_proj", "v_proj"]},
            "artifacts": {
                "filename": "adapter_model.safetensors",
                "sha256": "12" * 32,
                "size_bytes": 40_000,
                "chunk_bytes": 16_384,
                "chunk_count": 3,
                "chunk_root": "34" * 32,
            },
            "metrics": {"val_ppl_before": 12.5, "val_ppl_after": 8.2, "delta_ppl": -4.3},
            "safety": {"licence": "MIT", "poisoning_score": 0.0},
            "signer": {"algo": "Ed25519", "pubkey_fingerprint": key.public.key_id},
            "swarm": SWARM,
            "owner": "ab" * 32,
            "lineage": "cd" * 32,
            "version": 3,
            "issued": "2026-01-01T00:00:00Z",
            "expires": "2027-01-01T00:00:00Z",
            "base_digest": "ef" * 32,
        }
    )


@pytest.fixture
def manifest(fields: dict[str, Any]) -> Manifest:
    """A manifest in order."""
    return Manifest.of_fields(fields)


@pytest.fixture
def signed(manifest: Manifest, key: PrivateKey) -> Statement:
    """The manifest under Ada's signature."""
    return sign_statement(StatementKind.MANIFEST, manifest, key)


@pytest.fixture
def attestation(signed: Statement, other_key: PrivateKey) -> Statement:
    """Bob's co-signature."""
    payload = Attestation(
        swarm=SWARM,
        owner="0b" * 32,
        target=signed.id.hex(),
        key_id=other_key.public.key_id,
        issued="2026-02-01T00:00:00Z",
    )
    return sign_statement(StatementKind.ATTESTATION, payload, other_key)
