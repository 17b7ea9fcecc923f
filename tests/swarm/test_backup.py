"""`plora store` on a real peer that publishes: one state, whole or not there, good after a SIGKILL of either."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plora.proto.home import Home

pytestmark = pytest.mark.slow
MakePeer = Callable[..., Any]
PLORA = Path(sys.executable).with_name("plora")
MERGED_ANEW = "a merge's folder was gone; what is left is served, and merged again"
WIDE = 100_000  # 3 MB an adapter: copying takes a while


def store(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen([PLORA, "store", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def copying(peer: Any, process: subprocess.Popen[str], target: Path) -> bool:
    """Wait until the backup copies files; whether it still does."""
    begun = f"{target.name}.unfinished-*"
    peer.until(lambda: process.poll() is not None or any(target.parent.glob(begun)))
    return process.poll() is None


@contextmanager
def held_up(path: Path) -> Iterator[None]:
    """Whoever opens that file waits, by a lease, which the kernel takes back after 45 s."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # it says that somebody waits
    with path.open("rb") as stream:
        fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    signal.signal(signal.SIGIO, before)


def again(peer: Any, backup: Path) -> Any:
    """The peer, restored in the place of the lost home, and started."""
    if peer.process is not None:
        peer.kill()
    shutil.rmtree(peer.home.root)
    code, _, err = ended(store("restore", backup, "--home", peer.home.root))
    assert code == 0, err
    peer.start()
    return peer


def test_a_backup_beside_publishing_is_a_state_the_peer_was_in(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    ada.publish(before := folder(ada, tmp_path, 0))
    process = store("backup", tmp_path / "copy", "--with-keys", "--json", "--home", ada.home.root)
    published = 1
    while process.poll() is None and published < 40:
        ada.publish(folder(ada, tmp_path, published))
        published += 1
    code, out, err = ended(process)
    assert code == 0, err
    blobs = [one for one in json.loads(out)["files"] if one["path"].startswith("blobs/")]
    assert 1 <= len(blobs) <= published

    again(ada, tmp_path / "copy")
    last_one_open = len(blobs) - 1  # bytes are committed before the statement of them
    ada.until(lambda: len(ada.plasmids("own")) in (last_one_open, len(blobs)))
    own = {one.name.partition("@")[0] for one in ada.plasmids("own").values()}
    assert own == {f"ada/adapter{number}" for number in range(len(own))}, "no later one without each before it"
    assert {one["what"] for one in ada.records("repair")} <= {MERGED_ANEW}
    assert not ada.records("error")
    assert ada.why(f"ada/{before.name}")["state"] == "own"
    ada.publish(folder(ada, tmp_path, 100))  # it goes on


def test_a_kill_of_the_peer_spoils_no_backup(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    for number in range(4):
        ada.publish(folder(ada, tmp_path, number, WIDE))
    process = store("backup", tmp_path / "copy", "--with-keys", "--home", ada.home.root)
    copying(ada, process, tmp_path / "copy")
    ada.kill()
    code, _, err = ended(process)
    assert code == 0, err
    again(ada, tmp_path / "copy")
    assert ada.status.plasmids_held == 4


def test_a_killed_backup_isnt_there(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    for number in range(4):
        ada.publish(folder(ada, tmp_path, number, WIDE))
    with held_up(ada.home.trust):
        process = store("backup", tmp_path / "copy", "--home", ada.home.root)
        assert copying(ada, process, tmp_path / "copy")
        process.kill()
        assert ended(process)[0] == -signal.SIGKILL
    assert len(list(tmp_path.glob("copy.unfinished-*"))) == 1
    assert not (tmp_path / "copy").exists()
    (ada.home.root / "tmp/rows-left").write_bytes(b"what one leaves that is killed before it took the rows")
    code, out, err = ended(store("backup", tmp_path / "next", "--home", ada.home.root))
    assert code == 0, err
    assert "backed up 4 artifacts" in out
    assert not list((ada.home.root / "tmp").glob("rows-*"))


def test_a_running_peers_home_is_left_alone(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    assert ended(store("backup", tmp_path / "copy", "--home", ada.home.root))[0] == 0
    code, out, err = ended(store("restore", tmp_path / "copy", "--home", ada.home.root))
    assert (code, out) == (1, "")
    assert err.startswith(f"plora: {ada.home.root}/LOCK: another peer works on this home (process {ada.process.pid})")
    assert len(err.splitlines()) == 1
    ada.stop()
    assert ended(store("backup", tmp_path / "at-rest", "--home", ada.home.root))[0] == 0
    assert Home(tmp_path / "at-rest" / "home").config.exists()


def folder(peer: Any, tmp_path: Path, number: int, width: int = 32) -> Path:
    made = tmp_path / f"adapter{number}"
    peer.signed_folder(made, seed=number, width=width)
    return made
