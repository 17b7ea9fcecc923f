"""Keeps the core told what this peer's detectors can look at.

- It looks at the start, at every reload, and when the secret has had its time. After a reload the core is told again,
  whatever came of it, so that what failed is tried again.
- A look that fails is made again after `RETRY_S`.

Not handled here: what they need (`plora.node.driver.instruments`), what to look at (`plora.node.core.detectors`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from plora.node.core.events import DetectorsChanged
from plora.node.daemon.config import PeerConfig
from plora.node.driver.clock import read_clocks
from plora.node.driver.instruments import Instruments, wanted_detectors
from plora.proto.records import Body, ErrorMet

RETRY_S = 60.0


class Listener(Protocol):
    """Who is told: the driver."""

    def handle(self, event: DetectorsChanged) -> None:
        """For the core."""

    def note(self, body: Body) -> None:
        """For the event log."""


class Detecting:
    """From construction to `stop`. `config` gives the settings as last read."""

    def __init__(
        self, instruments: Instruments, config: Callable[[], PeerConfig], driver: Listener, retry_s: float = RETRY_S
    ) -> None:
        self._retry_s = retry_s
        self._instruments = instruments
        self._config = config
        self._driver = driver
        self._again = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def look_again(self) -> None:
        """The settings were read again, and what they name may be here by now."""
        self._again.set()

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        told: DetectorsChanged | None = None
        while True:
            asked = self._again.is_set()
            self._again.clear()
            found, rest_s = await self._look()
            if found is not None and (asked or found != told):
                self._driver.handle(found)
                if found != told:
                    self._complain()
                told = found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._again.wait()

    def _complain(self) -> None:
        """Say once what is switched on and can't look."""
        for trouble in self._instruments.troubles:
            self._driver.note(ErrorMet(trouble, "detection", "see `plora doctor`"))

    async def _look(self) -> tuple[DetectorsChanged | None, float | None]:
        """What detectors can look at, None where that isn't known; seconds until it is to be looked for again."""
        peer, now_ms = self._config(), read_clocks().wall_ms
        if not wanted_detectors(peer.policy):
            self._instruments.troubles = ()
            return None, None
        self._instruments.probe_s = peer.detection.probe_s
        try:
            found = await asyncio.to_thread(self._instruments.ready, peer.policy, peer.named_bases(), now_ms)
        except Exception as error:  # what waits for detectors goes on waiting, and a person is told
            what = f"the detectors can't be made ready: {type(error).__name__}: {error}"[:500]
            self._driver.note(ErrorMet(what, "detection"))
            return None, self._retry_s
        left_ms = self._instruments.secret_left_ms(now_ms, peer.detection.secret_ms) if peer.policy.probes else None
        return found, None if left_ms is None else max(self._retry_s, left_ms / 1000)
