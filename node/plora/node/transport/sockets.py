"""The TCP connections of this process, as the system tells: who is at the other end, how much came, and cutting one.

gRPC for Python hands out no connection, so none can be ended but by its descriptor.

- Linux only (`/proc/self/fd`, `TCP_INFO`); elsewhere `SEEN` is false, nobody is seen, and `cut` does nothing.
- Addresses are written as gRPC writes them: `192.0.2.1:40000`, `[2001:db8::1]:40000`, IPv4-mapped ones as IPv4.
- Descriptors belong to gRPC: they are looked at through duplicates, and never closed.

>>> written("::ffff:192.0.2.1", 4700), written("::1", 4700)
('192.0.2.1:4700', '[::1]:4700')
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SEEN = sys.platform == "linux"

_DESCRIPTORS = Path("/proc/self/fd")
_TCP_INFO_BYTES = 136
_BYTES_RECEIVED = struct.Struct("=Q")
_BYTES_RECEIVED_AT = 128
"""tcpi_bytes_received of linux/tcp.h (since 4.1)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """`port`: the local one. `received_bytes`: what the far end sent so far, TLS and HTTP/2 included."""

    port: int
    address: str
    received_bytes: int


@lru_cache(maxsize=1024)
def written(host: str, port: int) -> str:
    """An address as gRPC writes it."""
    found = ipaddress.ip_address(host.partition("%")[0])
    plain = getattr(found, "ipv4_mapped", None) or found
    return f"[{plain}]:{port}" if plain.version == 6 else f"{plain}:{port}"


def connections() -> list[Connection]:
    """All that are open now."""
    return [] if not SEEN else [found for one in _sockets() if (found := _connection(one)) is not None]


def cut(*addresses: str) -> None:
    """End the connections with these addresses in both directions; gRPC then sees them closed."""
    if not SEEN or not addresses:
        return
    for one in _sockets():
        found = _connection(one)
        if found is not None and found.address in addresses:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _sockets() -> Iterator[socket.socket]:
    """Duplicates of all sockets; each is closed when the next is asked for."""
    for entry in list(_DESCRIPTORS.iterdir()):
        with suppress(OSError):
            descriptor = os.dup(int(entry.name))
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                continue
            with socket.socket(fileno=descriptor) as found:
                yield found


def _connection(one: socket.socket) -> Connection | None:
    if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
        return None
    try:
        host, port = one.getpeername()[:2]
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        own_port = one.getsockname()[1]
    except OSError:
        return None  # it listens, or was closed meanwhile
    if len(info) < _TCP_INFO_BYTES:
        return None
    return Connection(own_port, written(host, port), _BYTES_RECEIVED.unpack_from(info, _BYTES_RECEIVED_AT)[0])
