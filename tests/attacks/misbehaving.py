"""A member of the swarm that keeps no rule: raw HTTP/2 over its own TLS, and a session that says whatever it is told.

- `Member` has an identity and a certificate of its own, as any holder of the swarm's secret can make them.
- `Raw` is one connection: real TLS and HTTP/2 (`h2` for what must be right, `hyperframe` for what must be wrong).
- `Talker` holds a session and a bulk stream open and sends bytes that no codec looked at.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import hpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from plora.node.core.messages import WIRE_VERSION, BulkMessage, Goodbye, Hello, Message, Welcome
from plora.node.transport.codec import decode_bulk, decode_session, encode
from plora.node.transport.grpc_setup import EOF, grpc
from plora.node.transport.identity import TLS_NAME, Identity, Leaf
from plora.node.transport.services import BULK_METHOD, SESSION_METHOD
from plora.node.transport.tls import anchor, channel_options
from plora.proto.swarm import Swarm

WAIT_S = 15.0
BOOT = "0b" * 16
OFFER = "/plora.v1.Peer/Offer"
DAY_S = 86_400


@dataclass
class Member:
    """Somebody with the swarm's secret; `leaf` may be exchanged for a false one."""

    swarm: Swarm
    folder: Path
    identity: Identity = field(init=False)
    leaf: Leaf = field(init=False)

    def __post_init__(self) -> None:
        self.identity = Identity(Ed25519PrivateKey.generate(), self.swarm)
        self.leaf = self.identity.leaf()

    @property
    def id(self) -> str:
        return self.identity.peer_id

    def channel(self, victim: Any) -> Any:
        """A grpc.aio channel to a peer, which it accepts for what its id says."""
        return grpc.aio.secure_channel(f"127.0.0.1:{victim.port}", self.credentials(victim), options=channel_options())

    def credentials(self, victim: Any) -> Any:
        return grpc.ssl_channel_credentials(anchor(victim.id), self.leaf.key_pem, self.leaf.chain_pem)

    def context(self) -> ssl.SSLContext:
        """TLS that believes whoever answers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        key, chain = self.folder / f"{self.id}.key", self.folder / f"{self.id}.chain"
        key.write_bytes(self.leaf.key_pem)
        chain.write_bytes(self.leaf.chain_pem)
        context.load_cert_chain(chain, key)
        return context

    def raw(self, victim: Any) -> Raw:
        """A connection that has said what HTTP/2 begins with."""
        plain = socket.create_connection(("127.0.0.1", victim.port), WAIT_S)
        return Raw(self.context().wrap_socket(plain, server_hostname=TLS_NAME))


class Raw:
    """One HTTP/2 connection over TLS."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.tls.sendall(self.http.data_to_send())

    def begin(self, stream: int, path: str = OFFER, *more: tuple[str, str], end_headers: bool = True) -> bytes:
        """The HEADERS of a call."""
        frame = HeadersFrame(stream)
        fields = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", TLS_NAME)]
        fields += [("te", "trailers"), ("content-type", "application/grpc"), *more]
        frame.data = hpack.Encoder().encode(fields)  # its own table each time, so that any may be sent alone
        if end_headers:
            frame.flags.add("END_HEADERS")
        return frame.serialize()

    def call(self, path: str, request: bytes) -> None:
        """Make a whole call with one small message; nothing of the answer is read."""
        data = DataFrame(1)
        data.data = b"\0" + struct.pack(">I", len(request)) + request
        data.flags.add("END_STREAM")
        self.tls.sendall(self.begin(1, path) + data.serialize())

    def flood(self, frames: Callable[[int], Iterable[Frame | bytes]], pause_s: float = 0.0) -> int:
        """Send `frames(0)`, `frames(1)`, … until the other side ends the connection; how many rounds it took."""
        self.tls.settimeout(0.2)
        number, deadline = 0, time.monotonic() + WAIT_S
        with suppress(OSError):
            while time.monotonic() < deadline:
                batch = [frame for one in range(number, number + 100) for frame in frames(one)]
                self._send(b"".join(one if isinstance(one, bytes) else one.serialize() for one in batch))
                number += 100
                self._drain()
                select.select([self.tls], [], [], pause_s)  # a flood that the other side keeps up with
        return number

    def _send(self, data: bytes) -> None:
        while data:
            with suppress(TimeoutError, ssl.SSLWantWriteError):
                sent = self.tls.send(data)
                data = data[sent:]
                continue
            self._drain()  # it wants to be read first

    def _drain(self) -> None:
        """Read what came; OSError at the end."""
        self.tls.settimeout(0.0)
        try:
            while True:
                if not self.tls.recv(1 << 16):
                    raise ConnectionResetError
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        finally:
            self.tls.settimeout(0.2)

    def ends(self, within_s: float = WAIT_S) -> bool:
        """Whether the other side ends the connection."""
        deadline = time.monotonic() + within_s
        self.tls.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                if not self.tls.recv(1 << 16):
                    return True
            except TimeoutError:
                continue
            except OSError:
                return True
        return False

    def close(self) -> None:
        self.tls.close()


