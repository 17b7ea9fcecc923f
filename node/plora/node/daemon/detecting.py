"""Keeps the core told what this peer's detectors can look at: at the start, after a reload, when the secret is rotated.

Not handled here: what they need (`plora.node.driver.instruments`), what to look at (`plora.node.core.detectors`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from plora.node.core.events import DetectorsChanged
from plora.node.daemon.config import PeerConfig
from plora.node.driver.clock import read_clocks
from plora.node.driver.driver import Driver
from plora.node.driver.instruments import NO_BASE, Instruments
from plora.proto.records import ErrorMet


class Detecting:
    """From construction to `stop`. `config` gives the settings as last read."""

    def __init__(self, instruments: Instruments, config: Callable[[], PeerConfig], driver: Driver) -> None:
        self._instruments = instruments
        self._config = config
        self._driver = driver
        self._again = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def look_again(self) -> None:
        """The settings changed."""
        self._again.set()

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        told: DetectorsChanged | None = None
        while True:
            self._again.clear()
            found = await self._look()
            if found is not None and found != told:
                told = found
                self._driver.handle(found)
                self._complain(found)
            try:
                async with asyncio.timeout(self._config().detection.secret_ms / 1000):
                    await self._again.wait()
            except TimeoutError:
                continue  # the secret is old by now

    def _complain(self, found: DetectorsChanged) -> None:
        """Say once what is switched on and can't look."""
        troubles = dict.fromkeys(one.trouble for one in found.detectors) if found.detectors else {NO_BASE: None}
        for trouble in filter(None, troubles):
            self._driver.note(ErrorMet(trouble, "detection", "see `plora doctor`"))

    async def _look(self) -> DetectorsChanged | None:
        peer, now_ms = self._config(), read_clocks().wall_ms
        if not (peer.policy.tensor_outliers or peer.policy.probes):
            return None
        self._instruments.probe_s = peer.detection.probe_s
        try:
            return await asyncio.to_thread(self._instruments.ready, peer.policy, peer.named_bases(), now_ms)
        except Exception as error:  # what waits for detectors goes on waiting, and a person is told
            what = f"the detectors can't be made ready: {type(error).__name__}: {error}"[:500]
            self._driver.note(ErrorMet(what, "detection"))
            return None
