"""What systemd, or another supervisor that speaks sd_notify, is told: ready, reloading, stopping, alive.

- `NOTIFY_SOCKET` names a Unix datagram socket (`@` begins an abstract one); without it nothing is sent.
- `WATCHDOG_USEC` asks for a sign of life that often, where `WATCHDOG_PID` is this process or isn't given. They are sent
  by the event loop at a third of that time, with a line on how the peer does: a loop that hangs sends none, and the
  supervisor ends the process.
- A socket that is full or gone is no reason to stop: what couldn't be sent is dropped.
- Both variables are taken out of the environment, so that no child speaks in this process' name.

Source: sd_notify(3), "Notes": the protocol is fixed, and a few lines speak it without libsystemd.

>>> environment = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "3000000"}
>>> Supervisor.found(environment).ping_s, environment
(1.0, {})
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping

PINGS_A_TIMEOUT = 3


class Supervisor:
    """Speaks to the socket at `address` ("": to nobody); `ping_s` between signs of life, 0 for none."""

    def __init__(self, address: str, ping_s: float) -> None:
        self.ping_s = ping_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._next: asyncio.TimerHandle | None = None

    @classmethod
    def found(cls, environment: MutableMapping[str, str] = os.environ) -> Supervisor:
        """The one that started this process, if one did."""
        address = environment.pop("NOTIFY_SOCKET", "")
        timeout_us = environment.pop("WATCHDOG_USEC", "")
        mine = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        asked = int(timeout_us) if mine and timeout_us.isdecimal() else 0
        return cls(address, asked / 1_000_000 / PINGS_A_TIMEOUT)

    def ready(self, status: str) -> None:
        """It listens, and takes commands."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Settings are being read; `ready` ends that."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, reason: str) -> None:
        """It leaves, and gives no more signs of life than this."""
        if self._next is not None:
            self._next.cancel()
        self._say("STOPPING=1", f"STATUS=stopping: {reason}")

    def watch(self, status: Callable[[], str]) -> None:
        """Give signs of life from now on, by the running loop."""
        if self.ping_s:
            self._next = asyncio.get_running_loop().call_later(self.ping_s, self.watch, status)
            self._say("WATCHDOG=1", f"STATUS={status()}")

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto("\n".join(words).encode(), self._address)
