"""The door: peers that are cut off for a while or denied, and strangers that ask nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from plora.node.reach import CUT_OFF_HERE, CUT_OFF_THERE
from plora.node.transport import channelz, sockets
from plora.node.transport.door import CUT_OFF, NO_CALL
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.tls import channel_credentials, channel_options
from plora.node.transport.watch import CONNECTIONS_MAX, CROWD

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not sockets.SEEN, reason="connections are seen on Linux only"),
]
MakeIdentity = Callable[[], Identity]


async def until(reached: Callable[[], bool]) -> None:
    """What no event tells."""
    for _ in range(1000):
        if reached():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


def opened(identity: Identity, peer: Any) -> Any:
    return grpc.aio.secure_channel(peer.address, channel_credentials(identity, peer.id), options=channel_options())


async def offer(channel: Any) -> tuple[str, str]:
    call = channel.unary_unary("/plora.v1.Peer/Offer")(b"", timeout=5)
    return (await call.code()).name, await call.details()


async def test_who_is_cut_off_is_refused_with_a_reason_for_as_long_and_hung_up(
    wire: Any, make_identity: MakeIdentity
) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel = opened(identity, a)
        assert (await offer(channel))[0] == "OK"
        a.transport.cut_off(identity.peer_id, 1.0)
        assert await offer(channel) == ("PERMISSION_DENIED", CUT_OFF)
        a.transport.dial(identity.peer_id, ["127.0.0.1:1"])
        assert await a.ears.until("failed") == ("failed", identity.peer_id, CUT_OFF_HERE)
        await until(lambda: not a.transport._door.refusal(identity.peer_id))
        assert (await offer(channel))[0] == "OK"
        await channel.close()


async def test_a_connection_of_a_denied_peer_ends_though_it_asks_nothing(
    wire: Any, make_identity: MakeIdentity
) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel = opened(identity, a)
        await offer(channel)
        assert [one.port for one in channelz.accepted()] == [a.port]
        a.transport.deny([identity.peer_id])
        await until(lambda: not channelz.accepted())
        await channel.close()


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
        a.transport.watch(watched)
        crowd = [opened(identity, a) for _ in range(CONNECTIONS_MAX + 1)]
        assert {(await offer(channel))[0] for channel in crowd} == {"OK"}
        a.transport.deny([denied.peer_id])
        late = opened(denied, a)
        await offer(late)
        left = 0 if watched else len(crowd)
        await until(lambda: len(channelz.accepted()) == left)  # some looks later, which end what is denied
        assert bool(a.ears.all("misbehaved", identity.peer_id, CROWD)) is watched
        for channel in (*crowd, late):
            await channel.close()
