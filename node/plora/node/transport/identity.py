"""Who a peer is on the wire: its Ed25519 key, the swarm's mark, and the short-lived certificates made from both.

Rules (docs/protocol.md, "Identity"):

- Peer id = the raw 32-byte Ed25519 public key in 64 hexadecimal digits. The identity key signs leaves and nothing else.
- The *mark* is a CA whose key follows from the swarm's secret (HKDF-SHA256): whoever holds the secret can finish a
  handshake. It names no one.
- The *leaf* is a P-256 certificate signed by the identity key, with the peer id as issuer and one constant name; valid
  for at most 30 days, backdated by 24 hours, made anew once a day. It travels with the *bridge*, which is the identity
  key certified by the mark.
- A key file that others can read, or that holds another kind of key, is refused.
- Not handled here: checking the certificates of others (`plora.node.transport.tls`).
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from plora.proto.canonical import is_hex_digest
from plora.proto.errors import FormatError, KeyFileError
from plora.proto.keys import write_new_file
from plora.proto.swarm import Swarm

TLS_NAME = "peer.plora.invalid"
"""The same name in every certificate and handshake: nothing about a peer's id is sent in clear."""

LEAF_LIFETIME = timedelta(days=29)
LEAF_BACKDATED = timedelta(hours=24)
LEAF_RENEWED_AFTER = timedelta(hours=24)

_FOREVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC))
_CertifiedKey = Ed25519PublicKey | ec.EllipticCurvePublicKey
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The wall clock, as certificates need it."""
    return datetime.now(UTC)


def mark_key(swarm: Swarm) -> Ed25519PrivateKey:
    """The key of the swarm's mark, the same for everybody who knows the secret."""
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"plora/mark/v1").derive(bytes.fromhex(swarm.secret))
    return Ed25519PrivateKey.from_private_bytes(derived)


def mark_name(swarm: Swarm) -> str:
    """The mark's subject; another for each secret, since TLS libraries find an issuer by its name."""
    return f"plora-mark-{mark_key(swarm).public_key().public_bytes_raw().hex()[:16]}"


def mark_certificate(swarm: Swarm) -> x509.Certificate:
    """The mark as a trust anchor."""
    key = mark_key(swarm)
    name = mark_name(swarm)
    return certificate(name, key.public_key(), name, key, authority=True)


def certificate(
    subject: str,
    public_key: _CertifiedKey,
    issuer: str,
    signer: Ed25519PrivateKey,
    *,
    authority: bool,
    validity: tuple[datetime, datetime] = _FOREVER,
    serial: int = 1,
) -> x509.Certificate:
    """One certificate; all of ours are signed by Ed25519 keys."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_common_name(subject))
        .issuer_name(_common_name(issuer))
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(TLS_NAME)]), critical=False)
    return builder.sign(signer, None)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A TLS key with the chain that is sent with it, both PEM."""

    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    made: datetime

    @property
    def expires(self) -> datetime:
        """Until when it holds."""
        return self.made + LEAF_LIFETIME


class Identity:
    """A peer's identity in one swarm; `leaf()` is what TLS presents. `older`: former secrets that are still let in."""

    def __init__(
        self, key: Ed25519PrivateKey, swarm: Swarm, *, older: tuple[Swarm, ...] = (), clock: Clock = utc_now
    ) -> None:
        self._key = key
        self._clock = clock
        self._leaf: Leaf | None = None
        self.swarm = swarm
        self.peer_id = key.public_key().public_bytes_raw().hex()
        self._bridge_pem = bridge_pem(key, mark_name(swarm), mark_key(swarm))
        self.marks_pem = b"".join(mark_certificate(one).public_bytes(Encoding.PEM) for one in (swarm, *older))
        self.mark_keys = tuple(mark_key(one).public_key() for one in (swarm, *older))

    def leaf(self) -> Leaf:
        """The current leaf, made anew when it is a day old, or a day ahead of a clock that was set back."""
        now, leaf = self._clock(), self._leaf  # read once: handshakes ask on threads of gRPC's
        if leaf is None or abs(now - leaf.made) >= LEAF_RENEWED_AFTER:
            self._leaf = leaf = self.new_leaf(now)
        return leaf

    def rotate(self) -> None:
        """Forget the leaf: the next handshake, in either role, presents another one."""
        self._leaf = None

    def new_leaf(self, now: datetime) -> Leaf:
        """A leaf valid from 24 hours before to 29 days after `now`."""
        return make_leaf(self._key, self._bridge_pem, now)


def bridge_pem(key: Ed25519PrivateKey, issuer: str, issuer_key: Ed25519PrivateKey) -> bytes:
    """The identity key certified by the mark, or by an invitation: what lets its leaves through the handshake."""
    public = key.public_key()
    made = certificate(public.public_bytes_raw().hex(), public, issuer, issuer_key, authority=True)
    return made.public_bytes(Encoding.PEM)


def make_leaf(key: Ed25519PrivateKey, bridge: bytes, now: datetime) -> Leaf:
    """A new TLS key with a leaf under the identity key, followed by the bridge (PEM)."""
    tls_key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificate(
        "leaf",
        tls_key.public_key(),
        key.public_key().public_bytes_raw().hex(),
        key,
        authority=False,
        validity=(now - LEAF_BACKDATED, now + LEAF_LIFETIME),
        serial=x509.random_serial_number(),
    )
    key_pem = tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Leaf(key_pem, leaf.public_bytes(Encoding.PEM) + bridge, now)


def save_identity_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write an identity key to a new file of mode 0600."""
    write_new_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)


def load_identity_key(path: Path, expected_peer: str = "") -> Ed25519PrivateKey:
    """The identity key in a file; with `expected_peer`, only that peer's. `KeyFileError` says what is wrong."""
    pem = _read_private(path, "make one with `plora init`, or restore it from a backup")
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError("not a private key", where=str(path), mend="restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        what = f"an identity is an Ed25519 key, this is a {type(key).__name__}"
        raise KeyFileError(what, where=str(path), mend="restore it from a backup, or make one with `plora init`")
    peer = key.public_key().public_bytes_raw().hex()
    if expected_peer and peer != expected_peer:
        what = f"the key of another peer ({peer[:12]}), this home belongs to {expected_peer[:12]}"
        raise KeyFileError(what, where=str(path), mend="restore this peer's key, or make a new home with `plora init`")
    return key


def public_key_of(peer_id: str) -> Ed25519PublicKey:
    """The identity key that a peer id is; `FormatError` when it is none."""
    if not is_hex_digest(peer_id):
        raise FormatError("a peer id is 64 lower-case hexadecimal digits")
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(peer_id))
    except ValueError as error:
        raise FormatError("not a peer id") from error


def _read_private(path: Path, mend: str) -> bytes:
    try:
        with path.open("rb") as stream:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise KeyFileError("readable by others", where=str(path), mend=f"chmod 600 {path}")
            return stream.read(64 * 1024)
    except OSError as error:
        raise KeyFileError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
