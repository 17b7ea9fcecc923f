"""Turns: one at a time, and those who wait are served by source in rotation, so that a busy source holds up itself.

- A source has one turn, then every other source that waits has one. Within a source, first come, first served.
- Who is cancelled while waiting, or as the turn comes, leaves it to the next.

    async with turns.of("ada"):
        ...
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Of one event loop."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, source: str) -> AsyncIterator[None]:
        """A turn of that source; the next begins when the block ends."""
        if self._taken:
            await self._wait(source)
        self._taken = True
        try:
            yield
        finally:
            self._pass_on(source)

    async def _wait(self, source: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(source, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on(source)
            raise

    def _pass_on(self, had: str) -> None:
        """The turn stays taken from now until whoever it was given to has it. `had` goes behind all others."""
        self._taken = False
        if had in self._waiting:
            self._waiting[had] = self._waiting.pop(had)
        while self._waiting and not self._taken:
            source, queue = next(iter(self._waiting.items()))
            turn = queue.popleft()
            if not queue:
                del self._waiting[source]
            if not turn.cancelled():
                turn.set_result(None)
                self._taken = True
