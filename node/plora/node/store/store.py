"""The one place that knows the layout of a peer's home.

    state.db        rows (see `rows`)            blobs/ab/DIGEST     held: verified as a whole, durable, row committed
    partial/DIGEST  chunks at their offsets      tmp/                what a crash may leave; swept at start

Rules:

- A blob becomes held in this order: hash the whole file, sync it, rename it, sync the folders (the new name first),
  commit the row. It is deleted in reverse. Whatever a crash leaves in between, `load_snapshot` mends.
- A chunk is hashed before it is written. It is not synced: after a power cut `load_snapshot` hashes every partial file
  again and believes only the chunks that are there. No bitmap is kept.
- A blob whose row was not committed goes back to `partial/` when its chunk list is known, so that nothing of it is
  fetched twice; otherwise nobody can need it and it is removed.
- Calls for one digest must not overlap; calls for different digests may come from several threads.
- `commit` chains the facts of a transaction (`plora.node.audit`) and writes them with its rows; one after the other.

Not handled here: what is worth keeping (the core decides) and damage inside held blobs (the gate hashes what it reads).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from plora.node.audit.chain import AUDIT, AUDIT_STATE, EMPTY, ENDS_KEY, Ends, Fact, Mark, extended, read_ends
from plora.node.audit.facts import FAULT, TELLERS, beginning
from plora.node.audit.verify import Audit, Fault, entries_of, faults_of
from plora.node.core.effects import FinishBlob, StoreChunk
from plora.node.core.events import BlobFailed, BlobFinished, ChunkRefused, ChunkStored
from plora.node.store.disk import Disk, Put, RowOp
from plora.node.store.rows import (
    CHUNKS,
    CORE_TABLES,
    HELD,
    ChunkPlan,
    decode_held,
    decode_plan,
    forget_rows,
    held_row,
    plan_row,
)
from plora.node.store.snapshot import Snapshot
from plora.proto.chunks import CHUNK_BYTES_DEFAULT, ArtifactDescription, chunk_root
from plora.proto.errors import DiskFullError, StoreError

HOME = ""
BLOBS = "blobs"
PARTIAL = "partial"
TMP = "tmp"

FAULTS_KEPT = 16

COPY = "rows-"
_IMPORT = "import-"
_READ_BYTES = 1 << 20


def blob_path(digest: str) -> str:
    """Where a held blob lies, relative to the home."""
    return f"{BLOBS}/{digest[:2]}/{digest}"


def partial_path(digest: str) -> str:
    """Where chunks gather until the artifact is whole."""
    return f"{PARTIAL}/{digest}"


class Store:
    """Blobs, chunks and rows of one peer over a `Disk`; blocking."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.audit_max = 0  # entries of the audit that are kept; 0: all
        self._imports = itertools.count()
        self._chain = threading.RLock()
        self._ends_read: tuple[bytes | None, Ends] = (None, EMPTY)

    def load_snapshot(self, now_ms: int = 0) -> Snapshot:
        """Mend what a crash left, begin the audit, hash the partial files again, read the rows. First, and once."""
        self._begin_audit(now_ms)
        plans = {key.hex(): decode_plan(value) for key, value in self.disk.rows(CHUNKS)}
        held, lost = self._check_held()
        self._sweep(held, plans)
        open_plans = {digest: plan for digest, plan in plans.items() if digest not in held}
        return Snapshot(
            tables={table: tuple(self.disk.rows(table)) for table in CORE_TABLES},
            held=held,
            plans=open_plans,
            partial={digest: self._good_chunks(digest, plan) for digest, plan in open_plans.items()},
            lost=lost,
        )

    def commit(self, rows: Iterable[RowOp], facts: Iterable[Fact] = ()) -> Mark:
        """Commit rows, and the facts of them, as one durable transaction; where the chain of facts ends now."""
        with self._chain:
            more, ends = extended(self._ends(), facts, self.audit_max, self.disk.get)
            self.disk.transact([*rows, *more])
            self._ends_read = self.disk.get(AUDIT_STATE, ENDS_KEY), ends
        return ends.head

    def audit(self) -> Audit:
        """The chain of facts, and what lies in the tables that it tells of, as of one moment."""
        with self._chain:
            state = {table: dict(self.disk.rows(table)) for table in TELLERS}
            return Audit(self._ends(), tuple(self.disk.rows(AUDIT)), state)

    def look_back(self, now_ms: int) -> list[Fault]:
        """What was changed while the peer was away and no entry says so yet; each is an entry from now on.

        A start judges everything again, so that what was turned in the state may be right soon after.
        """
        with self._chain:
            audit = self.audit()
            said = [entry.fact.subject for entry in entries_of(audit) if entry.fact.what == FAULT]
            news = [fault for fault in faults_of(audit) if fault.what not in said]
            self.commit((), [Fact(now_ms, FAULT, fault.what) for fault in news[:FAULTS_KEPT]])
        return news

    def _ends(self) -> Ends:
        """The ends as they are on the disk, whose row is read once."""
        value = self.disk.get(AUDIT_STATE, ENDS_KEY)
        if value != self._ends_read[0]:
            self._ends_read = value, read_ends(value)
        return self._ends_read[1]

    def _begin_audit(self, now_ms: int) -> None:
        """What an older version wrote is told as it is found; without room for that, the chain begins without it."""
        if self._ends() != EMPTY:
            return
        rows = [Put(table, key, value) for table in TELLERS for key, value in self.disk.rows(table)]
        with contextlib.suppress(DiskFullError):
            self.commit((), beginning(rows, now_ms))

    def store_chunk(self, chunk: StoreChunk) -> ChunkStored | ChunkRefused:
        """Check a chunk and write it at its offset in the partial file."""
        if len(chunk.data) != chunk.size_bytes or hashlib.sha256(chunk.data).digest() != chunk.sha256:
            return ChunkRefused(chunk.peer, chunk.digest, chunk.index, "bad_hash")
        try:
            left_bytes = self.disk.free_bytes()
            if left_bytes < chunk.size_bytes:
                reason = self.disk.tightest() or "disk_full"
                return ChunkRefused(chunk.peer, chunk.digest, chunk.index, reason, max(left_bytes, 0))
            self.disk.write(partial_path(chunk.digest), chunk.offset, chunk.data)
        except StoreError as error:
            return ChunkRefused(chunk.peer, chunk.digest, chunk.index, _disk_reason(error))
        return ChunkStored(chunk.digest, chunk.index)

    def finish_blob(self, blob: FinishBlob) -> BlobFinished | BlobFailed:
        """Verify the whole partial file and make it a held blob; repeating it is harmless."""
        try:
            if not self.disk.exists(blob_path(blob.digest)):
                if not self._is_whole(blob):
                    self._forget(blob.digest)
                    return BlobFailed(blob.digest, "bad_hash")
                self._shelve(partial_path(blob.digest), blob.digest)
            self._settle(PARTIAL, blob.digest)
            self.disk.transact([held_row(blob.digest, blob.size_bytes)])
        except StoreError as error:
            return BlobFailed(blob.digest, _disk_reason(error))
        return BlobFinished(blob.digest)

    def import_blob(self, source: BinaryIO, chunk_bytes: int = CHUNK_BYTES_DEFAULT) -> ArtifactDescription:
        """Copy one's own artifact into the store: one pass, held when this returns.

        Raises `DiskFullError` or `StoreError`; what was copied until then is removed.
        """
        path = f"{TMP}/{_IMPORT}{next(self._imports)}"
        try:
            artifact = self._copy(source, path, chunk_bytes)
            self._shelve(path, artifact.sha256)
            self._settle(TMP, artifact.sha256)
        except StoreError:
            self._remove_quietly(path)
            raise
        plan = ChunkPlan(artifact.size_bytes, chunk_bytes, artifact.hashes)
        self.disk.transact([plan_row(artifact.sha256, plan), held_row(artifact.sha256, artifact.size_bytes)])
        return artifact

    def holds(self, digest: str) -> bool:
        """Whether a blob is held, by its row."""
        return self.disk.get(HELD, bytes.fromhex(digest)) is not None

    def read_chunk(self, digest: str, offset: int, size_bytes: int) -> bytes:
        """Exactly `size_bytes` bytes of a held blob; `StoreError` if they can't be read."""
        data = self.disk.read(blob_path(digest), offset, size_bytes)
        if len(data) != size_bytes:
            raise StoreError("a blob is shorter than its row says", where=blob_path(digest))
        return data

    def chunk_hashes(self, digest: str) -> tuple[bytes, ...]:
        """The chunk list of a held blob, for those who ask for it; `StoreError` when none is known."""
        value = self.disk.get(CHUNKS, bytes.fromhex(digest))
        if value is None:
            raise StoreError("no chunk list is known", where=blob_path(digest))
        return decode_plan(value).hashes

    def drop_blob(self, digest: str) -> None:
        """Forget a blob or partial file: the rows first, then the bytes."""
        self._forget(digest)
        if self.disk.exists(blob_path(digest)):
            self.disk.unlink(blob_path(digest))

    def _need_room(self, size_bytes: int) -> None:
        free = self.disk.free_bytes()
        if size_bytes > free:
            setting = self.disk.tightest()
            left = f"the {max(free, 0)} that {setting or 'the disk'} {'leaves' if setting else 'has left'}"
            mend = f"make room by `plora rm`, or change {setting} in peer.yaml and `plora reload`"
            raise DiskFullError(
                f"{size_bytes} bytes don't fit into {left}", mend=mend if setting else "free some space"
            )

    def _is_whole(self, blob: FinishBlob) -> bool:
        path = partial_path(blob.digest)
        if not self.disk.exists(path) or self.disk.size(path) != blob.size_bytes:
            return False
        whole = hashlib.sha256()
        for piece in self._pieces(path):
            whole.update(piece)
        return whole.hexdigest() == blob.digest

    def _pieces(self, path: str) -> Iterator[bytes]:
        offset = 0
        while piece := self.disk.read(path, offset, _READ_BYTES):
            yield piece
            offset += len(piece)

    def _shelve(self, path: str, digest: str) -> None:
        self.disk.sync(path)
        self.disk.rename(path, blob_path(digest))

    def _settle(self, source_folder: str, digest: str) -> None:
        for folder in (blob_path(digest).rpartition("/")[0], BLOBS, HOME, source_folder):
            self.disk.sync_folder(folder)

    def _copy(self, source: BinaryIO, path: str, chunk_bytes: int) -> ArtifactDescription:
        whole = hashlib.sha256()
        hashes: list[bytes] = []
        size_bytes = 0
        while piece := source.read(chunk_bytes):
            self._need_room(len(piece))
            self.disk.write(path, size_bytes, piece)
            whole.update(piece)
            hashes.append(hashlib.sha256(piece).digest())
            size_bytes += len(piece)
        root = chunk_root(hashes).hex()
        return ArtifactDescription(whole.hexdigest(), size_bytes, chunk_bytes, len(hashes), root, tuple(hashes))

    def _remove_quietly(self, path: str) -> None:
        try:
            self.disk.unlink(path)
        except StoreError:
            return  # the next start sweeps it

    def _forget(self, digest: str) -> None:
        self.disk.transact(forget_rows(digest))
        if self.disk.exists(partial_path(digest)):
            self.disk.unlink(partial_path(digest))

    def _check_held(self) -> tuple[dict[str, int], tuple[str, ...]]:
        held: dict[str, int] = {}
        lost: list[str] = []
        for key, value in self.disk.rows(HELD):
            digest, size_bytes = key.hex(), decode_held(value)
            path = blob_path(digest)
            if self.disk.exists(path) and self.disk.size(path) == size_bytes:
                held[digest] = size_bytes
            else:
                lost.append(digest)
        if lost:
            self.disk.transact([forget_rows(digest)[0] for digest in lost])
        return held, tuple(lost)

    def _sweep(self, held: dict[str, int], plans: dict[str, ChunkPlan]) -> None:
        for name in self.disk.names(TMP):
            if name.startswith((_IMPORT, COPY)):
                self.disk.unlink(f"{TMP}/{name}")
        for shelf in self.disk.names(BLOBS):
            for name in self.disk.names(f"{BLOBS}/{shelf}"):
                if name not in held:
                    self._put_back(f"{BLOBS}/{shelf}/{name}", name, name in plans)
        for name in self.disk.names(PARTIAL):
            if name in held or name not in plans:
                self.disk.unlink(f"{PARTIAL}/{name}")

    def _put_back(self, path: str, digest: str, known: bool) -> None:
        if known and path == blob_path(digest):
            self.disk.rename(path, partial_path(digest))
        else:
            self.disk.unlink(path)

    def _good_chunks(self, digest: str, plan: ChunkPlan) -> frozenset[int]:
        path = partial_path(digest)
        if not self.disk.exists(path):
            return frozenset()
        if self.disk.size(path) > plan.size_bytes:
            self.disk.unlink(path)
            return frozenset()
        return frozenset(index for index, good in enumerate(self._matches(path, plan)) if good)

    def _matches(self, path: str, plan: ChunkPlan) -> Iterator[bool]:
        for index, expected in enumerate(plan.hashes):
            data = self.disk.read(path, *plan.span(index))
            yield hashlib.sha256(data).digest() == expected


def _disk_reason(error: StoreError) -> str:
    return "disk_full" if isinstance(error, DiskFullError) else "io_error"
