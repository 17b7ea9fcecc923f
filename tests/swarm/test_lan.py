"""`plora peers lan`: two hosts on one network show one another, nobody dials, and a command makes them neighbours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.hosts import Net, hosts

from plora.cli.main import main
from plora.v1 import admin_pb2 as pb

PORT = 4700
ADDRESSES = {"ada": "192.0.2.1", "ben": "192.0.2.2"}


@pytest.fixture
def net() -> Iterator[Net]:
    with hosts() as made:
        for name in ADDRESSES:
            made.add(name)
        made.wire("ada", "eth0", "ben", "eth0")
        for name, address in ADDRESSES.items():
            made.address(name, "eth0", address)
        yield made


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """Exit code, JSON document and errors of a command."""

    def run(*arguments: object, as_json: bool = True) -> tuple[int, Any, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), *(["--json"] if as_json else [])])
        out, errors = capfd.readouterr()
        return int(ended.value.code or 0), json.loads(out) if out and as_json else out, errors

    return run


def test_two_hosts_show_one_another_and_a_command_makes_them_neighbours(
    net: Net, make_peer: Callable[..., Any], told: Callable[..., tuple[int, Any, str]]
) -> None:
    ada, ben = make_peer("ada"), make_peer("ben")
    for peer in (ada, ben):
        peer.within = net.within(peer.name)
        peer.settings["listen"] = f"0.0.0.0:{PORT}"
        peer.settings["discovery"] = {"lan": True, "exchange": True, "exchange_ms": 300}
        peer.start()
    found = ada.until(lambda: ada.call("Lan", pb.LanRequest()).peers)
    assert [(one.peer, list(one.addresses), one.state) for one in found] == [
        (ben.id, [f"{ADDRESSES['ben']}:{PORT}"], "new")
    ]
    assert ada.neighbour(ben) is None  # shown, never dialed

    home = ("--home", ada.home.root)
    code, text, errors = told("peers", "lan", *home, as_json=False)
    command = f"plora peers add {ben.id} {ADDRESSES['ben']}:{PORT}"
    assert code == 0 and ben.id[:12] in text and command in errors
    assert told(*command.split()[1:], *home)[0] == 0
    ada.until(lambda: ada.neighbour(ben) is not None and ada.neighbour(ben).state == "up")
    assert ada.call("Lan", pb.LanRequest()).peers[0].state == "linked"

    assert told("peers", "rm", ben.id[:8], *home)[0] == 0
    ada.until(lambda: ada.neighbour(ben) is None)
    ben.until(lambda: not ben.status.links)
    ada.stop()
    ada.start()
    ada.until(lambda: ada.call("Lan", pb.LanRequest()).peers)
    assert not any(one.configured for one in ada.call("Peers", pb.ListPeersRequest()).peers)


def test_peers_on_loopback_stay_there_and_who_only_dials_out_is_not_shown(make_peer: Callable[..., Any]) -> None:
    ada, ben, cyd = peers = [make_peer(name) for name in ("ada", "ben", "cyd")]
    cyd.settings["dialable"] = False
    for peer in peers:
        peer.settings["discovery"] = {"lan": True, "exchange": False}
        peer.start()
    found = cyd.until(lambda: len(seen_by(cyd)) == 2 and seen_by(cyd))
    assert found == {ada.id: [f"127.0.0.1:{ada.port}"], ben.id: [f"127.0.0.1:{ben.port}"]}
    ada.until(lambda: seen_by(ada))
    assert list(seen_by(ada)) == [ben.id] and not ada.status.links
    ben.stop()
    ada.until(lambda: not seen_by(ada))  # it said good-bye


def seen_by(peer: Any) -> dict[str, list[str]]:
    return {one.peer: list(one.addresses) for one in peer.call("Lan", pb.LanRequest()).peers}


def test_neighbours_are_added_and_removed_without_a_running_peer(
    make_peer: Callable[..., Any], told: Callable[..., tuple[int, Any, str]]
) -> None:
    ada, ben = make_peer("ada"), make_peer("ben")
    home = ("--home", ada.home.root)
    for words, part in (
        (("add", "abc", "192.0.2.1:1"), "is no peer id"),
        (("add", ben.id, "nowhere"), "is no address"),
        (("add", ada.id, "192.0.2.1:1"), "that is this peer itself"),
        (("rm", "ffff"), "no neighbour"),
    ):
        code, _, errors = told("peers", *words, *home)
        assert code == 2 and part in errors
    told("peers", "add", ben.id, "192.0.2.1:1", *home)
    code, document, _ = told("peers", "add", ben.id, f"127.0.0.1:{ben.port}", *home)
    assert document == {"peer": ben.id, "addresses": [f"127.0.0.1:{ben.port}", "192.0.2.1:1"], "reloaded": False}
    ben.start()
    ada.start()
    ada.until(lambda: ada.neighbour(ben) is not None and ada.neighbour(ben).state == "up")
    assert told("peers", "lan", *home)[2].startswith("plora: discovery.lan: the local network isn't searched; set")
    assert told("peers", "rm", "192.0.2.1:1", *home)[1] == {"peer": ben.id, "reloaded": True}

    ada.settings["neighbours"] = [{"peer": ben.id, "address": f"127.0.0.1:{ben.port}"}]
    ada.home.config.write_text(json.dumps(ada.settings))
    code, _, errors = told("peers", "rm", ben.id, *home)
    assert code == 2 and "stands in peer.yaml" in errors
