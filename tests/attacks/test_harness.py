"""The table of attacks itself: what lacks is seen, and what is seen is true."""

from __future__ import annotations

from pathlib import Path

from bench.report import from_json, to_json
from tests.attacks.catalogue import ATTACKS, LETTERS
from tests.attacks.table import Seen, rows_of, table_of


def withstood() -> dict[int, Seen]:
    seen = {number: Seen() for number in ATTACKS}
    for number, attack in ATTACKS.items():
        seen[number].add(attack.verdicts[0], "because", 1.5)
    return seen


def test_every_attack_says_what_must_happen() -> None:
    for attack in ATTACKS.values():
        assert attack.title and attack.verdicts and not set(attack.verdicts) - set(LETTERS)


def test_an_attack_without_a_test_is_missing_and_stands_last() -> None:
    seen = withstood()
    del seen[7]
    states = list(table_of(seen).columns[3].cells)
    assert states[-1] == "MISSING" and states.count("MISSING") == 1
    assert not rows_of(seen)[0].holds


def test_one_failed_input_is_enough() -> None:
    seen = withstood()
    seen[1].failed += 1
    rows = rows_of(seen)
    assert not rows[0].holds and rows[1].metric.startswith("002")


def test_rows_are_those_of_every_bench() -> None:
    rows = rows_of(withstood())
    assert rows[0].holds and len(rows) == len(ATTACKS) + 1
    assert from_json(to_json(rows)) == rows


def test_the_page_lists_every_attack_of_the_catalogue() -> None:
    """What was seen is written by `make attacks`; titles and what must happen are those of today."""
    page = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")
    for attack in ATTACKS.values():
        assert f"| {attack.number:03} | {attack.title} | {attack.verdicts} |" in page
