"""Tickets against the real daemon: what their root opens, and that nothing of them outlives their one use."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tests.node.daemon.conftest import Daemon
from tests.ports import free_port

from plora.node.daemon.config import PeerConfig, faults_of, load_config
from plora.node.daemon.joins import reachable_addresses
from plora.node.home import init_home
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity, Leaf, utc_now
from plora.node.transport.invitation import guest_leaf, invitation_key, peer_at
from plora.node.transport.tls import channel_options, leaf_credentials
from plora.proto.errors import ConfigError, PloraError, RefusedError
from plora.proto.swarm import Swarm, load_swarm, new_swarm
from plora.proto.ticket import Ticket, read_ticket
from plora.proto.words import meeting_words
from plora.v1 import admin_pb2 as pb
from plora.v1 import peer_pb2 as wire

pytestmark = pytest.mark.slow
Make = Callable[..., Any]
CYD = "cd" * 32
JOIN = "/plora.v1.Peer/Join"
UNARY = {
    "/plora.v1.Peer/Offer": b"",
    "/plora.v1.Peer/GetStatements": b"",
    "/grpc.health.v1.Health/Check": health_pb2.HealthCheckRequest().SerializeToString(),
}
STREAMS = {
    "/plora.v1.Peer/Session": b"",
    "/plora.v1.Peer/Bulk": b"",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (
        reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    ),
}


class Guest:
    """Somebody with a ticket, and an identity of their own."""

    def __init__(self, ticket: Ticket, token: bytes = b"") -> None:
        self.ticket = ticket
        self.key = Ed25519PrivateKey.generate()
        self.peer: bytes = self.key.public_key().public_bytes_raw()
        self.leaf = guest_leaf(self.key, token or ticket.token, utc_now())

    @contextmanager
    def channel(self, leaf: Leaf | None = None) -> Iterator[Any]:
        credentials = leaf_credentials(leaf or self.leaf, self.ticket.peer)
        with grpc.secure_channel(self.ticket.addresses[0], credentials, options=channel_options()) as opened:
            yield opened

    def request(self, **changes: Any) -> bytes:
        fields = {"token": self.ticket.token, "peer": self.peer, "nickname": "bob"} | changes
        return wire.JoinRequest(**fields).SerializeToString()

    def join(self, **changes: Any) -> wire.JoinReply:
        with self.channel() as channel:
            return wire.JoinReply.FromString(channel.unary_unary(JOIN)(self.request(**changes), timeout=10))

    def refusal(self, **changes: Any) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as refused:
            self.join(**changes)
        return refused.value.code().name, str(refused.value.details())


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One peer that invites, for all tests that leave it as they found it."""
    port = free_port()
    root, swarm = tmp_path_factory.mktemp("h") / "ada", new_swarm("test", bytes(range(64)))
    made = init_home(root, name="ada", swarm=swarm, listen=f"127.0.0.1:{port}", now_s=int(time.time()))
    daemon = Daemon(made, port)
    entries = f"{{peer: {CYD}, address: '192.0.2.7:4700'}}, {{peer: {'ef' * 32}, address: '127.0.0.1:4700'}}"
    daemon.edit("neighbours: []", f"neighbours: [{entries}]\ndeny: [{'ab' * 32}]")
    daemon.edit("disk_free_min: 1GiB", "disk_free_min: 0")
    daemon.start()
    yield daemon
    assert daemon.stop() == 0


@pytest.fixture(autouse=True)
def no_ticket_left(ada: Daemon) -> Iterator[None]:
    yield
    for name, state in states(ada).items():
        if state == "open":
            ada.call("RevokeInvitation", pb.RevokeInvitationRequest(name=name))


def invited(daemon: Any, name: str = "bob", hours: int = 24) -> Ticket:
    address = f"127.0.0.1:{daemon.port}"
    return read_ticket(daemon.call("Invite", pb.InviteRequest(name=name, addresses=[address], hours=hours)).ticket)


def states(daemon: Any) -> dict[str, str]:
    return {one.name: one.state for one in daemon.call("Invitations", pb.InvitationsRequest()).invitations}


def test_a_ticket_opens_join_and_nothing_else(ada: Daemon) -> None:
    guest = Guest(invited(ada))
    assert (guest.ticket.peer, guest.ticket.swarm) == (ada.made.peer_id, load_swarm(ada.home.swarm).id[:8])
    with guest.channel() as channel:
        for method, request in UNARY.items():
            with pytest.raises(grpc.RpcError, match="an invitation opens Join and nothing else") as refused:
                channel.unary_unary(method)(request, timeout=10)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        for method, request in STREAMS.items():
            with pytest.raises(grpc.RpcError, match="an invitation opens Join and nothing else"):
                next(channel.stream_stream(method)(iter([request]), timeout=10))
        with pytest.raises(grpc.RpcError, match="an invitation opens Join and nothing else"):
            next(channel.unary_stream("/plora.v1.Peer/Fetch")(b"", timeout=10))
        reply = wire.JoinReply.FromString(channel.unary_unary(JOIN)(guest.request(), timeout=10))
        assert reply.secret.hex() == load_swarm(ada.home.swarm).secret
        with pytest.raises(grpc.RpcError, match="an invitation opens Join"):  # the connection lives on, as a guest's
            channel.unary_unary("/plora.v1.Peer/Offer")(b"", timeout=10)


