"""One contract for both disks: the operating system's and the simulator's."""

import errno
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plora.node.store.disk import Delete, Disk, Put
from plora.node.store.real_disk import RealDisk
from plora.proto.errors import DiskFullError, StoreError, StoreLockedError
from plora.sim.disk import SimDisk


@pytest.fixture(params=["real", "sim"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "sim":
        yield SimDisk()
        return
    real = RealDisk(tmp_path / "home")
    yield real
    real.close()


def test_rows_are_ordered_replaced_and_deleted(disk: Disk) -> None:
    disk.transact([Put("a", b"2", b"x"), Put("a", b"1", b"y"), Put("b", b"1", b"z")])
    disk.transact([Put("a", b"2", b"w"), Delete("a", b"7"), Put("a", b"\xff", b""), Put("a", b"\x00", b"n")])
    assert list(disk.rows("a")) == [(b"\x00", b"n"), (b"1", b"y"), (b"2", b"w"), (b"\xff", b"")]
    disk.transact([Delete("a", b"1")])
    assert [key for key, _ in disk.rows("a")] == [b"\x00", b"2", b"\xff"]
    assert list(disk.rows("b")) == [(b"1", b"z")]
    assert list(disk.rows("missing")) == []
    assert (disk.get("a", b"2"), disk.get("a", b"1"), disk.get("c", b"1")) == (b"w", None, None)


def test_later_rows_of_one_transaction_win(disk: Disk) -> None:
    disk.transact(
        [Put("a", b"1", b"x"), Delete("a", b"1"), Put("a", b"1", b"y"), Put("a", b"2", b"x"), Delete("a", b"2")]
    )
    assert list(disk.rows("a")) == [(b"1", b"y")]


def test_writing_makes_files_and_folders_and_fills_holes(disk: Disk) -> None:
    disk.write("f/g/one", 4, b"tail")
    disk.write("f/g/one", 0, b"he")
    assert disk.read("f/g/one", 0, 100) == b"he\0\0tail"
    assert disk.read("f/g/one", 6, 100) == b"il"
    assert disk.read("f/g/one", 8, 100) == b""
    assert disk.size("f/g/one") == 8
    assert disk.names("f") == ["g"]
    disk.write("f/g/a", 0, b"")
    assert disk.names("f/g") == ["a", "one"]
    assert disk.names("f/g/one") == disk.names("nothing") == []
    assert disk.exists("f/g/one")
    assert not disk.exists("f/g/two")


def test_a_rename_replaces_and_makes_the_folder(disk: Disk) -> None:
    disk.write("f/one", 0, b"1")
    disk.write("f/two", 0, b"22")
    disk.rename("f/one", "f/two")
    disk.rename("f/two", "new/three")
    assert disk.names("f") == []
    assert disk.read("new/three", 0, 9) == b"1"
    disk.sync("new/three")
    disk.sync_folder("new")
    disk.sync_folder("nowhere")
    disk.sync_folder("")


def test_unlinking_what_is_missing_is_no_error(disk: Disk) -> None:
    disk.write("f/one", 0, b"1")
    disk.unlink("f/one")
    disk.unlink("f/one")
    disk.unlink("nowhere/one")
    assert not disk.exists("f/one")


@pytest.mark.parametrize(
    "operation",
    [
        lambda disk: disk.read("no", 0, 1),
        lambda disk: disk.size("no"),
        lambda disk: disk.sync("no"),
        lambda disk: disk.rename("no", "other"),
    ],
)
def test_a_missing_file_is_a_store_error_that_names_it(disk: Disk, operation: Callable[[Disk], object]) -> None:
    with pytest.raises(StoreError) as caught:
        operation(disk)
    assert caught.value.where == "no"


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    first = RealDisk(tmp_path)
    first.transact([Put("a", b"1", b"x")])
    first.write("blobs/one", 0, b"12345")
    first.close()
    again = RealDisk(tmp_path, store_max=8)
    assert list(again.rows("a")) == [(b"1", b"x")]
    assert again.free_bytes() == 3
    again.close()


def test_the_quota_counts_blobs_and_partial_files_only(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, store_max=100)
    disk.write("partial/a", 0, bytes(30))
    disk.write("partial/a", 10, bytes(30))
    disk.write("tmp/a", 0, bytes(30))
    assert disk.free_bytes() == 60
    disk.rename("partial/a", "blobs/aa/a")
    assert disk.free_bytes() == 60
    disk.rename("tmp/a", "blobs/aa/a")
    assert disk.free_bytes() == 70
    disk.unlink("blobs/aa/a")
    assert disk.free_bytes() == 100
    disk.close()


def test_the_floor_of_the_file_system_counts_too(tmp_path: Path) -> None:
    system = os.statvfs(tmp_path)
    disk = RealDisk(tmp_path, disk_free_min=system.f_blocks * system.f_frsize)
    assert disk.free_bytes() < 0
    disk.close()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    with pytest.raises(StoreError, match="database refused"):
        disk.transact([Put("a", b"1", b"x"), Put("a", b"2", None)])  # type: ignore[arg-type]
    assert list(disk.rows("a")) == []
    disk.transact([Put("a", b"1", b"x")])
    disk.close()


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../outside", ""])
def test_paths_stay_below_the_home(tmp_path: Path, path: str) -> None:
    disk = RealDisk(tmp_path / "home")
    with pytest.raises(StoreError, match="below the home"):
        disk.write(path, 0, b"x")
    disk.close()


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "home")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "home" / "partial").mkdir()
    (tmp_path / "home" / "partial" / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError):
        disk.write("partial/a", 0, b"x")
    with pytest.raises(StoreError):
        disk.read("partial/a", 0, 1)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    disk.close()


