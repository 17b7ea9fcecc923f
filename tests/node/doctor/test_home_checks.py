"""What `plora doctor` sees of a home whose peer doesn't run."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from plora.node.daemon.config import load_config
from plora.node.doctor.home import CONTAINER, examine_home, exposed_page
from plora.node.doctor.running import clock_findings
from plora.node.home import init_home
from plora.proto.home import Home
from plora.proto.keys import generate_private_key
from plora.proto.swarm import new_swarm

Configure = Callable[..., Home]


@pytest.fixture
def home(tmp_path: Path) -> Configure:
    """A new home whose peer.yaml has these settings beside name and a free port."""
    swarm = new_swarm("test", bytes(range(64)))
    made = init_home(tmp_path / "ada", name="ada", swarm=swarm, listen="127.0.0.1:1", now_s=int(time.time())).home

    def configure(**settings: Any) -> Home:
        listen = f"127.0.0.1:{free_port()}"
        settings = {"name": "ada", "listen": listen, "limits": {"disk_free_min": 0}, **settings}
        made.config.write_text(json.dumps(settings))
        return made

    return configure


def lines(home: Home, *, running: bool = False) -> list[str]:
    return [str(one) for one in examine_home(home, running=running)]


def test_a_good_home_has_no_findings(home: Configure) -> None:
    assert lines(home()) == []


def test_no_home_at_all(tmp_path: Path) -> None:
    (line,) = lines(Home(tmp_path / "nothing"))
    assert line.endswith("make one by `plora init`, or name it by --home")


def test_every_fault_of_the_settings_is_a_line(home: Configure) -> None:
    found = lines(home(gossip={"fanuot": 1, "round_ms": "soon"}))
    assert [line.startswith("settings: ") for line in found] == [True, True]
    assert any("did you mean 'fanout'?" in line for line in found)


@pytest.mark.parametrize("name", ["swarm.json", "owner/ada.pem", "identity/key.pem", "identity/vote.pem", "."])
def test_secrets_that_others_can_read(home: Configure, name: str) -> None:
    made = home()
    generate_private_key().save(made.vote_key)
    place = made.root / name
    place.chmod(0o755 if place.is_dir() else 0o644)
    (line,) = [line for line in lines(made) if "chmod" in line]
    assert line.endswith(f"chmod {'700' if place.is_dir() else '600'} {place}")


def test_another_peers_key(home: Configure, tmp_path: Path) -> None:
    made = home()
    other = init_home(tmp_path / "b", name="b", swarm=new_swarm("t", bytes(64)), listen="127.0.0.1:1", now_s=1).home
    made.identity_key.write_bytes(other.identity_key.read_bytes())
    (line,) = lines(made)
    assert line.startswith("keys: ") and "the key of another peer" in line


def test_a_full_disk_and_a_full_store_name_their_settings(home: Configure) -> None:
    made = home(limits={"disk_free_min": "900TiB", "store_max": 1})
    blob = made.root / "blobs/ab/abcd"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"xx")
    disk, store = lines(made)
    assert "limits.disk_free_min keeps 900 TiB free" in disk
    assert "limits.store_max" in store


def test_a_port_in_use_names_its_setting(home: Configure) -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        listen, metrics, page = (f"127.0.0.1:{one.getsockname()[1]}" for one in taken)
        made = home(listen=listen, metrics=metrics, web={"listen": page})
        found = [(line.partition(" (")[0], line.partition("change `")[2].partition("`")[0]) for line in lines(made)]
        assert found == [
            (f"port: can't listen on {listen}", "listen"),
            (f"port: can't listen on {metrics}", "metrics"),
            (f"port: can't listen on {page}", "web.listen"),
        ]
        assert lines(made, running=True) == []


def test_neighbours_that_cannot_be_dialed(home: Configure) -> None:
    silent = f"127.0.0.1:{free_port()}"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        made = home(neighbours=[{"peer": "ab" * 32, "address": silent}, {"peer": "cd" * 32}])
        (line,) = lines(made)
    assert line.startswith(f"neighbours: abababababab at {silent}: ")


def test_a_page_beyond_loopback_is_for_containers(home: Configure, tmp_path: Path) -> None:
    wide = load_config(home(web={"listen": "0.0.0.0:9480", "forwarded": True}).config).peer
    (said,) = exposed_page(wide, tmp_path)
    assert str(said).startswith("web: the page listens on 0.0.0.0:9480 for everybody")
    mark = tmp_path / CONTAINER[0]
    mark.touch()
    assert list(exposed_page(wide, tmp_path)) == []
    mark.unlink()
    near = load_config(home(web={"listen": "127.0.0.1:9480", "forwarded": True}).config).peer
    assert list(exposed_page(near, tmp_path)) == []


def test_whom_most_clocks_contradict_is_wrong() -> None:
    hour, day = 3_600_000, 86_400_000
    assert clock_findings({}) == []
    assert clock_findings({"ada": 900, "ben": -29_000}) == []
    assert [one.what for one in clock_findings({"ada": -day})] == ["the clock is 1 d ahead of that of ada"]
    assert [one.what for one in clock_findings({"ada": hour, "ben": hour + 1, "cyd": 0})] == [
        "the clock is 1 h behind those of 3 neighbours"
    ]
    assert [one.what for one in clock_findings({"ada": hour, "ben": 0, "cyd": -1})] == [
        "the clock of ada is 1 h ahead of this one"
    ]
