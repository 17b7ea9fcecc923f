"""What happened, as the event log says it: one frozen body per kind.

Rules:

- The core emits bodies; `plora.proto.record_lines` adds the header and makes lines of them.
- Ids, digests and peers are hexadecimal text; times carry their unit in the name; rounds count from 1, 0 is "outside".
- A kind that this version doesn't know is kept as `Opaque`. Ground truth (clean, trojan) is never in here.

>>> body_fields(Stop("done"))
{'reason': 'done'}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

from pydantic import Field

Peer = str
FromPeer = Annotated[str, Field(alias="from")]


class Body:
    """What a record says beside its header."""

    __slots__ = ()
    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Boot(Body):
    """A peer started."""

    kind: ClassVar[str] = "boot"
    name: str
    software: str
    config_digest: str


@dataclass(frozen=True, slots=True)
class Stop(Body):
    """A peer ended in good order."""

    kind: ClassVar[str] = "stop"
    reason: str


@dataclass(frozen=True, slots=True)
class LinkUp(Body):
    """A session with a neighbour is ready."""

    kind: ClassVar[str] = "link_up"
    neighbour: Peer
    outbound: bool


@dataclass(frozen=True, slots=True)
class LinkDown(Body):
    """A session ended."""

    kind: ClassVar[str] = "link_down"
    neighbour: Peer
    reason: str


@dataclass(frozen=True, slots=True)
class Neighbours(Body):
    """The peers this one may talk to, after a change."""

    kind: ClassVar[str] = "neighbours"
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Round(Body):
    """A round began, with the neighbours it picked."""

    kind: ClassVar[str] = "round"
    picked: tuple[Peer, ...]
    statements: int
    root: str


@dataclass(frozen=True, slots=True)
class Wire(Body):
    """Traffic of the last interval, by frame name."""

    kind: ClassVar[str] = "wire"
    interval_ms: int
    sent_frames: Mapping[str, int]
    sent_bytes: Mapping[str, int]
    received_frames: Mapping[str, int]
    received_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reconcile(Body):
    """A reconciliation ended: messages exchanged, their bytes, statements that were missing here or there."""

    kind: ClassVar[str] = "reconcile"
    neighbour: Peer
    legs: int
    bytes: int
    items: int


@dataclass(frozen=True, slots=True)
class Published(Body):
    """This peer published a statement of one of its owners."""

    kind: ClassVar[str] = "published"
    id: str
    owner: str
    plasmid_id: str
    version: int
    domain: str
    digest: str


@dataclass(frozen=True, slots=True)
class StatementSeen(Body):
    """A valid statement became durable here. `via`: publish, push, reconcile or want."""

    kind: ClassVar[str] = "statement_seen"
    id: str
    statement_kind: str
    from_: FromPeer
    via: str
    hops: int


@dataclass(frozen=True, slots=True)
class Duplicate(Body):
    """A statement came that was known already."""

    kind: ClassVar[str] = "duplicate"
    id: str
    from_: FromPeer
    via: str


@dataclass(frozen=True, slots=True)
class FetchStarted(Body):
    """The first request for an artifact left."""

    kind: ClassVar[str] = "fetch_started"
    digest: str
    size_bytes: int
    resumed_bytes: int


@dataclass(frozen=True, slots=True)
class FetchDone(Body):
    """An artifact is held. `wire_bytes` counts chunk data received, `wasted_bytes` what of it was of no use."""

    kind: ClassVar[str] = "fetch_done"
    digest: str
    sources: tuple[Peer, ...]
    wire_bytes: int
    wasted_bytes: int
    resumed_bytes: int


@dataclass(frozen=True, slots=True)
class FetchFailed(Body):
    """An attempt to get an artifact was given up."""

    kind: ClassVar[str] = "fetch_failed"
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stage(Body):
    """What one stage of the gate said about one content."""

    kind: ClassVar[str] = "stage"
    id: str
    stage: str
    outcome: str
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Examined(Body):
    """A worker computed an artifact's features, for all stages in one pass; `reason` says why it couldn't."""

    kind: ClassVar[str] = "examined"
    digest: str
    cpu_ms: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Inspected(Body):
    """A detector ("weights", "probes") looked into an artifact; `reason` says why it couldn't. Not what it found."""

    kind: ClassVar[str] = "inspected"
    digest: str
    detector: str
    cpu_ms: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VerdictGiven(Body):
    """The gate's verdict on one content."""

    kind: ClassVar[str] = "verdict"
    id: str
    outcome: str
    stage: str
    reason: str
    policy_digest: str


