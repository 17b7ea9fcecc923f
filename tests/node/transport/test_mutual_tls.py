"""Who gets in and who doesn't: identities, impersonators, other swarms, TLS 1.2, expired leaves, the deny-list."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from plora.node.core.messages import Chunk, Want
from plora.node.transport.grpc_setup import EOF, grpc
from plora.node.transport.identity import Identity, Leaf, utc_now
from plora.node.transport.services import BULK_METHOD, SESSION_METHOD
from plora.node.transport.tls import anchor, channel_options
from plora.node.transport.transport import Transport
from plora.proto.errors import TransportError
from plora.proto.swarm import Swarm
from plora.v1 import peer_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")
MakeIdentity = Callable[[], Identity]
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def channel(expected: str, port: int, leaf: Leaf) -> Any:
    credentials = grpc.ssl_channel_credentials(anchor(expected), leaf.key_pem, leaf.chain_pem)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=channel_options())


async def answer(expected: str, port: int, leaf: Leaf) -> str:
    """What a one-way call to a peer gives: OK or the status code's name."""
    opened = channel(expected, port, leaf)
    try:
        await opened.unary_unary("/plora.v1.Peer/Offer")(pb.OfferRequest().SerializeToString(), timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    finally:
        await opened.close()
    return "OK"


async def test_a_dialer_needs_nothing_but_the_id(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.dial(a.id, [a.address])
        assert await b.ears.until("opened") == ("opened", a.id, True, a.address)
        seen = (await a.ears.until("opened", b.id, False))[3]
        assert seen.startswith("127.0.0.1:") and seen != b.address


async def test_a_peer_met_at_run_time_needs_no_restart(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        assert await answer(a.id, a.port, make_identity().leaf()) == "OK"


async def test_another_peer_at_the_address_is_refused_by_the_dialer(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity(), make_identity()) as (a, b, c):
        b.transport.dial(c.id, [a.address])
        assert (await b.ears.until("failed"))[2] == "another_peer"
        assert not a.ears.of_peers()
        assert not c.ears.of_peers()


async def test_an_impersonator_behind_the_mark_is_refused_on_every_rpc(
    wire: Any, make_identity: MakeIdentity, swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plora.node.transport.services.REFUSAL_S", 60.0)  # its connection stands for all of the calls
    mallory, victim = make_identity(), make_identity()
    leaf = wire.forged_leaf(mallory, victim.peer_id, swarm)
    async with wire.peers_in(make_identity()) as (a,):
        opened = channel(a.id, a.port, leaf)
        calls = [
            opened.unary_unary("/plora.v1.Peer/Offer")(b"", timeout=20),
            opened.unary_unary("/plora.v1.Peer/Join")(b"", timeout=20),
            opened.unary_unary("/plora.v1.Peer/GetStatements")(b"", timeout=20),
            opened.unary_unary(HEALTH)(b"", timeout=20),
        ]
        streams = [opened.stream_stream(method)(timeout=20) for method in (SESSION_METHOD, BULK_METHOD, REFLECTION)]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        codes = [await call.code() for call in [*calls, *streams]]
        assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 7
        await opened.close()
        assert not a.ears.of_peers()


async def test_a_replayed_certificate_without_its_key_fails(wire: Any, make_identity: MakeIdentity) -> None:
    victim, mallory = make_identity().leaf(), make_identity().leaf()
    async with wire.peers_in(make_identity()) as (a,):
        assert await answer(a.id, a.port, Leaf(mallory.key_pem, victim.chain_pem, victim.made)) == "UNAVAILABLE"


async def test_a_peer_of_another_swarm_does_not_pass_the_handshake(
    wire: Any, make_identity: MakeIdentity, other_swarm: Swarm
) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        assert await answer(a.id, a.port, wire.identity_in(other_swarm).leaf()) == "UNAVAILABLE"


async def test_a_former_secret_is_let_in_while_it_is_listed(wire: Any, swarm: Swarm, other_swarm: Swarm) -> None:
    rotated = Identity(Ed25519PrivateKey.generate(), swarm, older=(other_swarm,))
    async with wire.peers_in(rotated) as (a,):
        assert await answer(a.id, a.port, wire.identity_in(other_swarm).leaf()) == "OK"


async def test_a_man_in_the_middle_behind_the_mark_is_refused_by_the_dialer(
    wire: Any, make_identity: MakeIdentity, swarm: Swarm
) -> None:
    a, mallory = make_identity(), make_identity()
    forged = wire.forged_leaf(mallory, a.peer_id, swarm)
    mallory._leaf = forged
    async with wire.peers_in(mallory, make_identity()) as (middle, b):
        b.transport.dial(a.peer_id, [middle.address])
        assert (await b.ears.until("failed"))[2] == "another_peer"


async def test_leaves_rotate_without_restart_and_old_connections_go_on(wire: Any, make_identity: MakeIdentity) -> None:
    b = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        opened = channel(a.id, a.port, b.leaf())
        ask = opened.unary_unary("/plora.v1.Peer/Offer")
        await ask(b"", timeout=20)
        before = a.identity.leaf().chain_pem
        a.identity.rotate()
        b.rotate()
        assert await answer(a.id, a.port, b.leaf()) == "OK"
        assert a.identity.leaf().chain_pem != before
        await ask(b"", timeout=20)
        await opened.close()


async def test_a_denied_peer_is_refused_on_its_live_connection(wire: Any, make_identity: MakeIdentity) -> None:
    b = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        opened = channel(a.id, a.port, b.leaf())
        ask = opened.unary_unary("/plora.v1.Peer/Offer")
        await ask(b"", timeout=20)
        a.transport.deny([b.peer_id])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(b"", timeout=20)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        a.transport.deny([])
        await ask(b"", timeout=20)
        await opened.close()


async def test_denying_ends_an_open_link(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.dial(a.id, [a.address])
        await a.ears.until("opened")
        await b.ears.until("opened")  # else it ends before b saw it begin, which is a dial that failed
        a.transport.deny([b.id])
        assert await a.ears.until("closed") == ("closed", b.id, "denied")
        await b.ears.until("closed", a.id)
        b.transport.dial(a.id, [a.address])
        assert (await b.ears.until("failed"))[2] == "denied_there"


async def test_an_expired_leaf_fails(wire: Any, make_identity: MakeIdentity) -> None:
    b = make_identity()
    async with wire.peers_in(make_identity()) as (a,):
        assert await answer(a.id, a.port, b.new_leaf(utc_now() - timedelta(days=29, hours=1))) == "UNAVAILABLE"
        assert await answer(a.id, a.port, b.new_leaf(utc_now() - timedelta(days=28))) == "OK"


async def test_a_peer_that_only_dials_serves_bytes_to_the_acceptor(wire: Any, make_identity: MakeIdentity) -> None:
    ears = wire.Ears()
    dialer = Transport(make_identity(), ears, wire.EmptyLibrary())
    async with wire.peers_in(make_identity()) as (a,):
        dialer.dial(a.id, [a.address])
        _, dialer_id, _, _ = await a.ears.until("opened")
        await ears.until("opened")
        a.transport.link(dialer_id).send(Want("ab" * 32, (3,)))
        assert (await ears.until("received"))[2] == Want("ab" * 32, (3,))
        at_dialer = dialer.link(a.id)
        assert at_dialer is not None
        at_dialer.send(Chunk("ab" * 32, 3, b"data"))
        assert (await a.ears.until("received"))[2] == Chunk("ab" * 32, 3, b"data")
        await dialer.stop()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_tls_1_2_is_refused(wire: Any, make_identity: MakeIdentity, tmp_path: Path, version: str) -> None:
    leaf = make_identity().leaf()
    key, chain = tmp_path / "key", tmp_path / "chain"
    key.write_bytes(leaf.key_pem)
    chain.write_bytes(leaf.chain_pem)
    async with wire.peers_in(make_identity()) as (a,):
        command = ["openssl", "s_client", version, "-connect", a.address, "-cert", str(chain), "-key", str(key)]
        found = await asyncio.to_thread(
            subprocess.run, [*command, "-alpn", "h2"], input=b"", capture_output=True, timeout=20
        )
    if version == "-tls1_3":
        assert re.search(rb"New, TLSv1\.3, Cipher is TLS_", found.stdout)
    else:
        assert not re.search(rb"New, TLSv1\.[0-9], Cipher is (?!\(NONE\))", found.stdout)
        assert found.returncode != 0


async def test_health_and_reflection_answer_members(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        opened = channel(a.id, a.port, make_identity().leaf())
        request = health_pb2.HealthCheckRequest(service="plora.v1.Peer").SerializeToString()
        reply = health_pb2.HealthCheckResponse.FromString(await opened.unary_unary(HEALTH)(request, timeout=20))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        stream = opened.stream_stream(REFLECTION)(timeout=20)
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
        listed = reflection_pb2.ServerReflectionResponse.FromString(await stream.read())
        assert "plora.v1.Peer" in [one.name for one in listed.list_services_response.service]
        await stream.done_writing()
        assert await stream.read() is EOF
        await opened.close()


async def test_a_peer_that_invites_nobody_says_so(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        opened = channel(a.id, a.port, make_identity().leaf())
        with pytest.raises(grpc.aio.AioRpcError, match="this peer invites nobody") as refused:
            await opened.unary_unary("/plora.v1.Peer/Join")(b"", timeout=20)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        await opened.close()


async def test_fetch_of_what_is_not_served_is_not_found(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        opened = channel(a.id, a.port, make_identity().leaf())
        call = opened.unary_stream("/plora.v1.Peer/Fetch")(
            pb.FetchRequest(digest=bytes(32)).SerializeToString(), timeout=20
        )
        assert await call.code() is grpc.StatusCode.NOT_FOUND
        await opened.close()


async def test_a_port_in_use_is_one_clear_error(wire: Any, make_identity: MakeIdentity) -> None:
    async with wire.peers_in(make_identity()) as (a,):
        second = Transport(make_identity(), wire.Ears(), wire.EmptyLibrary())
        with pytest.raises(TransportError, match="port is in use"):
            await second.listen(a.address)
        await second.stop()
