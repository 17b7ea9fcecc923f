"""The store over a simulated disk: layout, order, mending at start, and a crash at every single operation."""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from plora.node.audit.facts import TELLERS
from plora.node.core.detectors import FINDINGS
from plora.node.core.effects import FinishBlob, StoreChunk
from plora.node.core.events import BlobFailed, BlobFinished, ChunkRefused, ChunkStored
from plora.node.core.rows import FEATURES, UNTOLD
from plora.node.gossip.exchange import ACQUAINTANCES, NEIGHBOURS
from plora.node.gossip.rows import STATEMENTS
from plora.node.store.disk import Put
from plora.node.store.rows import ChunkPlan, decode_held, decode_plan, encode_plan, plan_row
from plora.node.store.snapshot import Snapshot
from plora.node.store.store import Store, blob_path, partial_path
from plora.proto.chunks import chunk_hashes
from plora.proto.errors import DiskFullError, StoreError
from plora.sim.disk import PowerCutError, SimDisk

CHUNK = 16_384
CONTENT = Random(4).randbytes(3 * CHUNK + 100)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLAN = ChunkPlan(len(CONTENT), CHUNK, tuple(chunk_hashes(CONTENT, CHUNK)))
FINISH = FinishBlob(DIGEST, len(CONTENT))
OWN = Random(5).randbytes(2 * CHUNK)
OWN_DIGEST = hashlib.sha256(OWN).hexdigest()


def chunk(index: int) -> StoreChunk:
    offset, size = PLAN.span(index)
    return StoreChunk("ada", DIGEST, index, offset, size, PLAN.hashes[index], CONTENT[offset : offset + size])


def fill(store: Store, *indexes: int) -> None:
    store.commit([plan_row(DIGEST, PLAN)])
    for index in indexes:
        assert store.store_chunk(chunk(index)) == ChunkStored(DIGEST, index)


def held_store() -> Store:
    store = Store(SimDisk())
    fill(store, 0, 1, 2, 3)
    assert store.finish_blob(FINISH) == BlobFinished(DIGEST)
    return store


def test_chunks_become_a_blob_that_survives_a_power_cut() -> None:
    store = held_store()
    assert store.read_chunk(DIGEST, CHUNK, 50) == CONTENT[CHUNK : CHUNK + 50]
    after = Store(store.disk.power_cut())  # type: ignore[attr-defined]
    assert after.load_snapshot().held == {DIGEST: len(CONTENT)}
    assert after.read_chunk(DIGEST, 0, len(CONTENT)) == CONTENT
    assert after.chunk_hashes(DIGEST) == PLAN.hashes
    assert after.disk.names("partial") == []


def test_a_blob_is_made_in_the_order_that_a_crash_forgives() -> None:
    store = held_store()
    path = blob_path(DIGEST)
    assert store.disk.log[-7:] == [  # type: ignore[attr-defined]
        f"sync {partial_path(DIGEST)}",
        f"rename {partial_path(DIGEST)} {path}",
        f"sync_folder {path.rpartition('/')[0]}",
        "sync_folder blobs",
        "sync_folder ",
        "sync_folder partial",
        "transact held",
    ]


def test_a_dropped_blob_loses_its_row_first_and_leaves_nothing() -> None:
    store = held_store()
    store.drop_blob(DIGEST)
    store.drop_blob(DIGEST)
    assert store.disk.log[-3].startswith("transact")  # type: ignore[attr-defined]
    assert store.load_snapshot() == replace(Snapshot(), tables=store.load_snapshot().tables)
    assert not store.disk.exists(blob_path(DIGEST))


@pytest.mark.parametrize(
    "broken",
    [
        replace(chunk(1), data=b"x" * CHUNK),
        replace(chunk(1), data=chunk(1).data[:-1]),
        replace(chunk(1), data=chunk(1).data[:-1], size_bytes=CHUNK - 1),
        replace(chunk(1), size_bytes=CHUNK + 1),
    ],
)
def test_a_wrong_chunk_is_not_written(broken: StoreChunk) -> None:
    store = Store(SimDisk())
    assert store.store_chunk(broken) == ChunkRefused("ada", DIGEST, 1, "bad_hash")
    assert store.disk.names("partial") == []


@pytest.mark.parametrize(("error", "reason"), [(StoreError("x"), "io_error"), (DiskFullError("x"), "disk_full")])
def test_a_failing_disk_refuses_a_chunk_with_the_reason(error: StoreError, reason: str) -> None:
    disk = SimDisk()
    disk.fail_at(1, error)
    assert Store(disk).store_chunk(chunk(0)) == ChunkRefused("ada", DIGEST, 0, reason)


def test_a_quota_refuses_before_anything_is_written() -> None:
    store = Store(SimDisk(capacity_bytes=CHUNK - 1))
    assert store.store_chunk(chunk(0)) == ChunkRefused("ada", DIGEST, 0, "disk_full", CHUNK - 1)
    assert store.disk.log == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("operation", range(1, 8))
