"""What the core asks of the world. Drivers carry these out and decide nothing.

- An effect that is answered names its event. A `Send` that depends on a `Persist` is issued when `Persisted` has come.
- Effects of one call are carried out in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.node.audit.chain import Fact
from plora.node.core.config import Recipe
from plora.node.core.messages import Cause, Message
from plora.node.store.disk import RowOp
from plora.proto.payloads import Evidence, Vote
from plora.proto.records import Body

LIST_INDEX = -1


@dataclass(frozen=True, slots=True)
class Send:
    """Queue a frame on the peer's session or bulk stream (by the frame's type). Lost silently if the link is gone."""

    peer: str
    message: Message


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link; answered by LinkOpened or DialFailed."""

    peer: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """Dial each of these addresses only to see whether that peer answers there; no link comes of it. Probed.

    `purpose` comes back with the answer.
    """

    peer: str
    addresses: tuple[str, ...]
    purpose: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close both streams after what is queued was sent; answered by LinkClosed."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class CutOff:
    """Refuse every call of the peer until a monotonic time, dial it not, and end all of its connections."""

    peer: str
    until_ns: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Set or move the timer of that name to a monotonic time; answered by TimerDue."""

    timer: str
    due_ns: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer of that name."""

    timer: str


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit the rows as one transaction; answered by Persisted or PersistFailed with the same token.

    `facts` go into the audit's chain with them.
    """

    token: int
    rows: tuple[RowOp, ...]
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreChunk:
    """Check a received chunk against `sha256` and write it into the partial file; ChunkStored or ChunkRefused."""

    peer: str
    digest: str
    index: int
    offset: int
    size_bytes: int
    sha256: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServeChunk:
    """Read a chunk of a held blob and send it to the peer; answered by ChunkServed."""

    peer: str
    digest: str
    index: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ServeList:
    """Read the chunk hashes of a held blob and send them as `ChunkList`; answered by ChunkServed with LIST_INDEX."""

    peer: str
    digest: str


@dataclass(frozen=True, slots=True)
class FinishBlob:
    """Verify the whole partial file and make it a blob; BlobFinished or BlobFailed."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DropBlob:
    """Delete a blob or partial file that nothing needs any more."""

    digest: str


@dataclass(frozen=True, slots=True)
class Examine:
    """Compute the features of a held blob in a worker; answered by Examined. `owner`: one who signed it."""

    digest: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Inspect:
    """Have a detector ("weights", "probes") look into a held blob under a manifest, in a worker; answered by Inspected.

    `subject` names what it looks at (`plora.node.core.detectors`); `owner` signed the manifest in `payload`. `draw`
    numbers the draws of secret probes for these bytes: another number, others.
    """

    detector: str
    subject: str
    digest: str
    payload: bytes = field(repr=False)
    owner: str
    draw: int = 0


@dataclass(frozen=True, slots=True)
class Expose:
    """Make `adapters/NAME` a PEFT folder of that plasmid (versioned target, link switched last)."""

    name: str
    content_id: bytes
    digest: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hide:
    """Take `adapters/NAME` away."""

    name: str


@dataclass(frozen=True, slots=True)
class MergeInput:
    """One accepted plasmid as input of a merge; of copies the first accepted counts."""

    content_id: bytes
    digest: str
    payload: bytes = field(repr=False)
    accepted_ms: int = 0


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge these in a worker into `merged/BASE/gen-N`, which nothing names yet; no inputs: serve none. Merged."""

    base: str
    generation: int
    inputs: tuple[MergeInput, ...]
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True, slots=True)
class Try:
    """Probe the merge of that generation; where inputs are given, a merge of these at these weights. Tried.

    The latter is made for this and leaves nothing. `trial` counts the questions about one merge.
    """

    base: str
    generation: int
    trial: int
    inputs: tuple[MergeInput, ...] = ()
    weights: tuple[float, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True, slots=True)
class ServeMerge:
    """Make `adapters/merged--BASE` that generation, 0: none; of those up to `newest` only `kept` stay on disk."""

    base: str
    generation: int
    newest: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SignWord:
    """Sign a vote or evidence with this peer's vote key; answered by WordSigned."""

    payload: Vote | Evidence


@dataclass(frozen=True, slots=True)
class Emit:
    """Append a record to the event log; the driver adds the header, and no record of its own (see `Noted`)."""

    body: Body
    cause: Cause | None = None


Effect = (
    Send | Dial | Probe | HangUp | CutOff | SetTimer | CancelTimer | Persist | StoreChunk | ServeChunk | ServeList
    | FinishBlob | DropBlob | Examine | Inspect | Expose | Hide | Merge | Try | ServeMerge | SignWord | Emit
)  # fmt: skip
