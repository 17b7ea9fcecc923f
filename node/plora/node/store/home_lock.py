"""One daemon a home, one layout version a home.

- `LOCK` is held by flock for as long as the daemon lives, so a killed daemon leaves no stale lock. Its text is the pid.
- `VERSION` names the layout; another version is refused before anything is touched.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from plora.proto.errors import StoreError, StoreLockedError

LAYOUT_VERSION = "1"


class HomeLock:
    """The exclusive right to work on a home, from construction to `release`.

    Raises `StoreLockedError`, which names the other process, and `StoreError` for a home of another version.
    """

    def __init__(self, home: Path) -> None:
        path = home / "LOCK"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(self._fd, path)
            _check_version(home / "VERSION")
        except (StoreError, OSError):
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another daemon in. The file stays: removing it would race with who opens it."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def check_unlocked(home: Path) -> None:
    """StoreLockedError while a daemon works on a home; nothing is written there."""
    path = home / "LOCK"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        _lock(fd, path)
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise StoreLockedError(
            f"another peer works on this home (process {pid})",
            where=str(path),
            mend=f"stop it (kill {pid}) or choose another home",
        ) from None


def _check_version(path: Path) -> None:
    if not path.exists():
        _write_version(path)
    found = path.read_bytes().decode("ascii", "replace").strip()
    if found != LAYOUT_VERSION:
        raise StoreError(
            f"the store has layout {found!r}, this program knows {LAYOUT_VERSION}",
            where=str(path),
            mend="use the version of plora that made it, or another home",
        )


def _write_version(path: Path) -> None:
    """Renamed once it is whole: neither a full disk nor a crash leaves a version that no program knows."""
    fresh = path.with_name("VERSION.new")
    with fresh.open("w", encoding="ascii") as stream:
        stream.write(LAYOUT_VERSION + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
