"""A reader of the event log gets every line once, at its own pace, and what waits for it is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.node.admin.following import WAITING_MAX, Following
from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.node.eventlog import EventLog
from plora.proto.record_lines import record_from_line
from plora.proto.records import Stop

PEER, BOOT = "ab" * 32, "cd" * 16


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events", Ledger(PEER, BOOT), Now(0, 0), BOOT)


def said(line: str) -> str:
    body = record_from_line(line).body
    assert isinstance(body, Stop)
    return body.reason


async def test_there_is_an_end_where_nothing_is_awaited(log: EventLog) -> None:
    for word in ("a", "b"):
        log.write(Stop(word), Now(0, 0))
    following = Following(log)
    assert [said(line) async for line in following.lines(to_come=False)] == ["a", "b"]


async def test_a_reader_that_falls_far_behind_misses_nothing(log: EventLog) -> None:
    log.write(Stop("first"), Now(0, 0))
    following = Following(log)
    lines = following.lines(to_come=True)
    assert said(await anext(lines)) == "first"
    for number in range(3 * WAITING_MAX):
        log.write(Stop(str(number)), Now(0, 0))
    assert following.waiting <= WAITING_MAX
    assert [said(await anext(lines)) for _ in range(3 * WAITING_MAX)] == [str(n) for n in range(3 * WAITING_MAX)]
    log.write(Stop("last"), Now(0, 0))
    assert said(await anext(lines)) == "last"
    following.leave()
