"""The door: peers that are cut off for a while or denied, and strangers that ask nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from plora.node.core.messages import Chunk, Hello
from plora.node.reach import CUT_OFF_HERE, CUT_OFF_THERE
from plora.node.transport import channelz, sockets
from plora.node.transport.codec import encode
from plora.node.transport.door import CUT_OFF, NO_CALL
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.services import BULK_METHOD, SESSION_METHOD
from plora.node.transport.tls import channel_credentials, channel_options
from plora.node.transport.watch import CONNECTIONS_MAX, CROWD

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not sockets.SEEN, reason="connections are seen on Linux only"),
]
MakeIdentity = Callable[[], Identity]
WAIT_S = 20.0


def opened(identity: Identity, peer: Any) -> Any:
    return grpc.aio.secure_channel(peer.address, channel_credentials(identity, peer.id), options=channel_options())


async def offer(channel: Any) -> tuple[str, str]:
    call = channel.unary_unary("/plora.v1.Peer/Offer")(b"", timeout=WAIT_S)
    return (await call.code()).name, await call.details()


async def ended(channel: Any) -> None:
    """Its connection stands, until this returns."""
    async with asyncio.timeout(WAIT_S):
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)


async def test_who_is_cut_off_is_refused_with_a_reason_for_as_long_and_hung_up(
    wire: Any, make_identity: MakeIdentity
) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel = opened(identity, a)
        assert (await offer(channel))[0] == "OK"
        a.transport.cut_off(identity.peer_id, 60.0)
        assert await offer(channel) == ("PERMISSION_DENIED", CUT_OFF)
        a.transport.dial(identity.peer_id, ["127.0.0.1:1"])
        assert await a.ears.until("failed") == ("failed", identity.peer_id, CUT_OFF_HERE)
        a.transport.cut_off(identity.peer_id, 0.5)
        async with asyncio.timeout(WAIT_S):
            while (await offer(channel))[0] != "OK":
                continue
        await channel.close()


async def test_a_connection_of_a_denied_peer_ends_though_it_asks_nothing(
    wire: Any, make_identity: MakeIdentity
) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel = opened(identity, a)
        await offer(channel)
        assert [one.port for one in channelz.accepted()].count(a.port) == 1
        a.transport.deny([identity.peer_id])
        await ended(channel)
        await channel.close()


async def test_what_is_under_way_to_a_link_as_it_ends_is_no_offence(wire: Any, make_identity: MakeIdentity) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel = opened(identity, a)
        session, bulk = (channel.stream_stream(method)() for method in (SESSION_METHOD, BULK_METHOD))
        await session.write(encode(Hello((1,), (), "ab" * 32, "cd" * 16, 1)))
        await a.ears.until("opened")  # as a peer does, that sends nothing much where no link is yet
        for index in range(4):
            await bulk.write(encode(Chunk("ab" * 32, index, bytes(1 << 20))))
            await a.ears.until("received", identity.peer_id, Chunk("ab" * 32, index, bytes(1 << 20)))
        await session.done_writing()
        await a.ears.until("closed")
        assert channelz.accepted()
        now_s = asyncio.get_running_loop().time()
        for later_s in range(3):
            a.transport._door._look(now_s + later_s, whole=True)
        assert not a.ears.all("misbehaved")
        await channel.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_link_is_watched_by_whichever_name_it_was_dialed(
    wire: Any, make_identity: MakeIdentity, host: str
) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.dial(a.id, [f"{host}:{a.port}"])
        assert await b.ears.until("opened") == ("opened", a.id, True, f"{host}:{a.port}")
        open_now = {one.address: one for one in sockets.connections()}
        dialed = [one for one in b.transport._door._seen(open_now, whole=True) if one.dialed]
        assert [(one.peer, one.address) for one in dialed] == [(a.id, a.address)]
        assert dialed[0].received_bytes > 0


async def test_a_dialer_hears_that_it_is_cut_off(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        a.transport.cut_off(b.id, 30.0)
        b.transport.dial(a.id, [a.address])
        assert await b.ears.until("failed") == ("failed", a.id, CUT_OFF_THERE)


async def test_who_says_nothing_that_counts_is_told_by_host(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        reader, writer = await asyncio.open_connection("127.0.0.1", a.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        assert await a.ears.until("repelled") == ("repelled", "127.0.0.1", NO_CALL, 1)
        assert a.transport.traffic.repelled == 1


@pytest.mark.parametrize("watched", [True, False])
async def test_watching_can_be_switched_off(wire: Any, make_identity: MakeIdentity, watched: bool) -> None:
    identity, denied = make_identity(), make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        a.transport.watch(False)
        crowd = [opened(identity, a) for _ in range(CONNECTIONS_MAX + 1)]
        assert {(await offer(channel))[0] for channel in crowd} == {"OK"}
        a.transport.watch(watched)
        a.transport.deny([denied.peer_id])
        late = opened(denied, a)
        await offer(late)
        await asyncio.gather(*(ended(channel) for channel in ((*crowd, late) if watched else (late,))))
        stands = [channel for channel in crowd if channel.get_state() is grpc.ChannelConnectivity.READY]
        assert stands == ([] if watched else crowd)
        assert bool(a.ears.all("misbehaved", identity.peer_id, CROWD)) is watched
        for channel in (*crowd, late):
            await channel.close()
