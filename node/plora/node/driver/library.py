"""What the one-way calls Offer, GetStatements and Fetch read from a running core.

- Offered and fetched is only what this peer serves to its links too.
- Everything is bounded as the protocol says; reading blobs happens in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.node.store.rows import chunk_span
from plora.node.store.store import Store
from plora.proto.errors import StoreError
from plora.proto.wire import statement_to_pb
from plora.v1 import peer_pb2 as pb

OFFERED_MAX = 1024
STATEMENTS_MAX = 64


class CoreLibrary:
    """Reads one core and its store."""

    def __init__(self, core: PeerCore, store: Store) -> None:
        self._core = core
        self._store = store

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

    async def fetch(self, request: pb.FetchRequest) -> AsyncIterator[pb.FetchReply]:
        """The chunk list, then the chunks from `first_chunk` on; `KeyError` when these bytes are not served."""
        digest = request.digest.hex()
        artifact = (
            next(one.artifact for one in self._served() if one.digest == digest) if self._serves(digest) else None
        )
        if artifact is None:
            raise KeyError(digest)
        hashes = await asyncio.to_thread(self._store.chunk_hashes, digest)
        yield pb.FetchReply(chunk_list=pb.ChunkList(digest=request.digest, hashes=b"".join(hashes)))
        for index in range(request.first_chunk, len(hashes)):
            span = chunk_span(artifact.size_bytes, artifact.chunk_bytes, index)
            try:
                data = await asyncio.to_thread(self._store.read_chunk, digest, *span)
            except StoreError as error:
                raise KeyError(digest) from error
            yield pb.FetchReply(chunk=pb.Chunk(digest=request.digest, index=index, data=data))

    def _serves(self, digest: str) -> bool:
        return digest in self._core.desk.larder.served

    def _served(self) -> list[Plasmid]:
        live = self._core.desk.book.live.values()
        return [plasmid for plasmid in live if plasmid.servable and self._serves(plasmid.digest)]


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
