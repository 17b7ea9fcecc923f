"""The `Disk` of a real peer: system calls below a home folder, and SQLite for the rows.

- Files are opened with O_NOFOLLOW and made 0600; paths never leave the home (`..` and absolute paths are refused).
- SQLite runs in WAL mode, synchronous=FULL, with an exclusive lock, and is checked for damage when it is opened.
- ENOSPC and EDQUOT become `DiskFullError`, every other error of the system `StoreError` with the file's name.
- `free_bytes` is what both limits leave: `store_max` less the bytes in `blobs/` and `partial/` and of imports under
  way, and the file system's free space less `disk_free_min`. Bytes are counted once at opening, then kept up to date.
- `copy_rows` takes them as of one moment; commits wait for it. It keeps to `disk_free_min`, and leaves
  nothing of a copy that failed.
- Safe for several threads; two calls for one path must not overlap.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

from plora.node.store.disk import Delete, RowOp
from plora.node.store.home_lock import HomeLock
from plora.proto.errors import DiskFullError, StoreError, StoreLockedError

CACHE_BYTES_MAX = 256 << 10
"""What SQLite keeps of the database in memory. Its own 2 MB a peer would take up over its first hundred adapters."""

COUNTED = ("blobs/", "partial/", "tmp/import-")

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_UNLIMITED = 1 << 62


class RealDisk:
    """A home folder, locked from construction to `close`.

    `store_max` and `disk_free_min` are bytes; 0 switches that limit off. `limit` sets them anew.
    """

    def __init__(self, home: Path, *, store_max: int = 0, disk_free_min: int = 0) -> None:
        self._home = home
        self.limit(store_max=store_max, disk_free_min=disk_free_min)
        self._mutex = threading.Lock()
        with _named(str(home)):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = HomeLock(home)
        try:
            self._db = _open_database(home / "state.db")
        except StoreError:
            self._lock.release()
            raise
        self._used = sum(_bytes_of(home, start) for start in COUNTED)

    def limit(self, *, store_max: int, disk_free_min: int) -> None:
        """Obey these limits from now on."""
        self._store_max = store_max
        self._disk_free_min = disk_free_min

    def close(self) -> None:
        """Close the database and let another daemon in."""
        with self._mutex:
            self._db.close()
        self._lock.release()

    def transact(self, rows: Iterable[RowOp]) -> None:
        """Commit all rows durably, or none."""
        with self._mutex, _named("state.db"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for row in rows:
                    self._apply(row)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _apply(self, row: RowOp) -> None:
        if isinstance(row, Delete):
            self._db.execute("DELETE FROM rows WHERE tab = ? AND key = ?", (row.table, row.key))
        else:
            self._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (row.table, row.key, row.value))

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a table, ordered by key."""
        with self._mutex, _named("state.db"):
            found = self._db.execute("SELECT key, value FROM rows WHERE tab = ? ORDER BY key", (table,)).fetchall()
        return iter(found)

    def get(self, table: str, key: bytes) -> bytes | None:
        """One row's value, or None."""
        with self._mutex, _named("state.db"):
            row = self._db.execute("SELECT value FROM rows WHERE tab = ? AND key = ?", (table, key)).fetchone()
        return None if row is None else bytes(row[0])

    def copy_rows(self, path: str) -> None:
        """Copy all rows, as of one moment, into a new database file that stands alone."""
        with self._mutex, _named("state.db"):
            size_bytes = self._pragma("page_count") * self._pragma("page_size")
        if self.system_free_bytes() - self._disk_free_min < size_bytes:
            mend = "free some space, or lower limits.disk_free_min"
            raise DiskFullError(f"a copy of {size_bytes} bytes has no room", where=path, mend=mend)
        try:
            self._copy_rows(path)
        except BaseException:
            for left in (path, f"{path}-journal"):
                self.unlink(left)
            raise

    def _copy_rows(self, path: str) -> None:
        self.write(path, 0, b"")
        with self._mutex, _named(path), closing(sqlite3.connect(self._at(path))) as copy:
            self._db.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without what WAL keeps beside it

    def _pragma(self, name: str) -> int:
        (value,) = self._db.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def exists(self, path: str) -> bool:
        """Whether something has that name."""
        return os.path.lexists(self._at(path))

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        with _named(path):
            return os.lstat(self._at(path)).st_size

    def names(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty if it is missing or no folder."""
        with _named(folder):
            try:
                return sorted(entry.name for entry in self._at(folder).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`."""
        with _named(path), _opened(self._at(path), os.O_RDONLY) as fd:
            return _read_full(fd, offset, size)

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`; makes the file and its folders."""
        target = self._at(path)
        with _named(path):
            try:
                grown = _write_at(target, offset, data)
            except FileNotFoundError:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                grown = _write_at(target, offset, data)
        self._count(path, grown)

    def sync(self, path: str) -> None:
        """fdatasync."""
        with _named(path), _opened(self._at(path), os.O_RDONLY) as fd:
            os.fdatasync(fd)

    def sync_folder(self, folder: str) -> None:
        """fsync of the folder; nothing if it is missing."""
        with _named(folder):
            try:
                place = self._at(folder) if folder else self._home
                with _opened(place, os.O_RDONLY | os.O_DIRECTORY) as fd:
                    os.fsync(fd)
            except FileNotFoundError:
                return  # a folder without entries has nothing to lose

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source`; makes the folder of `target`."""
        place = self._at(target)
        with _named(source):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replaced = place.lstat().st_size if place.exists() else 0
            size = os.lstat(self._at(source)).st_size
            self._at(source).rename(place)
        self._count(source, -size)
        self._count(target, size - replaced)

    def unlink(self, path: str) -> None:
        """Remove a file; no error if it is missing."""
        with _named(path):
            try:
                size = os.lstat(self._at(path)).st_size
                self._at(path).unlink()
            except FileNotFoundError:
                return
        self._count(path, -size)

    def free_bytes(self) -> int:
        """What `store_max` and `disk_free_min` leave; may be negative."""
        return min(self._left().values(), default=_UNLIMITED)

    def tightest(self) -> str:
        """The limit that leaves the least; empty if there is none."""
        left = self._left()
        return min(left, key=left.__getitem__, default="")

    def system_free_bytes(self) -> int:
        """What the file system has left for this user."""
        with _named(str(self._home)):
            system = os.statvfs(self._home)
        return system.f_bavail * system.f_frsize

    def _left(self) -> dict[str, int]:
        """What each limit leaves, by its setting."""
        left: dict[str, int] = {}
        if self._store_max:
            left["limits.store_max"] = self._store_max - self._used
        if self._disk_free_min:
            left["limits.disk_free_min"] = self.system_free_bytes() - self._disk_free_min
        return left

    def _at(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise StoreError("a path must stay below the home", where=path)
        return self._home.joinpath(*parts)

    def _count(self, path: str, grown: int) -> None:
        if grown and path.startswith(COUNTED):
            with self._mutex:
                self._used += grown


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors of the system and of SQLite as members of our tree, with the place where they happened."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(where) from error
        raise StoreError(f"the disk refused ({error.strerror})", where=where) from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise _full(where) from error
        raise StoreError(f"the database refused ({error})", where=where) from error


def _full(where: str) -> DiskFullError:
    return DiskFullError("the disk is full", where=where, mend="free some space")


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | _FLAGS, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _write_at(path: Path, offset: int, data: bytes) -> int:
    """Write all of `data`; by how many bytes the file grew."""
    with _opened(path, os.O_WRONLY | os.O_CREAT) as fd:
        before = os.fstat(fd).st_size
        rest = memoryview(data)
        while rest:
            written = os.pwrite(fd, rest, offset)
            rest, offset = rest[written:], offset + written
        return max(0, offset - before)


def _read_full(fd: int, offset: int, size: int) -> bytes:
    data = os.pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    pieces = [data]
    while piece := os.pread(fd, size - sum(map(len, pieces)), offset + sum(map(len, pieces))):
        pieces.append(piece)
    return b"".join(pieces)


def _bytes_of(home: Path, start: str) -> int:
    """Bytes of the files whose paths below the home begin so."""
    found = (home / start.partition("/")[0]).rglob("*")
    return sum(
        path.lstat().st_size for path in found if path.is_file() and path.relative_to(home).as_posix().startswith(start)
    )


def _open_database(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
    except sqlite3.Error as error:
        raise StoreError(f"can't be opened ({error})", where=str(path)) from error
    try:
        _prepare(database)
    except sqlite3.DatabaseError as error:
        database.close()
        raise _unopened(path, error) from error
    return database


def _unopened(path: Path, error: sqlite3.DatabaseError) -> StoreError:
    """Only what SQLite calls corrupt is damaged: nobody must move a database away since the disk is full or fails."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    code = extended & 0xFF  # IOERR of IOERR_READ
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if code == sqlite3.SQLITE_BUSY:
        return StoreLockedError("another program has it open", where=str(path), mend="close it")
    if code == sqlite3.SQLITE_FULL:
        return _full(str(path))
    return StoreError(
        f"can't be opened ({error})", where=str(path), mend="check the disk, and owner and mode of the file"
    )


def _prepare(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA locking_mode=EXCLUSIVE")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA cache_size=-{CACHE_BYTES_MAX >> 10}")
    (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise sqlite3.DatabaseError(state)
    database.execute(
        "CREATE TABLE IF NOT EXISTS rows"
        " (tab TEXT, key BLOB, value BLOB NOT NULL, PRIMARY KEY (tab, key)) WITHOUT ROWID"
    )


def _damaged(path: Path, detail: str) -> StoreError:
    first = detail.splitlines()[0] if detail else "unreadable"
    return StoreError(
        f"the database is damaged ({first})",
        where=str(path),
        mend=f"restore it from a backup, or move it away (mv {path} {path}.damaged) and fetch everything again",
    )
