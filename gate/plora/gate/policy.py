"""What one peer is willing to accept: the policy, checked when it is made and never changed afterwards.

Rules:

- An unknown field is refused together with the nearest known one.
- `tensor_outliers` and `probes` look into adapters by detectors that a base must be calibrated for. Their thresholds
  (`tau_norm_z`; `tau_trigger`, `tau_clean_delta`) left out are the calibration's own, and the specification's where it
  has none (`plora.gate.detector_stages`).
- `consensus: true` needs members beside the policy (`consensus.members` in peer.yaml); without them all waits.
- `reputation: true` without `min_reputation` holds what scores below `MIN_REPUTATION`.
- `signatures_enabled: false` needs `insecure: true` beside it.
- `quorum_required` counts owners and is at least 1; `quorum_trouble` in `plora.gate.trust` compares it with the owners.
- `allowed_ranks`, `allowed_targets`, `base_model` left out mean "any"; the bounds always hold.

Not handled here: who is trusted (`plora.gate.trust`) and what a peer wants (its subscriptions).

>>> policy = Policy(base_model="mini", allowed_ranks=[4, 8], quorum_required=2)
>>> policy.allowed_ranks
(4, 8)
>>> Policy(quorum_requird=2)
Traceback (most recent call last):
plora.proto.errors.ConfigError: policy: unknown field 'quorum_requird'; did you mean 'quorum_required'?
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator

from plora.proto.errors import ConfigError
from plora.proto.fields import HexDigest

MIB = 1024 * 1024

MIN_REPUTATION = 0.3
"""Below a newcomer with one slip (1/3), above one who was caught cheating (1/6)."""

Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Algorithm = Literal["Ed25519", "RSA-PSS-SHA256"]


class Policy(BaseModel):
    """The rules of one peer. Sizes in bytes, times in milliseconds, norms as Frobenius norms of scale * B @ A.

    Raises `ConfigError` for an unknown field or signatures off without `insecure`, pydantic's `ValidationError` for a
    bad value; `Policy.parse` turns both into `ConfigError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The specification's fields.
    base_model: str | None = None
    allowed_ranks: tuple[Annotated[StrictInt, Field(ge=1)], ...] | None = None
    allowed_targets: tuple[str, ...] | None = None
    signatures_enabled: StrictBool = True
    quorum_required: Annotated[StrictInt, Field(ge=1)] = 1
    min_reputation: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    tau_trigger: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    tau_norm_z: Positive | None = None
    tau_clean_delta: Annotated[float, Field(strict=True, ge=-1, le=1)] | None = None

    # Who.
    insecure: StrictBool = False
    unknown_owner: Literal["wait", "reject"] = "wait"
    algorithms: tuple[Algorithm, ...] = ("Ed25519", "RSA-PSS-SHA256")

    # What.
    base_digests: Mapping[str, HexDigest] = Field(default_factory=dict)
    artifact_bytes_max: Annotated[StrictInt, Field(ge=1)] = 256 * MIB
    rank_max: Annotated[StrictInt, Field(ge=1, le=512)] = 64
    scale_max: Positive = 64.0
    delta_norm_max: Positive = 64.0
    delta_rms_max: Positive | None = None
    clock_skew_ms_max: Annotated[StrictInt, Field(ge=0)] = 120_000
    max_trust_age_ms: Annotated[StrictInt, Field(ge=1)] = 604_800_000

    # Who misbehaved here.
    reputation: StrictBool = False
    reputation_half_life_ms: Annotated[StrictInt, Field(ge=1000)] = 7 * 86_400_000

    # What detectors find in it.
    tensor_outliers: StrictBool = False
    probes: StrictBool = False

    # The word of others.
    consensus: StrictBool = False
    certificate_wait_ms: Annotated[StrictInt, Field(ge=1)] = 60_000

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: object) -> object:
        if isinstance(data, Mapping):
            for name in data:
                if name not in cls.model_fields:
                    raise ConfigError(f"unknown field {str(name)!r}", where="policy", mend=_nearest(str(name)))
        return data

    @model_validator(mode="after")
    def _honest_switches(self) -> Self:
        if not self.signatures_enabled and not self.insecure:
            raise ConfigError(
                "signatures are switched off, so anybody's adapter would be accepted",
                where="policy.signatures_enabled",
                mend="set signatures_enabled: true, or insecure: true beside it if that is what you want",
            )
        return self

    @classmethod
    def parse(cls, data: Mapping[str, object], *, where: str = "policy") -> Self:
        """A policy from plain data, as a configuration file gives it. Raises ConfigError naming the field."""
        try:
            return cls.model_validate(dict(data))
        except ConfigError as error:
            raise ConfigError(error.what, where=error.where.replace("policy", where, 1), mend=error.mend) from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join((where, *(str(part) for part in first["loc"])))
            raise ConfigError(str(first["msg"]), where=field, mend=f"it was {first['input']!r:.80}") from error

    @property
    def reputation_floor(self) -> float:
        """The score below which an owner's adapters are held."""
        return MIN_REPUTATION if self.min_reputation is None else self.min_reputation

    def policy_digest(self) -> str:
        """SHA-256 over the policy as canonical JSON, 64 hex digits: equal rules, equal digest."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, sorted(Policy.model_fields), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(Policy.model_fields))}"
