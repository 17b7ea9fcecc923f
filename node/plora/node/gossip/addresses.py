"""Addresses that came from others: what may be dialed, and what may be passed on.

Rules:

- `HOST:PORT` (`plora.proto.host_port`). What others say of themselves or of third peers counts only with an IP literal:
  a name may lead elsewhere each time it is looked up.
- Never: unspecified, multicast, broadcast, reserved and link-local hosts. IPv4 in IPv6 counts as the IPv4 it is.
- *Scope* is how far a host can be reached: this machine, its network, everywhere. Nobody can send a peer nearer than
  they are themselves: a neighbour on another machine names no port of this one, one on the internet no printer at home.
- An unspecified host in a peer's own Hello (`0.0.0.0:4700`) means "that port, wherever you see me".

>>> scope_of("127.0.0.1"), scope_of("192.168.1.5"), scope_of("198.51.100.7"), scope_of("224.0.0.1")
(<Scope.MACHINE: 0>, <Scope.NETWORK: 1>, <Scope.NETWORK: 1>, None)
>>> told(("0.0.0.0:4700", "127.0.0.1:22", "ada.example:1"), host="192.168.1.5")
('192.168.1.5:4700',)
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from plora.proto.host_port import join, split


class Scope(IntEnum):
    """From where a host can be reached."""

    MACHINE = 0
    NETWORK = 1
    EVERYWHERE = 2


def scope_of(host: str) -> Scope | None:
    """How far an IP literal reaches; None for a name, and for what nobody can be dialed at."""
    ip = _ip(host)
    if ip is None or ip.is_multicast or ip.is_unspecified or ip.is_link_local:
        return None
    if ip.is_reserved and not ip.is_loopback:
        return None
    if ip.is_loopback:
        return Scope.MACHINE
    return Scope.EVERYWHERE if ip.is_global else Scope.NETWORK


def seen_scope(host: str) -> Scope:
    """The scope of a neighbour; one whose host is only known by a name counts as of this network."""
    scope = scope_of(host)
    return Scope.NETWORK if scope is None else scope


def plain(address: str) -> str | None:
    """The one spelling of an address with an IP literal that can be dialed; None otherwise."""
    parts = split(address)
    if parts is None or scope_of(parts[0]) is None:
        return None
    return join(str(_ip(parts[0])), parts[1])


def told(addresses: Iterable[str], host: str) -> tuple[str, ...]:
    """What of these, said by a neighbour seen at `host`, may be dialed: each once, none nearer than that neighbour."""
    nearest = seen_scope(host)
    found = (plain(_seen(address, host)) for address in addresses)
    return tuple(dict.fromkeys(one for one in found if one is not None and reaches(one, nearest)))


def reaches(address: str, nearest: Scope) -> bool:
    """Whether an address reaches at least as far as `nearest`."""
    parts = split(address)
    scope = scope_of(parts[0]) if parts else None
    return scope is not None and scope >= nearest


def is_local(address: str) -> bool:
    """Whether only this machine reaches an address."""
    host = (split(address, listening=True) or ("", 0))[0]
    return host == "localhost" or scope_of(host) is Scope.MACHINE


def is_open(address: str) -> bool:
    """Whether an address leaves the host open, as `0.0.0.0:4700` does."""
    ip = _ip((split(address, listening=True) or ("", 0))[0])
    return ip is not None and ip.is_unspecified


def same_host(address: str, host: str) -> bool:
    """Whether an address names exactly that host."""
    parts = split(address)
    if parts is None:
        return False
    return parts[0] == host or (_ip(host) is not None and _ip(parts[0]) == _ip(host))


def _seen(address: str, host: str) -> str:
    """The address, with the host at which its sender is seen where it leaves the host open."""
    parts = split(address)
    return join(host, parts[1]) if parts and host and is_open(address) else address


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip
