"""The manifest of a PEFT folder: shape from its configuration, size and chunks from its bytes, the rest from the owner.

- The folder is only read. What the owner must say (who, which version, which base, until when) comes in `Facts`.
- `sign_folder` writes it beside the bytes, signed, as plora.yml.
- Not handled here: whether anybody would accept the result (room `gate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plora.merge.peft_folder import read_spec
from plora.proto.chunks import describe_artifact
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.manifest import ARTIFACT_FILENAME, Artifacts, Manifest
from plora.proto.owner_files import Owner
from plora.proto.statement import sign_statement
from plora.proto.yaml_view import PLORA_YML, SignedManifest, write_plora_yml

CHUNK_BYTES_DEFAULT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest says beyond the folder. Times in seconds since 1970, `base_digest` 64 hex digits."""

    plasmid_id: str
    domain: str
    version: int
    base_model: str
    base_digest: str
    licence: str
    issued_s: int
    expires_s: int
    chunk_bytes: int = CHUNK_BYTES_DEFAULT
    poisoning_score: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)


def metrics_file(folder: Path) -> Path:
    """Where training leaves its measurements: beside the folder, since a folder holds the adapter alone.

    >>> metrics_file(Path("out/legal")).as_posix()
    'out/legal.metrics.json'
    """
    return folder.with_name(f"{folder.name}.metrics.json")


def sign_folder(folder: Path, owner: Owner, facts: Facts) -> SignedManifest:
    """Write the signed plora.yml of a folder, replacing an older one; errors as in `draft_manifest`."""
    statement = sign_statement(StatementKind.MANIFEST, draft_manifest(folder, owner, facts), owner.key)
    signed = SignedManifest.of(statement)
    write_plora_yml(folder / PLORA_YML, signed)
    return signed


def draft_manifest(folder: Path, owner: Owner, facts: Facts) -> Manifest:
    """The unsigned manifest. Raises AdapterError for a folder that is no plain LoRA, ManifestError for a bad fact."""
    spec = read_spec(folder)
    artifact = describe_artifact(folder / ARTIFACT_FILENAME, facts.chunk_bytes)
    lora = {
        "r": spec.r,
        "alpha": float(spec.alpha),
        "dropout": float(spec.dropout),
        "target_modules": list(spec.target_modules),
        "use_rslora": spec.use_rslora,
        "rank_pattern": dict(spec.rank_pattern),
        "alpha_pattern": {name: float(alpha) for name, alpha in spec.alpha_pattern.items()},
    }
    return Manifest.of_fields(
        {
            "swarm": owner.record.swarm,
            "owner": owner.id,
            "lineage": owner.lineage,
            "plasmid_id": facts.plasmid_id,
            "domain": facts.domain,
            "version": facts.version,
            "issued": format_timestamp(facts.issued_s),
            "expires": format_timestamp(facts.expires_s),
            "base_model": facts.base_model,
            "base_digest": facts.base_digest,
            "lora": lora,
            "artifacts": Artifacts.of(artifact).model_dump(),
            "metrics": dict(facts.metrics),
            "safety": {"licence": facts.licence, "poisoning_score": facts.poisoning_score},
            "signer": {"algo": owner.key.public.algorithm, "pubkey_fingerprint": owner.key.public.key_id},
        }
    )
