"""The transport: a listening server, dialing, and at most one link with each peer.

Rules:

- Both streams of a link come over one connection; whoever dialed opens both.
- Of two links between a pair the one that the smaller peer id dialed stays; of two in the same direction, the newer.
  Listeners see the old one closed before the new one opens.
- Each `dial` is answered by `link_opened` or `dial_failed`, except when a link with that peer is up already.
- A denied peer is refused on every RPC and never dialed, and its open link ends.
- Addresses are `host:port`, nothing else: grpc's other schemes never come from a peer's frame.
- A probe opens no link: it asks the peer's health service, behind the same identity check, and hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol

from plora.node.core.messages import DialTry, Message
from plora.node.reach import CUT_OFF_HERE, DENIED_HERE, NO_ADDRESS, NO_ANSWER, outcome_of
from plora.node.transport import sockets
from plora.node.transport.door import CUT_OFF, Door
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.link import Link
from plora.node.transport.probing import DIAL_WAIT_S, channel_to, try_address, ways_to
from plora.node.transport.services import (
    BULK_METHOD,
    SESSION_METHOD,
    Guard,
    Invitations,
    Library,
    NoInvitations,
    add_health_and_reflection,
    peer_handlers,
)
from plora.node.transport.tls import (
    address_of,
    peer_id_of,
    server_credentials,
    server_options,
)
from plora.node.transport.traffic import Traffic
from plora.proto.errors import TransportError

PAIR_WAIT_S = 5.0
HALF_A_LINK = "opened half a link"
STOP_WAIT_S = 3.0
LINKS_IN_MAX = 64


class Listener(Protocol):
    """Who hears what happens on the wire: the driver. All calls come on the event loop's thread."""

    def link_opened(self, peer: str, dialed: bool, address: str) -> None:
        """Both streams with an authenticated peer are open; `address` is where it was dialed or is seen."""

    def link_closed(self, peer: str, reason: str) -> None:
        """They are gone."""

    def dial_failed(self, peer: str, reason: str) -> None:
        """No address led to that peer; `reason` is a code of `plora.node.reach`."""

    def probed(self, peer: str, tries: tuple[DialTry, ...], purpose: str) -> None:
        """What came of each address of a probe."""

    def received(self, peer: str, message: Message) -> None:
        """A frame came."""

    def misbehaved(self, peer: str, reason: str) -> None:
        """The peer broke a rule of the protocol."""

    def repelled(self, host: str, reason: str, count: int) -> None:
        """So many connections of nobody known were ended."""

    async def room(self) -> None:
        """Waits while too many received bytes are still being stored."""


