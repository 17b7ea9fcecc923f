"""What a ticket's token is to TLS: a root of its own, which opens the one call that hands over the swarm.

Rules (docs/protocol.md, "Invitations"):

- The token's key follows from it (HKDF-SHA256, Ed25519). The joiner signs its bridge with it, as members do with the
  mark's; the inviter keeps only the public key, which is all that a root needs.
- The root is among those that the inviter accepts until the ticket was used, revoked or expired. What it lets in is a
  guest: `plora.node.transport.services` refuses it everything but Join.
- The joiner expects exactly the peer that the ticket names, at one of its addresses, as every dialer does.
- When nobody takes the ticket, `peer_at` reads who answers there, by address alone: TLS 1.3 shows a server's leaf
  before it asks for one, and the leaf names the peer and proves it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding

from plora.node.reach import OUTCOMES, outcome_of
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import (
    LEAF_BACKDATED,
    TLS_NAME,
    Leaf,
    bridge_pem,
    certificate,
    make_leaf,
)
from plora.node.transport.services import JOIN_METHOD
from plora.node.transport.tls import channel_options, leaf_credentials, peer_id_of_leaf
from plora.proto.errors import RefusedError, TransportError
from plora.proto.host_port import checked
from plora.proto.ticket import Ticket
from plora.v1 import peer_pb2 as pb

JOIN_WAIT_S = 10.0
LOOK_WAIT_S = 5.0
_SAID_NO = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.ABORTED, grpc.StatusCode.UNIMPLEMENTED)


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers at an address: its peer id, and when it made its leaf by its own clock."""

    peer: str
    leaf_made: datetime


def invitation_key(token: bytes) -> Ed25519PrivateKey:
    """The key of a ticket's root, from its token."""
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"plora/invitation/v1").derive(token)
    return Ed25519PrivateKey.from_private_bytes(derived)


def invitation_root(public_key: bytes) -> bytes:
    """The trust anchor (PEM) of an open invitation; its own signature is by a throw-away key and never checked."""
    name = _root_name(public_key)
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return certificate(name, key, name, Ed25519PrivateKey.generate(), authority=True).public_bytes(Encoding.PEM)


def guest_leaf(identity_key: Ed25519PrivateKey, token: bytes, now: datetime) -> Leaf:
    """What a joiner presents: a leaf of its identity behind a bridge that the token vouches for."""
    key = invitation_key(token)
    issuer = _root_name(key.public_key().public_bytes_raw())
    return make_leaf(identity_key, bridge_pem(identity_key, issuer, key), now)


class UnreachedError(TransportError):
    """No address led to the inviter; `outcomes` are the addresses with a code of `plora.node.reach` each."""

    def __init__(self, outcomes: tuple[tuple[str, str], ...]) -> None:
        self.outcomes = outcomes
        super().__init__("the inviter can't be reached", where=", ".join(address for address, _ in outcomes))


def ask_to_join(ticket: Ticket, leaf: Leaf, request: pb.JoinRequest) -> pb.JoinReply:
    """Hand the ticket in at the first of its addresses that answers.

    Raises `RefusedError` where the inviter says no in words, `UnreachedError` where no address led to it.
    """
    outcomes = []
    for address in ticket.addresses:
        try:
            return _ask_at(address, leaf_credentials(leaf, ticket.peer), request)
        except grpc.RpcError as error:
            code = outcome_of(error.code().name.lower(), error.details() or "")
            if error.code() in _SAID_NO:
                raise RefusedError(error.details() or OUTCOMES[code].what, where=address) from None
            outcomes.append((address, code))
    raise UnreachedError(tuple(outcomes))


def _ask_at(address: str, credentials: grpc.ChannelCredentials, request: pb.JoinRequest) -> pb.JoinReply:
    channel = grpc.secure_channel(f"dns:///{address}", credentials, options=channel_options())
    with contextlib.closing(channel):
        call = channel.unary_unary(
            JOIN_METHOD,
            request_serializer=pb.JoinRequest.SerializeToString,
            response_deserializer=pb.JoinReply.FromString,
        )
        reply: pb.JoinReply = call(request, timeout=JOIN_WAIT_S)
        return reply


def peer_at(address: str) -> Answering:
    """The peer that answers at `host:port`, from outside. OSError if nothing does, `ProtocolError` if no peer does."""
    place = checked(address, "the ticket")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the leaf proves itself under the key that it names
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    with (  # TLS proves that whoever answers holds the leaf's key
        socket.create_connection(place, LOOK_WAIT_S) as connection,
        context.wrap_socket(connection, server_hostname=TLS_NAME) as secured,
    ):
        leaf = x509.load_der_x509_certificate(secured.getpeercert(True) or b"")
    return Answering(peer_id_of_leaf(leaf), leaf.not_valid_before_utc + LEAF_BACKDATED)


def _root_name(public_key: bytes) -> str:
    return f"plora-invitation-{public_key.hex()[:16]}"