def test_a_finish_that_fails_anywhere_can_be_repeated(operation: int) -> None:
    disk = SimDisk()
    store = Store(disk)
    fill(store, 0, 1, 2, 3)
    disk.fail_at(disk.operations + operation, StoreError("x"))
    assert store.finish_blob(FINISH) == BlobFailed(DIGEST, "io_error")
    assert store.finish_blob(FINISH) == BlobFinished(DIGEST)
    assert Store(disk.power_cut()).load_snapshot().held == {DIGEST: len(CONTENT)}


@pytest.mark.parametrize("finish", [FINISH, FinishBlob(DIGEST, len(CONTENT) - 1)])
def test_a_whole_that_is_not_what_was_signed_is_dropped(finish: FinishBlob) -> None:
    store = Store(SimDisk())
    fill(store, 0, 1, 2, 3)
    store.disk.write(partial_path(DIGEST), 5, bytes([CONTENT[5] ^ 1]))
    assert store.finish_blob(finish) == BlobFailed(DIGEST, "bad_hash")
    assert store.disk.names("partial") == []
    assert store.load_snapshot().plans == {}


def test_only_chunks_whose_bytes_are_there_count_after_a_start() -> None:
    store = Store(SimDisk())
    fill(store, 0, 3)
    store.disk.write(partial_path(DIGEST), CHUNK + 1, b"torn")
    snapshot = store.load_snapshot()
    assert snapshot.partial == {DIGEST: frozenset({0, 3})}
    assert snapshot.plans == {DIGEST: PLAN}


def test_a_partial_file_that_is_too_long_is_dropped() -> None:
    store = Store(SimDisk())
    fill(store, 0)
    store.disk.write(partial_path(DIGEST), len(CONTENT), b"x")
    assert store.load_snapshot().partial == {DIGEST: frozenset()}
    assert store.disk.names("partial") == []


def test_a_missing_or_short_blob_is_no_longer_held() -> None:
    store = held_store()
    own = store.import_blob(io.BytesIO(OWN), CHUNK)
    store.disk.unlink(blob_path(own.sha256))
    store.disk.unlink(blob_path(DIGEST))
    store.disk.write(blob_path(DIGEST), 0, CONTENT[:CHUNK])
    snapshot = store.load_snapshot()
    assert (snapshot.held, snapshot.lost) == ({}, tuple(sorted([DIGEST, own.sha256])))
    assert snapshot.partial == {DIGEST: frozenset({0}), own.sha256: frozenset()}


def test_orphans_go_and_strangers_stay() -> None:
    store = held_store()
    for path in (
        "partial/" + "ab" * 32,
        "blobs/cd/" + "cd" * 32,
        "tmp/import-7",
        "tmp/of-another",
        partial_path(DIGEST),
    ):
        store.disk.write(path, 0, b"x")
    store.load_snapshot()
    assert store.disk.names("partial") == store.disk.names("blobs/cd") == []
    assert store.disk.names("tmp") == ["of-another"]
    assert store.disk.exists(blob_path(DIGEST))


def test_an_own_artifact_is_held_at_once_with_its_chunks() -> None:
    store = Store(SimDisk())
    described = store.import_blob(io.BytesIO(CONTENT), CHUNK)
    assert (described.sha256, described.size_bytes, described.hashes) == (DIGEST, len(CONTENT), PLAN.hashes)
    again = store.import_blob(io.BytesIO(CONTENT), CHUNK)
    assert again == described
    assert store.disk.names("tmp") == []
    assert store.chunk_hashes(DIGEST) == PLAN.hashes


def test_an_import_that_does_not_fit_leaves_nothing() -> None:
    store = Store(SimDisk(capacity_bytes=2 * CHUNK))
    with pytest.raises(DiskFullError, match="don't fit"):
        store.import_blob(io.BytesIO(CONTENT), CHUNK)
    assert store.disk.names("tmp") == []
    assert store.load_snapshot().held == {}


def test_what_is_not_there_can_not_be_read() -> None:
    store = held_store()
    with pytest.raises(StoreError, match="shorter"):
        store.read_chunk(DIGEST, len(CONTENT) - 1, 2)
    with pytest.raises(StoreError, match="no chunk list"):
        store.chunk_hashes("ab" * 32)


def test_rows_of_the_core_come_back() -> None:
    store = Store(SimDisk())
    store.commit([Put("statements", b"2", b"b"), Put("statements", b"1", b"a")])
    assert store.load_snapshot().rows("statements") == ((b"1", b"a"), (b"2", b"b"))


@pytest.mark.parametrize("table", sorted({*TELLERS, FINDINGS, FEATURES, STATEMENTS, UNTOLD, NEIGHBOURS, ACQUAINTANCES}))
def test_every_table_that_a_core_writes_is_there_again_after_a_start(table: str) -> None:
    store = Store(SimDisk())
    store.load_snapshot()  # begins the audit, which would read rows that lie there before
    store.commit([Put(table, b"1", b"a")])
    assert (b"1", b"a") in Store(store.disk).load_snapshot().rows(table)


