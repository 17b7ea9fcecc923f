"""Peers on the local network: what is believed of a multicast answer."""

from __future__ import annotations

from typing import Any

import pytest

from plora.node.lan import FOUND_MAX, NAME_DIGITS, SERVICE, Lan, LanPeer

ME, ADA = "5" * 64, "a" * 64


def lan(listen: str = "0.0.0.0:4700", peer: str = ME, port: int = 4700, **settings: Any) -> Lan:
    return Lan(peer, listen, port, **{"dialable": True, "on_full": lambda: None, **settings})


def name_of(peer: str) -> str:
    return f"{peer[:NAME_DIGITS]}.{SERVICE}"


def test_what_is_well_formed_is_shown() -> None:
    seen = lan()
    seen.take(name_of(ADA), ADA.encode(), 4700, ["192.168.1.7", "fd00::7", "192.168.1.7"])
    assert seen.found == {ADA: LanPeer(ADA, ("192.168.1.7:4700", "[fd00::7]:4700"))}


@pytest.mark.parametrize(
    ("name", "peer", "port", "hosts"),
    [
        (name_of(ME), ME.encode(), 4700, ["192.168.1.7"]),
        (name_of("b" * 64), ADA.encode(), 4700, ["192.168.1.7"]),
        (name_of(ADA), None, 4700, ["192.168.1.7"]),
        (name_of(ADA), b"\xff" * 64, 4700, ["192.168.1.7"]),
        (name_of(ADA), ADA.upper().encode(), 4700, ["192.168.1.7"]),
        (name_of(ADA), ADA.encode(), 0, ["192.168.1.7"]),
        (name_of(ADA), ADA.encode(), 70_000, ["192.168.1.7"]),
        (name_of(ADA), ADA.encode(), 5432, ["127.0.0.1", "::1"]),
        (name_of(ADA), ADA.encode(), 4700, ["224.0.0.251", "0.0.0.0", "169.254.169.254"]),
        (name_of(ADA), ADA.encode(), 4700, []),
    ],
)
def test_what_is_not_well_formed_is_not_shown(name: str, peer: bytes | None, port: int, hosts: list[str]) -> None:
    seen = lan()
    seen.take(name, peer, port, hosts)
    assert seen.found == {}


def test_too_many_are_cut_off_and_told_once() -> None:
    told: list[int] = []
    seen = lan(on_full=lambda: told.append(1))
    for number in range(FOUND_MAX + 50):
        peer = f"{number:064x}"[::-1]
        seen.take(name_of(peer), peer.encode(), 4700, ["192.168.1.7"])
    assert len(seen.found) == FOUND_MAX and told == [1]
