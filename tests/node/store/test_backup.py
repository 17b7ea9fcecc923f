"""A home's copy without any daemon: what is in it, what never is, and that a fault leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from plora.node.home import init_home
from plora.node.store.backup import Made, back_up, missing_keys, restore
from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store, blob_path
from plora.proto.errors import ConfigError, StoreError, StoreLockedError
from plora.proto.home import Home
from plora.proto.swarm import new_swarm

SWARM = new_swarm("test", bytes(range(64)))
MADE = "2026-01-02T03:04:05Z"
NOW_S = 1_800_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = init_home(tmp_path / "ada", name="ada", swarm=SWARM, listen="127.0.0.1:4700", now_s=1_800_000_000)
    made.home.vote_key.write_bytes(b"-----BEGIN PRIVATE KEY----- of a member")
    made.home.vote_key.chmod(0o600)
    return made.home


def kept_blobs(home: Home, *contents: bytes) -> list[str]:
    """Import blobs into the store; their digests."""
    disk = RealDisk(home.root)
    digests = [Store(disk).import_blob(io.BytesIO(content)).sha256 for content in contents]
    disk.close()
    return digests


def backed_up(home: Home, target: Path, *, keys: bool = False, spoil: str = "", lose: str = "") -> Made:
    disk = RealDisk(home.root)
    disk.copy_rows("tmp/rows-x")
    disk.close()
    if spoil:
        (home.root / blob_path(spoil)).write_bytes(b"spoilt")
    if lose:
        (home.root / blob_path(lose)).unlink()
    return back_up(home, home.root / "tmp/rows-x", target, made=MADE, keys=keys)


def held(home: Path) -> dict[str, int]:
    disk = RealDisk(home)
    found = Store(disk).load_snapshot()
    disk.close()
    assert not found.lost
    return dict(found.held)


def files_of(root: Path) -> dict[str, Path]:
    return {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}


def test_a_restored_home_holds_the_same(home: Home, tmp_path: Path) -> None:
    one, other = kept_blobs(home, b"one" * 5000, b"other")
    made = backed_up(home, tmp_path / "copy", keys=True)
    assert (made.gone, made.spoilt) == ((), ())
    assert not list((home.root / "tmp").iterdir())

    index = restore(tmp_path / "copy", tmp_path / "again" / "ada", now_s=NOW_S)
    again = Home(tmp_path / "again" / "ada")
    assert held(again.root) == {one: 15000, other: 5}
    assert hashlib.sha256((again.root / blob_path(one)).read_bytes()).hexdigest() == one
    assert again.identity_key.read_bytes() == home.identity_key.read_bytes()
    assert again.config.read_text() == home.config.read_text()
    assert missing_keys(index) == ()
    assert again.restored.read_text() == "2027-01-15T08:00:00Z\n" and not home.restored.exists()
    for path in (again.identity_key, again.swarm, again.owner_folder / "ada.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in (again.root, again.owner_folder)} == {0o700}


def test_no_secret_leaves_unasked_and_a_vote_key_never(home: Home, tmp_path: Path) -> None:
    backed_up(home, tmp_path / "copy")
    for path in files_of(tmp_path / "copy").values():
        data = path.read_bytes()
        assert b"PRIVATE KEY" not in data and SWARM.secret.encode() not in data, path
    assert missing_keys(restore(tmp_path / "copy", tmp_path / "again", now_s=NOW_S)) == (
        "swarm.json",
        "identity/key.pem",
    )

    backed_up(home, tmp_path / "keys", keys=True)
    assert "home/identity/key.pem" in files_of(tmp_path / "keys")
    assert "home/identity/vote.pem" not in files_of(tmp_path / "keys")


def test_what_is_spoilt_or_gone_is_no_longer_held(home: Home, tmp_path: Path) -> None:
    good, spoilt, gone = kept_blobs(home, b"good", b"soon spoilt", b"soon gone")
    made = backed_up(home, tmp_path / "copy", spoil=spoilt, lose=gone)
    assert (made.spoilt, made.gone) == ((spoilt,), (gone,))
    restore(tmp_path / "copy", tmp_path / "again", now_s=NOW_S)
    assert held(tmp_path / "again") == {good: 4}


def test_a_backup_never_overwrites(home: Home, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    backed_up(home, tmp_path / "copy")
    before = files_of(tmp_path / "copy").keys()
    with pytest.raises(ConfigError, match="is not empty"):
        backed_up(home, tmp_path / "copy")
    assert files_of(tmp_path / "copy").keys() == before
    assert not list(tmp_path.glob("copy.unfinished-*"))


def test_a_link_is_neither_followed_nor_left_out_in_silence(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(home.config.read_bytes())
    home.config.unlink()
    home.config.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"peer\.yaml: is a link"):
        backed_up(home, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def test_a_failed_backup_leaves_nothing(home: Home, tmp_path: Path) -> None:
    home.config.unlink()
    home.config.mkdir()
    home.peer_id.unlink()
    with pytest.raises(StoreError):
        backed_up(home, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda copy: (copy / "home/trust.yaml").write_text("owners: []"), "trust.yaml: isn't what was backed up"),
        (lambda copy: (copy / "home/trust.yaml").unlink(), "trust.yaml: is missing"),
        (lambda copy: (copy / "backup.json").write_text("{}"), "backup.json: can't be used"),
        (lambda copy: (copy / "backup.json").unlink(), "no backup is here"),
    ],
)
def test_a_changed_backup_makes_no_home(home: Home, tmp_path: Path, edit: object, words: str) -> None:
    backed_up(home, tmp_path / "copy")
    assert callable(edit)
    edit(tmp_path / "copy")
    with pytest.raises((StoreError, ConfigError), match=words):
        restore(tmp_path / "copy", tmp_path / "again", now_s=NOW_S)
    assert not files_of(tmp_path / "again")


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "identity/../../evil"])
def test_a_path_stays_in_the_home(home: Home, tmp_path: Path, path: str) -> None:
    backed_up(home, tmp_path / "copy")
    index = json.loads((tmp_path / "copy/backup.json").read_text())
    index["files"][1]["path"] = path
    (tmp_path / "copy/backup.json").write_text(json.dumps(index))
    with pytest.raises(StoreError, match="leads out of the home"):
        restore(tmp_path / "copy", tmp_path / "again", now_s=NOW_S)


def test_a_home_in_use_and_one_with_something_in_it_are_left_alone(home: Home, tmp_path: Path) -> None:
    backed_up(home, tmp_path / "copy")
    with pytest.raises(ConfigError, match="a peer's home is here already"):
        restore(tmp_path / "copy", home.root, now_s=NOW_S)
    disk = RealDisk(home.root)
    with pytest.raises(StoreLockedError, match="another peer works on this home"):
        restore(tmp_path / "copy", home.root, now_s=NOW_S)
    disk.close()
    (home.root / "VERSION").unlink()
    before = set(files_of(home.root))
    with pytest.raises(ConfigError, match="a peer's home is here already"):
        restore(tmp_path / "copy", home.root, now_s=NOW_S)
    assert set(files_of(home.root)) == before, "a refused folder stays as it is"
    (tmp_path / "other").mkdir()
    (tmp_path / "other/note").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        restore(tmp_path / "copy", tmp_path / "other", now_s=NOW_S)
    assert (tmp_path / "other/note").read_text() == "mine"


RESTORE = """\
import sys
from pathlib import Path
from plora.node.store.backup import restore
restore(Path(sys.argv[1]), Path(sys.argv[2]), now_s=1)
"""


def test_a_restore_killed_amid_its_last_file_is_not_in_the_way(home: Home, tmp_path: Path) -> None:
    copy, again = tmp_path / "copy", tmp_path / "again"
    backed_up(home, copy, keys=True)
    settings = copy / "home" / "peer.yaml"
    whole = settings.read_bytes()
    settings.unlink()
    os.mkfifo(settings)
    command: list[str | Path] = [sys.executable, "-c", RESTORE, copy, again]
    with subprocess.Popen(command) as restoring, settings.open("wb", buffering=0) as stream:
        stream.write(bytes(1 << 20))  # more than a pipe holds: it reads, so what it writes to is there
        restoring.kill()
        restoring.wait()
    assert (again / "identity" / "peer_id").exists()
    settings.unlink()
    settings.write_bytes(whole)
    restore(copy, again, now_s=NOW_S)
    assert Home(again).config.read_bytes() == whole
