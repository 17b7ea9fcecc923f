"""What the world tells the core. The driver turns every outside happening into exactly one of these.

Asynchronous effects are answered by the event named at the effect. Nothing here holds a file, a socket or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.gate import Features, Policy, Trust
from plora.gate.findings import Findings
from plora.node.core.config import Bounds, Limits, ProbeBudget, Recipe, Subscription
from plora.node.core.messages import DialTry, Message, PeerAddress
from plora.proto.records import Body
from plora.proto.statement import Statement


@dataclass(frozen=True, slots=True)
class Start:
    """The first event: the core was made from a snapshot of the store, links may be dialed."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain: say goodbye on every link and start nothing new."""


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """Both streams with an authenticated peer are open; no frame has passed.

    `host` and `port` are where the peer was dialed, or seen to come from; empty where there are no addresses.
    """

    peer: str
    dialed: bool
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The streams with a peer are gone."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """Answers `Dial` when no address led to the expected identity."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Probed:
    """Answers `Probe`: what came of each address, in their order."""

    peer: str
    tries: tuple[DialTry, ...]
    purpose: str


@dataclass(frozen=True, slots=True)
class DialBackAsked:
    """A local person wants to know whether a linked peer can dial this one."""

    peer: str


@dataclass(frozen=True, slots=True)
class Received:
    """A frame from a peer, decoded and within its bounds. `chunk` hashes are not checked yet."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """A peer sent what the codec refuses, or broke a limit that the transport guards."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimerDue:
    """Answers `SetTimer`."""

    timer: str


@dataclass(frozen=True, slots=True)
class Persisted:
    """Answers `Persist`: the rows are durable. Where the audit's chain ends now; 0 and "" where that isn't known."""

    token: int
    audit_seq: int = 0
    audit_head: str = ""


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """Answers `Persist`: none of the rows were written."""

    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChunkStored:
    """Answers `StoreChunk`: the chunk's hash was right and it is in the partial file."""

    digest: str
    index: int


@dataclass(frozen=True, slots=True)
class ChunkRefused:
    """Answers `StoreChunk`: `reason` is "bad_hash" (the sender's fault) or the disk's.

    The disk's are "disk_full", "io_error", or the setting that it obeys, "limits.store_max" or "limits.disk_free_min";
    then `left_bytes` is what there is of it.
    """

    peer: str
    digest: str
    index: int
    reason: str
    left_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ChunkServed:
    """Answers `ServeChunk` and (with LIST_INDEX) `ServeList`: handed to the link; `wire_bytes` 0: unreadable."""

    peer: str
    digest: str
    index: int
    wire_bytes: int


@dataclass(frozen=True, slots=True)
class BlobFinished:
    """Answers `FinishBlob`: verified as a whole, durable, and its row committed."""

    digest: str


@dataclass(frozen=True, slots=True)
class BlobFailed:
    """Answers `FinishBlob`: "bad_hash" (the partial file was dropped), "disk_full" or "io_error"."""

    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Examined:
    """Answers `Examine`; `features` is None when the worker failed, then `reason` says why. `cpu_ms`: what it took.

    `defect`: it was this program that failed, not the worker over the bytes.
    """

    digest: str
    features: Features | None
    reason: str = ""
    cpu_ms: float = 0.0
    defect: bool = False


@dataclass(frozen=True, slots=True)
class Inspected:
    """Answers `Inspect`; `findings` is None when the worker failed, then `reason` says why.

    `stamp` names the calibration, and for probes the secret, that they were made under. `cpu_ms`: what it took.
    """

    detector: str
    subject: str
    digest: str
    findings: Findings | None
    stamp: str = ""
    reason: str = ""
    cpu_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Detector:
    """What one detector needs for one base is at hand under this stamp, or `trouble` says in a sentence what isn't."""

    detector: str
    base_digest: str
    stamp: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class DetectorsChanged:
    """What this peer can measure and probe, of all bases; of those that aren't listed nothing.

    `looked_for`: the detectors of which that is said; of others nothing is known yet.
    """

    detectors: tuple[Detector, ...] = ()
    looked_for: tuple[str, ...] = ("weights", "probes")


