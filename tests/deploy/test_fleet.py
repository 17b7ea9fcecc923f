"""`deploy/fleet.py` on hosts with addresses of their own: a swarm from one file, again, changed, with faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hosts import Net, hosts

pytestmark = pytest.mark.slow
PREFIX = Path(sys.executable).parents[1]
FLEET = Path(__file__).resolve().parents[2] / "deploy" / "fleet.py"
ADDRESSES = {"ada": "10.77.0.1", "bob": "10.77.0.2", "cyd": "10.77.0.3"}


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    """Three hosts on one switch."""
    with hosts() as made:
        made.add("switch")
        made.run("switch", "ip", "link", "add", "hub", "type", "bridge")
        made.run("switch", "ip", "link", "set", "hub", "up")
        for name, address in ADDRESSES.items():
            made.add(name)
            made.wire(name, "eth0", "switch", f"to-{name}")
            made.run("switch", "ip", "link", "set", f"to-{name}", "master", "hub")
            made.address(name, "eth0", address)
        yield made


class Hosts:
    """fleet.yaml, and what became of it."""

    def __init__(self, net: Net, root: Path) -> None:
        self.root = root
        self.document: dict[str, Any] = {
            "swarm": "lab",
            "remote": "ip netns exec {host} sh -c",
            "prefix": str(PREFIX),
            "home": f"{root}/{{name}}",
            "run": "background",
            "settings": {"log": "json", "gossip": {"round_ms": 300}, "limits": {"disk_free_min": 0}},
            "hosts": {name: {"host": net.space(name), "address": f"{ADDRESSES[name]}:4700"} for name in ADDRESSES},
        }
        del self.document["hosts"]["cyd"]["address"]

    def fleet(self, command: str) -> tuple[int, str, str]:
        file = self.root / "fleet.yaml"
        file.write_text(yaml.safe_dump(self.document, sort_keys=False))
        run: list[str | Path] = [sys.executable, FLEET, file, command]
        done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=110)
        return done.returncode, done.stdout, done.stderr

    def pid(self, name: str) -> int:
        """Of the running peer; 0 for none."""
        lock = self.root / name / "LOCK"
        return int(lock.read_text().strip() or 0) if lock.exists() else 0

    def end(self) -> None:
        for name in ADDRESSES:
            if pid := self.pid(name):
                os.kill(pid, 9)


@pytest.fixture
def made(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(net, tmp_path_factory.mktemp("f"))
    yield hosts
    hosts.end()


def linked(made: Hosts) -> str:
    """What `check` prints once all is well; each look takes its time."""
    for _ in range(10):
        code, out, err = made.fleet("check")
        if code == 0:
            return out
    raise AssertionError(err)


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_one_file_makes_a_swarm(made: Hosts) -> None:
    assert made.fleet("up") == (0, "", "")
    rows = linked(made).splitlines()
    assert [row.split()[0] for row in rows] == ["ada", "bob", "cyd"]
    assert len({row.split()[-1] for row in rows}) == 1
    secrets = {(made.root / name / "swarm.json").read_text() for name in ADDRESSES}
    assert len(secrets) == 1  # one swarm, joined by tickets
    keys = {(made.root / name / "identity/key.pem").read_bytes() for name in ADDRESSES}
    assert len(keys) == 3
    for name in ADDRESSES:
        trust = (made.root / name / "trust.yaml").read_text()
        assert all(f'nickname: "{other}"' in trust for other in ADDRESSES)
    assert yaml.safe_load((made.root / "cyd/peer.yaml").read_text())["dialable"] is False

    # Again: nothing is done anew. Changed: whom it concerns restarts; who edits by hand is left alone.
    pids = [made.pid(name) for name in ADDRESSES]
    kept = made.root / "cyd/peer.yaml"
    kept.write_text("# my own\n" + kept.read_text().partition("\n")[2])
    made.document["hosts"]["bob"]["settings"] = {"subscribe": {"carry": True}}
    made.document["settings"]["record"] = False
    assert made.fleet("up")[0] == 0
    now = [made.pid(name) for name in ADDRESSES]
    assert [old == new for old, new in zip(pids, now, strict=True)] == [False, False, True]
    assert "record" not in kept.read_text()

    os.kill(made.pid("bob"), 19)  # it stands still, and one line says so; the others are looked at all the same
    code, out, err = made.fleet("check")
    os.kill(made.pid("bob"), 18)
    assert (code, len(out.splitlines())) == (1, 2)
    assert "fleet: bob: no peer answers" in err


def test_what_cant_be_is_one_line(made: Hosts) -> None:
    made.document["hosts"]["bob"]["host"] = "no-such-host"
    del made.document["hosts"]["cyd"]
    code, _, err = made.fleet("up")
    assert code == 1
    assert [line for line in err.splitlines() if not line.startswith("fleet: bob: ")] == []
    made.document["trust"] = ["dan"]
    assert made.fleet("up")[2].endswith("trust: no host is called 'dan'\n")
    made.document["hosts"]["ada"] = {"host": "somewhere"}
    assert "the first host needs an `address`" in made.fleet("check")[2]
