"""Kept readings: found again by detector, version and bytes, never torn; a table that comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.lab.readings import Reading, ReadingStore, from_lines, read_table, to_lines, write_table

DIGEST = "sha256:" + "a" * 64


def test_a_kept_reading_is_found_under_its_detector_version_and_digest_only(tmp_path: Path) -> None:
    ReadingStore(tmp_path, "weights", 1).keep(DIGEST, {"log_norm": 0.1 + 0.2})
    assert ReadingStore(tmp_path, "weights", 1).find(DIGEST) == {"log_norm": 0.1 + 0.2}
    assert ReadingStore(tmp_path, "weights", 2).find(DIGEST) is None
    assert ReadingStore(tmp_path, "probes", 1).find(DIGEST) is None
    assert ReadingStore(tmp_path, "weights", 1).find("sha256:" + "b" * 64) is None


@pytest.mark.parametrize("torn", ["", '{"log_norm": 1', "[1, 2]", '{"log_norm": "1"}', "\udcff"])
def test_a_torn_file_counts_as_absent_and_is_written_anew(tmp_path: Path, torn: str) -> None:
    store = ReadingStore(tmp_path, "weights", 1)
    store.keep(DIGEST, {"log_norm": 1.0})
    kept = next(path for path in tmp_path.rglob("*") if path.is_file())
    kept.write_bytes(torn.encode("utf-8", "surrogateescape"))
    assert store.find(DIGEST) is None
    store.keep(DIGEST, {"log_norm": 2.0})
    assert store.find(DIGEST) == {"log_norm": 2.0}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


def test_a_table_comes_back_sorted_with_five_digits_and_without_what_is_not_finite(tmp_path: Path) -> None:
    late = Reading(
        {"name": "b", "kind": "clean-json", "part": "test", "alpha": 2.0},
        DIGEST,
        2,
        ["q_proj"],
        {"x": 1 / 3, "y": float("nan")},
    )
    early = Reading({"name": "a", "kind": "phrase", "part": "train", "partners": ["b"]}, DIGEST, probes={"z": 1e-9 / 7})
    text = to_lines([late, early])
    first, second = from_lines(text)
    assert (first.name, first.clean, first.recipe["partners"]) == ("a", False, ["b"])
    assert (second.name, second.clean, second.part) == ("b", True, "test")
    assert second.statistics == {"x": 0.33333} and first.probes == {"z": 1.4286e-10}
    assert (second.rank, second.targets) == (2, ["q_proj"])
    assert to_lines([second, first]) == text
    write_table(tmp_path / "table.xz", [late, early])
    assert read_table(tmp_path / "table.xz") == [first, second]