def test_a_file_that_cannot_be_read_costs_no_ticket(ada: Daemon) -> None:
    guest = Guest(invited(ada, "kim"))
    broken = ada.home.owner_folder / "aaa.owner"
    broken.write_text("no record")
    try:
        assert guest.refusal()[0] == "ABORTED"
        with pytest.raises(PloraError, match="aaa"):
            invited(ada, "lee")
    finally:
        broken.unlink()
    assert states(ada)["kim"] == "open" and "lee" not in states(ada)
    assert guest.join().secret


def test_one_ticket_is_one_member_also_after_a_restart(make_daemon: Make) -> None:
    ada = make_daemon("ada")
    ada.start()
    ticket = invited(ada)
    bob, eve = Guest(ticket), Guest(ticket)
    with eve.channel() as early:  # a handshake from before, so that only the ticket's state refuses it
        with pytest.raises(grpc.RpcError):
            early.unary_unary("/plora.v1.Peer/Offer")(b"", timeout=10)
        reply = bob.join()
        with pytest.raises(grpc.RpcError, match="this ticket was used already; ask for another one"):
            early.unary_unary(JOIN)(eve.request(), timeout=10)
    assert bob.refusal()[0] == eve.refusal()[0] == "UNAVAILABLE", "the used root is dropped"
    ada.stop(signal.SIGKILL)
    ada.start()
    assert eve.refusal()[0] == "UNAVAILABLE"
    (one,) = ada.call("Invitations", pb.InvitationsRequest()).invitations
    words = meeting_words(ticket.peer, bob.peer.hex(), invitation_key(ticket.token).public_key().public_bytes_raw())
    assert (one.name, one.state, one.peer, one.words) == ("bob", "joined", bob.peer.hex(), words)
    assert one.joined_wall_ms >= one.made_wall_ms > 0
    member = Identity(bob.key, Swarm(reply.swarm_name, reply.swarm.hex(), reply.secret.hex()))
    with bob.channel(member.leaf()) as channel:
        channel.unary_unary("/plora.v1.Peer/Offer")(b"", timeout=10)
    other = invited(ada, "eve")
    assert ada.stop() == 0
    kept = b"".join(path.read_bytes() for path in sorted(ada.home.root.rglob("*")) if path.is_file())
    for secret in (ticket.token, other.token):  # what is kept of a ticket makes nobody a member
        key = invitation_key(secret)
        assert key.public_key().public_bytes_raw() in kept
        for form in (secret, secret.hex().encode(), key.private_bytes_raw(), key.private_bytes_raw().hex().encode()):
            assert form not in kept


def test_roots_decide_in_the_handshake_and_change_at_run_time(ada: Daemon) -> None:
    """The closed mode: whom no mark and no open ticket vouches for is stopped before any RPC."""
    ticket = invited(ada, "zoe")
    stranger = Guest(ticket, token=bytes(16))
    assert stranger.refusal()[0] == "UNAVAILABLE"
    later = Guest(invited(ada, "eve"))
    ada.call("RevokeInvitation", pb.RevokeInvitationRequest(name="zoe"))
    assert Guest(ticket).refusal()[0] == "UNAVAILABLE"
    assert (states(ada).get("zoe"), states(ada)["eve"]) == (None, "open")
    assert later.join().inviter == "ada"


def test_a_peer_is_known_by_its_address_alone(ada: Daemon) -> None:
    found = peer_at(f"127.0.0.1:{ada.port}")
    assert found.peer == ada.made.peer_id
    assert datetime.now(UTC) - found.leaf_made < timedelta(minutes=5)
    with pytest.raises(OSError, match="refused"):
        peer_at(f"127.0.0.1:{free_port()}")


def test_a_request_must_be_the_callers_own_and_name_an_open_ticket(ada: Daemon) -> None:
    ticket = invited(ada, "eli")
    guest = Guest(ticket)
    own = "the request isn't the caller's own"
    assert guest.refusal(peer=bytes(32)) == ("PERMISSION_DENIED", own)
    assert guest.refusal(token=b"short") == ("PERMISSION_DENIED", own)
    assert guest.refusal(token=bytes(16))[1] == "this ticket isn't known here; ask for another one"
    forged = Guest(ticket)
    forged.leaf = guest_leaf(forged.key, ticket.token, utc_now() - timedelta(days=31))
    assert forged.refusal()[0] == "UNAVAILABLE", "an expired leaf"
    assert states(ada)["eli"] == "open"