class _BulkHalf:
    """A bulk stream that waits for the session of its connection."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()


class Transport:
    """All links of one peer. `listen` once, `dial` at will, `stop` at the end."""

    def __init__(
        self, identity: Identity, listener: Listener, library: Library, invitations: Invitations | None = None
    ) -> None:
        self._identity = identity
        self._listener = listener
        self._library = library
        self._invitations = invitations or NoInvitations()
        self._server: grpc.aio.Server | None = None
        self._links: dict[str, Link] = {}
        self._meetings: dict[tuple[str, str], asyncio.Future[_BulkHalf]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._carrying: set[asyncio.Task[None] | None] = set()
        self.traffic = Traffic()
        self._door = Door(self, self._links.values)
        self._errors: dict[str, str] = {}

    async def listen(self, address: str) -> int:
        """Answer on `host:port` (port 0 takes a free one) and return the port; `TransportError` when it is in use."""
        guard = Guard(self._door, self._identity.mark_keys)
        options = server_options(counts_pings=sockets.SEEN and self._door.watching)
        server = grpc.aio.server(options=options, interceptors=(guard,))
        handlers = peer_handlers(self._session, self._bulk, self._library, self._invitations, self._listener.misbehaved)
        server.add_generic_rpc_handlers((handlers,))
        add_health_and_reflection(server)
        try:
            credentials = server_credentials(self._identity, self._invitations.roots_pem, self._door.knocked)
            port = int(server.add_secure_port(address, credentials))
        except RuntimeError as error:
            mend = "stop the program that uses it, or change `listen` in peer.yaml"
            raise TransportError(f"can't listen on {address}: the port is in use or not ours", mend=mend) from error
        await server.start()
        self._server = server
        self._door.open(port)
        return port

    def dial(self, peer: str, addresses: Iterable[str]) -> None:
        """Open a link in the background."""
        reason = self._refused(peer)
        if reason:
            asyncio.get_running_loop().call_soon(self._listener.dial_failed, peer, reason)
            return
        self._start(self._dial(peer, tuple(addresses)))

    def probe(self, peer: str, addresses: Iterable[str], purpose: str) -> None:
        """See in the background at which addresses a peer answers; `probed` tells."""

        async def probe() -> None:
            self._listener.probed(peer, await self.tries(peer, tuple(addresses)), purpose)

        self._start(probe())

    async def tries(self, peer: str, addresses: Iterable[str]) -> tuple[DialTry, ...]:
        """What comes of dialing each address, one after the other, without making a link."""
        return tuple([await try_address(self._identity, peer, address) for address in addresses])

    def link(self, peer: str) -> Link | None:
        """The link with a peer, if one is open."""
        return self._links.get(peer)

    def last_error(self, peer: str) -> str:
        """The code of why the newest dial failed; empty when it didn't."""
        return self._errors.get(peer, "")

    def deny(self, peers: Iterable[str]) -> None:
        """From now on these peers, and no others, are cut off."""
        self._door.deny(peers)
        for peer in [peer for peer in self._links if self._refused(peer) == DENIED_HERE]:
            self._links[peer].close("denied")

    def watch(self, on: bool) -> None:
        """Whether connections are watched for floods and crowds, as they are from the start."""
        self._door.watching = on

    def renew_certificate(self) -> None:
        """The next handshakes, in either role, show another leaf; open connections go on."""
        self._identity.rotate()

    def cut_off(self, peer: str, seconds: float) -> None:
        """Keep a peer out for so long: its calls are refused, and its connections end."""
        self.traffic.cut_off += 1
        self._door.cut_off(peer, seconds)

    async def stop(self) -> None:
        """Close every link after what is queued was sent, then the server; dials that reached nobody yet just end."""
        self._door.close()
        for link in list(self._links.values()):
            link.close("stopping")
        for task in self._tasks - self._carrying:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=STOP_WAIT_S)
        for task in list(self._tasks):
            task.cancel()
        if self._server is not None:
            await self._server.stop(STOP_WAIT_S)

    # What links report; frames of a link that was replaced are nobody's.

    def link_received(self, link: Link, message: Message) -> None:
        """A frame came."""
        if self._links.get(link.peer) is link:
            self._listener.received(link.peer, message)

    def link_misbehaved(self, link: Link, reason: str) -> None:
        """The peer broke a rule."""
        if self._links.get(link.peer) is link:
            self._listener.misbehaved(link.peer, reason)

    def link_closed(self, link: Link, reason: str) -> None:
        """The link is over."""
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self._listener.link_closed(link.peer, reason)

    # What the door reports.

    def misbehaved(self, peer: str, reason: str) -> None:
        """A peer broke a rule below the frames."""
        self._listener.misbehaved(peer, reason)

    def repelled(self, host: str, reason: str, count: int) -> None:
        """Connections of nobody known were ended."""
        self.traffic.repelled += count
        self._listener.repelled(host, reason, count)

    async def link_room(self, link: Link) -> None:
        """Back pressure from the store."""
        await self._listener.room()

    def _admit(self, link: Link) -> bool:
        """Whether this link is the one that stays."""
        if self._refused(link.peer):  # denied while its streams were being opened
            return False
        old = self._links.get(link.peer)
        if old is not None:
            if not old.closing and self._stays(old, link):
                return False
            self._links.pop(link.peer)
            old.close("replaced by another link")
            self._listener.link_closed(link.peer, "replaced by another link")
        self._links[link.peer] = link
        self._errors.pop(link.peer, None)
        self._listener.link_opened(link.peer, link.dialed, link.address)
        return True

    def _stays(self, old: Link, new: Link) -> bool:
        smaller_is_own = self._identity.peer_id < old.peer
        return old.dialed != new.dialed and old.dialed == smaller_is_own

    def _refused(self, peer: str) -> str:
        """The outcome of dialing somebody who is kept out; empty for others."""
        if peer == self._identity.peer_id:
            return DENIED_HERE
        return {"": "", CUT_OFF: CUT_OFF_HERE}.get(self._door.refusal(peer), DENIED_HERE)

    # Accepting

    async def _session(self, _: Any, context: Any) -> None:
        peer = peer_id_of(context)
        await context.send_initial_metadata(())
        half = await self._bulk_half((peer, context.peer()))
        if half is None:
            self._listener.misbehaved(peer, HALF_A_LINK)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no bulk stream was opened beside the session")
            return
        link = Link(peer, False, context, half.context, self, self.traffic, address=address_of(context))
        half.link.set_result(link)
        if sum(not other.dialed for other in self._links.values()) >= LINKS_IN_MAX or not self._admit(link):
            link.abandon()
            return
        with self._door.broken_off(link):
            await link.run()

    async def _bulk(self, _: Any, context: Any) -> None:
        key = (peer_id_of(context), context.peer())
        await context.send_initial_metadata(())
        half = _BulkHalf(context)
        meeting = self._meeting(key)
        if meeting.done():
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "one bulk stream a connection")
        meeting.set_result(half)
        try:
            await asyncio.wait([half.link], timeout=PAIR_WAIT_S)
        finally:  # also where the caller hung up
            self._meetings.pop(key, None)
        if not half.link.done():
            self._listener.misbehaved(key[0], HALF_A_LINK)
        else:
            with self._door.broken_off(half.link.result()):
                await half.link.result().wait_over()

    def _meeting(self, key: tuple[str, str]) -> asyncio.Future[_BulkHalf]:
        """Where session and bulk of one connection meet, whichever comes first."""
        if key not in self._meetings:
            self._meetings[key] = asyncio.get_running_loop().create_future()
        return self._meetings[key]

    async def _bulk_half(self, key: tuple[str, str]) -> _BulkHalf | None:
        meeting = self._meeting(key)
        try:
            await asyncio.wait([meeting], timeout=PAIR_WAIT_S)
        finally:
            self._meetings.pop(key, None)
        return meeting.result() if meeting.done() else None

    # Dialing

    async def _dial(self, peer: str, addresses: tuple[str, ...]) -> None:
        reason = NO_ADDRESS
        async for address, far_end in ways_to(addresses):
            channel = channel_to(self._identity, peer, far_end)
            if isinstance(channel, str):
                reason = channel
                continue
            try:
                opened = await self._open(channel)
                if isinstance(opened, str):
                    reason = opened
                    continue
                refused = self._refused(peer)
                if refused:  # since the dial began
                    reason = refused
                    break
                await self._run_dialed(peer, opened, address, far_end)
                return
            finally:
                await channel.close()
        self._errors[peer] = reason
        self._listener.dial_failed(peer, reason)

    async def _open(self, channel: Any) -> Any:
        """Session and bulk calls once the server has answered both, or the outcome that says why it hasn't."""
        calls = [channel.stream_stream(method)() for method in (SESSION_METHOD, BULK_METHOD)]
        try:
            async with asyncio.timeout(DIAL_WAIT_S):
                for call in calls:
                    await call.initial_metadata()
        except TimeoutError:
            return NO_ANSWER
        for call in calls:
            if call.done():
                return outcome_of((await call.code()).name.lower(), await call.details() or "")
        return calls

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_dialed(self, peer: str, calls: list[Any], address: str, far_end: str) -> None:
        link = Link(peer, True, calls[0], calls[1], self, self.traffic, address, far_end)
        self._carrying.add(asyncio.current_task())
        try:
            if self._admit(link):
                await link.run()
        finally:
            self._carrying.discard(asyncio.current_task())
            for call in calls:
                call.cancel()
            link.drop_tasks()