@dataclass(frozen=True, slots=True)
class Knowledge(Body):
    """The first accepted plasmid of a domain, or the loss of the last. `change`: gained or lost."""

    kind: ClassVar[str] = "knowledge"
    domain: str
    change: str


@dataclass(frozen=True, slots=True)
class MergeDone(Body):
    """A merged adapter was written; `before` and `after` are generations, 0 for none.

    `reused`: the part of what all pairs of inputs have in common that was kept from earlier merges, 0 to 1.
    """

    kind: ClassVar[str] = "merge"
    base: str
    inputs: tuple[str, ...]
    weights: tuple[float, ...]
    discarded_energy: float
    before: int
    after: int
    reused: float = 0.0


@dataclass(frozen=True, slots=True)
class MergeProbed(Body):
    """A merge was probed before it was served. `outcome`: passed, failed, unprobed, excused; `culprits`: contents.

    `reason`: why it failed or couldn't be probed; `trials`: how many merges of fewer were probed to find culprits.
    """

    kind: ClassVar[str] = "merge_probed"
    base: str
    generation: int
    outcome: str
    reason: str = ""
    trials: int = 0
    culprits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeMeasured(Body):
    """A person had a merge measured: perplexity of held-out answers, one number a domain, in the order of `domains`.

    `before` is the generation that it is compared with; where it is 0, `perplexity_before` is empty. Intervals lie
    beside the merge, in `measured.json`.
    """

    kind: ClassVar[str] = "merge_measured"
    base: str
    generation: int
    before: int
    domains: tuple[str, ...]
    perplexity_base: tuple[float, ...]
    perplexity_before: tuple[float, ...]
    perplexity_after: tuple[float, ...]
    by: str


@dataclass(frozen=True, slots=True)
class ServingChanged(Body):
    """A model server loaded or unloaded an adapter at this peer's word. `change`: loaded or unloaded."""

    kind: ClassVar[str] = "serving"
    server: str
    name: str
    change: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Rollback(Body):
    """A merge was taken back."""

    kind: ClassVar[str] = "rollback"
    base: str
    before: int
    after: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reputation(Body):
    """A Beta reputation changed; subject is a "peer" or an "owner", `reason` what was seen of them."""

    kind: ClassVar[str] = "reputation"
    subject: str
    alpha: float
    beta: float
    subject_kind: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Penalty(Body):
    """A peer or owner broke a rule."""

    kind: ClassVar[str] = "penalty"
    subject: str
    reason: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class VoteCast(Body):
    """A vote was seen or cast."""

    kind: ClassVar[str] = "vote"
    id: str
    member: str
    content: str
    choice: str


@dataclass(frozen=True, slots=True)
class Certificate(Body):
    """A quorum of members accepted a content."""

    kind: ClassVar[str] = "certificate"
    content: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsensusAlarm(Body):
    """What the members of the consensus must look at: "compromised", "other_epoch", "abstains".

    `subject` is the slot's content ids or the member, `what` a sentence.
    """

    kind: ClassVar[str] = "alarm"
    alarm: str
    subject: str
    what: str


@dataclass(frozen=True, slots=True)
class EvidenceFound(Body):
    """Two statements that one key or owner may not both have signed."""

    kind: ClassVar[str] = "evidence"
    offence: str
    accused: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Revoked(Body):
    """A revocation took effect here."""

    kind: ClassVar[str] = "revoked"
    target_kind: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnerRotated(Body):
    """A trusted owner's newer record was believed: its id, the key ids in it, how many must sign, the lineage."""

    kind: ClassVar[str] = "rotated"
    owner: str
    record: str
    keys: tuple[str, ...]
    threshold: int
    lineage: str


@dataclass(frozen=True, slots=True)
class FreshnessChanged(Body):
    """The peer turned "stale", or "fresh" until then (ms since 1970). `signed`: those of the root who spoke."""

    kind: ClassVar[str] = "freshness"
    state: str
    signed: tuple[str, ...]
    required: int
    until_wall_ms: int


