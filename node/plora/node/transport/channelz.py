"""What gRPC tells of the connections that its servers have accepted: how many calls each began, and by which leaf.

gRPC keeps these facts for its channelz service (https://github.com/grpc/proposal/blob/master/A14-channelz.md); this
reads them in the process, and offers nobody that service. A connection is listed once its TLS handshake is over.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from plora.node.transport.grpc_setup import cygrpc
from plora.node.transport.sockets import written

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Accepted:
    """`number` is of this connection alone; `calls` were begun on it so far; `leaf_pem` is what its caller showed."""

    number: int
    port: int
    address: str
    calls: int
    leaf_pem: bytes = field(repr=False)


def accepted() -> list[Accepted]:
    """The connections of all servers of this process that came over TCP."""
    return [found for number in numbers(servers()) if (found := connection(number)) is not None]


def servers() -> tuple[int, ...]:
    """The numbers of all servers of this process: a third of a millisecond, for gRPC tells all about them."""
    return tuple(int(one["ref"]["serverId"]) for one in _told(cygrpc.channelz_get_servers(0)).get("server", []))


def numbers(of_servers: Iterable[int]) -> Iterator[int]:
    """The numbers of all connections of these servers."""
    for server in of_servers:
        yield from _numbers(server)


def _numbers(server: int) -> Iterator[int]:
    first = 0
    while True:
        page = _told(cygrpc.channelz_get_server_sockets(server, first, _PAGE))
        listed = [int(one["socketId"]) for one in page.get("socketRef", [])]
        yield from listed
        if page.get("end") or not listed:
            return
        first = listed[-1] + 1


def connection(number: int) -> Accepted | None:
    """What is known of one; None for one that was closed meanwhile, or came over a Unix socket."""
    try:
        found = _told(cygrpc.channelz_get_socket(number))["socket"]
        local, remote = found["local"]["tcpipAddress"], found["remote"]["tcpipAddress"]
    except (ValueError, KeyError):
        return None
    leaf = found.get("security", {}).get("tls", {}).get("remoteCertificate", "")
    calls = int(found["data"].get("streamsStarted", 0))
    return Accepted(number, local["port"], _address(remote), calls, base64.b64decode(leaf))


def _address(told: dict[str, Any]) -> str:
    packed = base64.b64decode(told["ipAddress"])
    return written(str(ipaddress.ip_address(packed)), told["port"])


def _told(text: str | bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(text)
    return told
