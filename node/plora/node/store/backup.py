"""A copy of a peer's home that is made while the peer runs, and a home made of such a copy.

    backup.json   format, peer, layout, when, whether keys are in it, and of each file its path, SHA-256, bytes and mode
    home/         the files, each at its place in the home; `state.db` is one file

- The rows are those of one moment; then every blob that they call held is copied and hashed. One that left meanwhile,
  or whose bytes aren't its digest, is taken out of the copied rows: a restored peer fetches it again if it wants it.
- Not in it, since a peer makes or fetches it anew: half-fetched files, folders of adapters and merges, the event log,
  sockets, locks. The audit is in it: it lies in the rows.
- Keys and the swarm's secret only where asked for. Never the key to vote by: a peer that was set back has forgotten its
  votes, and would cast a second one in a slot.
- A backup is there whole or not at all: it is renamed to its name when everything is durable. What a killed one leaves
  is called NAME.unfinished-….
- Restoring needs an empty home. Each file is hashed while it is copied; any fault leaves the home empty again.
  peer.yaml comes last, so that half a home, left by a kill, can't be started.
- A restored home says when it was made (`restored`): its peer has forgotten what was signed since the backup, and signs
  versions from that second on, so that it never signs a second content of one version (`plora.cli.signing`).

Not handled: a moment shared with other homes; changes since the last backup (each is whole); encryption.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plora.node.home import check_empty, undone_if_it_fails
from plora.node.store.home_lock import LAYOUT_VERSION, check_unlocked
from plora.node.store.rows import HELD
from plora.node.store.store import blob_path
from plora.proto.durable import sync
from plora.proto.errors import ConfigError, StoreError
from plora.proto.fields import HexDigest, ListAsTuple, format_timestamp
from plora.proto.home import Home

INDEX = "backup.json"
FILES = "home"
ROWS = "state.db"
SETTINGS = "peer.yaml"

PLAIN = (SETTINGS, "peer.schema.json", "trust.yaml", "joined.json", "VERSION", "identity/peer_id")
PLAIN_IN = ("owner/*.pub", "owner/*.owner", "owners/*.owner", "calibration/*")
KEYS = ("swarm.json", "identity/key.pem", "identity/probes.secret")
KEYS_IN = ("owner/*.pem",)

_READ_BYTES = 1 << 20


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kept(_Model):
    """One file of a backup."""

    path: str
    sha256: HexDigest
    size_bytes: Annotated[int, Field(ge=0)]
    mode: Annotated[int, Field(ge=0, le=0o777)]


class Index(_Model):
    """What a backup says of itself."""

    format: Literal[1] = 1
    layout: str
    peer: HexDigest
    made: str
    keys: bool
    files: Annotated[tuple[Kept, ...], ListAsTuple]


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: what is in it, and the digests of blobs that aren't."""

    index: Index
    gone: tuple[str, ...] = ()
    spoilt: tuple[str, ...] = ()


def back_up(home: Home, rows: Path, target: Path, *, made: str, keys: bool, more: Sequence[str] = ()) -> Made:
    """Copy a home to the new or empty folder `target`; `rows` is a file by `RealDisk.copy_rows`, and is removed.

    `more`: further files, relative to the home, that its settings name; `made`: when, for the index.
    Raises ConfigError where something is at `target`, and StoreError where files can't be read or written.
    """
    with _named(), _unfinished(target) as fresh:
        files = fresh / FILES
        files.mkdir()
        with rows.open("rb") as stream:
            rows.unlink()  # nothing of it is left, whenever this process ends
            database = _stored(stream, files / ROWS, ROWS, 0o600)
        found = [_copied_here(home.root, files, path) for path in _present(home.root, keys=keys, more=more)]
        blobs, gone, spoilt = _blobs(home.root, files)
        if gone or spoilt:
            database = _without(files / ROWS, (*gone, *spoilt))
        peer = home.peer_id.read_text("ascii").strip()
        index = Index(layout=LAYOUT_VERSION, peer=peer, made=made, keys=keys, files=(database, *found, *blobs))
        _write(fresh / INDEX, index.model_dump_json(indent=1).encode() + b"\n")
        _sync_folders(fresh)
        fresh.replace(target)
        sync(target.parent)
    return Made(index, gone, spoilt)


def restore(source: Path, root: Path, *, now_s: int) -> Index:
    """Make a home of a backup in the new or empty folder `root`; what was restored. `now_s`: seconds since 1970.

    Raises ConfigError where no backup is at `source` or `root` isn't empty, StoreLockedError where a peer works there,
    and StoreError for a backup that was changed.
    """
    with _named():
        index = read_index(source)
        check_unlocked(root)  # a peer that runs there is the better thing to say
        check_empty(root)
        with undone_if_it_fails(root):
            _write(Home(root).restored, f"{format_timestamp(now_s)}\n".encode("ascii"))
            for kept in sorted(index.files, key=lambda one: one.path == SETTINGS):
                _put_back(source / FILES, root, kept)
            _sync_folders(root)
    return index


