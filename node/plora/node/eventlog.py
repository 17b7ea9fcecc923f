"""The event log on disk: one JSONL file a boot, numbered without gaps, with those who follow it.

Rules:

- Lines come from the `Ledger`, which numbers them; each is handed to the system before the next, so a killed peer loses
  none, and made durable when the log is closed.
- A log that can't be written (full disk) is given up with one `trouble` text; the peer goes on without it.
- Followers get every line written after they came; what was before is in the file (`seq` tells where both meet).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.proto.errors import StoreError
from plora.proto.records import Body, CauseLike

Follower = Callable[[str], None]


class EventLog:
    """Writes records as they are emitted. Made by one boot of one peer."""

    def __init__(self, folder: Path, ledger: Ledger, started: Now, boot: str) -> None:
        self.path = folder / f"{started.wall_ms:013d}-{boot[:8]}.jsonl"
        self.boot = boot
        self.trouble = ""
        self._ledger = ledger
        self._followers: list[Follower] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"can't be written ({error.strerror})", where=str(self.path)) from error

    @property
    def round_number(self) -> int:
        """Rounds begun in this boot."""
        return self._ledger.round_number

    def write(self, body: Body, now: Now, cause: CauseLike | None = None) -> None:
        """Append the record of a body."""
        line = self._ledger.line(body, now, cause)
        if not self.trouble:
            self._append(line.encode())
        for follower in tuple(self._followers):
            follower(line)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call `follower` with every new line until the returned function is called."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def close(self) -> None:
        """Make the file durable and close it."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            self.trouble = error.strerror or "can't be synced"
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self.trouble = error.strerror or "can't be written"
