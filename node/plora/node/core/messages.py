"""The frames that two peers exchange, as the core sees them; `plora.node.transport.codec` maps them to protobuf.

- Session frames carry control (`SessionMessage`), bulk frames carry bytes (`BulkMessage`). A link has one of each.
- Peer ids and artifact digests are 64 hex digits; statement ids are 32 raw bytes.
- Bounds stand here once, by name; the codec refuses what exceeds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.proto.statement import Statement

FRAME_BYTES_MAX = 64 * 1024
RECONCILE_BYTES_MAX = 60 * 1024
IHAVE_MAX = 256
IWANT_MAX = 64
HAVE_MAX = 64
PEERS_MAX = 16
TRIES_MAX = 4
ACK_MAX = 256
WANT_MAX = 256
CHUNK_LIST_MAX = 32_768
CHUNK_BYTES_MAX = 1 << 20

WIRE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cause:
    """The event-log record, at the frame's sender, that led to the frame: paths can be rebuilt without clocks."""

    peer: str
    boot: str
    seq: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A statement under way, with the number of links it has crossed."""

    statement: Statement
    hops: int = 0
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of a session, in both directions, within five seconds."""

    versions: tuple[int, ...]
    features: tuple[str, ...]
    swarm: str
    boot: str
    epoch_day: int
    addresses: tuple[str, ...] = ()
    dialable: bool = True
    nickname: str = ""


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answers a Hello that is understood: the version that both speak."""

    version: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last frame: why the sender leaves, and when it may be dialed again."""

    reason: str
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life with the sender's set and clock (`wall_ms`, 0 of a peer that doesn't tell)."""

    count: int
    root: bytes
    lag_ms: int
    wall_ms: int = 0


@dataclass(frozen=True, slots=True)
class Push:
    """Fresh statements, sent unasked (eager push)."""

    items: tuple[Carried, ...]


@dataclass(frozen=True, slots=True)
class IHave:
    """Content ids whose bytes the sender serves."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class IWant:
    """Statement ids that the sender lacks and asks for."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Have:
    """Statements that were asked for by `IWant`."""

    items: tuple[Carried, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """One range of the ordered set, up to `upper` (exclusive; b"" is the end). Exactly one of the four meanings.

    `fingerprint`: compare; `ids`: all of mine, answer with what I lack; `reply`: what you lack; none of them: settled.
    """

    upper: bytes
    fingerprint: bytes | None = None
    ids: tuple[bytes, ...] | None = None
    reply: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """One leg of a reconciliation; an empty `ranges` ends it."""

    session: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer can be dialed."""

    peer: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peers:
    """Peer exchange: the only frame that carries addresses of others."""

    entries: tuple[PeerAddress, ...]


@dataclass(frozen=True, slots=True)
class DialBack:
    """Asks the other side to dial the addresses of the sender's Hello and to say how that went."""

    number: int


@dataclass(frozen=True, slots=True)
class DialTry:
    """One address that was dialed to see who answers; `outcome` is a code of `plora.node.reach`."""

    address: str
    outcome: str
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class DialedBack:
    """Answers `DialBack`; `seen_host` is where the sender sees the asker."""

    number: int
    seen_host: str
    tries: tuple[DialTry, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """Statement ids of a Push or Have that are durable at the sender of this frame."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for chunks of an artifact, or first for its list of chunk hashes."""

    digest: str
    chunks: tuple[int, ...] = ()
    want_list: bool = False


@dataclass(frozen=True, slots=True)
class ChunkList:
    """The hashes of all chunks, in order; their root is signed by the manifest."""

    digest: str
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of one chunk. The core passes `data` on and never looks inside."""

    digest: str
    index: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refuse:
    """The sender doesn't serve this artifact now."""

    digest: str
    reason: str
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """The asker no longer wants what it asked for."""

    digest: str


SessionMessage = (
    Hello | Welcome | Goodbye | Heartbeat | Push | IHave | IWant | Have | Reconcile | Peers | Ack
    | DialBack | DialedBack
)  # fmt: skip
BulkMessage = Want | ChunkList | Chunk | Refuse | Cancel
Message = SessionMessage | BulkMessage
