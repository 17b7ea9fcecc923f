"""Kept Gram matrices: whatever comes and goes, they have the bits of those that are computed at once."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.factors import Array
from plora.merge.gram import Grams, grams_of
from plora.merge.gram_file import FORMAT, INDEX_BYTES_MAX, Index, Writer, read_blocks, read_index
from plora.merge.gram_store import GramStore

OUT, INTO = 30, 20
RANKS = (2, 3, 1, 4, 2, 5)
MODULES = ("k_proj", "q_proj")


def factors(module: str, members: Sequence[int]) -> tuple[Array, Array]:
    """The stacked factors of some adapters, told by their numbers."""
    rngs = [np.random.default_rng([member, MODULES.index(module)]) for member in members]
    pairs = [
        (rng.standard_normal((RANKS[member], INTO)), rng.standard_normal((OUT, RANKS[member])))
        for member, rng in zip(members, rngs, strict=True)
    ]
    a, b = np.vstack([a for a, _ in pairs]), np.hstack([b for _, b in pairs])
    return a.astype(np.float32), b.astype(np.float32)


def digest(member: int) -> str:
    return f"{member:064x}"


def kept(store: GramStore, module: str, members: Sequence[int]) -> Grams | None:
    ranks = [RANKS[member] for member in members]
    return store.grams(module, digests(members), ranks, *factors(module, members))


def digests(members: Iterable[int]) -> list[str]:
    return [digest(member) for member in members]


def files_of(members: Iterable[int]) -> set[str]:
    return {f"{name}.gram" for name in digests(members)}


def merged(folder: Path, members: Sequence[int], **options: Any) -> GramStore:
    """What one merge does with its store; all its matrices have the bits of those that are computed at once."""
    store = GramStore(folder, digests(members), **options)
    for module in MODULES:
        assert same(kept(store, module, members), grams_of(*factors(module, members)))
    store.commit()
    return store


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def same(one: Grams | None, two: Grams | None) -> bool:
    if one is None or two is None:
        return one is two
    return all(np.array_equal(mine, yours) for mine, yours in zip(one, two, strict=True))


sets = st.lists(st.lists(st.integers(0, len(RANKS) - 1), min_size=1, unique=True), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(merges=sets, prunes=st.lists(st.booleans(), min_size=6, max_size=6))
def test_arrivals_and_departures(
    tmp_path_factory: pytest.TempPathFactory, merges: list[list[int]], prunes: list[bool]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    for members, prune in zip(merges, prunes, strict=False):
        store = merged(folder, members)
        assert store.stays() == sorted(files_of(members))
        if prune:
            store.prune()
            assert names(folder) == files_of(members)
    shutil.rmtree(folder)


def test_only_a_newcomers_pairs_are_computed(tmp_path: Path) -> None:
    first = merged(tmp_path, [0, 1, 2, 3])
    assert (first.reused, first.pairs) == (0, 2 * 10)
    one_more, one_less = merged(tmp_path, [0, 1, 2, 3, 4]), merged(tmp_path, [0, 2, 3, 4])
    assert (one_more.reused, one_more.pairs) == (2 * 10, 2 * 15)
    assert (one_less.reused, one_less.pairs) == (2 * 10, 2 * 10)
    store = GramStore(tmp_path, digests([0, 2]))
    kept(store, "q_proj", [0, 2])
    kept(store, "q_proj", [0, 2])
    assert (store.reused, store.pairs) == (2 * 3, 2 * 3)


def test_a_merge_that_dies_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    merged(tmp_path, [0, 1])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept(GramStore(tmp_path, digests([0, 1, 2])), "q_proj", [0, 1, 2])
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.gram")} == before
    merged(tmp_path, [0, 1]).prune()
    assert names(tmp_path) == set(before)


def test_the_folder_is_only_read_where_new_files_go_elsewhere(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old", tmp_path / "fresh"
    merged(old, [0, 1, 2])
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    assert merged(old, [0, 1, 2, 3], fresh=fresh).stays() == sorted(files_of([0, 1, 2, 3]))
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    assert names(fresh) == files_of([3])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_what_comes_when_it_is_full_is_not_kept(tmp_path: Path, share: float) -> None:
    merged(tmp_path / "whole", range(6))
    bound = int(share * size_of(tmp_path / "whole"))
    first = merged(tmp_path / "some", range(6), bytes_max=bound)
    index_bytes = 400 * len(first.stays())
    assert size_of(tmp_path / "some") <= bound + index_bytes and len(first.stays()) < 6
    assert bool(first.stays()) == (share > 0)
    before = names(tmp_path / "some")
    assert before == set(first.stays())
    merged(tmp_path / "some", range(6), bytes_max=bound)
    assert before <= names(tmp_path / "some")


def test_what_is_not_of_a_store_stays_where_it_lies(tmp_path: Path) -> None:
    others = {"holiday.iso.part", "notes.gram", "adapter_model.safetensors.part"}
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / f"{digest(5)}.part").mkdir()
    merged(tmp_path, [0, 1])
    merged(tmp_path, [0]).prune()
    assert names(tmp_path) == {*others, f"{digest(5)}.part", *files_of([0])}


def test_a_disk_that_is_full_fails_no_merge(tmp_path: Path) -> None:
    (tmp_path / f"{digest(1)}.part").symlink_to("/dev/full")
    assert merged(tmp_path, [0, 1, 2]).stays() == sorted(files_of([0, 2]))


def test_a_file_that_is_mostly_about_others_is_made_anew(tmp_path: Path) -> None:
    merged(tmp_path, range(6))
    wide = size_of(tmp_path)
    store = merged(tmp_path, [4, 5])
    store.prune()
    assert store.stays() == sorted(files_of([4, 5])) and size_of(tmp_path) < wide / 4
    assert merged(tmp_path, [4, 5]).reused == 2 * 3


@pytest.mark.parametrize(
    "damage", [b"", b"\xff" * 40, b"[9, {}]\x07" + bytes(7), b'[2,[],{"q_proj":5}]\x13' + bytes(7)]
)
def test_a_file_that_is_no_store_counts_as_none(tmp_path: Path, damage: bytes) -> None:
    merged(tmp_path, [0, 1, 2])
    (tmp_path / f"{digest(1)}.gram").write_bytes(damage)
    again = merged(tmp_path, [0, 1, 2])
    assert again.reused == 2 * 3 and again.stays() == sorted(files_of([0, 1, 2]))
    assert merged(tmp_path, [0, 1, 2]).reused == 2 * 6


def test_an_index_without_end_is_none(tmp_path: Path) -> None:
    merged(tmp_path, [0, 1])
    path = tmp_path / f"{digest(1)}.gram"
    data = path.read_bytes()
    length = int.from_bytes(data[-8:], "little")
    padded = data[-8 - length : -8].rjust(INDEX_BYTES_MAX + 1)
    path.write_bytes(data[: -8 - length] + padded + len(padded).to_bytes(8, "little"))
    assert read_index(path) == Index()
    assert merged(tmp_path, [0, 1]).reused == 2 * 1


@pytest.mark.parametrize("others", [[digest(0)] * 9, [digest(0), "", ""], [[], []]])
def test_an_index_that_names_an_adapter_twice_is_none(tmp_path: Path, others: list[object]) -> None:
    text = json.dumps([FORMAT, others, {module: [0, 0, [], [], 0] for module in MODULES}]).encode()
    (tmp_path / f"{digest(0)}.gram").write_bytes(text + len(text).to_bytes(8, "little"))
    assert merged(tmp_path, [0]).reused == 0
    assert merged(tmp_path, [0]).reused == len(MODULES)


def rotten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def beyond_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"k_proj":[0,', b'"k_proj":[9,'))


def forged(path: Path, *, rank: int = 0, value: float = 0.0) -> None:
    """What somebody writes who knows the format: all of it fits together, but the numbers are theirs."""
    index, writer = read_index(path), Writer(path.with_suffix(".forged"))
    for module, record in index.records.items():
        blocks = read_blocks(path, record)
        blocks[1, 0, -1] += value
        others = [index.others[place] for place in record.places]
        writer.write(module, blocks[:, : record.rank - rank], others, record.ranks)
    writer.end()
    path.with_suffix(".forged").replace(path)


SPOILT: dict[str, Callable[[Path], None]] = {
    "rotten": rotten,
    "beyond the end": beyond_the_end,
    "of another rank": partial(forged, rank=1),
    "a little off": partial(forged, value=1e-5),
    "infinite": partial(forged, value=np.inf),
    "no number": partial(forged, value=np.nan),
}


@pytest.mark.parametrize("how", SPOILT)
def test_blocks_that_are_wrong_are_found_out_and_nothing_stays(tmp_path: Path, how: str) -> None:
    merged(tmp_path, [0, 1, 2, 3])
    path = tmp_path / f"{digest(3)}.gram"
    before = path.read_bytes()
    SPOILT[how](path)
    assert path.read_bytes() != before
    found = merged(tmp_path, [0, 1, 2, 3, 4], seed=5)
    assert found.stays() == []
    found.prune()
    assert names(tmp_path) == set()
    merged(tmp_path, [0, 1, 2, 3])
    assert merged(tmp_path, [0, 1, 2, 3]).reused == 2 * 10
