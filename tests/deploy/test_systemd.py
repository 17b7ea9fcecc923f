"""The unit under a real systemd, hardening in force: a peer merges, is reloaded, hangs, stops, and writes a journal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.booted import CODE, Machine, booted
from tests.swarm.conftest import write_folder

from plora.proto.home import Home
from plora.proto.owner_files import load_owner
from plora.sim.material import Owner

pytestmark = pytest.mark.slow
UNIT = "plora-node"
FLEET = CODE / "deploy" / "fleet.py"
HOME = "var/lib/plora"
PLORA = "/opt/plora/bin/plora"
AS_PEER = ("setpriv", "--reuid=plora", "--regid=plora", "--clear-groups")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(autouse=True)
def emptied(machine: Machine) -> Iterator[None]:
    """No test finds another's peers, in whichever order."""
    yield
    machine.run("sh", "-c", f"systemctl stop 'plora-node*'; rm -rf /{HOME}/* /{HOME}.fleet.json")


def init(machine: Machine, home: str, *options: str) -> Home:
    """A home of the account `plora`, with logs for machines."""
    machine.run("install", "-d", "-o", "plora", "-g", "plora", "-m", "0700", f"/{home}")
    machine.run(*AS_PEER, PLORA, "init", "--home", f"/{home}", "--name", "ada", *options)
    config = machine.root / home / "peer.yaml"
    config.write_text(config.read_text().replace("log: console", "log: json"))
    return Home(machine.root / home)


def plora(machine: Machine, home: str, *words: str) -> Any:
    """What a command says there; its socket can't be reached from out here."""
    return json.loads(machine.run(PLORA, *words, "--json", "--home", f"/{home}"))


def fails(machine: Machine) -> str:
    return machine.run("systemctl", "status", UNIT, check=False) + machine.run("journalctl", "-u", UNIT)


def raised(machine: Machine, work: Path) -> Home:
    """A peer by `deploy/fleet.py`: home, unit, start; as on a host that is reached by ssh."""
    file = work / "fleet.yaml"
    there = {"host": str(machine.pid), "address": "127.0.0.1:47123", "listen": "127.0.0.1:47123"}
    remote = "nsenter -t {host} -m -p -u -i sh -c"
    file.write_text(json.dumps({"remote": remote, "settings": {"log": "json"}, "hosts": {"ada": there}}))
    done = subprocess.run([sys.executable, FLEET, file, "up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Home(machine.root / HOME)


def test_a_peer_lives_under_its_unit(machine: Machine, tmp_path: Path) -> None:
    home = raised(machine, tmp_path)
    assert machine.run("systemctl", "is-enabled", UNIT) == "enabled"
    first = machine.shows(UNIT, "MainPID")
    assert machine.shows(UNIT, "StatusText") == "0 peers linked, 0 adapters held"
    assert plora(machine, HOME, "status")["name"] == "ada"

    # Examined in a cage and merged, each closed tighter within the unit's own filter.
    signer = load_owner(next(home.owner_folder.glob("*.pem")))
    inbox = machine.root / HOME / "inbox" / "legal"
    write_folder(inbox, Owner("ada", signer.record.swarm, signer.key, signer.statement), seed=1)
    machine.run("chown", "-R", "plora:plora", f"/{HOME}/inbox")
    plora(machine, HOME, "publish", f"/{HOME}/inbox/legal")
    merged = machine.root / HOME / "merged" / "mini"
    machine.until(merged.is_dir, lambda: fails(machine))
    assert plora(machine, HOME, "ls")[0]["state"] == "own"
    log = next((machine.root / HOME / "events").glob("*.jsonl")).read_text()
    assert "isolation" not in log  # the workers' cages are whole

    machine.run("systemctl", "reload", UNIT)  # returns when it has read its settings
    assert machine.shows(UNIT, "MainPID") == first

    machine.run("systemctl", "kill", "-s", "STOP", "--kill-whom=main", UNIT)
    machine.until(lambda: machine.shows(UNIT, "NRestarts") == "1", lambda: fails(machine))
    machine.until(lambda: machine.shows(UNIT, "ActiveState") == "active", lambda: fails(machine))
    assert machine.shows(UNIT, "MainPID") != first
    assert plora(machine, HOME, "path", "ada/legal")

    machine.run("systemctl", "stop", UNIT)
    assert (machine.shows(UNIT, "Result"), machine.shows(UNIT, "ExecMainStatus")) == ("success", "0")
    lines = machine.run("journalctl", "-u", UNIT, "-o", "cat", "_COMM=plora-node").splitlines()
    said = [json.loads(line) for line in lines]
    assert {"boot", "published", "stop"} <= {one["event"] for one in said}


def test_several_peers_by_the_template(machine: Machine) -> None:
    init(machine, f"{HOME}/bob", "--listen", "127.0.0.1:47124")
    machine.run("systemctl", "start", "plora-node@bob")
    assert plora(machine, f"{HOME}/bob", "status")["listen"] == "127.0.0.1:47124"
    machine.run("systemctl", "stop", "plora-node@bob")


def test_settings_that_a_person_must_mend_arent_tried_again(machine: Machine) -> None:
    home = init(machine, f"{HOME}/cyd", "--listen", "127.0.0.1:47125")
    home.config.write_text(home.config.read_text().replace("round_ms: 1000", "round_ms: soon"))
    machine.run("systemctl", "start", "plora-node@cyd", check=False)
    assert machine.shows("plora-node@cyd", "ActiveState") == "failed"
    assert (machine.shows("plora-node@cyd", "ExecMainStatus"), machine.shows("plora-node@cyd", "NRestarts")) == (
        "2",
        "0",
    )
    assert "gossip.round_ms" in machine.run("journalctl", "-u", "plora-node@cyd", "-o", "cat")
