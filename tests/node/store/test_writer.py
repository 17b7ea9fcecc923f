"""Group commit: order, grouping, blame."""

import threading
from collections.abc import Iterable

import pytest

from plora.node.store.disk import Put, RowOp
from plora.node.store.store import Store
from plora.node.store.writer import Writer
from plora.proto.errors import StoreError
from plora.sim.disk import SimDisk


class GatedDisk(SimDisk):
    """Holds the first transaction until it is let go; refuses rows of the table "bad"."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.groups: list[int] = []

    def transact(self, rows: Iterable[RowOp]) -> None:
        batch = list(rows)
        self.entered.set()
        assert self.gate.wait(10)
        self.groups.append(len(batch))
        if any(row.table == "bad" for row in batch):
            raise StoreError("refused")
        super().transact(batch)


def test_rows_are_durable_when_the_future_is_done() -> None:
    disk = SimDisk()
    writer = Writer(Store(disk).commit)
    writer.submit([Put("a", b"1", b"x")]).result(10)
    assert list(disk.power_cut().rows("a")) == [(b"1", b"x")]
    writer.close()


def test_what_arrives_together_is_one_transaction_in_order() -> None:
    disk = GatedDisk()
    writer = Writer(Store(disk).commit)
    first = writer.submit([Put("a", b"1", b"0")])
    assert disk.entered.wait(10)
    rest = [writer.submit([Put("a", b"1", b"%d" % number)]) for number in range(1, 50)]
    disk.gate.set()
    for future in (first, *rest):
        future.result(10)
    writer.close()
    assert disk.groups == [1, 49]
    assert disk.get("a", b"1") == b"49"


def test_only_the_guilty_fail() -> None:
    disk = GatedDisk()
    writer = Writer(Store(disk).commit)
    writer.submit([Put("a", b"0", b"")])
    assert disk.entered.wait(10)
    good, bad, other = (writer.submit([Put(table, b"1", b"x")]) for table in ("a", "bad", "b"))
    disk.gate.set()
    with pytest.raises(StoreError, match="refused"):
        bad.result(10)
    good.result(10)
    other.result(10)
    writer.close()
    assert (disk.get("a", b"1"), disk.get("bad", b"1"), disk.get("b", b"1")) == (b"x", None, b"x")


def test_closing_commits_what_was_submitted_and_takes_no_more() -> None:
    disk = SimDisk()
    writer = Writer(Store(disk).commit, group_wait_s=60)
    futures = [writer.submit([Put("a", b"%d" % number, b"")]) for number in range(20)]
    writer.close()
    assert all(future.done() for future in futures)
    assert len(list(disk.rows("a"))) == 20
    with pytest.raises(StoreError, match="closed"):
        writer.submit([])
