"""The Prometheus endpoint, on the address that peer.yaml names: plain HTTP, `GET /metrics`, nothing else.

On a loopback address `Host` must be a loopback name, so that a name rebound to 127.0.0.1 in a browser reads nothing.

It runs on the peer's event loop, so that numbers are read between two events and never while the core changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from plora.node.gossip.addresses import is_local
from plora.node.transport.traffic import Traffic
from plora.node.web.guard import is_own_host
from plora.proto.errors import TransportError
from plora.proto.host_port import checked

REQUEST_BYTES_MAX = 8 * 1024
REQUEST_WAIT_S = 5.0

Status = Callable[[], Mapping[str, Any]]
Numbers = Callable[[], Mapping[str, int]]
Counts = Mapping[tuple[str, ...], int]
"""How many, by the values of some labels."""


class Collector:
    """The peer's numbers, from `plora.node.core.view.status`, of consensus and audit, and the transport's counters."""

    def __init__(self, status: Status, traffic: Traffic, votes: Numbers = dict, audit: Numbers = dict) -> None:
        self._status = status
        self._parts = (("consensus", votes), ("audit", audit))
        self._traffic = traffic

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """One reading."""
        status = self._status()
        for name in ("statements", "links", "held", "held_bytes"):
            yield GaugeMetricFamily(f"plora_{name}", f"{name} of this peer", value=float(status[name]))
        if status["freshness"] is not None:
            stale = float(status["freshness"]["state"] == "stale")
            yield GaugeMetricFamily(
                "plora_stale", "1 while the pinned root's owners were not heard lately", value=stale
            )
        for name, what, label, counts in (
            ("plasmids", "live plasmids by state", "state", status["plasmids"]),
            ("reputations", "peers and owners of whom something is known", "of", status["reputations"]),
        ):
            yield _gauge(name, what, (label,), {(value,): count for value, count in counts.items()})
        objections: Counts = {(one["stage"], one["reason"]): one["plasmids"] for one in status["objections"]}
        yield _gauge("objections", "live plasmids not accepted", ("stage", "reason"), objections)
        for part, numbers in self._parts:
            for name, count in numbers().items():
                what = f"{part}: {name.replace('_', ' ')}"
                yield GaugeMetricFamily(f"plora_{part}_{name}", what, value=float(count))
        for direction in ("sent", "received"):
            for unit in ("frames", "bytes"):
                family = CounterMetricFamily(f"plora_{direction}_{unit}", f"{unit} {direction}", labels=["frame"])
                for frame, count in sorted(getattr(self._traffic, f"{direction}_{unit}").items()):
                    family.add_metric([frame], float(count))
                yield family
        offences = (("cut_off", "peers cut off for breaking a rule"), ("repelled", "connections of nobody known ended"))
        for name, what in offences:
            yield CounterMetricFamily(f"plora_{name}", what, value=float(getattr(self._traffic, name)))


def _gauge(name: str, what: str, labels: tuple[str, ...], counts: Counts) -> GaugeMetricFamily:
    """One number for each combination of the labels' values."""
    family = GaugeMetricFamily(f"plora_{name}", what, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, float(count))
    return family


async def serve_metrics(
    address: str, status: Status, traffic: Traffic, votes: Numbers = dict, audit: Numbers = dict
) -> asyncio.Server:
    """Listen on `host:port`; `TransportError` when it is in use."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(status, traffic, votes, audit))

    host, port = checked(address, "metrics", listening=True)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_WAIT_S):
                request = await reader.readuntil(b"\r\n\r\n")
            status = _status_of(request, local=is_local(address))
            writer.write(_response(status, generate_latest(registry) if status is HTTPStatus.OK else b""))
            await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    try:
        return await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        mend = "stop the program that uses it, or change `metrics` in peer.yaml"
        raise TransportError(f"can't listen on {address} ({error.strerror})", mend=mend) from error


def _status_of(request: bytes, *, local: bool) -> HTTPStatus:
    line, *headers = request.split(b"\r\n")
    named = [header.partition(b":")[2].strip() for header in headers if header.lower().startswith(b"host:")]
    if local and not all(is_own_host(host.decode("latin-1")) for host in named):
        return HTTPStatus.MISDIRECTED_REQUEST
    return HTTPStatus.OK if line.split(b" ")[:2] == [b"GET", b"/metrics"] else HTTPStatus.NOT_FOUND


def _response(status: HTTPStatus, body: bytes) -> bytes:
    head = f"HTTP/1.0 {status.value} {status.phrase}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
