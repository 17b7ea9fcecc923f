"""What merges keep for the next one: files of Gram blocks under `kept/`, which the peer alone changes.

    kept/BASE/DIGEST.gram            tmp/kept-XXXXXXXX/: of a merge under way

Rules:

- A merge's worker reads the base's folder, and writes what is new into a folder of its own. When its merge is done, it
  names the files that are of use: these stay or move in, all others go at once. A worker that is killed, or outlives a
  killed peer, leaves the folder as it was.
- All bases together take `bytes_max` at most, and the file system keeps `disk_free_min`. What comes when it is full is
  not kept. A folder that is over the bound, since that was lowered or the disk ran full, is emptied.
- A merge that fails takes the base's folder along: nothing that made it fail is read again. But no merge fails since
  the disk refused something here: then nothing is kept.
- A worker that foreign bytes took over may hand over what it likes. So each worker checks what it reads
  (`plora.merge.gram_store`), by numbers drawn from a seed that is new with each merge and that no earlier worker knew:
  what was revoked leaves nothing behind that changes a later merge.
- Everything here blocks, and is called from one thread at a time.

Not handled here: what is in the files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

KEPT = "kept"
_FRESH = "kept-"
_SEED_BITS = 128


class Kept:
    """The kept blocks of one home. Nothing is kept until `limit` allows it."""

    def __init__(self, home: Path) -> None:
        self._root = home / KEPT
        self._tmp = home / "tmp"
        self._bytes_max = self._disk_free_min = 0

    def limit(self, *, bytes_max: int, disk_free_min: int) -> None:
        """Obey these limits from the next merge on; `bytes_max` 0: keep nothing."""
        self._bytes_max, self._disk_free_min = bytes_max, disk_free_min

    def offer(self, name: str) -> dict[str, Any] | None:
        """What a merge's request says of the blocks of a base; None where nothing is to be kept."""
        with contextlib.suppress(OSError):
            return self._offer(self._root / name)
        return None

    def _offer(self, folder: Path) -> dict[str, Any] | None:
        room = self._room(folder)
        if room < _bytes_of(folder):
            shutil.rmtree(folder)
            room = self._room(folder)
        if room <= 0:
            return None
        for each in (folder, self._tmp):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = tempfile.mkdtemp(prefix=_FRESH, dir=self._tmp)
        return {"folder": str(folder), "fresh": fresh, "bytes_max": room, "seed": secrets.randbits(_SEED_BITS)}

    def take(self, name: str, fresh: Path, stays: Collection[str]) -> None:
        """After a merge: only files of these names stay, and come from `fresh`, as far as there is room."""
        try:
            self._take(self._root / name, fresh, stays)
        except OSError:
            self.drop(name, fresh)

    def _take(self, folder: Path, fresh: Path, stays: Collection[str]) -> None:
        for path in _files(folder):
            if path.name not in stays:
                path.unlink()
        room = self._unused() if self._free() >= 0 else 0
        for path in _files(fresh):  # these are on the disk already
            size_bytes = path.stat().st_size
            if path.name in stays and size_bytes <= room:
                path.replace(folder / path.name)
                room -= size_bytes
        shutil.rmtree(fresh)

    def drop(self, name: str, fresh: Path) -> None:
        """After a merge that failed."""
        for folder in (fresh, self._root / name):
            shutil.rmtree(folder, ignore_errors=True)

    def keep_only(self, names: Collection[str]) -> None:
        """Remove what is kept for other bases than these, of which nothing is merged any more."""
        for folder in _entries(self._root):
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what merges of a killed peer were writing."""
        for folder in self._tmp.glob(f"{_FRESH}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _room(self, folder: Path) -> int:
        """The bytes that a base's folder may take, with what is in it."""
        return _bytes_of(folder) + min(self._unused(), self._free()) if self._bytes_max else 0

    def _unused(self) -> int:
        """The bytes of the bound that no base takes."""
        return self._bytes_max - sum(map(_bytes_of, _entries(self._root)))

    def _free(self) -> int:
        """The bytes that the disk has beyond what is to stay free."""
        system = os.statvfs(self._root.parent)
        return system.f_bavail * system.f_frsize - self._disk_free_min


def _entries(root: Path) -> list[Path]:
    return sorted(root.iterdir()) if root.is_dir() else []


def _files(folder: Path) -> list[Path]:
    """The regular files of a folder, by name."""
    return [path for path in _entries(folder) if stat.S_ISREG(path.lstat().st_mode)]


def _bytes_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _files(folder))
