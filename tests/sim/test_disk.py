"""The simulated disk forgets exactly what was not synced."""

from random import Random

import pytest

from plora.node.store.disk import Delete, Put
from plora.proto.errors import DiskFullError, StoreError
from plora.sim.disk import PowerCutError, SimDisk


def synced_file() -> SimDisk:
    disk = SimDisk()
    disk.write("f/a", 0, b"old")
    disk.sync("f/a")
    disk.sync_folder("f")
    disk.sync_folder("")
    return disk


def test_a_synced_file_survives_and_an_unsynced_write_does_not() -> None:
    disk = synced_file()
    disk.write("f/a", 1, b"XYZ")
    assert disk.read("f/a", 0, 9) == b"oXYZ"
    assert disk.power_cut().read("f/a", 0, 9) == b"old"
    assert disk.kill().read("f/a", 0, 9) == b"oXYZ"


def test_bytes_without_a_synced_name_are_lost() -> None:
    disk = synced_file()
    disk.write("f/b", 0, b"new")
    disk.sync("f/b")
    assert disk.power_cut().names("f") == ["a"]
    disk.sync_folder("f")
    assert disk.power_cut().read("f/b", 0, 9) == b"new"


def test_a_name_under_an_unsynced_folder_is_lost() -> None:
    disk = synced_file()
    disk.write("g/h/b", 0, b"new")
    disk.sync("g/h/b")
    disk.sync_folder("g/h")
    disk.sync_folder("g")
    assert not disk.power_cut().exists("g/h/b")
    disk.sync_folder("")
    assert disk.power_cut().exists("g/h/b")


def test_a_rename_needs_both_folders() -> None:
    disk = synced_file()
    disk.write("g/keep", 0, b"")
    disk.sync_folder("g")
    disk.sync_folder("")
    disk.rename("f/a", "g/a")
    assert (disk.power_cut().exists("f/a"), disk.power_cut().exists("g/a")) == (True, False)
    disk.sync_folder("g")
    assert (disk.power_cut().exists("f/a"), disk.power_cut().exists("g/a")) == (True, True)
    disk.sync_folder("f")
    after = disk.power_cut()
    assert (after.exists("f/a"), after.read("g/a", 0, 9)) == (False, b"old")


def test_a_deletion_comes_back_until_its_folder_is_synced() -> None:
    disk = synced_file()
    disk.unlink("f/a")
    assert disk.power_cut().exists("f/a")
    disk.sync_folder("f")
    assert not disk.power_cut().exists("f/a")


def test_by_seed_unsynced_writes_are_kept_lost_or_torn() -> None:
    disk = synced_file()
    disk.write("f/a", 0, b"NEWER")
    found = {disk.power_cut(Random(seed)).read("f/a", 0, 9) for seed in range(200)}
    assert {b"old", b"Nld", b"NEd", b"NEW", b"NEWE", b"NEWER"} == found
    assert disk.power_cut(Random(3)).read("f/a", 0, 9) == disk.power_cut(Random(3)).read("f/a", 0, 9)


def test_by_seed_unsynced_names_are_kept_or_lost() -> None:
    disk = synced_file()
    disk.write("g/b", 0, b"x")
    disk.unlink("f/a")
    found = {tuple(disk.power_cut(Random(seed)).exists(path) for path in ("f/a", "g/b")) for seed in range(100)}
    assert found == {(True, True), (True, False), (False, True), (False, False)}


def test_faults_come_in_place_of_the_operation_with_that_number() -> None:
    disk = SimDisk()
    disk.fail_at(2, StoreError("broken"))
    disk.cut_power_at(3)
    disk.transact([Put("a", b"1", b"x")])
    with pytest.raises(StoreError, match="broken"):
        disk.write("f/a", 0, b"x")
    with pytest.raises(PowerCutError):
        disk.transact([Put("a", b"2", b"x")])
    assert not disk.exists("f/a")
    assert list(disk.power_cut().rows("a")) == [(b"1", b"x")]
    assert disk.log == ["transact a", "write f/a", "transact a"]


def test_capacity_counts_growth_only() -> None:
    disk = SimDisk(capacity_bytes=4)
    disk.write("f/a", 0, b"1234")
    disk.write("f/a", 0, b"5678")
    with pytest.raises(DiskFullError):
        disk.write("f/a", 4, b"9")
    assert disk.free_bytes() == 0


def test_a_full_disk_takes_no_bytes_and_no_rows_until_it_is_mended_whatever_restarts_it() -> None:
    disk = synced_file()
    disk.leave(2)
    disk.write("f/a", 3, b"12")
    for after in (disk, disk.kill(), disk.power_cut()):
        with pytest.raises(DiskFullError):
            after.write("f/a", 5, b"345")
    with pytest.raises(DiskFullError):
        disk.transact([Put("a", b"1", b"x")])
    disk.transact([Delete("a", b"1")])  # whoever removes makes room
    disk.mend()
    disk.write("f/a", 5, b"345")
    assert disk.read("f/a", 0, 9) == b"old12345"


def test_a_broken_disk_changes_nothing_and_can_be_read() -> None:
    disk = synced_file()
    disk.break_down()
    with pytest.raises(StoreError, match="Input/output error"):
        disk.write("f/a", 0, b"new")
    with pytest.raises(StoreError, match="Input/output error"):
        disk.kill().unlink("f/a")
    with pytest.raises(StoreError, match="Input/output error"):
        disk.transact([])
    assert disk.read("f/a", 0, 9) == b"old"


def test_the_disk_after_a_power_cut_shares_no_bytes_with_the_one_before() -> None:
    disk = synced_file()
    after = disk.power_cut()
    disk.write("f/a", 0, b"zzz")
    disk.sync("f/a")
    assert after.read("f/a", 0, 3) == b"old"
