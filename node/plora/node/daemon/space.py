"""Watches what the file system has left, and tells the core: other programs fill disks, and people free them.

Not handled here: what to make of it (`plora.node.core.room`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from plora.node.core.events import DiskSpace
from plora.proto.errors import StoreError

LOOK_S = 2.0
TOLD_BYTES = 64 << 10
TOLD_AGAIN_S = 30.0


class Space:
    """Looks every `LOOK_S` until `stop`; tells what changed by `TOLD_BYTES`, and every `TOLD_AGAIN_S` anyway."""

    def __init__(self, free_bytes: Callable[[], int], tell: Callable[[DiskSpace], None]) -> None:
        self._free_bytes = free_bytes
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._told = -TOLD_BYTES
        self._told_s = 0.0
        self._next = self._loop.call_soon(self._look)

    def stop(self) -> None:
        """End it."""
        self._next.cancel()

    def _look(self) -> None:
        self._next = self._loop.call_later(LOOK_S, self._look)
        try:
            free = self._free_bytes()
        except StoreError:
            return  # whoever writes there finds out
        now_s = self._loop.time()
        if abs(free - self._told) >= TOLD_BYTES or now_s - self._told_s >= TOLD_AGAIN_S:
            self._told, self._told_s = free, now_s
            self._tell(DiskSpace(free))
