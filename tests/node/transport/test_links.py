"""Links: how they open, carry frames, end in order, and how a peer that breaks the rules loses its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from plora.node.core.messages import Chunk, Goodbye, Hello, Want, Welcome
from plora.node.transport.grpc_setup import EOF, grpc
from plora.node.transport.identity import Identity, utc_now
from plora.node.transport.link import Link
from plora.node.transport.services import BULK_METHOD, SESSION_METHOD
from plora.node.transport.tls import channel_credentials, channel_options
from plora.node.transport.traffic import Traffic
from plora.node.transport.transport import HALF_A_LINK
from plora.proto.swarm import Swarm

pytestmark = pytest.mark.asyncio(loop_scope="session")
MakeIdentity = Callable[[], Identity]
HELLO = Hello((1,), (), "ab" * 32, "cd" * 16, 1)


async def linked(a: Any, b: Any) -> tuple[Link, Link]:
    """b dials a; both ends of the link."""
    b.transport.dial(a.id, [a.address])
    await a.ears.until("opened")
    await b.ears.until("opened")
    return a.transport.link(b.id), b.transport.link(a.id)


async def test_frames_arrive_in_order_and_the_end_comes_after_them(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        at_a, at_b = await linked(a, b)
        for link in (at_a, at_b):
            link.send(HELLO)
        for index in range(200):
            at_b.send(Welcome(index))
        at_b.send(Goodbye("enough"))
        at_b.close("enough")
        await a.ears.until("closed", b.id)
        assert await b.ears.until("closed") == ("closed", a.id, "enough")
        got = [message for _, _, message in a.ears.all("received", b.id)]
        assert got == [HELLO, *(Welcome(index) for index in range(200)), Goodbye("enough")]
        assert a.transport.link(b.id) is None
        assert len(a.ears.all("closed")) == len(b.ears.all("closed")) == 1


async def test_the_acceptor_ends_a_link_in_order_too(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        at_a, _ = await linked(a, b)
        at_a.send(HELLO)
        at_a.send(Goodbye("full", 500))
        at_a.close("full")
        assert await b.ears.until("received", a.id, Goodbye("full", 500))
        await b.ears.until("closed")
        assert await a.ears.until("closed") == ("closed", b.id, "full")


async def test_a_sender_learns_when_the_wire_took_its_chunk(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        at_a, _ = await linked(a, b)
        sent = asyncio.Queue[int]()
        at_a.send(Chunk("ab" * 32, 0, bytes(1 << 20)), sent.put_nowait)
        await b.ears.until("received")
        async with asyncio.timeout(wire.WAIT_S):  # it may be there before its sender hears that it went
            sent_bytes = await sent.get()
        assert sent_bytes > 1 << 20
        at_a.close("done")
        await a.ears.until("closed")
        at_a.send(Chunk("ab" * 32, 1, b"late"), sent.put_nowait)
        assert (sent.get_nowait(), sent.empty()) == (0, True)
        assert a.transport.traffic.sent_frames["Chunk"] == 1
        assert b.transport.traffic.received_bytes["Chunk"] == sent_bytes


async def test_whatever_precedes_the_hello_costs_the_link(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        _, at_b = await linked(a, b)
        at_b.send(Welcome(1))
        assert await a.ears.until("misbehaved") == ("misbehaved", b.id, "a Welcome before the Hello")
        await a.ears.until("closed")
        assert not a.ears.all("received")


async def test_nonsense_costs_its_sender_the_link(wire: Any, make_identity: MakeIdentity) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel: Any = grpc.aio.secure_channel(
            a.address, channel_credentials(identity, a.id), options=channel_options()
        )
        session, bulk = (channel.stream_stream(method)(timeout=20) for method in (SESSION_METHOD, BULK_METHOD))
        await a.ears.until("opened", identity.peer_id)
        await bulk.write(b"\xff\xff\xff")
        assert (await a.ears.until("misbehaved"))[1:] == (identity.peer_id, "a frame that is no protobuf")
        await a.ears.until("closed")
        assert await session.read() is EOF
        assert await session.code() is grpc.StatusCode.OK
        await channel.close()


async def test_a_session_without_a_bulk_stream_is_refused_and_an_offence(
    wire: Any, make_identity: MakeIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plora.node.transport.transport.PAIR_WAIT_S", 0.05)  # the setting, not the code
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel: Any = grpc.aio.secure_channel(
            a.address, channel_credentials(identity, a.id), options=channel_options()
        )
        session = channel.stream_stream(SESSION_METHOD)(timeout=20)
        assert await session.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert a.ears.events == [("misbehaved", identity.peer_id, HALF_A_LINK)]
        await channel.close()


@pytest.mark.parametrize("method", [SESSION_METHOD, BULK_METHOD])
async def test_who_hangs_up_halfway_leaves_nothing_behind(wire: Any, make_identity: MakeIdentity, method: str) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        channel: Any = grpc.aio.secure_channel(
            a.address, channel_credentials(identity, a.id), options=channel_options()
        )
        half = channel.stream_stream(method)(timeout=20)
        await half.initial_metadata()
        await wire.until(lambda: a.transport._meetings)  # the server's half goes on after its metadata went out
        half.cancel()
        await wire.until(lambda: not a.transport._meetings)
        await channel.close()


async def test_of_two_crossing_links_the_smaller_ids_dial_stays(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(*sorted((make_identity(), make_identity()), key=lambda one: one.peer_id)) as (small, big):
        big.transport.dial(small.id, [small.address])
        await small.ears.until("opened", big.id, False)
        await big.ears.until("opened", small.id, True)
        small.transport.dial(big.id, [big.address])
        await small.ears.until("opened", big.id, True)
        await big.ears.until("opened", small.id, False)
        assert [event[0] for event in big.ears.events[:3]] == ["opened", "closed", "opened"]
        big.transport.dial(small.id, [small.address])
        small.transport.link(big.id).send(HELLO)
        await big.ears.until("received", small.id, HELLO)
        assert small.transport.link(big.id).dialed
        assert len(big.ears.all("opened")) == 2


async def test_a_peer_that_comes_back_replaces_its_dead_link(wire: Any, make_identity: MakeIdentity) -> None:
    identity = make_identity()
    async with wire.peers_in(make_identity(), identity, identity) as (a, before, after):
        before.transport.dial(a.id, [a.address])
        await a.ears.until("opened")
        await before.ears.until("opened")  # else its end is a dial that failed
        after.transport.dial(a.id, [a.address])
        await after.ears.until("opened")
        await a.ears.until("closed", identity.peer_id)
        assert [event[0] for event in a.ears.events[:3]] == ["opened", "closed", "opened"]
        await before.ears.until("closed")


async def test_dialing_tries_every_address_and_refuses_foreign_schemes(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.dial(a.id, [])
        assert (await b.ears.until("failed"))[2] == "no_address"
        for address in ("unix:/tmp/socket", "dns:///localhost:1", "localhost", "a:1:2"):
            b.ears.events.clear()
            b.transport.dial(a.id, [address])
            assert (await b.ears.until("failed"))[2] == "bad_address"
        assert b.transport.last_error(a.id)
        b.transport.dial(a.id, ["127.0.0.1:1", a.address])
        await b.ears.until("opened", a.id, True)
        assert b.transport.last_error(a.id) == ""
        b.ears.events.clear()
        b.transport.dial("ab" * 31, [a.address])
        assert (await b.ears.until("failed"))[2] == "bad_peer"


class _Silent:
    """A stream on which nothing ever comes."""

    async def read(self) -> Any:
        return EOF

    async def write(self, data: bytes) -> None:
        return


class _Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def link_received(self, link: Link, message: object) -> None:
        self.heard.append("received")

    def link_misbehaved(self, link: Link, reason: str) -> None:
        self.heard.append(f"misbehaved: {reason}")

    def link_closed(self, link: Link, reason: str) -> None:
        self.heard.append(f"closed: {reason}")

    async def link_room(self, link: Link) -> None:
        return


async def test_a_link_ends_once_and_settles_what_was_queued() -> None:
    listener, sent = _Listener(), [-1]
    link = Link("ab" * 32, False, _Silent(), _Silent(), listener, Traffic())
    link.close("over before it began")
    link.send(Want("ab" * 32), sent.append)
    link.close("again")
    await link.run()
    await link.wait_over()
    assert listener.heard == ["closed: over before it began"]
    assert sent == [-1, 0]


async def test_a_probe_says_who_answers_and_makes_no_link(
    wire: Any, make_identity: MakeIdentity, other_swarm: Swarm
) -> None:
    stranger = wire.identity_in(other_swarm)
    async with wire.peers_in(make_identity(), make_identity(), stranger) as (a, b, c):
        closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        nobody = f"127.0.0.1:{closed.sockets[0].getsockname()[1]}"
        closed.close()
        await closed.wait_closed()
        b.transport.probe(a.id, [a.address, b.address, c.address, nobody, "unix:/tmp/x"], "why")
        *_, tries = await b.ears.until("probed", a.id, "why")
        assert [one.outcome for one in tries] == [
            "reached",
            "another_peer",
            "another_peer",
            "nobody_listens",
            "bad_address",
        ]
        (lost,) = await c.transport.tries(a.id, [a.address])
        assert lost.outcome == "not_let_in"
        a.transport.deny([b.id])
        (denied,) = await b.transport.tries(a.id, [a.address])
        assert denied.outcome == "denied_there"
        assert not a.ears.of_peers() and b.transport.link(a.id) is None


@pytest.mark.parametrize("days", [3, -40])
async def test_a_dial_says_that_the_clocks_are_apart(wire: Any, make_identity: MakeIdentity, days: int) -> None:
    ahead = make_identity()
    ahead._clock = lambda: utc_now() + timedelta(days=days)
    async with wire.peers_in(ahead, make_identity()) as (a, b):
        (tried,) = await b.transport.tries(a.id, [a.address])
        assert tried.outcome == "clocks_apart"
        (back,) = await a.transport.tries(b.id, [b.address])
        assert back.outcome in ("not_let_in", "clocks_apart")
