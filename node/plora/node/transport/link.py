"""A link: the session and the bulk stream with one peer, as frames in and out.

Rules:

- One reader and one writer task a stream. A stream's `read` is never cancelled while the link should live: in grpc.aio
  that ends the RPC.
- What is queued leaves in order. A queue that grows beyond its bound means a peer that doesn't read: the link is given
  up. Chunks are bounded by who queues them too (`sent` is called when a frame was handed to the wire).
- The first session frame must come within five seconds, and must be a Hello.
- Frames of unknown kinds are counted and ignored; what the codec refuses ends the link as misbehaviour.
- `closed` is reported exactly once, with the first reason.

Not handled here: who the peer is (`plora.node.transport.tls`), what frames mean (the core).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from plora.node.core.messages import BulkMessage, Chunk, Hello, Message
from plora.node.transport.codec import decode_bulk, decode_session, encode
from plora.node.transport.grpc_setup import EOF, grpc
from plora.node.transport.traffic import Traffic
from plora.proto.errors import ProtocolError

HELLO_WAIT_S = 5.0
FLUSH_WAIT_S = 2.0
SESSION_QUEUE_MAX = 4096
SESSION_QUEUE_BYTES_MAX = 16 << 20
BULK_QUEUE_MAX = 4096
FRAME_BYTES = 128
"""What HTTP/2 and TLS add to a small frame at most."""
DEAF = "the peer doesn't read"

Sent = Callable[[int], None]


class Stream(Protocol):
    """One bidirectional stream of byte messages; what grpc's client calls and server contexts have in common."""

    async def read(self) -> Any:
        """The next message; EOF at the end."""

    async def write(self, data: bytes) -> None:
        """Send a message; returns when flow control lets it go."""


class LinkListener(Protocol):
    """Who hears of a link: the driver."""

    def link_received(self, link: Link, message: Message) -> None:
        """A frame came."""

    def link_misbehaved(self, link: Link, reason: str) -> None:
        """The peer broke a rule of the protocol; the link is closing."""

    def link_closed(self, link: Link, reason: str) -> None:
        """Both streams are gone."""

    async def link_room(self, link: Link) -> None:
        """Waits while too much of what links brought is still being stored."""


