"""`deploy/fleet.py` on hosts that lie, stand still or were left half done: folders of this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy import fleet
from tests.ports import free_port

PREFIX = Path(sys.executable).parents[1]
ANSWER_S_MAX = 20.0


def remotes(root: Path, *names: str, **more: Any) -> list[fleet.Remote]:
    """Hosts that are folders here, the first the founder."""
    hosts = {name: {"host": name, "address": f"127.0.0.1:{47130 + number}"} for number, name in enumerate(names)}
    plain = {"remote": "sh -c", "prefix": str(PREFIX), "home": f"{root}/{{name}}", "run": "background", "hosts": hosts}
    file = root / "fleet.yaml"
    file.write_text(yaml.safe_dump({**plain, **more}))
    made = fleet.load(file)
    return [fleet.Remote(made, host) for host in made.hosts]


def test_a_host_speaks_for_nobody_else_and_a_new_key_is_an_error(tmp_path: Path) -> None:
    ada, bob, cyd = remotes(tmp_path, "ada", "bob", "cyd")
    ada.plora("init", "--name", "ada")
    bob.plora("init", "--name", "bob")
    cyd.plora("init", "--name", "ada")  # calls itself what another host is called
    Path(cyd.home, "owner/ada.owner").rename(Path(cyd.home, "owner/cyd.owner"))
    with pytest.raises(fleet.FleetError, match="cyd: the owner record that it handed in is ada's"):
        fleet.owner_of(cyd, ada)

    true = fleet.owner_of(ada, ada)
    fleet.believe(bob, {"ada": true, "bob": fleet.owner_of(bob, ada)})
    trust = Path(bob.home, "trust.yaml")
    assert true.id in trust.read_text()
    before = trust.read_bytes()
    fleet.believe(bob, {"ada": true})  # again: nothing is written
    again = fleet.Owner("0" * 64, true.record)
    with pytest.raises(fleet.FleetError, match=r"bob: believes another key as ada .*trust rm ada"):
        fleet.believe(bob, {"ada": again})
    assert trust.read_bytes() == before


def test_only_who_holds_the_lock_is_ended(tmp_path: Path) -> None:
    (ada,) = remotes(tmp_path, "ada")
    fleet.prepare(ada)
    fleet.stop(ada)  # none ever ran
    held = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print('held', flush=True); "
    lock = Path(ada.home, "LOCK")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        lock.write_text(f"{stranger.pid}\n")  # as a peer that was killed left it
        fleet.stop(ada)
        assert stranger.poll() is None
        stranger.kill()
    hold = [sys.executable, "-c", held + "time.sleep(60)", str(lock)]
    with subprocess.Popen(hold, stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == b"held\n"
        lock.write_text(f"{peer.pid}\n")
        fleet.stop(ada)
        assert peer.wait(ANSWER_S_MAX) == -15


def test_what_cant_be_done_is_a_line_and_never_waited_for_without_end(tmp_path: Path) -> None:
    lost = remotes(tmp_path, "ada", package="dist/nowhere.whl")
    assert "dist/nowhere.whl can't be read" in fleet.each(lost, fleet.install)["ada"]
    toolless = remotes(tmp_path, "ada", remote="no-such-tool {host}")
    assert "no-such-tool" in fleet.each(toolless, fleet.prepare)["ada"]
    (torn,) = remotes(tmp_path, "ada", remote="""sh -c 'echo "{{"'""")
    assert fleet.each([torn], lambda one: one.status())["ada"].startswith("ada: ")
    (away,) = remotes(tmp_path, "ada", remote="sh -c 'echo no route to host >&2; exit 255'")
    assert "no route to host" in fleet.check(away.fleet)["ada"], "which isn't the peer's fault"
    (slow,) = remotes(tmp_path, "ada")
    began = time.monotonic()
    with pytest.raises(fleet.FleetError, match=r"ada: no answer in 0\.2 s"):
        slow.sh("sleep 60; true", wait_s=0.2)
    assert time.monotonic() - began < ANSWER_S_MAX


def test_settings_come_also_after_a_founding_that_was_cut_off(tmp_path: Path) -> None:
    ada, bob = remotes(tmp_path, "ada", "bob")
    ours = fleet.OURS.encode()
    fleet.prepare(ada)
    fleet.found_or_join(ada, ada)
    assert not ada.read("peer.yaml").startswith(ours)
    fleet.settle(ada, ada.applied())
    assert ada.read("peer.yaml").startswith(ours)
    bob.plora("init", "--name", "bob")  # by hand: it keeps its own
    kept = bob.read("peer.yaml")
    fleet.found_or_join(bob, ada)
    assert (fleet.settle(bob, bob.applied()), bob.read("peer.yaml")) == ({}, kept)
    bob.put_applied({})  # as after a start
    assert (fleet.settle(bob, bob.applied()), bob.read("peer.yaml")) == ({}, kept)


@pytest.mark.slow
def test_a_start_that_was_cut_off_is_made_up_for(tmp_path: Path) -> None:
    there = {"ada": {"host": "ada", "address": (at := f"127.0.0.1:{free_port()}"), "listen": at}}
    (ada,) = remotes(tmp_path, hosts=there)
    try:
        assert fleet.up(ada.fleet) == {}
        first = ada.status()["boot"]
        assert fleet.up(ada.fleet) == {}
        assert ada.status()["boot"] == first
        (ada,) = remotes(tmp_path, hosts=there, settings={"record": True})
        fleet.settle(ada, ada.applied())  # and then the line to the host broke
        assert fleet.up(ada.fleet) == {}
        assert ada.status()["boot"] != first
    finally:
        fleet.stop(ada)


def test_a_home_of_its_own_isnt_promised_where_the_unit_has_another(tmp_path: Path) -> None:
    with pytest.raises(fleet.FleetError, match="home: under systemd it is /var/lib/plora"):
        remotes(tmp_path, "ada", run="systemd")
    with pytest.raises(fleet.FleetError, match="can't be used"):
        remotes(tmp_path, "ada", remote="ssh {nobody}")
