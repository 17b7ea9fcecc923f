"""The event log on disk: JSONL segments, numbered without gaps over all of a boot, with those who follow it.

    events/0001795551600000-3f9a1c22.jsonl     begun at that millisecond, by that boot

Rules:

- Lines come from the `Ledger`, which numbers them; each is handed to the system before the next, so a killed peer loses
  none, and made durable when the log is closed.
- A segment that has an eighth of `events_max` is followed by another. When all segments in the folder, also those of
  earlier boots, exceed `events_max`, the oldest are deleted (with the recordings of their boots) and `dropped` is told.
  Names sort by age, and no line spans two segments: reading them in order is reading the log.
- A log that can't be written (full disk) is given up with one `trouble` text; the peer goes on without it.
- `count` gets every body as it is written, for the metrics.
- Followers get every line written after they came; what was before is in the segments (`seq` tells where both meet).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.proto.errors import StoreError
from plora.proto.record_lines import CauseLike
from plora.proto.records import Body

SEGMENTS = 8
EVENTS_MAX_MIN = 64 << 10

_BOOT_DIGITS = 8

Follower = Callable[[str], None]


class EventLog:
    """Writes records as they are emitted. Made by one boot of one peer; `events_max` 0 keeps everything.

    `dropped(limit, bytes)` is called after segments were deleted, with what they had come to.
    """

    def __init__(self, folder: Path, ledger: Ledger, started: Now, boot: str, events_max: int = 0) -> None:
        self.trouble = ""
        self.dropped: Callable[[int, int], None] = lambda limit, size_bytes: None
        self.count: Callable[[Body, Now], None] = lambda body, now: None
        self._folder = folder
        self.boot = boot
        self._ledger = ledger
        self._events_max = events_max
        self._followers: list[Follower] = []
        self._segments: list[Path] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin(started.wall_ms)
        except OSError as error:
            raise StoreError(f"can't be written ({error.strerror})", where=str(error.filename or folder)) from error

    @property
    def path(self) -> Path:
        """The segment that is written now."""
        return self._segments[-1]

    @property
    def round_number(self) -> int:
        """Rounds begun in this boot."""
        return self._ledger.round_number

    def segments(self) -> list[Path]:
        """This boot's segments that are still there, the oldest first."""
        return [segment for segment in self._segments if segment.exists()]

    def write(self, body: Body, now: Now, cause: CauseLike | None = None) -> None:
        """Append the record of a body."""
        line = self._ledger.line(body, now, cause)
        if not self.trouble:
            self._append(line.encode(), now)
        self.count(body, now)
        for follower in tuple(self._followers):
            follower(line)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call `follower` with every new line until the returned function is called."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def limit(self, events_max: int) -> None:
        """Keep to another limit from now on."""
        self._events_max = events_max
        self._drop_oldest()

    def close(self) -> None:
        """Make the segment durable and close it."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            self.trouble = error.strerror or "can't be synced"
        os.close(self._fd)

    def _append(self, data: bytes, now: Now) -> None:
        try:
            if self._events_max and self._size_bytes + len(data) > self._events_max // SEGMENTS and self._size_bytes:
                self._rotate(now)
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self.trouble = error.strerror or "can't be written"
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size_bytes)  # no half of a line
        else:
            self._size_bytes += len(data)

    def _rotate(self, now: Now) -> None:
        ended = self._fd
        self._begin(max(now.wall_ms, _begun_ms(self.path) + 1))  # names sort by age, whatever the clock does
        os.close(ended)  # not before: without another segment this one stays the log's own descriptor until `close`
        self._drop_oldest()

    def _begin(self, at_ms: int) -> None:
        segment = self._folder / f"{at_ms:013d}-{self.boot[:_BOOT_DIGITS]}.jsonl"
        self._fd = os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size_bytes = os.fstat(self._fd).st_size
        self._segments.append(segment)

    def _drop_oldest(self) -> None:
        sizes = {segment: segment.stat().st_size for segment in sorted(self._folder.glob("*.jsonl"))}
        before = total = sum(sizes.values())
        for segment in [segment for segment in sizes if segment != self.path]:
            if not self._events_max or total <= self._events_max - self._events_max // SEGMENTS:
                break
            segment.unlink(missing_ok=True)
            if not segment.stem.endswith(self.boot[:_BOOT_DIGITS]):
                segment.with_suffix(".inputs").unlink(missing_ok=True)
            total -= sizes[segment]
        if total < before:
            self.dropped(self._events_max, before)


def _begun_ms(segment: Path) -> int:
    return int(segment.name.partition("-")[0])
