"""A case: everything the gate may know when it judges one manifest, as one frozen value.

- The caller opens the statements; `decide` opens the manifest again and compares, since the payload is what was signed.
- `attestations`, `revocations` and `owner_records` may hold more than belongs here, in any order: stages pick.
- `same_version` are the content ids of other manifests of the same owner, lineage, plasmid id and version whose
  signatures are known to be valid; `newest_version` is the newest valid version of that series, 0 if none.
- `believed` are the owner records, ids in hex, that were followed here before (`plora.proto.rotation`).
- `members` are those of the consensus where this peer knows any, `standing` what they said of this content; `seen_ms`
  is when the manifest was first seen here.
- `freshness` are the freshness statements that are known; `signed_time_ms` is the latest time that a quorum signed, of
  all that was ever seen here; `granted`: the manifest was accepted here before, so its acceptance is no new one.
- `weight_findings` and `probe_findings` are what detectors saw in these bytes under this manifest, where they looked.
- `blamed_beside`: a merge with it failed its probes and it was found to blame, together with these; () for it alone.
- `reputation` is what the owner has earned at this peer by now; that of a newcomer where nothing is known.
- What is None is unknown: features before the bytes came, base facts where no base model is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plora.gate.consensus import Membership
from plora.gate.features import Features
from plora.gate.findings import Findings
from plora.gate.reputation import NEWCOMER, Reputation
from plora.gate.tally import UNHEARD, Standing
from plora.proto.manifest import Manifest
from plora.proto.payloads import Attestation, Freshness, OwnerRecord, Revocation
from plora.proto.statement import Statement


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """A base model at hand: its name, digest, storage type ("F32", "F16", "BF16") and linear layers.

    `dims` maps a module's path, without the `base_model.model.` prefix, to (in_dim, out_dim).
    """

    name: str
    digest: str
    dtype: str = "F32"
    dims: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One manifest and what is known about it. `swarm` None: don't check. Times in milliseconds since 1970.

    `folder_fault` is (reason, detail) where the adapter came in a folder that holds what it may not. `released`: a
    person here let it out of quarantine.
    """

    statement: Statement
    manifest: Manifest
    now_ms: int
    swarm: str | None = None
    owner_records: tuple[tuple[Statement, OwnerRecord], ...] = ()
    attestations: tuple[tuple[Statement, Attestation], ...] = ()
    revocations: tuple[tuple[Statement, Revocation], ...] = ()
    believed: frozenset[str] = frozenset()
    freshness: tuple[tuple[Statement, Freshness], ...] = ()
    signed_time_ms: int = 0
    granted: bool = False
    newest_version: int = 0
    same_version: tuple[bytes, ...] = ()
    members: Membership | None = None
    standing: Standing = UNHEARD
    seen_ms: int = 0
    features: Features | None = None
    weight_findings: Findings | None = None
    probe_findings: Findings | None = None
    blamed_beside: tuple[str, ...] | None = None
    reputation: Reputation = NEWCOMER
    base: BaseFacts | None = None
    folder_fault: tuple[str, str] | None = None
    released: bool = False
