"""What the parts of the core tell each other; never leaves `PeerCore`.

Gossip, transfer and desk each turn events into effects and notices; `PeerCore` hands every notice to the parts that
listen, at once and in order, until only effects are left.
"""

from __future__ import annotations

from dataclasses import dataclass

from plora.gate import Verdict
from plora.node.core.effects import Effect
from plora.node.core.messages import Cause
from plora.node.transfer.artifact import Artifact
from plora.proto.manifest import Manifest
from plora.proto.payloads import Slot
from plora.proto.statement import Statement


@dataclass(frozen=True, slots=True)
class StatementAdded:
    """A valid statement is durably in `seen`; `via` is None for one's own."""

    statement: Statement
    via: str | None
    hops: int
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class StatementDropped:
    """A statement left the live set: "superseded", "expired", "evicted"."""

    statement: Statement
    reason: str


@dataclass(frozen=True, slots=True)
class LinkReady:
    """Hello and Welcome have passed both ways."""

    peer: str


@dataclass(frozen=True, slots=True)
class LinkLost:
    """A ready link is gone."""

    peer: str


@dataclass(frozen=True, slots=True)
class SourceFound:
    """A peer serves the bytes of a content id."""

    peer: str
    content_id: bytes


@dataclass(frozen=True, slots=True)
class BytesHeld:
    """An artifact is whole, verified and durable."""

    digest: str
    sources: tuple[str, ...]
    wire_bytes: int
    wasted_bytes: int
    resumed_bytes: int


@dataclass(frozen=True, slots=True)
class BytesFailed:
    """An artifact can't be had: "bad_hash", "disk_full", "too_large"."""

    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class BytesWanted:
    """The desk wants an artifact; transfer fetches it."""

    artifact: Artifact


@dataclass(frozen=True, slots=True)
class BytesUnwanted:
    """The desk no longer wants an artifact."""

    digest: str


@dataclass(frozen=True, slots=True)
class BytesOffered:
    """A linked peer serves an artifact that is wanted."""

    peer: str
    digest: str


@dataclass(frozen=True, slots=True)
class BytesServable:
    """An artifact is held and may be given to others."""

    digest: str
    size_bytes: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class BytesWithheld:
    """An artifact may no longer be given to others."""

    digest: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The desk judged a manifest, to the same verdict as before or to another."""

    content_id: bytes
    manifest: Manifest
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class SlotMoved:
    """What is known of the votes in a slot has changed; of all slots where it is None. `again`: only try later."""

    slot: Slot | None
    again: bool = False


@dataclass(frozen=True, slots=True)
class PeerRead:
    """A neighbour and this peer compared what they hold, and this peer lacked nothing of it."""

    peer: str


@dataclass(frozen=True, slots=True)
class ConductSeen:
    """Something was taken down of the conduct of others: it is to be written, and whom it touches judged again."""


Notice = (
    StatementAdded | StatementDropped | LinkReady | LinkLost | SourceFound | BytesHeld | BytesFailed
    | BytesWanted | BytesUnwanted | BytesOffered | BytesServable | BytesWithheld | Judged | SlotMoved | PeerRead
    | ConductSeen
)  # fmt: skip
Outputs = list[Effect | Notice]
