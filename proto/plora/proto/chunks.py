"""An artifact as chunks: their hashes, the root over the hashes, and the numbers that a manifest signs.

Rules:

- Every chunk but the last has exactly `chunk_bytes` bytes; the last has at least one. An empty artifact has no chunk.
- A chunk's hash is SHA-256 of its bytes. The root is SHA-256(`plora/chunks/v1` ‖ 00 ‖ hashes in order).
- A file is read once, with memory for one chunk.

>>> [digest.hex()[:8] for digest in chunk_hashes(b"x" * 40_000, 16_384)]
['1536c422', '1536c422', '1138b08b']
>>> chunk_count(40_000, 16_384)
3
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from plora.proto.dsse import CHUNKS_TAG
from plora.proto.errors import AdapterError, UsageError

CHUNK_BYTES_MIN = 16 * 1024
CHUNK_BYTES_MAX = 1024 * 1024
CHUNK_BYTES_DEFAULT = 256 * 1024


@dataclass(frozen=True)
class ArtifactDescription:
    """What one reading of an artifact yields; the fields carry the manifest's names."""

    sha256: str
    size_bytes: int
    chunk_bytes: int
    chunk_count: int
    chunk_root: str
    hashes: tuple[bytes, ...]


def chunk_count(size_bytes: int, chunk_bytes: int) -> int:
    """How many chunks `size_bytes` bytes make: the quotient rounded up."""
    return -(-size_bytes // chunk_bytes)


def chunk_hashes(artifact: Path | bytes, chunk_bytes: int) -> list[bytes]:
    """SHA-256 of each chunk in order, 32 bytes each."""
    return list(describe_artifact(artifact, chunk_bytes).hashes)


def chunk_root(hashes: Iterable[bytes]) -> bytes:
    """The 32 bytes that a manifest signs for the list of chunk hashes."""
    return hashlib.sha256(CHUNKS_TAG + b"".join(hashes)).digest()


def describe_artifact(artifact: Path | bytes, chunk_bytes: int = CHUNK_BYTES_DEFAULT) -> ArtifactDescription:
    """Digest, size and chunks of a file (or of bytes) in one pass.

    Raises `UsageError` for a chunk size outside 16 KiB to 1 MiB, `AdapterError` when the file can't be read.
    """
    if not CHUNK_BYTES_MIN <= chunk_bytes <= CHUNK_BYTES_MAX:
        raise UsageError(f"chunk_bytes is {chunk_bytes}", mend=f"choose {CHUNK_BYTES_MIN} to {CHUNK_BYTES_MAX}")
    if isinstance(artifact, bytes):
        return _describe_stream(io.BytesIO(artifact), chunk_bytes)
    try:
        with artifact.open("rb") as stream:
            return _describe_stream(stream, chunk_bytes)
    except OSError as error:
        raise AdapterError(f"can't be read ({error.strerror})", where=str(artifact)) from error


def _describe_stream(stream: BinaryIO, chunk_bytes: int) -> ArtifactDescription:
    whole = hashlib.sha256()
    size_bytes = 0
    hashes: list[bytes] = []
    for chunk in _chunks(stream, chunk_bytes):
        whole.update(chunk)
        size_bytes += len(chunk)
        hashes.append(hashlib.sha256(chunk).digest())
    root = chunk_root(hashes).hex()
    return ArtifactDescription(whole.hexdigest(), size_bytes, chunk_bytes, len(hashes), root, tuple(hashes))


def _chunks(stream: BinaryIO, chunk_bytes: int) -> Iterator[bytes]:
    while chunk := stream.read(chunk_bytes):
        yield chunk
