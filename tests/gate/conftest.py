"""A small world for the gate's tests: owners with fixed keys, adapters made of numbers, signed manifests, cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from plora.gate import Case, Features, Policy, Trust, TrustedOwner, examine
from plora.proto.chunks import describe_artifact
from plora.proto.dsse import StatementKind
from plora.proto.fields import parse_timestamp
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.manifest import Artifacts, Manifest
from plora.proto.payloads import Attestation, OwnerKey, OwnerRecord, Revocation
from plora.proto.statement import Statement, open_statement, sign_statement

SWARM = "5a" * 32
ISSUED = "2026-01-01T00:00:00Z"
EXPIRES = "2027-01-01T00:00:00Z"
NOW_MS = parse_timestamp("2026-06-01T00:00:00Z") * 1000
CHUNK_BYTES = 16 * 1024
MODULE = "model.layers.0.self_attn.q_proj"
TYPE_NAMES = {"float32": "F32", "float16": "F16", "float64": "F64", "int32": "I32"}

Tensors = Mapping[str, npt.NDArray[Any]]


def a_name(module: str = MODULE) -> str:
    """The tensor name of a module's factor A."""
    return f"base_model.model.{module}.lora_A.weight"


def b_name(module: str = MODULE) -> str:
    """The tensor name of a module's factor B."""
    return f"base_model.model.{module}.lora_B.weight"


def key_of(name: str) -> PrivateKey:
    """The fixed Ed25519 key of a name."""
    return private_key_from_seed(hashlib.sha256(name.encode()).digest())


def safetensors_bytes(tensors: Tensors) -> bytes:
    """A plain safetensors file, written independently of the project's own writer."""
    header: dict[str, object] = {}
    body = b""
    for name in sorted(tensors):
        raw = tensors[name].tobytes()
        place = [len(body), len(body) + len(raw)]
        header[name] = {
            "dtype": TYPE_NAMES[tensors[name].dtype.name],
            "shape": list(tensors[name].shape),
            "data_offsets": place,
        }
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + body


def factors(
    rank: int = 4, in_dim: int = 16, out_dim: int = 12, *, seed: int = 0, dtype: str = "float32"
) -> dict[str, npt.NDArray[Any]]:
    """One module's pair of factors with small random numbers."""
    rng = np.random.default_rng(seed)
    a = (0.1 * rng.standard_normal((rank, in_dim))).astype(dtype)
    b = (0.1 * rng.standard_normal((out_dim, rank))).astype(dtype)
    return {a_name(): a, b_name(): b}


@dataclass(frozen=True)
class Owner:
    """An owner with one key or several, and the record that makes their id."""

    name: str
    keys: tuple[PrivateKey, ...]
    record: Statement

    @property
    def id(self) -> str:
        return self.record.id.hex()

    @property
    def key(self) -> PrivateKey:
        return self.keys[0]


@dataclass(frozen=True)
class World:
    """Makes what tests judge. Everything is deterministic."""

    folder: Path

    def owner(self, name: str, *, keys: int = 1, threshold: int = 1) -> Owner:
        own = tuple(key_of(f"{name} {index}") for index in range(keys))
        return Owner(name, own, self.owner_record(name, own, threshold=threshold))

    def owner_record(self, name: str, keys: tuple[PrivateKey, ...], *, threshold: int = 1, **more: Any) -> Statement:
        signer = more.pop("signer", keys[0])
        fields = {
            "swarm": SWARM,
            "issued": ISSUED,
            "key_id": signer.public.key_id,
            "name": name,
            "version": 1,
            "keys": tuple(OwnerKey.of(key.public) for key in keys),
            "threshold": threshold,
        }
        return sign_statement(StatementKind.OWNER, OwnerRecord(**(fields | more)), signer)

    def trust(self, *owners: Owner, **scope: Any) -> Trust:
        return Trust(tuple(TrustedOwner.of_record(owner.record, **scope) for owner in owners), version=1)

    def file(self, tensors: Tensors | bytes) -> Path:
        raw = tensors if isinstance(tensors, bytes) else safetensors_bytes(tensors)
        path = self.folder / hashlib.sha256(raw).hexdigest()[:16]
        path.write_bytes(raw)
        return path

    def features(self, tensors: Tensors | bytes) -> Features:
        return examine(self.file(tensors), chunk_bytes=CHUNK_BYTES)

    def manifest(self, owner: Owner, raw: bytes, **changes: Any) -> Manifest:
        key = changes.pop("key", owner.key)
        lora = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ("q_proj",)} | changes.pop("lora", {})
        artifacts = Artifacts.of(describe_artifact(raw, CHUNK_BYTES)).model_dump() | changes.pop("artifacts", {})
        fields = {
            "swarm": SWARM,
            "issued": ISSUED,
            "owner": owner.id,
            "lineage": owner.id,
            "plasmid_id": "legal-r4",
            "version": 1,
            "expires": EXPIRES,
            "domain": "legal",
            "base_model": "mini",
            "base_digest": "ba" * 32,
            "lora": lora,
            "artifacts": artifacts,
            "safety": {"licence": "MIT", "poisoning_score": 0.0},
            "signer": {"algo": key.public.algorithm, "pubkey_fingerprint": key.public.key_id},
        }
        return Manifest.of_fields(fields | changes)

    def case(self, owner: Owner, tensors: Tensors | bytes | None = None, **changes: Any) -> Case:
        """A case for the adapter of these tensors (or file bytes), signed by the owner; changes are the manifest's."""
        made = factors() if tensors is None else tensors
        raw = made if isinstance(made, bytes) else safetensors_bytes(made)
        key = changes.get("key", owner.key)
        manifest = self.manifest(owner, raw, **changes)
        statement = sign_statement(StatementKind.MANIFEST, manifest, key)
        return Case(statement, manifest, NOW_MS, swarm=SWARM, features=self.features(raw))

    def attestation(
        self, owner: Owner, target: Statement, *, key: PrivateKey | None = None, **changes: Any
    ) -> tuple[Statement, Attestation]:
        signer = key or owner.key
        fields = {
            "swarm": SWARM,
            "owner": owner.id,
            "target": target.id.hex(),
            "key_id": signer.public.key_id,
            "issued": ISSUED,
        }
        body = Attestation(**(fields | changes))
        return sign_statement(StatementKind.ATTESTATION, body, signer), body

    def revocation(
        self, owner: Owner, target_kind: str, target: str, *, key: PrivateKey | None = None
    ) -> tuple[Statement, Revocation]:
        signer = key or owner.key
        body = Revocation.model_validate(
            {
                "swarm": SWARM,
                "owner": owner.id,
                "target_kind": target_kind,
                "target": target,
                "reason": "stolen",
                "key_id": signer.public.key_id,
                "issued": ISSUED,
            }
        )
        return sign_statement(StatementKind.REVOCATION, body, signer), body


def forged(statement: Statement) -> Statement:
    """The statement with one bit of its signature flipped."""
    signature = bytes([statement.signature[0] ^ 1]) + statement.signature[1:]
    return replace(statement, signature=signature)


def record_of(statement: Statement) -> tuple[Statement, OwnerRecord]:
    """An owner statement with its payload, as a case holds it."""
    record = open_statement(statement)
    assert isinstance(record, OwnerRecord)
    return statement, record


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def ada(world: World) -> Owner:
    return world.owner("ada")


@pytest.fixture
def bob(world: World) -> Owner:
    return world.owner("bob")


@pytest.fixture
def policy() -> Policy:
    return Policy(base_model="mini", allowed_ranks=(4,), allowed_targets=("q_proj",))