@pytest.mark.parametrize("value", [b"", encode_plan(PLAN)[:-1], encode_plan(PLAN) + b"x", bytes(12)])
def test_a_damaged_chunk_list_is_not_believed(value: bytes) -> None:
    if value == bytes(12):
        value = (5).to_bytes(8, "big") + bytes(4)
    with pytest.raises(StoreError):
        decode_plan(value)
    with pytest.raises(StoreError):
        decode_held(value + b"123456789")


def story(store: Store) -> Iterator[str]:
    """A peer's life: what was acknowledged is yielded at once. It can be begun again on what a crash left."""
    snapshot = store.load_snapshot()
    if not snapshot.rows("statements"):
        store.commit([Put("statements", b"1", b"a")])
    yield "statement"
    if OWN_DIGEST not in snapshot.held:
        store.import_blob(io.BytesIO(OWN), CHUNK)
    yield OWN_DIGEST
    if DIGEST not in snapshot.held:
        if DIGEST not in snapshot.plans:
            store.commit([plan_row(DIGEST, PLAN)])
        yield "list"
        for index in sorted(set(range(4)) - snapshot.partial.get(DIGEST, frozenset())):
            assert store.store_chunk(chunk(index)) == ChunkStored(DIGEST, index)
            yield f"chunk {index}"
        assert store.finish_blob(FINISH) == BlobFinished(DIGEST)
    yield DIGEST
    store.commit([Put("verdicts", b"1", b"accept")])
    yield "verdict"


def operations_of(life: Callable[[Store], Iterator[str]]) -> int:
    disk = SimDisk()
    list(life(Store(disk)))
    return disk.operations


OPERATIONS = operations_of(story)


def run_until_cut(disk: SimDisk) -> list[str]:
    acknowledged: list[str] = []
    try:
        for word in story(Store(disk)):
            acknowledged.append(word)
    except PowerCutError:
        return acknowledged
    raise AssertionError("no cut")


def check_nothing_lost(snapshot: Snapshot, acknowledged: list[str], store: Store) -> None:
    if "statement" in acknowledged:
        assert snapshot.rows("statements") == ((b"1", b"a"),)
    if "list" in acknowledged and DIGEST not in snapshot.held:
        assert snapshot.plans[DIGEST] == PLAN
    for digest, content in ((OWN_DIGEST, OWN), (DIGEST, CONTENT)):
        if digest in acknowledged:
            assert digest in snapshot.held
        if digest in snapshot.held:
            assert store.read_chunk(digest, 0, len(content)) == content
    for index in snapshot.partial.get(DIGEST, ()):
        assert store.disk.read(partial_path(DIGEST), *PLAN.span(index)) == chunk(index).data
    assert store.disk.names("tmp") == []


def test_the_story_is_worth_crashing() -> None:
    assert OPERATIONS >= 20


@pytest.mark.parametrize("operation", range(1, OPERATIONS + 1))
def test_a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged(operation: int) -> None:
    for seed in (None, *range(8)):
        disk = SimDisk()
        disk.cut_power_at(operation)
        acknowledged = run_until_cut(disk)
        after = disk.power_cut(None if seed is None else Random(seed))
        store = Store(after)
        check_nothing_lost(store.load_snapshot(), acknowledged, store)
        assert list(story(store))[-1] == "verdict"
        assert store.load_snapshot().held == {OWN_DIGEST: len(OWN), DIGEST: len(CONTENT)}


@pytest.mark.parametrize("operation", range(1, OPERATIONS + 1))
def test_after_a_kill_at_any_operation_no_stored_chunk_is_fetched_again(operation: int) -> None:
    disk = SimDisk()
    disk.cut_power_at(operation)
    acknowledged = run_until_cut(disk)
    after = disk.kill()
    store = Store(after)
    snapshot = store.load_snapshot()
    check_nothing_lost(snapshot, acknowledged, store)
    fetched_again = [word for word in story(store) if word.startswith("chunk") and word in acknowledged]
    assert fetched_again == []


@pytest.mark.parametrize("second", range(1, 13))
def test_a_power_cut_while_mending_is_mended_too(second: int) -> None:
    for operation in range(1, OPERATIONS + 1):
        disk = SimDisk()
        disk.cut_power_at(operation)
        acknowledged = run_until_cut(disk)
        again = disk.power_cut(Random(operation))
        again.cut_power_at(second)
        try:
            acknowledged += story(Store(again))
        except PowerCutError:
            again = again.power_cut(Random(second))
        else:
            again = again.kill()
        store = Store(again)
        snapshot = store.load_snapshot()
        check_nothing_lost(snapshot, [word for word in acknowledged if word != "list"], store)
        list(story(store))
        assert store.read_chunk(DIGEST, 0, len(CONTENT)) == CONTENT
