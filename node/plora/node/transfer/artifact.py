"""What is fetched, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.node.store.rows import ChunkPlan, chunk_span
from plora.proto.chunks import chunk_root


@dataclass(frozen=True, slots=True)
class Artifact:
    """The signed facts about the bytes that a manifest names. `digest`: 64 hex digits; `chunk_root`: 32 raw bytes."""

    digest: str
    size_bytes: int
    chunk_bytes: int
    chunk_count: int
    chunk_root: bytes = field(repr=False)

    def span(self, index: int) -> tuple[int, int]:
        """Offset and length of a chunk."""
        return chunk_span(self.size_bytes, self.chunk_bytes, index)

    def bytes_of(self, indexes: frozenset[int] | set[int]) -> int:
        """How many bytes these chunks have together."""
        return sum(self.span(index)[1] for index in indexes)

    def fits(self, hashes: tuple[bytes, ...]) -> bool:
        """Whether these are the chunk hashes that the manifest's signer meant."""
        return len(hashes) == self.chunk_count and chunk_root(hashes) == self.chunk_root

    def plan(self, hashes: tuple[bytes, ...]) -> ChunkPlan:
        """The chunk list as the store keeps it."""
        return ChunkPlan(self.size_bytes, self.chunk_bytes, hashes)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch is, for people.

    `state`: "no_source", "bad_bytes" (whoever served it sent other bytes than were signed), "waiting" (for a source
    that asked for patience), "list", "fetching", "finishing", or the disk's reasons (see `ChunkRefused`).
    `source`: the peer that is asked now, "" for none. `limit`: the setting that bounds its rate, "" for none.
    """

    digest: str
    size_bytes: int
    stored_bytes: int
    state: str
    source: str
    sources: int
    rate_bytes_s: int
    wire_bytes: int
    wasted_bytes: int
    resumed_bytes: int
    limit: str = ""

    @property
    def percent(self) -> int:
        """Whole per cent of the bytes that are stored, rounded down: 100 only when all are."""
        return 100 * self.stored_bytes // self.size_bytes if self.size_bytes else 100