def read_index(source: Path) -> Index:
    """The index of a backup. Raises ConfigError where there is none, StoreError for one that can't be used."""
    place = source / INDEX
    try:
        index = Index.model_validate_json(place.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            "no backup is here", where=str(source), mend="name a folder of `plora store backup`"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"can't be used ({'.'.join(map(str, first['loc']))}: {first['msg'].lower()})"
        raise StoreError(
            what, where=str(place), mend="take another backup, or the version of plora that made it"
        ) from error
    if index.layout != LAYOUT_VERSION:
        what = f"the backup has layout {index.layout!r}, this program knows {LAYOUT_VERSION}"
        raise StoreError(what, where=str(source), mend="use the version of plora that made it")
    return index


def missing_keys(index: Index) -> tuple[str, ...]:
    """What a restored home needs before it can be started."""
    there = {kept.path for kept in index.files}
    return tuple(path for path in KEYS[:2] if path not in there)


# Making


def _present(root: Path, *, keys: bool, more: Sequence[str]) -> Iterator[str]:
    names, patterns = (PLAIN + KEYS, PLAIN_IN + KEYS_IN) if keys else (PLAIN, PLAIN_IN)
    listed = [path.relative_to(root).as_posix() for pattern in patterns for path in sorted(root.glob(pattern))]
    for name in dict.fromkeys((*names, *listed, *more)):
        mode = _mode_of(root / name)
        if stat.S_ISLNK(mode):
            mend = "put the file itself there"
            raise StoreError("is a link, which a backup doesn't follow", where=str(root / name), mend=mend)
        if stat.S_ISREG(mode):
            yield name


def _mode_of(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _copied_here(root: Path, files: Path, name: str) -> Kept:
    return _copied(root / name, files / name, name)


def _blobs(root: Path, files: Path) -> tuple[list[Kept], tuple[str, ...], tuple[str, ...]]:
    """Copy the blobs that the copied rows call held: those that are whole, and the digests of gone and spoilt ones."""
    whole, gone, spoilt = [], [], []
    for digest in _held(files / ROWS):
        path = blob_path(digest)
        try:
            kept = _copied_here(root, files, path)
        except FileNotFoundError:  # it gave way since the rows were copied
            gone.append(digest)
            continue
        if kept.sha256 == digest:
            whole.append(kept)
        else:
            spoilt.append(digest)
            (files / path).unlink()
    return whole, tuple(gone), tuple(spoilt)


def _copied(source: Path, target: Path, name: str) -> Kept:
    """Copy one file durably, with its mode; never through a link."""
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        return _stored(stream, target, name, os.fstat(stream.fileno()).st_mode & 0o777)


def _stored(stream: BinaryIO, target: Path, name: str, mode: int) -> Kept:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size_bytes = _write(target, iter(lambda: stream.read(_READ_BYTES), b""), mode)
    return Kept(path=name, sha256=digest, size_bytes=size_bytes, mode=mode)


def _write(target: Path, pieces: bytes | Iterable[bytes], mode: int = 0o600) -> tuple[str, int]:
    """A new durable file; its digest and size."""
    whole, size_bytes = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as stream:
        for piece in (pieces,) if isinstance(pieces, bytes) else pieces:
            stream.write(piece)
            whole.update(piece)
            size_bytes += len(piece)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())
    return whole.hexdigest(), size_bytes


def _held(database: Path) -> list[str]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as rows:
        found = rows.execute("SELECT key FROM rows WHERE tab = ? ORDER BY key", (HELD,))
        return [key.hex() for (key,) in found]


def _without(database: Path, digests: Iterable[str]) -> Kept:
    """The copied rows without those that call these blobs held."""
    with closing(sqlite3.connect(database)) as rows, rows:
        rows.executemany("DELETE FROM rows WHERE tab = ? AND key = ?", [(HELD, bytes.fromhex(one)) for one in digests])
    sync(database)
    with database.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Kept(path=ROWS, sha256=digest, size_bytes=database.stat().st_size, mode=0o600)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder beside `target` to work in, removed if anything fails."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("is not empty", where=str(target), mend="name a folder that doesn't exist yet")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.unfinished-", dir=target.parent))
    try:
        yield fresh
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


# Restoring


def _put_back(files: Path, root: Path, kept: Kept) -> None:
    parts = Path(kept.path).parts
    if not parts or Path(kept.path).is_absolute() or ".." in parts:
        raise StoreError("leads out of the home", where=f"{INDEX}: {kept.path}", mend="don't use this backup")
    target = root / kept.path
    fresh = target.with_name(f"{target.name}.new")  # so that peer.yaml, which makes a home a peer's, is there whole
    try:
        found = _copied(files / kept.path, fresh, kept.path)
    except FileNotFoundError as error:
        raise StoreError("is missing", where=str(files / kept.path), mend="take another backup") from error
    if found.sha256 != kept.sha256:
        raise StoreError("isn't what was backed up", where=str(files / kept.path), mend="take another backup")
    fresh.chmod(kept.mode)
    fresh.rename(target)


# Both


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        sync(Path(folder))


@contextmanager
def _named() -> Iterator[None]:
    """Errors of the system and of SQLite as members of our tree."""
    try:
        yield
    except OSError as error:
        mend = "check free space, owner and mode there"
        raise StoreError(error.strerror or str(error), where=str(error.filename or ""), mend=mend) from error
    except sqlite3.Error as error:
        raise StoreError(f"the copied rows can't be read ({error})", where=ROWS, mend="try again") from error
