"""`make nightly`: run the tests that are marked nightly, and keep how each ended.

Rules:

- The first row counts the tests that failed (goal: none), and says how the others ended, on which day, at which commit.
- Then a row for each test, in the order they ran: its seconds with setting up and cleaning up, how it ended, why it was
  skipped, and what it noted by `record_property`.
- Arguments are handed on to pytest. A run with arguments is only shown; one in which pytest itself stumbled, too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import Row, finish, show

COMMAND = "make nightly"
RAN_TO_THE_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


class Reports:
    """A pytest plugin that keeps the reports of each test by its name: of setting up, of itself, of cleaning up."""

    def __init__(self) -> None:
        self.of: dict[str, list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest."""
        self.of.setdefault(report.nodeid, []).append(report)


def rows_of(reports: Mapping[str, Sequence[pytest.TestReport]], occasion: str) -> list[Row]:
    """A row for all, and one a test. `occasion`: day and commit."""
    endings = {name: ending(each) for name, each in reports.items()}
    counts = [sum(said.startswith(word) for said in endings.values()) for word in ("passed", "skipped", "failed")]
    peer = f"{counts[0]} passed, {counts[1]} skipped; {occasion}"
    first = Row.of("tests that failed", counts[2], f"of {len(endings)}", goal="== 0", peer=peer, command=COMMAND)
    seconds = {name: sum(report.duration for report in each) for name, each in reports.items()}
    return [first, *(Row.of(name, seconds[name], "s", peer=said, command=COMMAND) for name, said in endings.items())]


def ending(reports: Sequence[pytest.TestReport]) -> str:
    """How a test ended, and what else it said."""
    notes = {f"{name} {value}" for report in reports for name, value in report.user_properties}
    if any(report.failed for report in reports):
        return "; ".join(("failed", *sorted(notes)))
    for report in reports:
        if report.skipped and isinstance(report.longrepr, tuple):
            return f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"
    return "; ".join(("passed", *sorted(notes)))


def main(arguments: Sequence[str]) -> int:
    """Run them, and report; the exit code."""
    reports = Reports()
    code = pytest.main(["-q", "-m", "nightly", *arguments], plugins=[reports])
    if code not in RAN_TO_THE_END:
        return int(code)
    rows = rows_of(reports.of, f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}")
    return show(rows) if arguments else finish("nightly", rows)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
