"""What docs/connectivity.md says, on hosts behind two routers that translate addresses (network namespaces).

    ada 192.168.1.10 -- router 203.0.113.1 --+
                                             +-- cyd 203.0.113.10
    ben 192.168.1.10 -- router 203.0.113.2 --+

Both routers translate what goes out and drop what comes in unasked, as those in homes do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hosts import Net, hosts, ip

from plora.v1 import admin_pb2 as pb

PORT = 4700
CYD = "203.0.113.10"
ROUTERS = {"ada": "203.0.113.1", "ben": "203.0.113.2"}
INSIDE = "192.168.1.10"

pytestmark = pytest.mark.timeout(120)


def build(net: Net) -> None:
    for name in ("net", "cyd"):
        net.add(name)
    ip("-n", net.space("net"), "link", "add", "bridge", "type", "bridge")
    ip("-n", net.space("net"), "link", "set", "bridge", "up")
    attach(net, "cyd", "eth0", CYD)
    for name, outside in ROUTERS.items():
        router = f"{name}-nat"
        for host in (router, name):
            net.add(host)
        attach(net, router, "out", outside)
        net.wire(router, "in", name, "eth0")
        net.address(router, "in", "192.168.1.1")
        net.address(name, "eth0", INSIDE)
        ip("-n", net.space(name), "route", "add", "default", "via", "192.168.1.1")
        net.run(router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        net.run(router, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "out", "-j", "MASQUERADE")
        known = ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
        net.run(router, "iptables", "-A", "FORWARD", "-i", "out", *known)
        net.run(router, "iptables", "-A", "FORWARD", "-i", "out", "-j", "DROP")


def attach(net: Net, name: str, end: str, address: str) -> None:
    """A cable from a host to the bridge in the middle."""
    net.wire(name, end, "net", f"to-{name}")
    ip("-n", net.space("net"), "link", "set", f"to-{name}", "master", "bridge")
    net.address(name, end, address)


def forward(net: Net, name: str) -> None:
    """Have the router of a host pass its port on to it: a port forward."""
    router, came = f"{name}-nat", ("-i", "out", "-p", "tcp", "--dport", str(PORT))
    target = ("-j", "DNAT", "--to-destination", f"{INSIDE}:{PORT}")
    net.run(router, "iptables", "-t", "nat", "-A", "PREROUTING", *came, *target)
    net.run(router, "iptables", "-I", "FORWARD", *came, "-j", "ACCEPT")


@pytest.fixture
def net() -> Iterator[Net]:
    with hosts("iptables") as made:
        build(made)
        yield made


@pytest.fixture
def peers(net: Net, make_peer: Callable[..., Any]) -> list[Any]:
    """ada, ben and cyd on their hosts; the first two dial the third, which carries what it trusts."""
    made = [make_peer(name) for name in ("ada", "ben", "cyd")]
    for peer in made:
        peer.within = net.within(peer.name)
        peer.settings["listen"] = f"0.0.0.0:{PORT}"
        peer.settings["discovery"] = {"exchange": True, "exchange_ms": 300}
        if peer.name != "cyd":
            peer.settings["neighbours"] = [{"peer": made[2].id, "address": f"{CYD}:{PORT}"}]
    made[2].settings["subscribe"] = {"carry": True}
    made[2].trusts(made[0])
    made[1].trusts(made[0])
    return made


def ping(peer: Any, other: Any) -> Any:
    return peer.call("Ping", pb.PingRequest(name=other.id))


def test_who_only_dials_out_takes_part_through_one_that_can_be_dialed(
    net: Net, peers: list[Any], tmp_path: Path
) -> None:
    ada, ben, cyd = peers
    ada.settings["dialable"] = ben.settings["dialable"] = False
    for peer in peers:
        peer.start()
    ben.until(lambda: ben.status.links and ada.status.links)
    plasmid = ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    content = plasmid.statement.id.hex()
    ben.until(lambda: content in ben.plasmids("accepted"))
    assert ben.neighbour(ada) is None and ada.neighbour(ben) is None  # never directly
    assert cyd.neighbour(ada).host == ROUTERS["ada"]
    answer = ping(ada, cyd)
    assert answer.good and [one.outcome for one in answer.there] == ["reached"]


def test_a_port_forward_makes_a_peer_dialable_and_then_found(net: Net, peers: list[Any]) -> None:
    ada, ben, cyd = peers
    ben.settings["dialable"] = False
    for peer in peers:
        peer.start()
    ada.until(lambda: ben.status.links and ada.status.links)

    answer = ping(ada, cyd)
    assert not answer.good and answer.seen_host == ROUTERS["ada"]
    assert [(one.address, one.outcome) for one in answer.back] == [(f"{ROUTERS['ada']}:{PORT}", "nobody_listens")]
    assert f"forward TCP port {PORT}" in answer.mends[0] and "dialable: false" in answer.mends[0]
    assert ben.neighbour(ada) is None

    forward(net, "ada")
    ada.stop()
    ada.start()
    ada.until(lambda: ada.status.links)
    found = ben.until(lambda: ben.neighbour(ada))  # cyd reached ada, so it tells ben
    assert (found.host, found.state, found.configured) == (ROUTERS["ada"], "up", False)
    ada.until(lambda: ping(ada, cyd).good)  # soon: cyd dials back at most once in ten seconds
