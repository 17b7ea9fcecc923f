"""Who merged a trojan: everybody, until detectors look; and a consensus of members that look speaks for all."""

from __future__ import annotations

import pytest

from plora.proto.errors import UsageError
from plora.sim.layers import BEGIN, END, ROWS, Merged, Row, main, measured, table, written
from plora.sim.scenario import Verdicts

BLIND, SHARP = (Verdicts(accept_clean=1, accept_trojan=rate, correlation=0.5) for rate in (1, 0))


@pytest.mark.parametrize(("layers", "verdicts"), [(("signatures",), None), (("signatures", "detectors"), BLIND)])
def test_a_valid_key_is_enough_where_nobody_looks_or_nothing_is_found(
    layers: tuple[str, ...], verdicts: Verdicts | None
) -> None:
    assert measured(Row(frozenset(layers)), 5, [0], verdicts, quorum=2) == Merged(1, 1, 1)


def test_what_members_find_is_merged_by_nobody_and_clean_ones_by_all() -> None:
    layers = frozenset({"signatures", "detectors", "consensus"})
    assert measured(Row(layers), 5, [0], SHARP, quorum=2) == Merged(0, 0, 1)


def test_a_page_gets_the_table_between_its_marks() -> None:
    text = table([(1000, ROWS[1], Merged(1, 0.5, 0.25))], "rates told by hand")
    page = written(f"# Title\n\n{BEGIN}\nbefore\n{END}\n\nthe rest\n", text)
    assert "| 1,000 | signatures | 100.0% | 50.0% | 25.0% |" in page
    assert "before" not in page and page.startswith("# Title") and page.endswith("the rest\n")
    assert written(page, text) == page
    with pytest.raises(UsageError, match="layers: begin"):
        written("# Title\n", text)


def test_half_told_rates_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--sizes", "5", "--accept_clean", "1"])
    assert "--accept_trojan" in capsys.readouterr().err
