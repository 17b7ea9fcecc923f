"""The chain as the store keeps it: what is committed with it, what a failure leaves, how it is bounded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from plora.node.audit.chain import AUDIT, GENESIS, Fact, Mark, chain_hash, read_entry
from plora.node.audit.verify import Note, faults_of
from plora.node.store.disk import Put
from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store
from plora.node.store.writer import Writer
from plora.proto.errors import StoreError
from plora.sim.disk import SimDisk


def fact(number: int) -> Fact:
    return Fact(at_ms=number, what="vote", subject=f"{number:064x}", says={"content": "ab"})


def entries(store: Store) -> list[int]:
    return [read_entry(value).seq for _, value in store.audit().rows]


def test_an_entry_holds_the_hash_of_the_one_before() -> None:
    store = Store(SimDisk())
    first = store.commit([], [fact(1)])
    second = store.commit([Put("statements", b"1", b"x")], [fact(2), fact(3)])
    values = [value for _, value in store.audit().rows]
    prevs = [read_entry(value).prev for value in values]
    assert prevs == [GENESIS.head, *(hashlib.sha256(b"plora audit v1\n" + value).hexdigest() for value in values[:2])]
    assert (first, second) == (Mark(1, prevs[1]), Mark(3, chain_hash(values[2])))


def test_a_transaction_that_fails_leaves_no_entry_and_no_gap() -> None:
    disk = SimDisk()
    store = Store(disk)
    store.commit([], [fact(1)])
    disk.fail_at(disk.operations + 1, StoreError("broken"))
    with pytest.raises(StoreError):
        store.commit([Put("statements", b"1", b"x")], [fact(2)])
    store.commit([], [fact(3)])
    assert entries(store) == [1, 2] and faults_of(store.audit()) == []
    assert disk.get("statements", b"1") is None


def test_of_a_group_only_what_was_written_is_in_the_chain() -> None:
    disk = SimDisk()
    store = Store(disk)
    writer = Writer(store.commit, group_wait_s=60)
    jobs = [writer.submit([Put("statements", b"%d" % number, b"")], [fact(number)]) for number in range(4)]
    for ahead in (1, 3):  # the group as a whole, then its second member alone
        disk.fail_at(ahead, StoreError("broken"))
    writer.close()
    assert [job.exception() is None for job in jobs] == [True, False, True, True]
    assert [read_entry(value).fact.at_ms for _, value in store.audit().rows] == [0, 2, 3]
    assert faults_of(store.audit()) == []


def test_the_oldest_entries_give_way_and_what_is_left_still_holds(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    store = Store(disk)
    store.audit_max = 16
    heads = [store.commit([], [fact(number)]) for number in range(1, 61)]
    assert 16 <= len(entries(store)) <= 18 and entries(store)[-1] == 60
    assert faults_of(store.audit(), [Note(head.seq, head.head, "the test") for head in heads]) == []
    assert len(list(disk.rows(AUDIT))) == len(entries(store))
    disk.close()


def test_more_facts_at_once_than_may_be_kept() -> None:
    store = Store(SimDisk())
    store.audit_max = 8
    store.commit([], map(fact, range(100)))
    assert entries(store) == list(range(93, 101)) and faults_of(store.audit()) == []


def test_a_home_from_before_the_audit_is_told_as_it_is_found() -> None:
    disk = SimDisk()
    disk.transact([Put("wishes", bytes(32), b'{"pinned":true,"removed":false,"own":false}')])
    store = Store(disk)
    store.load_snapshot(now_ms=7)
    store.load_snapshot(now_ms=8)
    told = [read_entry(value).fact for _, value in store.audit().rows]
    assert [(one.at_ms, one.what) for one in told] == [(7, "begun"), (7, "wish")]
    assert faults_of(store.audit()) == []