def test_files_are_private(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "home")
    disk.write("partial/a", 0, b"x")
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
    assert (tmp_path / "home" / "partial" / "a").stat().st_mode & 0o077 == 0
    disk.close()


def test_a_full_device_is_a_full_disk(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    (tmp_path / "partial").symlink_to("/dev")
    with pytest.raises(DiskFullError) as caught:
        disk.write("partial/full", 0, b"x")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    (tmp_path / "partial").unlink()
    disk.close()


def test_a_copy_of_the_rows_keeps_to_the_floor_and_leaves_nothing_where_it_fails(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    disk.transact(Put("a", number.to_bytes(4), bytes(1000)) for number in range(2000))
    disk.limit(store_max=0, disk_free_min=1 << 62)
    with pytest.raises(DiskFullError, match="has no room"):
        disk.copy_rows("tmp/rows-a")
    disk.limit(store_max=0, disk_free_min=0)
    with files_of_at_most(500_000), pytest.raises(StoreError):
        disk.copy_rows("tmp/rows-a")
    assert disk.names("tmp") == []
    disk.copy_rows("tmp/rows-a")
    assert disk.names("tmp") == ["rows-a"]
    disk.close()


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """As a disk that gets full: the system writes no file of this process beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_second_daemon_is_told_who_is_there(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    with pytest.raises(StoreLockedError, match=f"process {os.getpid()}") as caught:
        RealDisk(tmp_path)
    assert caught.value.mend.startswith(f"stop it (kill {os.getpid()})")
    disk.close()
    RealDisk(tmp_path).close()


def test_another_layout_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("2\n")
    with pytest.raises(StoreError, match="layout '2'"):
        RealDisk(tmp_path)
    assert not (tmp_path / "state.db").exists()
    (tmp_path / "VERSION").write_text("1\n")
    RealDisk(tmp_path).close()


@pytest.mark.parametrize("damage", ["junk", "torn"])
def test_a_damaged_database_is_named_with_a_way_out(tmp_path: Path, damage: str) -> None:
    disk = RealDisk(tmp_path)
    disk.transact([Put("a", bytes([index]), bytes(3000)) for index in range(200)])
    disk.close()
    database = tmp_path / "state.db"
    content = bytearray(database.read_bytes())
    content[:100] = b"junk" * 25 if damage == "junk" else content[:100]
    content[8192:40_000] = os.urandom(40_000 - 8192)
    database.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="damaged") as caught:
        RealDisk(tmp_path)
    assert f"mv {database} {database}.damaged" in caught.value.mend
    database.rename(tmp_path / "state.db.damaged")
    RealDisk(tmp_path).close()


def test_another_program_in_the_database_is_told(tmp_path: Path) -> None:
    RealDisk(tmp_path).close()
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreLockedError, match="another program"):
        RealDisk(tmp_path)
    other.close()
