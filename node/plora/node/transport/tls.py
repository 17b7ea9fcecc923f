"""Mutual TLS 1.3 pinned to peer ids, without any authority.

Rules (docs/protocol.md, "Identity"):

- Dialing: the only root is an anchor made on the spot from the expected peer id, so nobody else can answer.
- Accepting: the roots are the swarm's marks. That proves membership and possession of the leaf's key, no more.
- Every RPC then verifies the leaf's own signature under the key that its issuer names, and that TLS is 1.3. Names, the
  rest of the chain and `peer_identities()` are never believed: any member can write those.
- A fresh configuration is made for each handshake, so leaves and marks change without a restart.

Source: grpc-python has no verify callback and refuses Ed25519 leaves, hence P-256 leaves under Ed25519 issuers.
"""

from __future__ import annotations

from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from plora.node.core.messages import CHUNK_BYTES_MAX
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import TLS_NAME, Identity, certificate, public_key_of
from plora.proto.errors import FormatError, ProtocolError

MESSAGE_BYTES_MAX = CHUNK_BYTES_MAX + 64 * 1024
"""The largest message that grpc lets in; a session's frames are held to less by the codec."""

MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 8 * 1024),
)


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
    leaf = identity.leaf()
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


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Credentials that ask the identity for leaf and marks at each handshake."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        leaf = identity.leaf()
        return grpc.ssl_server_certificate_configuration([(leaf.key_pem, leaf.chain_pem)], identity.marks_pem)

    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(configuration(), configuration, True)
    return credentials


def peer_id_of_leaf(leaf: x509.Certificate) -> str:
    """The peer whose identity key signed this leaf; `ProtocolError` when its issuer names another."""
    try:
        (issuer,) = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        peer_id = str(issuer.value)
        public_key_of(peer_id).verify(leaf.signature, leaf.tbs_certificate_bytes)
    except (ValueError, FormatError, InvalidSignature) as error:
        raise ProtocolError("the leaf isn't signed by the identity that it names") from error
    return peer_id


def peer_id_of(context: AuthContext) -> str:
    """The authenticated peer behind an RPC; `ProtocolError` when there is none."""
    properties = context.auth_context()
    if list(properties.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise ProtocolError("the connection isn't TLS 1.3")
    try:
        leaf = x509.load_pem_x509_certificate(properties["x509_pem_cert"][0])
    except (KeyError, IndexError, ValueError) as error:
        raise ProtocolError("the connection has no client certificate") from error
    return peer_id_of_leaf(leaf)
