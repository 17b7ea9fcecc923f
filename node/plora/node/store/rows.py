"""The rows that the store itself reads: which blobs are held, and the chunk lists of artifacts.

- Table `held`: key = digest (32 bytes), value = size (8 bytes, big-endian).
- Table `chunks`: key = digest, value = size (8) ‖ chunk bytes (4) ‖ chunk hashes (32 each).
- The other tables belong to who writes them; the store hands their rows through.

>>> plan = ChunkPlan(size_bytes=5, chunk_bytes=4, hashes=(b"a" * 32, b"b" * 32))
>>> decode_plan(encode_plan(plan)) == plan, plan.span(1)
(True, (4, 1))
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from plora.node.store.disk import Delete, Put
from plora.proto.errors import StoreError

HELD = "held"
CHUNKS = "chunks"
CORE_TABLES = (
    *("statements", "features", "verdicts", "untold", "wishes", "merges", "versions", "generations", "audit_state"),
    *("neighbours", "acquaintances", "rotations", "reputations", "invitations", "signed_time"),
    *("ballots", "certificates", "guilty", "broken", "findings", "blames"),
)
"""What a start reads for the core; a table that isn't here is forgotten at every restart."""

_SIZE = struct.Struct(">Q")
_HEAD = struct.Struct(">QI")
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """How an artifact is cut: its size, the size of a chunk, and the hash of each chunk in order."""

    size_bytes: int
    chunk_bytes: int
    hashes: tuple[bytes, ...] = field(repr=False)

    def span(self, index: int) -> tuple[int, int]:
        """Offset and length of a chunk; the last one may be short."""
        return chunk_span(self.size_bytes, self.chunk_bytes, index)


def chunk_span(size_bytes: int, chunk_bytes: int, index: int) -> tuple[int, int]:
    """Offset and length of chunk `index`; a length <= 0 means that there is no such chunk."""
    offset = index * chunk_bytes
    return offset, min(chunk_bytes, size_bytes - offset)


def encode_plan(plan: ChunkPlan) -> bytes:
    """The value of a row of `chunks`."""
    return _HEAD.pack(plan.size_bytes, plan.chunk_bytes) + b"".join(plan.hashes)


def decode_plan(value: bytes) -> ChunkPlan:
    """Read a row of `chunks`; `StoreError` when the number of hashes doesn't match the sizes."""
    if len(value) < _HEAD.size:
        raise StoreError("a chunk list is cut short", where="state.db: chunks")
    size_bytes, chunk_bytes = _HEAD.unpack_from(value)
    count = -(-size_bytes // chunk_bytes) if chunk_bytes else -1
    if len(value) != _HEAD.size + count * _HASH_BYTES:
        raise StoreError("a chunk list has the wrong length", where="state.db: chunks")
    starts = range(_HEAD.size, len(value), _HASH_BYTES)
    return ChunkPlan(size_bytes, chunk_bytes, tuple(value[start : start + _HASH_BYTES] for start in starts))


def plan_row(digest: str, plan: ChunkPlan) -> Put:
    """The row that remembers a chunk list."""
    return Put(CHUNKS, bytes.fromhex(digest), encode_plan(plan))


def held_row(digest: str, size_bytes: int) -> Put:
    """The row that makes a blob count as held."""
    return Put(HELD, bytes.fromhex(digest), _SIZE.pack(size_bytes))


def decode_held(value: bytes) -> int:
    """The size in a row of `held`."""
    if len(value) != _SIZE.size:
        raise StoreError("a row has the wrong length", where="state.db: held")
    (size_bytes,) = _SIZE.unpack(value)
    return int(size_bytes)


def forget_rows(digest: str) -> tuple[Delete, Delete]:
    """What to delete when a blob is dropped."""
    key = bytes.fromhex(digest)
    return Delete(HELD, key), Delete(CHUNKS, key)
