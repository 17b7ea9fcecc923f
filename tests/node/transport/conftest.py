"""Peers on loopback for the transport's tests: real sockets, real TLS, recorded listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from plora.node.core.messages import DialTry, Message
from plora.node.transport.identity import Identity, Leaf, certificate, mark_key, mark_name, utc_now
from plora.node.transport.transport import Transport
from plora.proto.swarm import Swarm, new_swarm
from plora.v1 import peer_pb2 as pb

WAIT_S = 20.0


@dataclass
class Ears:
    """A listener that remembers what it heard and lets a test wait for it."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    def link_opened(self, peer: str, dialed: bool, address: str) -> None:
        self._note("opened", peer, dialed, address)

    def link_closed(self, peer: str, reason: str) -> None:
        self._note("closed", peer, reason)

    def dial_failed(self, peer: str, reason: str) -> None:
        self._note("failed", peer, reason)

    def probed(self, peer: str, tries: tuple[DialTry, ...], purpose: str) -> None:
        self._note("probed", peer, purpose, tries)

    def received(self, peer: str, message: Message) -> None:
        self._note("received", peer, message)

    def misbehaved(self, peer: str, reason: str) -> None:
        self._note("misbehaved", peer, reason)

    def repelled(self, host: str, reason: str, count: int) -> None:
        self._note("repelled", host, reason, count)

    async def room(self) -> None:
        return

    async def until(self, *wanted: Any) -> tuple[Any, ...]:
        """The first event that begins with `wanted`."""
        async with asyncio.timeout(WAIT_S):
            while not (found := self.all(*wanted)):
                self._heard.clear()
                await self._heard.wait()
        return found[0]

    def all(self, *wanted: Any) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[: len(wanted)] == wanted]

    def of_peers(self) -> list[tuple[Any, ...]]:
        """All but what the door says of connections of nobody known: it says so when it comes to look at them."""
        return [event for event in self.events if event[0] != "repelled"]

    def _note(self, *event: Any) -> None:
        self.events.append(event)
        self._heard.set()


class EmptyLibrary:
    """Offers nothing."""

    def offer(self, request: pb.OfferRequest) -> pb.OfferReply:
        return pb.OfferReply()

    def get_statements(self, request: pb.GetStatementsRequest) -> pb.GetStatementsReply:
        return pb.GetStatementsReply()

    read_wait_s = WAIT_S

    async def fetch(self, request: pb.FetchRequest, peer: str, host: str) -> AsyncGenerator[pb.FetchReply, None]:
        if request.digest:
            raise KeyError("not here")
        yield pb.FetchReply()


@dataclass
class TestPeer:
    """One end: identity, ears, transport, and the port that it listens on."""

    __test__ = False
    identity: Identity
    ears: Ears
    transport: Transport
    port: int = 0

    @property
    def id(self) -> str:
        return self.identity.peer_id

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


async def until(look: Callable[[], object]) -> None:
    """Returns once that is so."""
    async with asyncio.timeout(WAIT_S):
        while not look():
            await asyncio.to_thread(lambda: None)


def identity_in(swarm: Swarm) -> Identity:
    return Identity(Ed25519PrivateKey.generate(), swarm)


@asynccontextmanager
async def peers_in(*identities: Identity) -> AsyncIterator[list[TestPeer]]:
    """Listening peers, stopped at the end."""
    peers = []
    for identity in identities:
        ears = Ears()
        peers.append(TestPeer(identity, ears, Transport(identity, ears, EmptyLibrary())))
    try:
        for peer in peers:
            peer.port = await peer.transport.listen("127.0.0.1:0")
        yield peers
    finally:
        for peer in peers:
            await peer.transport.stop()


@pytest.fixture
def swarm() -> Swarm:
    return new_swarm("test", bytes(range(64)))


@pytest.fixture
def other_swarm() -> Swarm:
    return new_swarm("other", bytes(range(1, 65)))


def forged_leaf(identity: Identity, claimed: str, swarm: Swarm) -> Leaf:
    """`identity`'s key behind a leaf that names `claimed`, with a bridge that the mark vouches for."""
    own = identity.new_leaf(utc_now())
    tls_key = x509.load_pem_x509_certificate(own.chain_pem).public_key()
    leaf = certificate("leaf", tls_key, claimed, identity._key, authority=False)  # type: ignore[arg-type]
    bridge = certificate(claimed, identity._key.public_key(), mark_name(swarm), mark_key(swarm), authority=True)
    return Leaf(own.key_pem, leaf.public_bytes(Encoding.PEM) + bridge.public_bytes(Encoding.PEM), own.made)


class Wire:
    """What the tests of this folder share; a fixture, since test folders are no packages."""

    Ears = Ears
    EmptyLibrary = EmptyLibrary
    WAIT_S = WAIT_S
    until = staticmethod(until)
    identity_in = staticmethod(identity_in)
    peers_in = staticmethod(peers_in)
    forged_leaf = staticmethod(forged_leaf)


@pytest.fixture
def wire() -> type[Wire]:
    return Wire


@pytest.fixture
def make_identity(swarm: Swarm) -> Callable[[], Identity]:
    return lambda: identity_in(swarm)
