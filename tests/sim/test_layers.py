"""Who merged a trojan: everybody, until detectors look; and a consensus of members that look speaks for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.proto.errors import UsageError
from plora.sim.layers import BEGIN, END, ROWS, Merged, Row, main, measured, table, written
from plora.sim.scenario import Verdicts

BLIND, SHARP = (Verdicts(accept_clean=1, accept_trojan=rate, correlation=0.5) for rate in (1, 0))


@pytest.mark.parametrize(("layers", "verdicts"), [(("signatures",), None), (("signatures", "detectors"), BLIND)])
def test_a_valid_key_is_enough_where_nobody_looks_or_nothing_is_found(
    layers: tuple[str, ...], verdicts: Verdicts | None
) -> None:
    assert measured(Row(frozenset(layers)), 3, [0], verdicts, quorum=2) == [Merged(1, 1, 1)]


def test_what_members_find_is_merged_by_nobody_and_clean_ones_by_all() -> None:
    layers = frozenset({"signatures", "detectors", "consensus"})
    assert measured(Row(layers), 4, [0], SHARP, quorum=2) == [Merged(0, 0, 1)]


def test_a_page_gets_the_table_between_its_marks() -> None:
    text = table([(1000, ROWS[1], [Merged(1, 0.5, 0.25), Merged(1, 0.7, 0.25)])], "rates told by hand")
    page = written(f"# Title\n\n{BEGIN}\nbefore\n{END}\n\nthe rest\n", text)
    assert "| 1,000 | signatures | 100.0% | 60.0% (50.0% to 70.0%) | 25.0% |" in page
    assert "before" not in page and page.startswith("# Title") and page.endswith("the rest\n")
    assert written(page, text) == page
    with pytest.raises(UsageError, match="layers: begin"):
        written("# Title\n", text)


RATES = ("--accept_clean", "1", "--accept_trojan", "0", "--correlation", "0")


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (("--accept_clean", "1"), "--accept_trojan"),
        (("--accept_clean", "2"), "outside of 0 to 1"),
        (("--seeds", "0"), "below 1"),
        (("--sizes", "1"), "below 2"),
    ],
)
def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], told: tuple[str, ...], named: str) -> None:
    with pytest.raises(SystemExit):
        main(told)
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(("text", "named"), [(None, "no page"), ("# Title\n", "layers: begin")])
def test_a_page_that_takes_no_table_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None, named: str
) -> None:
    path = tmp_path / "page.md"
    if text:
        path.write_text(text)
    assert main([*RATES, "--write", str(path)]) == 2
    out, err = capsys.readouterr()
    assert named in err and err.count("\n") == 1 and not out
