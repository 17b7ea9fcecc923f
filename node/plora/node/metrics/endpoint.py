"""The Prometheus endpoint, on the address that peer.yaml names: plain HTTP, `GET /metrics`, nothing else.

- On a loopback address `Host` must be a loopback name, so that a name rebound to 127.0.0.1 in a browser reads nothing.
- It knows no callers: whoever reaches the address reads the numbers, none of which is secret (docs/metrics.md).
- At most CONNECTIONS_MAX at once, each for at most REQUEST_WAIT_S; one more cuts off the oldest, so that whoever holds
  places in silence keeps nobody out who asks.
- The peer is read at most once in COPY_S, however many ask: a reading takes time from its event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from plora.node.daemon.node import Node
from plora.node.driver.clock import read_clocks
from plora.node.gossip.addresses import is_local
from plora.node.metrics.counting import Counting
from plora.node.metrics.readings import Reading, readings
from plora.node.metrics.table import METRICS, Metric
from plora.node.metrics.waits import Waits
from plora.node.web.guard import is_own_host
from plora.proto.errors import TransportError
from plora.proto.host_port import checked

REQUEST_BYTES_MAX = 8 * 1024
REQUEST_WAIT_S = 5.0
CONNECTIONS_MAX = 16
COPY_S = 1.0

Family = GaugeMetricFamily | CounterMetricFamily


class Collector:
    """Families of what is read at each scrape; `read` gives the numbers."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        """One reading of every family, also of those without a number now."""
        families = {metric.name: _family(metric) for metric in METRICS if metric.source == "state"}
        for name, labels, value in self._read():
            families[name].add_metric(labels, value)
        yield from families.values()


def _family(metric: Metric) -> Family:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)


async def open_metrics(node: Node, address: str) -> asyncio.Server:
    """Count what the peer's event log says from now on, and serve it with what else there is.

    Raises TransportError where the address can't be had.
    """
    started = read_clocks()

    def read() -> Iterator[Reading]:
        now = read_clocks()
        return readings(node, now, (now.mono_ns - started.mono_ns) // 1_000_000)

    counting = Counting(Waits(node.core.desk.book.live, started.wall_ms).seconds)
    counting.registry.register(Collector(read))
    ProcessCollector(registry=counting.registry)
    node.log.count = counting.note
    node.on_lag = counting.lagged
    return await serve_metrics(address, counting.registry)


async def serve_metrics(address: str, registry: CollectorRegistry) -> asyncio.Server:
    """Listen on `host:port`; `TransportError` when it is in use."""
    host, port = checked(address, "metrics", listening=True)
    try:
        answer = _Answering(registry, local=is_local(address)).answer
        return await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        mend = "stop the program that uses it, or change `metrics` in peer.yaml"
        raise TransportError(f"can't listen on {address} ({error.strerror})", mend=mend) from error


class _Answering:
    """Answers connections from a registry; `local`: the address is a loopback one."""

    def __init__(self, registry: CollectorRegistry, *, local: bool) -> None:
        self._registry, self._local = registry, local
        self._open: list[asyncio.StreamWriter] = []  # the oldest first
        self._copy, self._made_s = b"", -COPY_S

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its start to its end."""
        if len(self._open) >= CONNECTIONS_MAX:
            self._open[0].transport.abort()
            del self._open[0]
        self._open.append(writer)
        try:
            async with asyncio.timeout(REQUEST_WAIT_S):
                writer.write(await self._reply(reader))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        except asyncio.CancelledError:
            return  # the peer stops; asyncio would print a traceback for each
        finally:
            if writer in self._open:
                self._open.remove(writer)
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        status = _status_of(await reader.readuntil(b"\r\n\r\n"), local=self._local)
        return _response(status, self._numbers() if status is HTTPStatus.OK else b"")

    def _numbers(self) -> bytes:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._made_s >= COPY_S:
            self._copy, self._made_s = generate_latest(self._registry), now_s
        return self._copy


def _status_of(request: bytes, *, local: bool) -> HTTPStatus:
    line, *headers = request.split(b"\r\n")
    named = [header.partition(b":")[2].strip() for header in headers if header.lower().startswith(b"host:")]
    if local and not all(is_own_host(host.decode("latin-1")) for host in named):
        return HTTPStatus.MISDIRECTED_REQUEST
    return HTTPStatus.OK if line.split(b" ")[:2] == [b"GET", b"/metrics"] else HTTPStatus.NOT_FOUND


def _response(status: HTTPStatus, body: bytes) -> bytes:
    head = f"HTTP/1.0 {status.value} {status.phrase}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
