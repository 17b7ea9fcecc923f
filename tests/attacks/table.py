"""The pytest plugin behind `make attacks`: a table of all attacks with what was seen; any that lacks makes it exit 1.

Rules:

- An attack is withstood when it has a test, and all its tests passed and said what they saw.
- `--attacks-json PATH` writes the rows in the format of bench/report.py: how many were withstood, then one an attack.
- `--attacks-page PATH` puts the table, without times, between `<!-- attacks -->` and `<!-- /attacks -->` of that page.
- The milliseconds are those of the slowest input, with what its test had to make for it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from bench.report import Row, to_json
from rich.console import Console
from rich.table import Table
from tests.attacks.catalogue import ATTACKS, Attack

COMMAND = "make attacks"
_PLACE = re.compile(r"(<!-- attacks -->\n).*?(<!-- /attacks -->)", re.DOTALL)
_NUMBER = re.compile(r"::test_attack_([0-9]{3})_")


@dataclass
class Seen:
    """What the tests of one attack saw."""

    inputs: int = 0
    failed: int = 0
    verdicts: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    slowest_ms: float = 0.0

    def add(self, verdict: str, reason: str, milliseconds: float) -> None:
        """One input more."""
        self.inputs += 1
        self.verdicts[verdict] = None
        self.reasons[reason] = None
        self.slowest_ms = max(self.slowest_ms, milliseconds)

    @property
    def state(self) -> str:
        """What stands in the table as seen."""
        if self.failed:
            return "FAILED"
        return "".join(sorted(self.verdicts)) if self.inputs else "MISSING"

    @property
    def withstood(self) -> bool:
        """Whether there are inputs, and none failed."""
        return self.inputs > 0 and not self.failed

    @property
    def reason(self) -> str:
        """All reasons, each once."""
        return ", ".join(sorted(reason for reason in self.reasons if reason))


class Watcher:
    """Collects what the tests' reports carry."""

    def __init__(self, json_path: str | None, page_path: str | None) -> None:
        self._json_path = json_path
        self._page_path = page_path
        self.seen: dict[int, Seen] = defaultdict(Seen)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test."""
        match = _NUMBER.search(report.nodeid)
        if match is None:
            return
        seen = self.seen[int(match[1])]
        if report.failed:
            seen.failed += 1
        elif report.when == "call" and report.passed:
            for name, values in report.user_properties:
                if name == "attack":
                    seen.add(*_said(values))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail where an attack lacks its test."""
        if not hasattr(session.config, "workerinput") and not all(self.seen[number].withstood for number in ATTACKS):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the table, and write the rows where they are wanted."""
        Console(width=160, file=terminalreporter._tw._file).print(table_of(self.seen))
        if self._json_path:
            Path(self._json_path).write_text(to_json(rows_of(self.seen)), encoding="utf-8")
        if self._page_path:
            page = Path(self._page_path)
            page.write_text(with_table(page.read_text(encoding="utf-8"), self.seen), encoding="utf-8")


def table_of(seen: Mapping[int, Seen]) -> Table:
    """The attacks in order; those without a test at the end."""
    table = Table("no.", "attack", "must", "seen", "reason", "inputs", "ms", title=_headline(seen))
    for attack in sorted(ATTACKS.values(), key=lambda each: (_of(seen, each).state == "MISSING", each.number)):
        met = _of(seen, attack)
        cells = (met.reason, str(met.inputs), f"{met.slowest_ms:.1f}") if met.inputs else ("", "", "")
        table.add_row(f"{attack.number:03}", attack.title, attack.verdicts, met.state, *cells)
    return table


def rows_of(seen: Mapping[int, Seen]) -> list[Row]:
    """The same as figures: the count first, then every attack that was withstood, by its slowest input."""
    rows = [Row.of("attacks withstood", _withstood(seen), "", goal=f"== {len(ATTACKS)}", command=COMMAND)]
    for attack in ATTACKS.values():
        met = _of(seen, attack)
        if met.withstood:
            metric = f"{attack.number:03} {attack.title}"
            rows.append(Row.of(metric, round(met.slowest_ms, 1), "ms", peer=f"{met.state} {met.reason}".strip()))
    return rows


def with_table(page: str, seen: Mapping[int, Seen]) -> str:
    """The page with the table of all attacks in its place."""
    lines = ["| No. | Attack | Must | Seen | Because |", "|--:|---|---|---|---|"]
    for attack in ATTACKS.values():
        met = _of(seen, attack)
        cells = (f"{attack.number:03}", attack.title, attack.verdicts, met.state, met.reason.replace("|", "\\|"))
        lines.append("| " + " | ".join(cells) + " |")
    table = "\n".join([f"{_headline(seen)}.", "", *lines])
    return _PLACE.sub(lambda place: f"{place[1]}{table}\n{place[2]}", page)


def _said(values: object) -> tuple[str, str, float]:
    _, verdict, reason, milliseconds = cast("list[Any]", values)
    return str(verdict), str(reason), float(milliseconds)


def _of(seen: Mapping[int, Seen], attack: Attack) -> Seen:
    return seen.get(attack.number, Seen())


def _withstood(seen: Mapping[int, Seen]) -> int:
    return sum(_of(seen, attack).withstood for attack in ATTACKS.values())


def _headline(seen: Mapping[int, Seen]) -> str:
    return f"{_withstood(seen)} of {len(ATTACKS)} attacks withstood"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--attacks-json` and `--attacks-page`."""
    parser.addoption("--attacks-json", default=None, metavar="PATH", help="where to write the attacks' rows")
    parser.addoption("--attacks-page", default=None, metavar="PATH", help="the page to put the attacks' table into")


def pytest_configure(config: pytest.Config) -> None:
    """Watch this run."""
    config.pluginmanager.register(Watcher(config.getoption("--attacks-json"), config.getoption("--attacks-page")))
