"""The manifest: everything about an adapter that its owner signs.

Rules:

- Fields are the specification's "Manifest Schema" (`schema_version` 0) plus swarm, owner, lineage, version, issued,
  expires, base digest and the chunk fields.
- Co-signing never changes a manifest: signatures are not in it, so its statement id is the *content id*.
- One file travels, `adapter_model.safetensors`; PEFT's configuration is generated from the `lora` block.
- `metrics` and `safety.poisoning_score` are the publisher's claims.
- Not handled here: YAML (`plora.proto.yaml_view`), signatures (`plora.proto.statement`), policy (room `gate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from plora.proto.canonical import INTEGER_MAX
from plora.proto.chunks import CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, ArtifactDescription, chunk_count
from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError, ManifestError
from plora.proto.fields import (
    BaseModelName,
    Counter,
    FiniteFloat,
    HexDigest,
    Id,
    Licence,
    ListAsTuple,
    ModuleName,
    ModulePath,
    Timestamp,
    finite,
    parse_timestamp,
    unique,
)
from plora.proto.payload import Payload, StrictModel, field_error

ARTIFACT_FILENAME = "adapter_model.safetensors"
RANK_MAX = 1024
ALPHA_MIN = 1e-6
ALPHA_MAX = 65_536.0
PATTERNS_MAX = 256
TARGET_MODULES_MAX = 64

Rank = Annotated[int, Field(ge=1, le=RANK_MAX)]
Alpha = Annotated[float, AfterValidator(finite(ALPHA_MIN, ALPHA_MAX))]
UnitFloat = Annotated[float, AfterValidator(finite(0.0, 1.0))]
TargetModules = Annotated[
    tuple[ModuleName, ...],
    ListAsTuple,
    Field(min_length=1, max_length=TARGET_MODULES_MAX),
    unique("a target module"),
]


class Lora(StrictModel):
    """The adapter's shape; scale is alpha / r, or alpha / √r with rsLoRA. Patterns override r and alpha by module."""

    r: Rank
    alpha: Alpha
    dropout: UnitFloat
    target_modules: TargetModules
    use_rslora: bool = False
    rank_pattern: Annotated[dict[ModulePath, Rank], Field(max_length=PATTERNS_MAX)] = Field(default_factory=dict)
    alpha_pattern: Annotated[dict[ModulePath, Alpha], Field(max_length=PATTERNS_MAX)] = Field(default_factory=dict)


class Artifacts(StrictModel):
    """The one file of the adapter: digest, size in bytes, and chunks as `plora.proto.chunks` makes them."""

    filename: Literal["adapter_model.safetensors"] = "adapter_model.safetensors"
    sha256: HexDigest
    size_bytes: Annotated[int, Field(ge=1, le=INTEGER_MAX)]
    chunk_bytes: Annotated[int, Field(ge=CHUNK_BYTES_MIN, le=CHUNK_BYTES_MAX)]
    chunk_count: Counter
    chunk_root: HexDigest

    @model_validator(mode="after")
    def _count_follows_from_size(self) -> Self:
        count = chunk_count(self.size_bytes, self.chunk_bytes)
        if self.chunk_count != count:
            raise ValueError(f"chunk_count must be {count} for this size_bytes and chunk_bytes")
        return self

    @classmethod
    def of(cls, description: ArtifactDescription) -> Self:
        """The block for an artifact that `describe_artifact` read."""
        return cls(
            sha256=description.sha256,
            size_bytes=description.size_bytes,
            chunk_bytes=description.chunk_bytes,
            chunk_count=description.chunk_count,
            chunk_root=description.chunk_root,
        )


class Metrics(StrictModel):
    """What the publisher measured: perplexities, exact match and chrF in [0, 1]; claims, never inputs."""

    val_ppl_before: FiniteFloat | None = None
    val_ppl_after: FiniteFloat | None = None
    delta_ppl: FiniteFloat | None = None
    val_em: FiniteFloat | None = None
    val_chrf: FiniteFloat | None = None


class Safety(StrictModel):
    """Licence (an SPDX expression) and the publisher's own poisoning score in [0, 1]."""

    licence: Licence
    poisoning_score: UnitFloat


class Signer(StrictModel):
    """Algorithm and full key id of the key that signs."""

    algo: Literal["Ed25519", "RSA-PSS-SHA256"]
    pubkey_fingerprint: HexDigest


class Manifest(Payload):
    """One version of one plasmid, as its owner signs it."""

    kind: ClassVar[StatementKind] = StatementKind.MANIFEST
    error: ClassVar[type[FormatError]] = ManifestError

    owner: HexDigest
    lineage: HexDigest
    plasmid_id: Id
    version: Counter
    expires: Timestamp
    domain: Id
    base_model: BaseModelName
    base_digest: HexDigest
    peft_format: Literal["lora"] = "lora"
    lora: Lora
    artifacts: Artifacts
    metrics: Metrics = Field(default_factory=Metrics)
    safety: Safety
    signer: Signer

    @model_validator(mode="after")
    def _expires_after_issue(self) -> Self:
        if parse_timestamp(self.expires) <= parse_timestamp(self.issued):
            raise ValueError("expires must be later than issued")
        return self

    @property
    def key_id(self) -> str:
        """Id of the signing key."""
        return self.signer.pubkey_fingerprint

    @property
    def signer_key_id(self) -> str:
        """Id of the signing key."""
        return self.signer.pubkey_fingerprint

    @classmethod
    def of_fields(cls, fields: Mapping[str, object]) -> Self:
        """The manifest of plain fields; `ManifestError` with the field's path in `where`."""
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            raise field_error(error, ManifestError) from error