class Link:
    """The two streams with `peer`. Made when both are open; `run` lives as long as they do.

    `address` is where it was dialed or is seen, `far_end` the same in numbers, as the system writes them.
    """

    def __init__(
        self,
        peer: str,
        dialed: bool,
        session: Stream,
        bulk: Stream,
        listener: LinkListener,
        traffic: Traffic,
        address: str = "",
        far_end: str = "",
    ) -> None:
        self.peer = peer
        self.dialed = dialed
        self.address = address
        self.far_end = far_end or address
        self._streams = (session, bulk)
        self._listener = listener
        self._traffic = traffic
        self.told_bytes = 0
        self.bulky = False
        self._session_out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._session_out_bytes = 0
        self._bulk_out: asyncio.Queue[tuple[BulkMessage, Sent | None] | None] = asyncio.Queue()
        self._greeted = False
        self._reason = ""
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def closing(self) -> bool:
        """Whether a reason to end it was found."""
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """Why it ends; empty while it doesn't."""
        return self._reason

    def send(self, message: Message, sent: Sent | None = None) -> None:
        """Queue a frame; `sent` is called with its size when the wire took it, with 0 when the link ended before."""
        if self.closing:
            if sent is not None:
                sent(0)
        elif isinstance(message, BulkMessage):
            self._send_bulk(message, sent)
        else:
            self._send_session(message)

    def close(self, reason: str) -> None:
        """End the link after what is queued was sent."""
        if not self.closing:
            self._reason = reason or "closed"
            self._session_out.put_nowait(None)
            self._bulk_out.put_nowait(None)

    async def run(self) -> None:
        """Carry frames until the link ends, then report it."""
        session, bulk = self._streams
        readers = [self._task(self._read_session(session)), self._task(self._read_bulk(bulk))]
        writers = [self._task(self._write_session(session)), self._task(self._write_bulk(bulk))]
        guard = asyncio.get_running_loop().call_later(HELLO_WAIT_S, self._check_greeted)
        try:
            await asyncio.wait([*readers, *writers], return_when=asyncio.FIRST_COMPLETED)
            if not self.closing:  # the peer ended one stream; what it sent on the other may still be under way
                await asyncio.wait(readers, timeout=FLUSH_WAIT_S)
            self.close("peer left")
            await asyncio.wait(writers, timeout=FLUSH_WAIT_S)
            await self._half_close(readers)
        except asyncio.CancelledError:
            self.drop_tasks()  # the RPC itself was cancelled, so nothing is left to be read
            raise
        finally:
            guard.cancel()
            self._give_up_queued()
            self._over.set()
            self._listener.link_closed(self, self._reason or "stopped")

    async def wait_over(self) -> None:
        """Returns when `run` has ended."""
        await self._over.wait()

    def abandon(self) -> None:
        """Never run it: another link with that peer stays."""
        self._over.set()

    def drop_tasks(self) -> None:
        """Cancel readers and writers that still wait; only after the streams themselves have ended."""
        for task in self._tasks:
            task.cancel()

    def _task(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.append(task)
        return task

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ProtocolError as error:
            self._misbehaved(str(error))
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            self.close(f"connection lost ({type(error).__name__})")

    def _misbehaved(self, reason: str) -> None:
        if not self.closing:
            self._listener.link_misbehaved(self, reason)
            self.close(reason)

    def _check_greeted(self) -> None:
        if not self._greeted:
            self._misbehaved(f"no Hello within {HELLO_WAIT_S:g} s")

    def _send_session(self, message: Message) -> None:
        data = encode(message)
        waiting_bytes = self._session_out_bytes + len(data)
        if self._session_out.qsize() >= SESSION_QUEUE_MAX or waiting_bytes > SESSION_QUEUE_BYTES_MAX:
            self.close(DEAF)
            return
        self._session_out_bytes = waiting_bytes
        self._session_out.put_nowait(data)
        self._traffic.sent(message, len(data))

    def _send_bulk(self, message: BulkMessage, sent: Sent | None) -> None:
        if self._bulk_out.qsize() < BULK_QUEUE_MAX:
            self._bulk_out.put_nowait((message, sent))
            return
        self.close(DEAF)
        if sent is not None:
            sent(0)

    async def _read_session(self, stream: Stream) -> None:
        while (data := await stream.read()) is not EOF:
            self.told_bytes += len(data) + FRAME_BYTES
            message = decode_session(data)
            self._traffic.received(message, len(data))
            if message is None:
                continue
            if not self._greeted and not isinstance(message, Hello):
                raise ProtocolError(f"a {type(message).__name__} before the Hello")
            self._greeted = True
            self._deliver(message)

    async def _read_bulk(self, stream: Stream) -> None:
        while (data := await stream.read()) is not EOF:
            self.told_bytes += len(data) + FRAME_BYTES
            message = decode_bulk(data)
            self._traffic.received(message, len(data))
            self.bulky = self.bulky or isinstance(message, Chunk)
            if message is not None:
                self._deliver(message)
                await self._listener.link_room(self)

    def _deliver(self, message: Message) -> None:
        if not self.closing:
            self._listener.link_received(self, message)

    async def _write_session(self, stream: Stream) -> None:
        while (data := await self._session_out.get()) is not None:
            self._session_out_bytes -= len(data)
            await stream.write(data)

    async def _write_bulk(self, stream: Stream) -> None:
        while (item := await self._bulk_out.get()) is not None:
            message, sent = item
            data = encode(message)
            try:
                await stream.write(data)
            except BaseException:
                if sent is not None:
                    sent(0)
                raise
            self._traffic.sent(message, len(data))
            if sent is not None:
                sent(len(data))

    async def _half_close(self, readers: list[asyncio.Task[None]]) -> None:
        """A dialer says that it is done and waits for the other side to end; an acceptor ends by returning."""
        if self.dialed and not all(reader.done() for reader in readers):
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                for stream in self._streams:
                    await stream.done_writing()  # type: ignore[attr-defined]
            await asyncio.wait(readers, timeout=FLUSH_WAIT_S)

    def _give_up_queued(self) -> None:
        while not self._bulk_out.empty():
            item = self._bulk_out.get_nowait()
            if item is not None and item[1] is not None:
                item[1](0)
