"""The transfer core: bytes in and out, as a pure state machine.

`Downloads` fetches what `want` names; `Uploads` gives what `serve` names. Their rules stand in their modules. Both use
a link only between `LinkReady` and `LinkLost`.

Not handled here: what is held, worth fetching or may be given (the desk), hashing and writing (the store), frames
(transport).
"""

from __future__ import annotations

from plora.node.core.config import CoreConfig
from plora.node.core.events import (
    BlobFailed,
    BlobFinished,
    CallClosed,
    CallOpened,
    ChunkRefused,
    ChunkServed,
    ChunkStored,
    DiskSpace,
    Event,
    LinkClosed,
    LinkOpened,
    NeighboursChanged,
    Persisted,
    PersistFailed,
    Received,
    SettingsChanged,
    Stop,
    TimerDue,
)
from plora.node.core.messages import Cancel, Chunk, ChunkList, Message, Refuse, Want
from plora.node.core.notices import LinkLost, LinkReady, Notice, Outputs
from plora.node.core.now import Now
from plora.node.core.reputations import Reputations
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.artifact import Artifact, Progress
from plora.node.transfer.download import STALL_TIMER, Downloads
from plora.node.transfer.rate import Neighbourhood
from plora.node.transfer.upload import UPLOAD_TIMER, Uploads

__all__ = ["Artifact", "Progress", "Transfer"]


class Transfer:
    """One peer's bytes under way. All calls return effects and notices in the order in which they count."""

    def __init__(self, config: CoreConfig, snapshot: Snapshot, reputations: Reputations | None = None) -> None:
        self._near = Neighbourhood(config.limits)
        self._downloads = Downloads(config, snapshot, self._near, reputations)
        self._uploads = Uploads(config, self._near)

    def want(self, artifact: Artifact, now: Now) -> Outputs:
        """Fetch an artifact that is not held; answered by `BytesHeld` or `BytesFailed`. Twice is as good as once."""
        self._downloads.want(artifact, now)
        return self._downloads.drain()

    def unwant(self, digest: str, now: Now) -> Outputs:
        """Stop fetching; the chunks that came are dropped. A held blob stays."""
        self._downloads.unwant(digest, now)
        return self._downloads.drain()

    def add_source(self, peer: str, digest: str, now: Now) -> Outputs:
        """A linked peer serves an artifact; of no effect while that is not wanted."""
        self._downloads.add_source(peer, digest, now)
        return self._downloads.drain()

    def serve(self, digest: str, size_bytes: int, chunk_bytes: int) -> None:
        """Give a held artifact to whoever asks."""
        self._uploads.serve(digest, size_bytes, chunk_bytes)

    def unserve(self, digest: str) -> Outputs:
        """Give it no more."""
        return self._uploads.unserve(digest)

    def progress(self, now: Now) -> list[Progress]:
        """Every fetch under way, for people."""
        return self._downloads.progress(now)

    def chunks(self, digest: str) -> list[tuple[str, int]]:
        """Where the chunks of a fetch are, as runs of (place, count) in the order of the file."""
        return self._downloads.chunks(digest)

    def sources(self, digest: str) -> list[str]:
        """The linked peers that a fetch may ask."""
        return self._downloads.sources(digest)

    def waiting_bytes(self, digest: str) -> int:
        """Bytes of an artifact that others have asked for and that wait for their turn."""
        return self._uploads.waiting_bytes(digest)

    @property
    def sent_bytes(self) -> int:
        """Chunk data and chunk lists given to others since the start."""
        return self._uploads.sent_bytes

    def handle(self, event: Event | Notice, now: Now) -> Outputs:
        """Take one event; those that are not about bytes are ignored."""
        match event:
            case Received(peer, message):
                return [*self._received(peer, message, now), *self._downloads.drain()]
            case ChunkServed():
                return self._uploads.served(event, now)
            case TimerDue(timer) if timer == UPLOAD_TIMER:
                return self._uploads.timer_due(now)
            case SettingsChanged(_, limits, _):
                self._near.changed(limits)
                self._downloads.changed(limits, now)
                return [*self._uploads.changed(limits, now), *self._downloads.drain()]
            case LinkOpened() | LinkClosed() | CallOpened() | CallClosed() | NeighboursChanged():
                return self._comers(event, now)
            case LinkReady(peer):
                self._uploads.link_ready(peer)
                self._downloads.link_ready(peer, now)
            case LinkLost(peer):
                self._uploads.link_lost(peer)
                self._downloads.link_lost(peer, now)
            case Stop():
                self._downloads.stop()
            case _:
                self._answered(event, now)
        return self._downloads.drain()

    def _comers(self, event: Event | Notice, now: Now) -> Outputs:
        """Who may ask, and from where."""
        match event:
            case LinkOpened(peer, _, host):
                self._near.opened(peer, host)
            case LinkClosed(peer):
                self._near.closed(peer)
            case CallOpened(caller, host):
                self._near.opened(caller, host)
                return self._uploads.call_opened(event, now)
            case CallClosed(caller):
                self._near.closed(caller)
                self._uploads.call_closed(caller)
            case NeighboursChanged(_, denied):
                return self._uploads.denied(denied)
        return []

    def _received(self, peer: str, message: Message, now: Now) -> Outputs:
        match message:
            case Want():
                return self._uploads.want(peer, message, now)
            case Cancel():
                self._uploads.cancel(peer, message)
            case Chunk():
                self._downloads.chunk(peer, message, now)
            case ChunkList():
                self._downloads.chunk_list(peer, message, now)
            case Refuse():
                self._downloads.refused(peer, message, now)
        return []

    def _answered(self, event: Event | Notice, now: Now) -> None:
        """An answer to an effect of the fetching half."""
        downloads = self._downloads
        match event:
            case ChunkStored():
                downloads.chunk_stored(event, now)
            case ChunkRefused():
                downloads.chunk_refused(event, now)
            case BlobFinished():
                downloads.blob_finished(event, now)
            case BlobFailed():
                downloads.blob_failed(event, now)
            case Persisted(token):
                downloads.persisted(token, now)
            case PersistFailed(token, reason):
                downloads.persist_failed(token, reason, now)
            case DiskSpace(free_bytes):
                downloads.room_found(free_bytes, now)
            case TimerDue(timer) if timer == STALL_TIMER:
                downloads.timer_due(now)
