"""A small thread pool that keeps the order of jobs with the same key.

Jobs of one key run one after another in the order of `submit`; jobs of different keys run side by side. The result goes
to `done` on the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Job = tuple[Callable[[], Any], Callable[[Any], None]]


class KeyedPool:
    """Threads for blocking work. A job must not raise; it returns what went wrong as its result."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._queues: dict[str, deque[Job]] = {}
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, key: str, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `work` in a thread after all earlier jobs of `key`, then `done(result)` on the loop."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.append((work, done))
            return
        self._queues[key] = deque(((work, done),))
        self._idle.clear()
        self._start(key)

    async def drain(self) -> None:
        """Returns when nothing is queued or running."""
        await self._idle.wait()

    def close(self) -> None:
        """End the threads after what runs now."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, key: str) -> None:
        work, done = self._queues[key][0]
        self._pool.submit(self._run, key, work, done)

    def _run(self, key: str, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        result = work()
        self._loop.call_soon_threadsafe(self._finished, key, done, result)

    def _finished(self, key: str, done: Callable[[Any], None], result: Any) -> None:
        queue = self._queues[key]
        queue.popleft()
        if queue:
            self._start(key)
        else:
            del self._queues[key]
        done(result)
        if not self._queues:
            self._idle.set()
