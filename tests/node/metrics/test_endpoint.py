"""The metrics' endpoint under callers who ask too often, hold connections, or wait when the peer stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from tests.ports import free_port

from plora.node.metrics.endpoint import CONNECTIONS_MAX, serve_metrics

WAIT_S = 2.0
ASK = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n"


class Counted:
    """A registry's collector that knows how often it was read."""

    reads = 0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.reads += 1
        yield GaugeMetricFamily("plora_reads", "how often", value=self.reads)


async def opened() -> tuple[Counted, asyncio.Server, int]:
    counted, registry, port = Counted(), CollectorRegistry(auto_describe=False), free_port()
    registry.register(counted)
    return counted, await serve_metrics(f"127.0.0.1:{port}", registry), port


async def asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""  # cut off before it was read
    finally:
        writer.close()


def test_many_scrapes_read_the_peer_once() -> None:
    async def scenario() -> None:
        counted, server, port = await opened()
        before = counted.reads
        answers = [await asked(port) for _ in range(5)]
        assert all(answer.startswith(b"HTTP/1.0 200 ") and b"\nplora_reads " in answer for answer in answers)
        assert counted.reads - before < len(answers)
        server.close()

    asyncio.run(scenario())


def test_silent_callers_are_bounded_keep_nobody_out_and_leave_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    held: list[socket.socket] = []

    async def scenario() -> None:
        _, server, port = await opened()
        held.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS_MAX))
        assert (await asked(port)).startswith(b"HTTP/1.0 200 ")
        held[0].settimeout(WAIT_S)
        with suppress(ConnectionResetError):
            assert held[0].recv(1) == b"", "the oldest made way"
        held[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            held[1].recv(1)
        server.close()

    asyncio.run(scenario())  # which ends with callers that still wait
    for one in held:
        one.close()
    assert not caplog.records
