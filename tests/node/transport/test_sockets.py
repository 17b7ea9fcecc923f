"""What the system tells of this process's connections, and ending one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from plora.node.transport import sockets

pytestmark = pytest.mark.skipif(not sockets.SEEN, reason="connections are seen on Linux only")


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection: who dialed, and who accepted."""
    family, host = request.param
    with (
        socket.create_server((host, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as dialed,
        server.accept()[0] as accepted,
    ):
        yield dialed, accepted


def test_a_connection_is_known_by_its_far_end_and_by_what_it_brought(pair: tuple[socket.socket, socket.socket]) -> None:
    dialed, accepted = pair
    dialed.sendall(bytes(1000))
    while len(accepted.recv(1 << 16, socket.MSG_PEEK)) < 1000:
        continue
    host, port = dialed.getsockname()[:2]
    found = [one for one in sockets.connections() if one.address == sockets.written(host, port)]
    assert found == [sockets.Connection(accepted.getsockname()[1], sockets.written(host, port), 1000)]


def test_a_cut_ends_that_connection_and_leaves_its_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    dialed, accepted = pair
    sockets.cut(sockets.written(*dialed.getsockname()[:2]))
    assert dialed.recv(1) == b"" and accepted.recv(1) == b""
    assert accepted.fileno() > 0