@dataclass(frozen=True, slots=True)
class Merged:
    """Answers `Merge`; `report` is the merge report as JSON text, empty when it failed, then `reason` says why.

    `culprit` is the digest of an input whose bytes are gone or no longer those that were examined ("hash_mismatch").
    """

    base: str
    generation: int
    report: str
    reason: str = ""
    culprit: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """Answers `Try`; `findings` is None when the merge or its probes failed, then `reason` says why.

    Findings without a calibration say in their note why this peer can't probe merges of that base.
    """

    base: str
    generation: int
    trial: int
    findings: Findings | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WordSigned:
    """Answers `SignWord`."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class Publish:
    """A local person publishes: statements of their own; artifacts named by them are already whole in the store.

    `examined`: what a worker has seen of those already, by the digest of what it read.
    """

    statements: tuple[Statement, ...]
    held: tuple[str, ...] = ()
    examined: tuple[Examined, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchAsked:
    """A local person asks for the bytes of a content id, whatever the subscriptions say."""

    content_id: bytes


@dataclass(frozen=True, slots=True)
class RollbackAsked:
    """A local person wants a kept generation of a base's merges served, an earlier one or the newest."""

    base: str
    generation: int


@dataclass(frozen=True, slots=True)
class PinAsked:
    """A local person wants the bytes of a content kept whatever happens, or no longer."""

    content_id: bytes
    pinned: bool


@dataclass(frozen=True, slots=True)
class RemoveAsked:
    """A local person wants the bytes of a content gone from here, and not fetched again before they ask for it."""

    content_id: bytes


@dataclass(frozen=True, slots=True)
class ReleaseAsked:
    """A local person lets a content out of quarantine: what holds it there no longer counts."""

    content_id: bytes


@dataclass(frozen=True, slots=True)
class ForgiveAsked:
    """A local person lets a peer or an owner begin again, as a newcomer."""

    subject: str


@dataclass(frozen=True, slots=True)
class RoomNeeded:
    """A local person is about to publish so many bytes: what may give way, does. 0: they publish nothing after all."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """What the file system of the home has left, in bytes."""

    free_bytes: int


@dataclass(frozen=True, slots=True)
class CallOpened:
    """Somebody began a one-way Fetch; `caller` stands for the call in `Received`, `Send` and the served effects."""

    caller: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class CallClosed:
    """That call is over."""

    caller: str


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """New trust or policy: whatever they touch is judged again."""

    policy: Policy
    trust: Trust


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Subscription, limits and how to merge, as the configuration now has them.

    Of the bounds, those on statements and owners hold from now on; those on links take a restart.
    """

    subscription: Subscription = field(default_factory=Subscription)
    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)
    recipe: Recipe = field(default_factory=Recipe)
    probe_budget: ProbeBudget = field(default_factory=ProbeBudget)


@dataclass(frozen=True, slots=True)
class NeighboursChanged:
    """The configured neighbours, as the configuration now has them."""

    neighbours: tuple[PeerAddress, ...]
    denied: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Noted:
    """The driver or the daemon has something for the event log (boot, health, a defect): the core emits it in turn."""

    body: Body


@dataclass(frozen=True, slots=True)
class LoopLag:
    """The peer's own event loop was late by so much: silence of others counts less."""

    lag_ms: int


Wanted = FetchAsked | PinAsked | RemoveAsked | ReleaseAsked
"""What a person wants for one content."""

Event = (
    Start | Stop | LinkOpened | LinkClosed | DialFailed | Probed | DialBackAsked | Received | Misbehaved | TimerDue
    | Persisted | PersistFailed | ChunkStored | ChunkRefused | ChunkServed | BlobFinished | BlobFailed
    | Examined | Inspected | DetectorsChanged | Merged | Tried | WordSigned | Publish
    | FetchAsked | RollbackAsked | PinAsked | RemoveAsked | ForgiveAsked | ReleaseAsked | RoomNeeded
    | DiskSpace | CallOpened | CallClosed | PolicyChanged | NeighboursChanged | SettingsChanged | Noted | LoopLag
)  # fmt: skip
