"""Kept Gram matrices: whatever comes and goes, they have the bits of those that are computed at once."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.factors import Array
from plora.merge.gram import Grams, grams_of
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
    return store.grams(module, [digest(member) for member in members], ranks, *factors(module, members))


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
        store = GramStore(folder)
        for module in MODULES:
            assert same(kept(store, module, members), grams_of(*factors(module, members)))
        store.commit()
        if prune:
            store.prune({digest(member) for member in members})
            assert {path.stem for path in folder.iterdir()} <= {digest(member) for member in members}
    shutil.rmtree(folder)


@pytest.mark.parametrize("later", [False, True])
def test_what_is_known_is_not_computed_again(tmp_path: Path, later: bool) -> None:
    members = [0, 1, 2, 3, 4]
    store = GramStore(tmp_path)
    first = kept(store, "q_proj", members)
    if later:
        store.commit()
        store = GramStore(tmp_path)
    a, b = factors("q_proj", members)
    digests, ranks = [digest(member) for member in members], [RANKS[member] for member in members]
    again = store.grams("q_proj", digests, ranks, 2 * a, 2 * b)
    assert first is not None and again is not None
    assert np.array_equal(again.right, first.right) and np.array_equal(again.left, first.left)


def test_a_merge_that_dies_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    first = GramStore(tmp_path)
    kept(first, "q_proj", [0, 1])
    first.commit()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept(GramStore(tmp_path), "q_proj", [0, 1, 2])
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.gram")} == before
    GramStore(tmp_path).prune({digest(0), digest(1)})
    assert {path.name for path in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"[9, {}]\x07" + bytes(7)])
def test_a_file_that_is_no_store_counts_as_none(tmp_path: Path, damage: bytes) -> None:
    store = GramStore(tmp_path)
    kept(store, "q_proj", [0, 1, 2])
    store.commit()
    (tmp_path / f"{digest(1)}.gram").write_bytes(damage)
    assert same(kept(GramStore(tmp_path), "q_proj", [0, 1, 2]), grams_of(*factors("q_proj", [0, 1, 2])))
