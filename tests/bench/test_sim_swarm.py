"""The bench of the swarm fails where not everything reached everybody."""

from __future__ import annotations

from bench.report import to_markdown
from bench.sim_swarm import Figures, rows


def figures(agents: int, rounds: int | None) -> Figures:
    return Figures(agents, rounds, 1.0, 50_000, 1 << 28, 1 << 27, "")


def test_a_run_that_covers_holds_its_goals() -> None:
    assert all(row.holds for row in rows(lambda agents: figures(agents, 9)))


def test_a_run_that_does_not_cover_fails_its_row() -> None:
    found = rows(lambda agents: figures(agents, None if agents == 10_000 else 9))
    assert [row.metric for row in found if not row.holds] == ["10,000 cores to full coverage, 30 plasmids"]
    assert "| inf s CPU | <= 300 | NO |" in to_markdown(found)
