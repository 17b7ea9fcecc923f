"""What the one-way calls Offer, GetStatements and Fetch read from a running core.

- Offered and fetched is only what this peer serves to its links too.
- Everything is bounded as the protocol says; reading blobs happens in threads.
- A Fetch is a caller of the core, which gives it its turn, its share of the upload rate, and an end when its peer is
  denied. It asks for a window of chunks at a time, and for more when they were taken.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Protocol

from plora.node.core.events import CallClosed, CallOpened, Event, Received
from plora.node.core.messages import CHUNK_BYTES_MAX, WANT_MAX, Chunk, ChunkList, Message, Refuse, Want
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.node.transfer.artifact import Artifact
from plora.node.transfer.upload import caller_of
from plora.node.transport.services import FetchEndedError
from plora.proto.wire import statement_to_pb
from plora.v1 import peer_pb2 as pb

OFFERED_MAX = 1024
STATEMENTS_MAX = 64
WINDOW_BYTES = 4 << 20
READ_PATIENCE = 3

_ENDS = {"denied": "this peer is denied here", "busy": "too many fetches at once; try again", "unreadable": "try again"}


class Caller(Protocol):
    """What a Fetch needs of the driver."""

    def answer_call(self, caller: str, take: Callable[[Message], None]) -> None:
        """Give what the core sends to a caller to `take`, instead of a link."""

    def forget_call(self, caller: str) -> None:
        """No longer."""

    def handle(self, event: Event) -> None:
        """Have the core handle an event."""


class CoreLibrary:
    """Reads one core; `driver` runs it."""

    def __init__(self, core: PeerCore, driver: Caller) -> None:
        self._core = core
        self._driver = driver
        self._numbers = itertools.count()

    def offer(self, request: pb.OfferRequest) -> pb.OfferReply:
        """The plasmids that are served, narrowed to a domain or base."""
        found = [plasmid for plasmid in self._served() if _asked_for(plasmid, request)]
        plasmids = [_offered(plasmid) for plasmid in found[:OFFERED_MAX]]
        return pb.OfferReply(plasmids=plasmids, truncated=len(found) > OFFERED_MAX)

    def get_statements(self, request: pb.GetStatementsRequest) -> pb.GetStatementsReply:
        """The live statements with these ids, then those that attest or revoke the ids in `about`."""
        seen, docket = self._core.gossip.seen, self._core.desk.docket
        entries = (seen.get(one) for one in dict.fromkeys(request.ids))
        found = [entry.statement for entry in entries if entry is not None]
        for one in dict.fromkeys(request.about):
            found += docket.about(one.hex())
        return pb.GetStatementsReply(statements=[statement_to_pb(one) for one in found[:STATEMENTS_MAX]])

    @property
    def read_wait_s(self) -> float:
        """How long a caller of Fetch may take to read one reply: some times `gossip.stall_ms`."""
        return READ_PATIENCE * self._core.config.stall_ms / 1000

    async def fetch(self, request: pb.FetchRequest, peer: str, host: str) -> AsyncGenerator[pb.FetchReply, None]:
        """The chunk list, then the chunks from `first_chunk` on."""
        artifact = self._artifact(request.digest.hex())
        caller = caller_of(peer, next(self._numbers))
        frames: asyncio.Queue[Message] = asyncio.Queue()
        self._driver.answer_call(caller, partial(_queue, frames))
        try:
            self._driver.handle(CallOpened(caller, host))
            self._driver.handle(Received(caller, Want(artifact.digest, want_list=True)))
            yield _reply(await frames.get())
            for window in _windows(artifact, request.first_chunk):
                self._driver.handle(Received(caller, Want(artifact.digest, window)))
                for _ in window:
                    yield _reply(await frames.get())
        finally:
            self._driver.forget_call(caller)
            self._driver.handle(CallClosed(caller))

    def _artifact(self, digest: str) -> Artifact:
        found = next((one.artifact for one in self._served() if one.digest == digest), None)
        if found is None:
            raise KeyError(digest)
        return found

    def _serves(self, digest: str) -> bool:
        return digest in self._core.desk.larder.served

    def _served(self) -> list[Plasmid]:
        live = self._core.desk.book.live.values()
        return [plasmid for plasmid in live if plasmid.servable and self._serves(plasmid.digest)]


def _queue(frames: asyncio.Queue[Message], frame: Message) -> None:
    """For whoever reads; an end doesn't wait behind what isn't read."""
    if isinstance(frame, Refuse):
        while not frames.empty():
            frames.get_nowait()
    frames.put_nowait(frame)


def _asked_for(plasmid: Plasmid, request: pb.OfferRequest) -> bool:
    domain = not request.domain or request.domain == plasmid.manifest.domain
    return domain and (not request.base_model or request.base_model == plasmid.manifest.base_model)


def _offered(plasmid: Plasmid) -> pb.Offered:
    manifest = plasmid.manifest
    return pb.Offered(
        content_id=plasmid.content_id,
        owner=bytes.fromhex(manifest.owner),
        plasmid_id=manifest.plasmid_id,
        version=manifest.version,
        domain=manifest.domain,
        digest=bytes.fromhex(plasmid.digest),
        size_bytes=plasmid.artifact.size_bytes,
    )


def _windows(artifact: Artifact, first: int) -> list[tuple[int, ...]]:
    """The chunks from the first that is asked for, in groups that are asked for at once."""
    size = max(1, min(WANT_MAX, WINDOW_BYTES // min(artifact.chunk_bytes, CHUNK_BYTES_MAX)))
    indexes = range(first, artifact.chunk_count)
    return [tuple(indexes[at : at + size]) for at in range(0, len(indexes), size)]


def _reply(frame: Message) -> pb.FetchReply:
    match frame:
        case ChunkList(digest, hashes):
            return pb.FetchReply(chunk_list=pb.ChunkList(digest=bytes.fromhex(digest), hashes=b"".join(hashes)))
        case Chunk(digest, index, data):
            return pb.FetchReply(chunk=pb.Chunk(digest=bytes.fromhex(digest), index=index, data=data))
    reason = getattr(frame, "reason", "")
    if reason in _ENDS:
        raise FetchEndedError(_ENDS[reason], denied=reason == "denied")
    raise KeyError(reason)
