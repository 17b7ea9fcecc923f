"""The lines of this boot's event log, those that are there and then those to come, for a reader at its own pace.

- Nothing is left out while the log keeps it, and what waits for a reader is bounded by `WAITING_MAX` lines: a reader
  that falls behind, suspended maybe, reads the log's files again from where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from plora.node.eventlog import EventLog

WAITING_MAX = 1000


class Following:
    """One reader of `log`, from construction to `leave`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: asyncio.Queue[str] = asyncio.Queue(WAITING_MAX)
        self._behind = True
        self._last = -1
        self.leave = log.follow(self._take)

    @property
    def waiting(self) -> int:
        """How many lines wait to be read."""
        return self._waiting.qsize()

    async def lines(self, *, to_come: bool) -> AsyncIterator[str]:
        """What there is; with `to_come` also what is written from then on, without end."""
        while True:
            if self._behind and self._waiting.empty():
                self._behind = False
                async for line in self._there():
                    yield line
            if not to_come:
                return
            line = await self._waiting.get()
            if self._is_news(line):
                yield line

    async def _there(self) -> AsyncIterator[str]:
        for segment in self._log.segments():
            for line in await asyncio.to_thread(_lines_of, segment):
                if self._is_news(line):
                    yield line

    def _take(self, line: str) -> None:
        if self._waiting.full():
            self._behind = True
        else:
            self._waiting.put_nowait(line)

    def _is_news(self, line: str) -> bool:
        seq = json.loads(line)["seq"]
        news: bool = seq > self._last
        self._last = max(seq, self._last)
        return news


def _lines_of(segment: Path) -> list[str]:
    """The lines of a segment; none if it was dropped meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return segment.read_text(encoding="utf-8").splitlines(keepends=True)
    return []
