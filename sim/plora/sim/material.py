"""Small honest things for simulations: owners, adapters, manifests. Deterministic by their arguments.

>>> ada = make_owner("ada", "ab" * 32)
>>> data = tiny_adapter(seed=1)
>>> plasmid = make_plasmid(ada, "legal", data)
>>> plasmid.manifest.artifacts.size_bytes == len(data)
True
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from plora.gate import TrustedOwner
from plora.merge.safetensors_io import tensors_to_bytes
from plora.proto.chunks import describe_artifact
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.manifest import Artifacts, Lora, Manifest, Safety, Signer
from plora.proto.payloads import Attestation, OwnerKey, OwnerRecord, Revocation
from plora.proto.statement import Statement, sign_statement
from plora.sim.clock import WALL_START_MS

ISSUED_S = WALL_START_MS // 1000 - 3600
LIFE_S = 90 * 86_400
CHUNK_BYTES = 16 * 1024
BASE = "mini"
BASE_DIGEST = "ba5e" * 16


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody who signs. `id` is the owner id in hex."""

    name: str
    swarm: str
    key: PrivateKey
    record: Statement

    @property
    def id(self) -> str:
        """Statement id of the first owner record."""
        return self.record.id.hex()

    @property
    def trusted(self) -> TrustedOwner:
        """The entry by which a peer trusts them."""
        return TrustedOwner.of_record(self.record)


@dataclass(frozen=True, slots=True)
class Plasmid:
    """A signed manifest and the bytes that it names."""

    statement: Statement
    manifest: Manifest
    data: bytes

    @property
    def content_id(self) -> bytes:
        """The manifest's statement id."""
        return self.statement.id


def make_owner(name: str, swarm: str, *, issued_s: int = ISSUED_S) -> Owner:
    """An owner with one Ed25519 key, which the name determines."""
    key = private_key_from_seed(hashlib.sha256(f"plora/sim/owner\x00{name}".encode()).digest())
    record = OwnerRecord(
        swarm=swarm,
        issued=format_timestamp(issued_s),
        key_id=key.public.key_id,
        name=name,
        version=1,
        keys=(OwnerKey.of(key.public),),
        threshold=1,
    )
    return Owner(name, swarm, key, sign_statement(StatementKind.OWNER, record, key))


def tiny_adapter(seed: int, *, rank: int = 4, width: int = 32, layers: int = 1, scale: float = 0.02) -> bytes:
    """A well-formed adapter for `q_proj` of a model that doesn't exist."""
    draws = np.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        path = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{path}.lora_A.weight"] = draws.normal(0.0, scale, (rank, width)).astype(np.float32)
        tensors[f"{path}.lora_B.weight"] = draws.normal(0.0, scale, (width, rank)).astype(np.float32)
    return tensors_to_bytes(tensors)


def make_plasmid(
    owner: Owner,
    plasmid_id: str,
    data: bytes,
    *,
    version: int = 1,
    domain: str = "",
    rank: int = 4,
    base: str = BASE,
    sha256: str = "",
    issued_s: int = ISSUED_S,
    life_s: int = LIFE_S,
) -> Plasmid:
    """A signed manifest for the bytes; `sha256` lies about their digest."""
    artifacts = Artifacts.of(describe_artifact(data, CHUNK_BYTES))
    manifest = Manifest(
        swarm=owner.swarm,
        owner=owner.id,
        lineage=owner.id,
        plasmid_id=plasmid_id,
        version=version,
        issued=format_timestamp(issued_s),
        expires=format_timestamp(issued_s + life_s),
        domain=domain or plasmid_id,
        base_model=base,
        base_digest=BASE_DIGEST,
        lora=Lora(r=rank, alpha=float(2 * rank), dropout=0.0, target_modules=("q_proj",)),
        artifacts=artifacts.model_copy(update={"sha256": sha256}) if sha256 else artifacts,
        safety=Safety(licence="Apache-2.0", poisoning_score=0.0),
        signer=Signer(algo="Ed25519", pubkey_fingerprint=owner.key.public.key_id),
    )
    return Plasmid(sign_statement(StatementKind.MANIFEST, manifest, owner.key), manifest, data)


def attest(owner: Owner, target: bytes, *, issued_s: int = ISSUED_S) -> Statement:
    """A co-signature."""
    payload = Attestation(
        swarm=owner.swarm,
        issued=format_timestamp(issued_s),
        key_id=owner.key.public.key_id,
        owner=owner.id,
        target=target.hex(),
    )
    return sign_statement(StatementKind.ATTESTATION, payload, owner.key)


def revoke(owner: Owner, target_kind: str, target: str, reason: str = "test", *, issued_s: int = ISSUED_S) -> Statement:
    """A revocation of a "key", "content" or "owner"; `target` in hex."""
    payload = Revocation.model_validate(
        {
            "swarm": owner.swarm,
            "issued": format_timestamp(issued_s),
            "key_id": owner.key.public.key_id,
            "owner": owner.id,
            "target_kind": target_kind,
            "target": target,
            "reason": reason,
        }
    )
    return sign_statement(StatementKind.REVOCATION, payload, owner.key)
