"""A disk in memory that forgets what was not synced: the `Disk` of simulated peers and of crash tests.

Model:

- The bytes of a file: `write` goes to a cache; `sync` makes the whole file durable. On a power cut every unsynced write
  is lost, or, with a seed, each is kept, lost or torn on its own.
- A name in a folder (of a file or of a folder): new names, renames and deletions become durable by `sync_folder` of
  that folder. On a power cut each unsynced change is lost, or kept by the seed. A name under a lost folder is lost.
- A transaction is one atomic, durable operation.
- Every mutating operation has a number. `cut_power_at(n)` raises `PowerCutError` in its place; `fail_at(n, error)`
  raises that error instead.
- `leave(n)` makes writes beyond n more bytes raise `DiskFullError`, and transactions that write rows once none is left;
  `break_down` makes every mutating operation fail with EIO, until `mend` ends both. They outlive restarts.
- `power_cut(rng)` gives the disk that the next start finds; `kill()` the one after SIGKILL, when the cache survives.

>>> disk = SimDisk()
>>> disk.write("partial/a", 0, b"xyz")
>>> disk.power_cut().exists("partial/a"), disk.kill().read("partial/a", 0, 3)
(False, b'xyz')
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from sys import intern

from plora.node.store.disk import Delete, RowOp
from plora.proto.errors import DiskFullError, StoreError

_UNLIMITED = 1 << 62


class PowerCutError(BaseException):
    """The power went away in the middle of an operation; nothing may catch it but the simulator."""


class _File:
    """The durable bytes of a file, and the writes since its last sync.

    Bytes that come in one piece are kept as they are, so that equal files of many peers take room once.
    """

    __slots__ = ("cache", "durable", "pending")

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.cache: bytes | bytearray = durable
        self.pending: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        if not offset and len(data) >= len(self.cache):
            self.cache = data
        else:
            self.cache = self.cache if isinstance(self.cache, bytearray) else bytearray(self.cache)
            _patch(self.cache, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        self.durable = self.cache = bytes(self.cache)
        self.pending.clear()

    def survivor(self, rng: Random | None) -> _File:
        content = bytearray(self.durable)
        for offset, data in self.pending if rng else ():
            _patch(content, offset, _torn(data, rng))
        return _File(bytes(content))


class SimDisk:
    """A `Disk` in memory. `operations` counts the mutating operations so far; `log` names them."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.operations = 0
        self.log: list[str] = []
        self.capacity_bytes = capacity_bytes
        self._broken = False
        self._names: dict[str, _File | None] = {}
        self._durable_names: dict[str, _File | None] = {}
        self._tables: dict[str, dict[bytes, bytes]] = {}
        self._faults: dict[int, BaseException] = {}

    def cut_power_at(self, operation: int) -> None:
        """Let the power go away in place of that mutating operation (the first is 1)."""
        self._faults[operation] = PowerCutError(f"operation {operation}")

    def fail_at(self, operation: int, error: StoreError) -> None:
        """Raise the error in place of that mutating operation."""
        self._faults[operation] = error

    def leave(self, free_bytes: int) -> None:
        """Let only so many bytes be free from now on."""
        self.capacity_bytes = self._used_bytes() + free_bytes

    def break_down(self) -> None:
        """Let nothing be changed any more."""
        self._broken = True

    def mend(self) -> None:
        """Be sound, and without end."""
        self._broken, self.capacity_bytes = False, None

    def power_cut(self, rng: Random | None = None) -> SimDisk:
        """What is on the disk after the power went away now."""
        after = self._after()
        after._tables = {table: dict(rows) for table, rows in self._tables.items()}
        names = dict(self._durable_names)
        for path in sorted(self._names.keys() | names.keys()):
            changed = (path in self._names) != (path in names) or self._names.get(path) is not names.get(path)
            if rng and changed and rng.random() < 0.5:
                _take_name(names, path, self._names)
        survivors = {id(file): file.survivor(rng) for file in names.values() if file is not None}
        for path in sorted(names):
            file = names[path]
            if all(folder in names for folder in _folders(path)):
                after._names[path] = None if file is None else survivors[id(file)]
        after._durable_names = dict(after._names)
        return after

    def kill(self) -> SimDisk:
        """What is on the disk after the process was killed: everything that was written."""
        after = self._after()
        after._tables, after._names, after._durable_names = self._tables, self._names, self._durable_names
        return after

    def transact(self, rows: Iterable[RowOp]) -> None:
        """Commit all rows durably, or none."""
        batch = list(rows)
        self._operation(intern("transact " + " ".join(sorted({row.table for row in batch}))))
        if self.free_bytes() <= 0 and not all(isinstance(row, Delete) for row in batch):
            raise DiskFullError("the disk is full", where="state.db", mend="free some space")
        for row in batch:
            table = self._tables.setdefault(row.table, {})
            if isinstance(row, Delete):
                table.pop(row.key, None)
            else:
                table[row.key] = row.value

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a table, ordered by key."""
        return iter(sorted(self._tables.get(table, {}).items()))

    def get(self, table: str, key: bytes) -> bytes | None:
        """One row's value, or None."""
        return self._tables.get(table, {}).get(key)

    def exists(self, path: str) -> bool:
        """Whether something has that name."""
        return path in self._names

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        return len(self._file(path).cache)

    def names(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty if it is missing or no folder."""
        return [path.rpartition("/")[2] for path in sorted(self._names) if path.rpartition("/")[0] == folder]

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`."""
        return bytes(self._file(path).cache[offset : offset + size])

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Write into the cache; makes the file and its folders."""
        self._operation(f"write {path}")
        known = self._names.get(path)
        grown = offset + len(data) - (len(known.cache) if known else 0)
        if grown > self.free_bytes():
            raise DiskFullError("the disk is full", where=path, mend="free some space")
        self._make_folders(path)
        file = known or _File()
        self._names[path] = file
        file.write(offset, data)

    def sync(self, path: str) -> None:
        """Make a file's bytes durable."""
        self._operation(f"sync {path}")
        self._file(path).sync()

    def sync_folder(self, folder: str) -> None:
        """Make a folder's names durable."""
        self._operation(f"sync_folder {folder}")
        known = self._names.keys() | self._durable_names.keys()
        for path in sorted(path for path in known if path.rpartition("/")[0] == folder):
            _take_name(self._durable_names, path, self._names)

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source`; makes the folder of `target`."""
        self._operation(f"rename {source} {target}")
        file = self._file(source)
        self._make_folders(target)
        del self._names[source]
        self._names[target] = file

    def unlink(self, path: str) -> None:
        """Remove a file; no error if it is missing."""
        self._operation(f"unlink {path}")
        if path in self._names:
            self._file(path)
            del self._names[path]

    def free_bytes(self) -> int:
        """What the capacity leaves."""
        if self.capacity_bytes is None:
            return _UNLIMITED
        return self.capacity_bytes - self._used_bytes()

    def tightest(self) -> str:
        """No setting bounds this disk."""
        return ""

    def _used_bytes(self) -> int:
        return sum(len(file.cache) for file in self._names.values() if file)

    def _after(self) -> SimDisk:
        after = SimDisk(self.capacity_bytes)
        after._broken = self._broken
        return after

    def _operation(self, name: str) -> None:
        self.operations += 1
        self.log.append(name)
        fault = self._faults.pop(self.operations, None)
        if fault is not None:
            raise fault
        if self._broken:
            raise StoreError("the disk refused (Input/output error)", where=name)

    def _file(self, path: str) -> _File:
        file = self._names.get(path)
        if file is None:
            raise StoreError("no such file", where=path)
        return file

    def _make_folders(self, path: str) -> None:
        for folder in _folders(path):
            self._names.setdefault(folder, None)


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _take_name(names: dict[str, _File | None], path: str, source: dict[str, _File | None]) -> None:
    if path in source:
        names[path] = source[path]
    else:
        names.pop(path, None)


def _patch(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _torn(data: bytes, rng: Random | None) -> bytes:
    """All, nothing, or the beginning of a write, each about as likely."""
    if rng is None:
        return b""
    return (data, b"", data[: rng.randrange(len(data) + 1)])[rng.randrange(3)]