@dataclass(frozen=True, slots=True)
class TrustChanged(Body):
    """A person changed whom this peer believes: local nicknames, or the beginnings of ids."""

    kind: ClassVar[str] = "trust"
    version: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    distrusted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expired(Body):
    """A statement ran out."""

    kind: ClassVar[str] = "expired"
    id: str


@dataclass(frozen=True, slots=True)
class Superseded(Body):
    """A newer version took a statement's place."""

    kind: ClassVar[str] = "superseded"
    id: str
    by: str


@dataclass(frozen=True, slots=True)
class Wished(Body):
    """A person wished something for one content: `wish` is pinned, unpinned, removed, released or asked."""

    kind: ClassVar[str] = "wished"
    id: str
    wish: str


@dataclass(frozen=True, slots=True)
class Suppressed(Body):
    """So many records of a kind were left out, since one peer caused too many of them in too short a time."""

    kind: ClassVar[str] = "suppressed"
    suppressed_kind: str
    subject: str
    count: int


@dataclass(frozen=True, slots=True)
class Repelled(Body):
    """So many connections from a host were ended that proved nobody's identity: a peer's offence is a `penalty`."""

    kind: ClassVar[str] = "repelled"
    host: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Evicted(Body):
    """Bytes were deleted to make room; `reason` is the setting that leaves none."""

    kind: ClassVar[str] = "evicted"
    digest: str
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class BoundHit(Body):
    """A limit was reached; `setting` is its name in peer.yaml, or that of the constant."""

    kind: ClassVar[str] = "bound_hit"
    setting: str
    limit: int
    value: int


@dataclass(frozen=True, slots=True)
class Audited(Body):
    """The chain of the audit ends at that entry, whose hash is `head`."""

    kind: ClassVar[str] = "audited"
    entry: int
    head: str


@dataclass(frozen=True, slots=True)
class AuditAcknowledged(Body):
    """Its person answers for what is wrong with the audit at an entry: `what` was found, and what they say of it."""

    kind: ClassVar[str] = "acknowledged"
    entry: int
    what: str
    note: str


@dataclass(frozen=True, slots=True)
class Health(Body):
    """How the daemon does."""

    kind: ClassVar[str] = "health"
    loop_lag_p99_ms: float
    rss_bytes: int
    fds: int


@dataclass(frozen=True, slots=True)
class Repair(Body):
    """Something found broken, at start or by a merge, was put right."""

    kind: ClassVar[str] = "repair"
    what: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class ErrorMet(Body):
    """Something failed that nobody else is to blame for."""

    kind: ClassVar[str] = "error"
    what: str
    where: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Invited(Body):
    """A ticket was made for somebody."""

    kind: ClassVar[str] = "invited"
    name: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Joined(Body):
    """A new member came by a ticket; both sides see the same three words."""

    kind: ClassVar[str] = "joined"
    member: Peer
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Opaque(Body):
    """A record of a kind that this version doesn't know."""

    name: str
    content: Mapping[str, Any]


BODIES: dict[str, type[Body]] = {
    body.kind: body
    for body in tuple(globals().values())
    if isinstance(body, type) and issubclass(body, Body) and hasattr(body, "kind")
}
"""The body of each kind."""

QUIET = frozenset({"round", "wire", "reconcile", "duplicate", "health", "audited"})
"""Kinds that tell people nothing while all goes well."""


def is_quiet(record: Mapping[str, Any]) -> bool:
    """Whether a record (its line's fields) tells people nothing: a quiet kind, or a stage of the gate that passed."""
    return record["kind"] in QUIET or (record["kind"] == "stage" and record.get("outcome") == "pass")


_FIELDS = {kind: tuple(place.name for place in fields(body)) for kind, body in BODIES.items()}  # type: ignore[arg-type]


def body_fields(body: Body) -> dict[str, Any]:
    """The fields of a body by the names they have in a line."""
    if isinstance(body, Opaque):
        return dict(body.content)
    return {name.rstrip("_"): getattr(body, name) for name in _FIELDS[body.kind]}