def test_a_denied_peer_does_not_join(ada: Daemon) -> None:
    guest = Guest(invited(ada))
    ada.edit("ab" * 32, guest.peer.hex())
    ada.call("Reload", pb.ReloadRequest())
    assert guest.refusal() == ("PERMISSION_DENIED", "this peer is denied here")
    assert states(ada)["bob"] == "open"
    ada.edit(guest.peer.hex(), "ab" * 32)
    ada.call("Reload", pb.ReloadRequest())
    assert guest.join().inviter == "ada"


def test_what_is_handed_over(ada: Daemon) -> None:
    swarm = load_swarm(ada.home.swarm)
    reply = Guest(invited(ada, "zed")).join()
    assert (reply.swarm.hex(), reply.swarm_name, reply.secret.hex()) == (swarm.id, swarm.name, swarm.secret)
    assert [peer.hex() for peer in reply.denied] == ["ab" * 32]
    assert [(one.peer.hex(), list(one.addresses)) for one in reply.neighbours] == [(CYD, ["192.0.2.7:4700"])]
    assert [one.payload for one in reply.owners] == [ada.made.owner.statement.payload]
    assert "".join(ada.events("invited", "joined")).count('"name":"zed"') == 2


def test_open_tickets_are_bounded_and_the_bound_is_named(ada: Daemon) -> None:
    for _ in range(16):
        invited(ada)
    with pytest.raises(RefusedError, match=r"16 tickets are open, which is the limit \(limits\.invitations_max\)"):
        invited(ada, "eve")
    assert any(
        "limits.invitations_max (16) was reached" in one for one in ada.call("Status", pb.StatusRequest()).warnings
    )
    (line,) = ada.events("bound_hit")
    assert '"setting":"limits.invitations_max"' in line


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "listens on 127.0.0.1:4700, which only this machine reaches; set `listen: 0.0.0.0:4700` and `advertise"),
        ({"listen": "[::1]:4700"}, "only this machine reaches"),
        ({"listen": "localhost:4700"}, "only this machine reaches"),
        (
            {"listen": "0.0.0.0:0"},
            "how others reach this peer, which listens on 0.0.0.0:0; say so by `plora invite NAME",
        ),
        ({"listen": "[::]:4700"}, "it isn't known how others reach this peer"),
        ({"dialable": False}, "this peer only dials out (dialable: false)"),
    ],
)
def test_an_address_that_others_cannot_reach_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(sentence)):
        reachable_addresses(PeerConfig(name="ada", **settings), 4700)


def test_addresses_are_those_advertised_else_where_it_listens() -> None:
    assert reachable_addresses(PeerConfig(name="a", listen="192.0.2.1:0"), 4711) == ("192.0.2.1:4711",)
    both = PeerConfig(name="a", listen="0.0.0.0:4700", advertise=("a.example:4700", "10.0.0.1:4700"))
    forwarded = PeerConfig(name="a", advertise=("a.example:4700",))
    assert reachable_addresses(forwarded, 4700) == ("a.example:4700",)
    assert reachable_addresses(both, 4700) == ("a.example:4700", "10.0.0.1:4700")


def test_an_invitation_is_checked(ada: Daemon) -> None:
    for request, sentence in (
        (pb.InviteRequest(name="bob"), "which only this machine reaches"),
        (pb.InviteRequest(name="bob", addresses=["unix:/tmp/x"]), "'unix:/tmp/x' is no address; write HOST:PORT"),
        (pb.InviteRequest(name="bob", addresses=["192.0.2.1:70000"]), "'192.0.2.1:70000' is no address"),
        (pb.InviteRequest(name="b b", addresses=["192.0.2.1:1"]), "write a name such as bob"),
        (pb.InviteRequest(name="bob", addresses=["192.0.2.1:1"], hours=1000), "168 at most"),
    ):
        with pytest.raises(PloraError, match=re.escape(sentence)):
            ada.call("Invite", request)


def test_a_broken_joined_file_is_one_clear_line(tmp_path: Path) -> None:
    made = init_home(tmp_path / "h", name="a", swarm=new_swarm("s", bytes(64)), listen="127.0.0.1:1", now_s=1)
    made.home.joined.write_text('{"neighbours": [{"peer": "ab", "addresses": ["192.0.2.1:4700"]}]}')
    with pytest.raises(ConfigError, match=r"joined\.json: neighbours\.0\.peer: .*; correct it, or remove it"):
        load_config(made.home.config)
    assert len(faults_of(made.home.config)) == 1
