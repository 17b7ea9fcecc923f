"""What merges keep: only what is of use stays, within its bound, and nothing of a merge that failed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from plora.merge.gram_store import GramStore
from plora.node.driver.kept import Kept

BASE = "mini"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return limited(tmp_path, 1000)


def limited(home: Path, bytes_max: int, disk_free_min: int = 0) -> Kept:
    kept = Kept(home)
    kept.limit(bytes_max=bytes_max, disk_free_min=disk_free_min)
    return kept


def offered(kept: Kept, base: str = BASE) -> dict[str, Any]:
    offer = kept.offer(base)
    assert offer is not None
    return offer


def merge(kept: Kept, sizes: dict[str, int], stays: list[str], base: str = BASE) -> dict[str, Any]:
    """What a merge does whose worker writes files of these sizes, and names those that are of use."""
    offer = offered(kept, base)
    for name, size in sizes.items():
        Path(offer["fresh"], name).write_bytes(bytes(size))
    kept.take(base, Path(offer["fresh"]), stays)
    return offer


def held(home: Path, base: str = BASE) -> set[str]:
    folder = home / "kept" / base
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_what_is_of_use_stays_and_all_else_goes(kept: Kept, tmp_path: Path) -> None:
    merge(kept, {"a": 10, "b": 10}, ["a", "b"])
    assert held(tmp_path) == {"a", "b"}
    offer = merge(kept, {"c": 10, "c.part": 10}, ["b", "c"])
    assert held(tmp_path) == {"b", "c"} and not Path(offer["fresh"]).exists()
    merge(kept, {}, [])
    assert held(tmp_path) == set()


def test_a_worker_is_told_what_room_there_is_and_gets_no_more(kept: Kept, tmp_path: Path) -> None:
    assert merge(kept, {"a": 300}, ["a"])["bytes_max"] == 1000
    assert merge(kept, {"x": 500}, ["x"], "other")["bytes_max"] == 700
    assert merge(kept, {"b": 150, "c": 150}, ["a", "b", "c"])["bytes_max"] == 500
    assert held(tmp_path) == {"a", "b"} and held(tmp_path, "other") == {"x"}


def test_each_merge_has_a_folder_and_a_seed_of_its_own(kept: Kept) -> None:
    one, two = offered(kept), offered(kept)
    assert one["fresh"] != two["fresh"] and one["seed"] != two["seed"]


def test_what_is_over_the_bound_goes_altogether(kept: Kept, tmp_path: Path) -> None:
    merge(kept, {"a": 300}, ["a"])
    assert offered(limited(tmp_path, 299))["bytes_max"] == 299
    assert held(tmp_path) == set()
    merge(kept, {"a": 300}, ["a"])
    assert limited(tmp_path, 0).offer(BASE) is None and held(tmp_path) == set()
    merge(kept, {"a": 300}, ["a"])
    assert limited(tmp_path, 1000, disk_free_min=1 << 60).offer(BASE) is None and held(tmp_path) == set()


def test_nothing_is_left_of_a_merge_that_failed_or_of_a_peer_that_was_killed(kept: Kept, tmp_path: Path) -> None:
    merge(kept, {"a": 300}, ["a"])
    offer = offered(kept)
    Path(offer["fresh"], "b").write_bytes(b"half")
    limited(tmp_path, 1000).sweep()
    assert held(tmp_path) == {"a"} and not Path(offer["fresh"]).exists()
    offer = offered(kept)
    kept.drop(BASE, Path(offer["fresh"]))
    assert held(tmp_path) == set() and not Path(offer["fresh"]).exists()


def test_a_base_of_which_nothing_is_served_keeps_nothing(kept: Kept, tmp_path: Path) -> None:
    for base in (BASE, "other"):
        merge(kept, {"a": 10}, ["a"], base)
    kept.keep_only(["other"])
    assert (held(tmp_path), held(tmp_path, "other")) == (set(), {"a"})


def test_a_link_that_a_worker_left_is_not_taken(kept: Kept, tmp_path: Path) -> None:
    secret = tmp_path / "key.pem"
    secret.write_text("secret")
    offer = offered(kept)
    Path(offer["fresh"], "a").symlink_to(secret)
    kept.take(BASE, Path(offer["fresh"]), ["a"])
    assert held(tmp_path) == set() and secret.read_text() == "secret"


def test_what_a_worker_wrote_is_on_the_disk_already(kept: Kept, tmp_path: Path) -> None:
    """Near the least that is to stay free, a second count of the same bytes let nothing in, with every merge again."""
    free = shutil.disk_usage(tmp_path).free
    near = limited(tmp_path, 1 << 30, disk_free_min=free - (64 << 20))
    merge(near, {"a": 40 << 20}, ["a"])
    assert held(tmp_path) == {"a"}


def test_a_folder_that_is_deleted_meanwhile_costs_no_merge(kept: Kept, tmp_path: Path) -> None:
    merge(kept, {"a": 10}, ["a"])
    offer = offered(kept)
    shutil.rmtree(tmp_path / "kept")
    store = GramStore(Path(offer["folder"]), ["ab" * 32], fresh=Path(offer["fresh"]))
    assert store.stays() == [] and not (tmp_path / "kept").exists()
    kept.take(BASE, Path(offer["fresh"]), [])
    assert not Path(offer["fresh"]).exists()


def test_a_disk_that_refuses_costs_no_merge(kept: Kept, tmp_path: Path) -> None:
    merge(kept, {"a": 10}, ["a"])
    offer = offered(kept)
    Path(offer["fresh"], "b").write_bytes(b"new")
    (tmp_path / "kept" / BASE / "b").mkdir()  # no file can take its place
    kept.take(BASE, Path(offer["fresh"]), ["a", "b"])
    assert held(tmp_path) == set() and not Path(offer["fresh"]).exists()
    (tmp_path / "kept" / BASE).write_text("in the way")
    assert kept.offer(BASE) is None
