"""After a crash a shelf shows what durable rows grant, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.gate import Outcome, Verdict
from plora.node.core.merge_rows import MERGES, Generation, MergeRow, decode_merge, merge_row
from plora.node.core.rows import VERDICTS, VerdictRow, verdict_row
from plora.node.daemon.node import granted, with_folders
from plora.node.driver.shelf import Shelf
from plora.node.store.snapshot import Snapshot

OLD, NEW = "11" * 32, "22" * 32
ACCEPT = Verdict(Outcome.ACCEPT, "weights")


def home(root: Path, name: str, content: str, generations: tuple[int, ...] = (), current: int = 0) -> Shelf:
    """A shelf with one exposed adapter and one base whose `current` names a generation."""
    for folder in (root / "adapters", root / "views" / content, root / "merged" / "org--mini"):
        folder.mkdir(parents=True)
    (root / "adapters" / name).symlink_to(f"../views/{content}")
    for generation in generations:
        (root / "merged" / "org--mini" / f"gen-{generation}").mkdir()
    if current:
        (root / "merged" / "org--mini" / "current").symlink_to(f"gen-{current}")
    return Shelf(root, {})


@pytest.mark.parametrize(
    ("exposed", "kept"),
    [
        ({"ada--legal": OLD}, True),
        ({}, False),  # withdrawn, and killed before it was hidden
        ({"ada--legal": NEW}, False),  # a newer one was granted, and killed before it was shown
        ({"bob--legal": OLD}, False),  # renamed
    ],
)
def test_only_granted_names_stay(tmp_path: Path, exposed: dict[str, str], kept: bool) -> None:
    shelf = home(tmp_path, "ada--legal", OLD)
    shelf.keep_only(exposed, {})
    assert (tmp_path / "adapters" / "ada--legal").is_symlink() == kept
    shelf.sweep()
    assert (tmp_path / "views" / OLD).is_dir() == kept


@pytest.mark.parametrize(
    ("on_disk", "current", "stands", "after"),
    [
        ((1, 2), 2, 2, "gen-2"),
        ((1, 2), 2, 1, "gen-1"),  # killed between the switch and the row
        ((2,), 2, 0, ""),  # the first merge, or one that was taken away
        ((2,), 2, 1, ""),  # what stood is gone: nothing is better than what nobody granted
        ((1, 2), 0, 2, "gen-2"),
    ],
)
def test_current_is_the_generation_that_stands(
    tmp_path: Path, on_disk: tuple[int, ...], current: int, stands: int, after: str
) -> None:
    shelf = home(tmp_path, "ada--legal", OLD, on_disk, current)
    shelf.keep_only({}, {"org/mini": stands} if stands else {})
    link = tmp_path / "merged" / "org--mini" / "current"
    assert (link.readlink().name if link.is_symlink() else "") == after
    beside = tmp_path / "adapters" / "merged--org--mini"
    assert beside.is_symlink() == bool(after)
    assert not after or beside.resolve() == (tmp_path / "merged" / "org--mini" / after).resolve()


def test_merges_whose_folders_are_gone_are_made_again(tmp_path: Path) -> None:
    shelf = home(tmp_path, "ada--legal", OLD, (2, 3))
    row = MergeRow("org/mini", 4, (NEW,), before=(Generation(3, (OLD,)), Generation(1, (OLD,))), serves=1)
    put = merge_row(row)
    left, lost = with_folders(Snapshot(tables={MERGES: ((put.key, put.value),)}), shelf)
    ((key, value),) = left.rows(MERGES)
    assert lost == ["org/mini"]
    assert decode_merge(key, value) == MergeRow("org/mini", 4, (), before=(Generation(3, (OLD,)),))
    assert with_folders(left, shelf) == (left, [])


def test_an_empty_home_is_fine(tmp_path: Path) -> None:
    Shelf(tmp_path, {}).keep_only({"ada--legal": OLD}, {"mini": 3})
    assert [path.name for path in tmp_path.rglob("*")] == ["adapters"]


def test_rows_grant_what_is_usable_and_what_stands() -> None:
    shown = VerdictRow(ACCEPT, 1, 2, usable=True, name="ada--legal")
    withdrawn = VerdictRow(Verdict(Outcome.REJECT, "replay", "expired"), 1, 2)
    verdicts = [verdict_row(bytes.fromhex(OLD), withdrawn), verdict_row(bytes.fromhex(NEW), shown)]
    back = MergeRow("back", 4, (NEW,), before=(Generation(2, (OLD,)),), serves=2)
    merges = [merge_row(MergeRow("mini", 3, (NEW,))), merge_row(MergeRow("other", 5, ())), merge_row(back)]
    snapshot = Snapshot(
        tables={
            VERDICTS: tuple((row.key, row.value) for row in verdicts),
            MERGES: tuple((row.key, row.value) for row in merges),
        }
    )
    assert granted(snapshot) == ({"ada--legal": NEW}, {"mini": 3, "other": 0, "back": 2})
