"""A small thread pool that keeps the order of jobs with the same key.

Jobs of one key run one after another in the order of `submit`; jobs of different keys run side by side. The result goes
to `done` on the event loop's thread, an exception to `failed`: a job that goes wrong holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Job = tuple[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]]


class KeyedPool:
    """Threads for blocking work."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._queues: dict[str, deque[Job]] = {}
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(
        self, key: str, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        """Run `work` in a thread after all earlier jobs of `key`, then one of `done(result)`, `failed(error)`."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.append((work, done, failed))
            return
        self._queues[key] = deque(((work, done, failed),))
        self._idle.clear()
        self._start(key)

    async def drain(self) -> None:
        """Returns when nothing is queued or running."""
        await self._idle.wait()

    def close(self) -> None:
        """End the threads after what runs now."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, key: str) -> None:
        self._pool.submit(self._run, key, *self._queues[key][0])

    def _run(
        self, key: str, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]
    ) -> None:
        try:
            result = work()
        except Exception as error:  # whatever it is, whoever waits must hear of it
            self._loop.call_soon_threadsafe(self._finished, key, failed, error)
        else:
            self._loop.call_soon_threadsafe(self._finished, key, done, result)

    def _finished(self, key: str, tell: Callable[[Any], None], outcome: Any) -> None:
        queue = self._queues[key]
        queue.popleft()
        if queue:
            self._start(key)
        else:
            del self._queues[key]
        try:
            tell(outcome)
        finally:
            if not self._queues:
                self._idle.set()
