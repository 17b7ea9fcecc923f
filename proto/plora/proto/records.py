"""The event log's records: one frozen body per kind, one common header, one JSON line each.

Rules:

- The core emits bodies. `stamp` adds the header {v, peer, boot, seq, mono_ns, wall_ms, round, kind, cause}. In a boot
  `seq` counts from 0 without gaps. `cause` names the record, at some peer, that led to this one: paths need no clocks.
- A line is JSON with sorted keys and no blanks, ending in one line feed. It is deterministic but not RFC 8785: a log is
  not signed, and nanoseconds pass 2^53 after 104 days.
- Ids, digests and peers are hexadecimal text; times carry their unit in the name; rounds count from 1, 0 is "outside".
- Reading ignores unknown fields and keeps records of unknown kinds as `Opaque`, so that old analysis reads new logs.
- Ground truth (clean, trojan) is never in here.

>>> body = StatementSeen(id="ab" * 32, statement_kind="manifest", from_="cd" * 32, via="reconcile", hops=2)
>>> record = stamp(body, peer="ef" * 32, boot="01", seq=7, now=Instant(5, 1_000), round_number=3)
>>> record_to_line(record)[:60]
'{"boot":"01","cause":null,"from":"cdcdcdcdcdcdcdcdcdcdcdcdcd'
>>> record_from_line(record_to_line(record)) == record
True
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import Field, TypeAdapter, ValidationError

from plora.proto.errors import FormatError

RECORD_VERSION = 1

Peer = str
FromPeer = Annotated[str, Field(alias="from")]


class Clock(Protocol):
    """One reading of both clocks."""

    @property
    def mono_ns(self) -> int:
        """Monotonic nanoseconds."""

    @property
    def wall_ms(self) -> int:
        """Milliseconds since 1970."""


class CauseLike(Protocol):
    """Whatever names a record: `Cause`, or the core's own."""

    @property
    def peer(self) -> str:
        """The peer whose log it stands in."""

    @property
    def boot(self) -> str:
        """The boot."""

    @property
    def seq(self) -> int:
        """The number in that boot."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A plain `Clock`."""

    mono_ns: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Cause:
    """The name of one record at one peer."""

    peer: str
    boot: str
    seq: int


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
    """A merged adapter was written; `before` and `after` are generations, 0 for none."""

    kind: ClassVar[str] = "merge"
    base: str
    inputs: tuple[str, ...]
    weights: tuple[float, ...]
    discarded_energy: float
    before: int
    after: int


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
    culprit: str = ""


@dataclass(frozen=True, slots=True)
class Reputation(Body):
    """A Beta reputation changed; subject is a peer or an owner."""

    kind: ClassVar[str] = "reputation"
    subject: str
    alpha: float
    beta: float


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
    """A person wished something for one content: `wish` is pinned, unpinned, removed or asked."""

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
class Health(Body):
    """How the daemon does."""

    kind: ClassVar[str] = "health"
    loop_lag_p99_ms: float
    rss_bytes: int
    fds: int


@dataclass(frozen=True, slots=True)
class Repair(Body):
    """Something found broken at start was put right."""

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
    for body in (
        *(Boot, Stop, LinkUp, LinkDown, Neighbours, Round, Wire, Reconcile, Published, StatementSeen, Duplicate),
        *(
            FetchStarted,
            FetchDone,
            FetchFailed,
            Examined,
            Stage,
            VerdictGiven,
            Knowledge,
            MergeDone,
            Rollback,
            ServingChanged,
            Reputation,
        ),
        *(
            Penalty,
            VoteCast,
            Certificate,
            EvidenceFound,
            Revoked,
            TrustChanged,
            Expired,
            Superseded,
            Evicted,
            BoundHit,
            Health,
        ),
        *(Repair, ErrorMet, Invited, Joined, Wished, Suppressed),
    )
}
"""The body of each kind."""

QUIET = frozenset({"round", "wire", "reconcile", "duplicate", "health"})
"""Kinds that tell people nothing while all goes well."""

_FIELDS = {kind: tuple(place.name for place in fields(body)) for kind, body in BODIES.items()}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the event log."""

    v: int
    peer: str
    boot: str
    seq: int
    mono_ns: int
    wall_ms: int
    round: int
    cause: Cause | None
    body: Body

    @property
    def kind(self) -> str:
        """The kind, as it stands in the line."""
        return self.body.name if isinstance(self.body, Opaque) else self.body.kind


def stamp(
    body: Body, *, peer: str, boot: str, seq: int, now: Clock, round_number: int = 0, cause: CauseLike | None = None
) -> Record:
    """The record of a body that was emitted at `now`."""
    named = None if cause is None else Cause(cause.peer, cause.boot, cause.seq)
    return Record(RECORD_VERSION, peer, boot, seq, now.mono_ns, now.wall_ms, round_number, named, body)


def record_to_line(record: Record) -> str:
    """The record as one line of JSON with its line feed; `FormatError` when a body holds what JSON can't carry."""
    cause = record.cause
    line = {
        **body_fields(record.body),
        "v": record.v,
        "peer": record.peer,
        "boot": record.boot,
        "seq": record.seq,
        "mono_ns": record.mono_ns,
        "wall_ms": record.wall_ms,
        "round": record.round,
        "kind": record.kind,
        "cause": None if cause is None else {"peer": cause.peer, "boot": cause.boot, "seq": cause.seq},
    }
    try:
        return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise FormatError(f"a {record.kind} record can't be written ({error})") from error


def record_from_line(line: str) -> Record:
    """The record in a line; `FormatError` when it is malformed or its version is unknown."""
    try:
        members = json.loads(line)
        header = _header_reader().validate_python({name: members.pop(name) for name in _HEADER})
        body = _body(header.kind, members)
    except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise FormatError("not a record of the event log", where=line[:80].rstrip()) from error
    if header.v != RECORD_VERSION:
        raise FormatError(f"a record of version {header.v}", mend=f"this Plora reads version {RECORD_VERSION}")
    return Record(
        header.v,
        header.peer,
        header.boot,
        header.seq,
        header.mono_ns,
        header.wall_ms,
        header.round,
        header.cause,
        body,
    )


def body_fields(body: Body) -> dict[str, Any]:
    """The fields of a body by the names they have in a line."""
    if isinstance(body, Opaque):
        return dict(body.content)
    return {name.rstrip("_"): getattr(body, name) for name in _FIELDS[body.kind]}


@dataclass(frozen=True, slots=True)
class _HeaderFields:
    v: int
    peer: str
    boot: str
    seq: int
    mono_ns: int
    wall_ms: int
    round: int
    kind: str
    cause: Cause | None


_HEADER = tuple(place.name for place in fields(_HeaderFields))


def _body(kind: str, members: dict[str, Any]) -> Body:
    if kind not in BODIES:
        return Opaque(kind, members)
    body: Body = _body_reader(kind).validate_python(members)
    return body


@cache
def _header_reader() -> TypeAdapter[_HeaderFields]:
    return TypeAdapter(_HeaderFields)


@cache
def _body_reader(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(BODIES[kind])
