"""Addresses that others say: which host they mean, from where they are reached, and what may be dialed of them."""

from __future__ import annotations

import pytest

from plora.node.gossip.addresses import Scope, is_local, is_open, plain, reaches, same_host, seen_scope, told


@pytest.mark.parametrize(
    ("address", "host", "same"),
    [
        ("8.8.8.8:4700", "8.8.8.8", True),
        ("8.8.8.8:1", "8.8.8.8", True),
        ("8.8.8.9:4700", "8.8.8.8", False),
        ("[2001:db8:0:0::1]:4700", "2001:db8::1", True),
        ("[::ffff:8.8.8.8]:4700", "8.8.8.8", True),
        ("8.8.8.8:4700", "::ffff:8.8.8.8", True),
        ("ada.example:4700", "ada.example", True),
        ("ada.example:4700", "ben.example", False),
        ("ada.example:4700", "", False),
        ("8.8.8.8", "8.8.8.8", False),
    ],
)
def test_one_host_is_one_host_in_any_spelling(address: str, host: str, same: bool) -> None:
    assert same_host(address, host) is same


@pytest.mark.parametrize(
    ("address", "local", "left_open"),
    [
        ("127.0.0.1:4700", True, False),
        ("127.9.9.9:0", True, False),
        ("[::1]:4700", True, False),
        ("localhost:4700", True, False),
        ("0.0.0.0:4700", False, True),
        ("[::]:4700", False, True),
        ("192.168.1.5:4700", False, False),
        ("8.8.8.8:4700", False, False),
        ("ada.example:4700", False, False),
        ("no address", False, False),
    ],
)
def test_what_only_this_machine_reaches_and_what_leaves_the_host_open(
    address: str, local: bool, left_open: bool
) -> None:
    assert (is_local(address), is_open(address)) == (local, left_open)


def test_an_address_has_one_spelling() -> None:
    assert plain("[2001:4860:4860:0:0:0:0:8888]:4700") == "[2001:4860:4860::8888]:4700"
    assert plain("[::ffff:8.8.8.8]:4700") == "8.8.8.8:4700"
    assert plain("ada.example:4700") is plain("0.0.0.0:4700") is plain("8.8.8.8") is None


def test_a_host_left_open_is_where_the_neighbour_is_seen_and_each_address_is_taken_once() -> None:
    said = ("0.0.0.0:4700", "[::]:4700", "8.8.4.4:4700", "8.8.8.8:4700", "8.8.4.4:4700")
    assert told(said, host="8.8.8.8") == ("8.8.8.8:4700", "8.8.4.4:4700")
    assert told(("0.0.0.0:4700",), host="") == told(("0.0.0.0:4700",), host="ada.example") == ()


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("127.0.0.1", Scope.MACHINE),
        ("192.168.1.5", Scope.NETWORK),
        ("8.8.8.8", Scope.EVERYWHERE),
        ("ada.example", Scope.NETWORK),
        ("", Scope.NETWORK),
    ],
)
def test_a_neighbour_names_what_reaches_as_far_as_they_do_and_farther(host: str, scope: Scope) -> None:
    by_scope = {Scope.MACHINE: "127.0.0.1:1", Scope.NETWORK: "10.0.0.1:1", Scope.EVERYWHERE: "8.8.4.4:1"}
    assert seen_scope(host) is scope
    assert told(by_scope.values(), host) == tuple(one for reach, one in by_scope.items() if reach >= scope)
    assert not reaches("ada.example:1", scope) and not reaches("no address", scope)