Flood = Callable[[Raw, int], list[Frame | bytes]]


def pings(_: Raw, number: int) -> list[Frame | bytes]:
    frame = PingFrame(0)
    frame.opaque_data = struct.pack(">Q", number)
    return [frame]


def resets(raw: Raw, number: int) -> list[Frame | bytes]:
    stream = 2 * number + 1
    frame = RstStreamFrame(stream)
    frame.error_code = 8
    return [raw.begin(stream), frame]


def settings(_: Raw, number: int) -> list[Frame | bytes]:
    frame = SettingsFrame(0)
    frame.settings = {4: 65_535 + number % 2}
    return [frame]


def continuations(raw: Raw, number: int) -> list[Frame | bytes]:
    frame = ContinuationFrame(1)
    frame.data = b"\x00\x01a" + bytes([100]) + b"b" * 100  # a header that enters no table
    return [frame] if number else [raw.begin(1, end_headers=False), frame]


def offers(raw: Raw, number: int) -> list[Frame | bytes]:
    stream = 2 * number + 1
    frame = DataFrame(stream)
    frame.data = bytes(5)
    frame.flags.add("END_STREAM")
    return [raw.begin(stream), frame]


class Talker:
    """A link of a member with a victim, as an open pair of streams. Made by `talk`."""

    def __init__(self, channel: Any, swarm: str) -> None:
        self.channel = channel
        self.swarm = swarm
        self.session = channel.stream_stream(SESSION_METHOD)()
        self.bulk = channel.stream_stream(BULK_METHOD)()
        self.heard: list[Message] = []
        self._came = asyncio.Event()
        self._ended = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Wait until both streams stand, then read them."""
        for stream in (self.session, self.bulk):
            await stream.initial_metadata()
        reads = ((self.session, decode_session), (self.bulk, decode_bulk))
        self._tasks = [asyncio.ensure_future(self._read(*one)) for one in reads]

    async def greet(self) -> None:
        """Be a ready link."""
        hello = Hello((WIRE_VERSION,), (), self.swarm, BOOT, int(time.time()) // DAY_S)
        await self.say(hello)
        await self.until(Welcome)
        await self.say(Welcome(WIRE_VERSION))

    async def say(self, *messages: Message | bytes) -> None:
        """Send messages, or whatever bytes, each on its stream (bytes: the session's)."""
        for message in messages:
            stream = self.bulk if isinstance(message, BulkMessage) else self.session
            await stream.write(message if isinstance(message, bytes) else encode(message))

    async def until(self, kind: type, where: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first message of that kind, heard already or later."""
        return await self._first(kind, where, 0)

    async def another(self, kind: type) -> Any:
        """The next message of that kind."""
        return await self._first(kind, lambda _: True, len(self.heard))

    async def _first(self, kind: type, where: Callable[[Any], bool], after: int) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (found := [one for one in self.heard[after:] if isinstance(one, kind) and where(one)]):
                self._came.clear()
                await self._came.wait()
        return found[0]

    async def until_ended(self) -> str:
        """Wait until the victim has ended both streams; the reason of its Goodbye, if it said one."""
        async with asyncio.timeout(WAIT_S):
            while self._ended < 2:
                self._came.clear()
                await self._came.wait()
        return next((one.reason for one in self.heard if isinstance(one, Goodbye)), "")

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.channel.close()

    async def _read(self, stream: Any, decode: Callable[[bytes], Message | None]) -> None:
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            while (data := await stream.read()) is not EOF:
                message = decode(data)
                if message is not None:
                    self.heard.append(message)
                self._came.set()
        self._ended += 1
        self._came.set()


async def talk(member: Member, victim: Any, *, greet: bool = True) -> Talker:
    """A link of that member with the victim."""
    talker = Talker(member.channel(victim), member.swarm.id)
    await talker.open()
    if greet:
        await talker.greet()
    return talker
