"""Turns by source: whoever asks for much waits behind everybody who asks for little."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from plora.node.workers.turns import Turns


class Queue:
    """Those who want a turn, in the order in which they ask, and those who had one."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.had: list[str] = []
        self._asked = asyncio.Event()

    async def take(self, name: str) -> None:
        self._asked.set()
        async with self.turns.of(name[0]):
            self.had.append(name)

    async def asks(self, name: str) -> asyncio.Task[None]:
        """Somebody who waits now."""
        self._asked.clear()
        task = asyncio.ensure_future(self.take(name))
        await self._asked.wait()
        return task


async def test_each_source_has_a_turn_before_another_has_its_second() -> None:
    queue = Queue()
    async with queue.turns.of("a"):
        waiting = [await queue.asks(name) for name in ("a1", "a2", "a3", "b1", "c1", "b2")]
    await asyncio.gather(*waiting)
    assert queue.had == ["b1", "c1", "a1", "b2", "a2", "a3"]


async def test_who_gives_up_leaves_the_turn_to_the_next() -> None:
    queue = Queue()
    async with queue.turns.of("z"):
        first, second, third = [await queue.asks(name) for name in ("a1", "b1", "c1")]
        second.cancel()
    first.cancel()  # just as its turn has come
    for gone in (first, second):
        with suppress(asyncio.CancelledError):
            await gone
    await third
    assert queue.had == ["c1"]
    await queue.take("d1")
    assert queue.had == ["c1", "d1"]


async def test_a_turn_that_fails_ends_too() -> None:
    queue = Queue()
    with suppress(ZeroDivisionError):
        async with queue.turns.of("a"):
            await queue.asks("b1")
            raise ZeroDivisionError
    await queue.take("c1")
    assert queue.had == ["b1", "c1"]
