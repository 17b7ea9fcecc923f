"""Rows judge themselves, results files have one schema, and docs/results.md says what the files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench import report
from bench.report import Row

FAST = Row.of("speed", 0.81234, "x", goal=">= 0.7", peer="a bare stream", command="make bench-node")
SLOW = Row.of("speed", 0.69, "x", goal=">= 0.7")
NOTE = Row.of("size", 13312, "bytes")

PAGE = """# Results
<!-- results:node -->
old
<!-- /results -->
text
<!-- results:other -->
kept
<!-- /results -->
"""


@pytest.mark.parametrize(
    ("value", "goal", "holds"),
    [
        (0.7, ">= 0.7", True),
        (0.6999, ">= 0.7", False),
        (90, "< 90", False),
        (89.9, "< 90", True),
        (4, "<= 4", True),
        (5, "<= 4", False),
        (1, "> 1", False),
        (2, "== 2", True),
        (2.5, "== 2", False),
        (-1, "", True),
    ],
)
def test_goals(value: float, goal: str, holds: bool) -> None:
    assert report.meets(value, goal) is holds
    assert Row.of("m", value, "u", goal=goal).holds is holds


def test_a_goal_is_one_comparison() -> None:
    with pytest.raises(ValueError, match="no goal"):
        report.meets(1, "about 1")


def test_json_row_schema() -> None:
    assert json.loads(report.to_json([FAST])) == [
        {
            "metric": "speed",
            "value": 0.81234,
            "unit": "x",
            "goal": ">= 0.7",
            "holds": True,
            "peer": "a bare stream",
            "command": "make bench-node",
        }
    ]


def test_rows_come_back_in_their_order() -> None:
    rows = [SLOW, NOTE, FAST]
    assert report.from_json(report.to_json(rows)) == rows


@pytest.mark.parametrize(
    "change",
    [{"holds": False}, {"value": "0.8"}, {"value": True}, {"goal": None}, {"metric": 1}, {"goal": ">= 0.9"}, {"x": 1}],
)
def test_other_rows_are_refused(change: dict[str, object]) -> None:
    row = json.loads(report.to_json([FAST]))[0] | change
    with pytest.raises(ValueError, match="row"):
        report.from_json(json.dumps([row]))


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"metric": "speed"}]'])
def test_other_documents_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="row"):
        report.from_json(text)


def test_markdown_table() -> None:
    bar = Row.of("a|b", 2.0, "s", goal="< 1")
    assert report.to_markdown([FAST, NOTE, bar]) == (
        "| Metric | Value | Goal | Holds | Compared with | Again by |\n"
        "|---|--:|---|---|---|---|\n"
        "| speed | 0.812 x | >= 0.7 | yes | a bare stream | `make bench-node` |\n"
        "| size | 13,312 bytes |  |  |  |  |\n"
        "| a\\|b | 2 s | < 1 | NO |  |  |\n"
    )


def test_tables_replace_only_their_own_place() -> None:
    page = report.with_tables(PAGE, {"node": [NOTE], "absent": [FAST]})
    assert page == PAGE.replace("old\n", report.to_markdown([NOTE]))
    assert report.with_tables(page, {"node": [NOTE]}) == page


def test_finish_keeps_rows_and_tells_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    results = tmp_path / "results"
    assert report.finish("node", [FAST, NOTE], folder=results, page=page) == 0
    assert report.finish("other", [FAST, SLOW], folder=results, page=page) == 1
    assert report.read_results(results) == {"node": [FAST, NOTE], "other": [FAST, SLOW]}
    assert page.read_text() == report.with_tables(PAGE, {"node": [FAST, NOTE], "other": [FAST, SLOW]})
    assert "NO" in capsys.readouterr().out


def test_the_page_says_what_the_files_say() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    results = report.read_results()
    assert report.with_tables(page, results) == page
    assert all(f"<!-- results:{name} -->" in page for name in results)
