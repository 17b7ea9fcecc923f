"""Mutual TLS 1.3 pinned to peer ids, without any authority.

Rules (docs/protocol.md, "Identity"):

- Dialing: the only root is an anchor made on the spot from the expected peer id, so nobody else can answer.
- Accepting: the roots are the swarm's marks, and those of open invitations. That proves possession of the leaf's key,
  and that a mark or an invitation stands behind it, no more.
- Every RPC then verifies the leaf's own signature under the key that its issuer names, and that TLS is 1.3. Names, the
  rest of the chain and `peer_identities()` are never believed: any member can write those.
- Who came through a mark, and who only through an invitation, is told by the bridge in the chain: it counts when a mark
  signed it for this very identity key, which nobody without the secret can have made.
- A fresh configuration is made for each handshake, so leaves and marks change without a restart.

Source: grpc-python has no verify callback and refuses Ed25519 leaves, hence P-256 leaves under Ed25519 issuers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from plora.node.core.messages import CHUNK_BYTES_MAX
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import TLS_NAME, Identity, Leaf, certificate, public_key_of
from plora.node.transport.sockets import written
from plora.proto.errors import FormatError, ProtocolError

MESSAGE_BYTES_MAX = CHUNK_BYTES_MAX + 64 * 1024
"""The largest message that grpc lets in; a session's frames are held to less by the codec."""

HANDSHAKE_MS = 5_000
"""From a connection's first byte until its TLS handshake and its HTTP/2 settings are there."""

STREAMS_MAX = 32
"""Calls that a caller may have open on one connection; a link takes two."""

IDLE_MS = 60_000
"""A connection without calls is ended after that."""

MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # identity alone: nothing that expands
)


CHAIN_CERTIFICATES_MAX, CHAIN_BYTES_MAX = 4, 16 << 10
"""How much of what a caller sent beside its leaf is looked at; ours send one bridge."""


def server_options(*, counts_pings: bool) -> list[tuple[str, int]]:
    """Options of the listening server. With `counts_pings` a ping flood is ended, and its sender named, by the door.

    Source: channel_arg_names.h of gRPC core, https://grpc.github.io/grpc/cpp/channel__arg__names_8h.html
    """
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.enable_channelz", 1),
        ("grpc.max_concurrent_streams", STREAMS_MAX),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.http2.max_ping_strikes", 0 if counts_pings else 2),
        *MESSAGE_OPTIONS,
    ]


class AuthContext(Protocol):
    """What of grpc's server context is needed to know who calls."""

    def auth_context(self) -> Any:
        """Properties of the connection, as grpc gives them."""


def anchor(peer_id: str) -> bytes:
    """A trust anchor (PEM) made of the id alone; its own signature is by a throw-away key and never checked."""
    made = certificate(peer_id, public_key_of(peer_id), peer_id, Ed25519PrivateKey.generate(), authority=True)
    return made.public_bytes(Encoding.PEM)


def channel_credentials(identity: Identity, peer_id: str) -> grpc.ChannelCredentials:
    """Credentials to dial exactly that peer; `FormatError` for what is no peer id."""
    return leaf_credentials(identity.leaf(), peer_id)


def leaf_credentials(leaf: Leaf, peer_id: str) -> grpc.ChannelCredentials:
    """The same with a leaf that is no member's, such as a guest's."""
    return grpc.ssl_channel_credentials(anchor(peer_id), leaf.key_pem, leaf.chain_pem)


def channel_options() -> list[tuple[str, Any]]:
    """Options of every channel: the constant name, a connection of its own, no proxy, bounded messages, no retries."""
    return [
        ("grpc.ssl_target_name_override", TLS_NAME),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        *MESSAGE_OPTIONS,
    ]


def server_credentials(
    identity: Identity, guests: Callable[[], bytes] = bytes, knocked: Callable[[], None] = lambda: None
) -> grpc.ServerCredentials:
    """Credentials that ask for leaf, marks and the roots of open invitations (PEM) at each handshake.

    `knocked` is called when one begins, on a thread of gRPC's.
    """

    def wanted() -> tuple[Leaf, bytes]:
        return identity.leaf(), identity.marks_pem + guests()

    given = wanted()

    def renewed() -> Any:
        nonlocal given
        knocked()
        before, given = given, wanted()
        return _configuration(*given) if given != before else None  # making one costs as much as a handshake

    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(_configuration(*given), renewed, True)
    return credentials


def _configuration(leaf: Leaf, roots: bytes) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(leaf.key_pem, leaf.chain_pem)], roots)


def peer_id_of_leaf(leaf: x509.Certificate) -> str:
    """The peer whose identity key signed this leaf; `ProtocolError` when its issuer names another."""
    try:
        (issuer,) = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        peer_id = str(issuer.value)
        public_key_of(peer_id).verify(leaf.signature, leaf.tbs_certificate_bytes)
    except (ValueError, FormatError, InvalidSignature) as error:
        raise ProtocolError("the leaf isn't signed by the identity that it names") from error
    return peer_id


@lru_cache(maxsize=256)
def peer_id_of_pem(leaf_pem: bytes) -> str:
    """`peer_id_of_leaf` of what a connection shows; the answer is the same for the same bytes."""
    try:
        leaf = x509.load_pem_x509_certificate(leaf_pem)
    except ValueError as error:
        raise ProtocolError("the connection has no client certificate") from error
    return peer_id_of_leaf(leaf)


def is_member(context: AuthContext, peer_id: str, marks: Sequence[Ed25519PublicKey]) -> bool:
    """Whether one of the marks vouches for the authenticated peer, so that it isn't a mere guest."""
    pem = b"".join(context.auth_context().get("x509_pem_cert_chain", ()))
    if len(pem) > CHAIN_BYTES_MAX:
        return False
    return _any_vouches(pem, peer_id, tuple(mark.public_bytes_raw() for mark in marks))


@lru_cache(maxsize=256)
def _any_vouches(pem: bytes, peer_id: str, marks: tuple[bytes, ...]) -> bool:
    """`is_member` of the same bytes, which every call of a connection shows."""
    try:
        chain = x509.load_pem_x509_certificates(pem) if pem else []
    except ValueError:
        return False
    keys = [Ed25519PublicKey.from_public_bytes(mark) for mark in marks]
    return any(_vouches(key, one, peer_id) for one in chain[:CHAIN_CERTIFICATES_MAX] for key in keys)


def _vouches(mark: Ed25519PublicKey, bridge: x509.Certificate, peer_id: str) -> bool:
    try:
        key = bridge.public_key()
        mark.verify(bridge.signature, bridge.tbs_certificate_bytes)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return isinstance(key, Ed25519PublicKey) and key.public_bytes_raw().hex() == peer_id


def peer_id_of(context: AuthContext) -> str:
    """The authenticated peer behind an RPC; `ProtocolError` when there is none."""
    properties = context.auth_context()
    if list(properties.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise ProtocolError("the connection isn't TLS 1.3")
    return peer_id_of_pem(next(iter(properties.get("x509_pem_cert", ())), b""))


def address_of(context: Any) -> str:
    """Where an RPC comes from, of grpc's names such as `ipv4:192.0.2.1:40000` or `ipv6:%5B::1%5D:40000`."""
    kind, _, address = unquote(context.peer()).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    host, _, port = address.rpartition(":")
    return written(host.strip("[]"), int(port))


def host_of(context: Any) -> str:
    """The host that an RPC comes from."""
    return address_of(context).rpartition(":")[0].strip("[]")
