"""No room for a plasmid: by the configuration's bound, and on a disk that is really full."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plora.proto.errors import RefusedError
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from tests.swarm.conftest import MakePeer, Peer

PROGRAMS = Path(sys.executable).parent

pytestmark = pytest.mark.timeout(120)


def test_store_max_keeps_a_plasmid_out_and_says_so(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    bob.settings["limits"]["store_max"] = "16KiB"
    for peer in (ada, bob):
        peer.start()
    large, small = (_publish(ada, tmp_path / name, width) for name, width in (("large", 2000), ("small", 32)))
    bob.until(lambda: small in bob.plasmids("accepted"))
    bob.until(lambda: bob.plasmids()[large].reason == "limits.store_max")
    why = bob.why("ada/large")
    assert (why["state"], why["percent"]) == ("pending", 0)
    assert "limits.store_max is 16 KiB" in why["sentence"]
    assert bob.plasmids()[large].limit == "16 KiB"
    (hit,) = bob.records("bound_hit")
    assert (hit["setting"], hit["limit"]) == ("limits.store_max", 16 << 10)
    assert [record["digest"] for record in bob.records("fetch_started")] == [bob.plasmids()[small].sha256]
    assert "1 adapter is not fetched: limits.store_max is 16 KiB; `plora ls` says which" in bob.status.warnings
    with pytest.raises(RefusedError, match=r"limits\.store_max is 16 KiB.*; see `plora why ada/large`"):
        bob.call("Fetch", pb.FetchPlasmidRequest(name="ada/large"))
    assert not bob.records("error", "fetch_failed")
    assert not list((bob.home.root / "partial").glob("*"))

    bob.settings["limits"]["store_max"] = "1MiB"
    bob.reload()
    bob.until(lambda: large in bob.plasmids("accepted"))


def test_a_full_disk_pauses_a_fetch_and_loses_nothing(
    make_peer: MakePeer, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    ada, bob = make_peer("ada"), make_peer("bob", root=small_disk(600) / "bob")
    bob.dials(ada)
    bob.trusts(ada)
    for peer in (ada, bob):
        peer.start()
    before = _publish(ada, tmp_path / "before", 32)
    bob.until(lambda: before in bob.plasmids("accepted"))
    large = _publish(ada, tmp_path / "large", 20_000)
    bob.until(lambda: large in bob.plasmids() and bob.why("ada/large")["reason"] == "disk_full")
    assert bob.why("ada/large")["sentence"] == "the disk is full"
    assert bob.status.links == 1
    assert before in bob.plasmids("accepted")

    # SIGTERM still ends it in good order; with more room the next boot goes on where this one stopped.
    bob.stop()
    small_disk(8192)
    bob.start()
    assert before in bob.plasmids("accepted")
    bob.until(lambda: large in bob.plasmids("accepted"))
    done = bob.records("fetch_done")[-1]
    assert done["resumed_bytes"] > 0
    assert done["resumed_bytes"] + done["wire_bytes"] == bob.plasmids()[large].size_bytes


@pytest.mark.parametrize(
    ("arguments", "last"), [(("plora-node", "--config"), "peer.yaml"), (("plora", "up", "--home"), "")]
)
def test_a_start_on_a_full_disk_says_so_and_loses_nothing(
    make_peer: MakePeer, small_disk: Callable[[int], Path], tmp_path: Path, arguments: tuple[str, ...], last: str
) -> None:
    disk = small_disk(600)
    bob = make_peer("bob", root=disk / "bob")
    bob.start()
    plasmid = _publish(bob, tmp_path / "legal", 32)
    bob.until(lambda: bob.plasmids()[plasmid].outcome == "ACCEPT")
    bob.stop()
    _fill(disk)
    done = _run(*arguments, bob.home.root / last)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"plora-node: {bob.home.root}: the disk is full; free some space\n"

    small_disk(8192)
    bob.start()
    assert bob.plasmids()[plasmid].outcome == "ACCEPT"
    assert bob.why("legal")["percent"] == 100


def test_the_first_start_on_a_nearly_full_disk_leaves_a_good_home(
    make_peer: MakePeer, small_disk: Callable[[int], Path]
) -> None:
    """Page by page: the store's first files are begun and not finished, in turn."""
    disk = small_disk(600)
    bob = make_peer("bob", root=disk / "bob")
    bob.home.config.write_text(json.dumps(bob.settings))
    for pages in range(4):
        _fill(disk, pages)
        done = _run("plora-node", "--config", bob.home.config)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.endswith(": the disk is full; free some space\n")
    small_disk(8192)
    bob.start()


def test_a_home_is_made_whole_or_not_at_all(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(64)
    home = disk / "bob"
    for pages in range(6):
        _fill(disk, pages)
        done = _run("plora", "init", "--name", "bob", "--home", home)
        assert done.returncode in (1, 2)
        assert re.fullmatch(r"plora: .*(the disk is full|No space left).*\n", done.stderr)
        assert list(home.iterdir()) == []
    small_disk(8192)
    assert _run("plora", "init", "--name", "bob", "--home", home).returncode == 0


def _fill(disk: Path, pages: int = 0) -> None:
    """Fill the disk but for some pages."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    system = os.statvfs(disk)
    filler.write_bytes(bytes((system.f_bfree - pages) * system.f_frsize))


def _run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PROGRAMS / program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _publish(peer: Peer, folder: Path, width: int) -> str:
    plasmid = peer.signed_folder(folder, seed=width, width=width)
    peer.publish(folder)
    return plasmid.content_id.hex()
