"""Keys, leaves and marks, without any socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.node.transport.identity import (
    TLS_NAME,
    Identity,
    load_identity_key,
    mark_key,
    mark_name,
    public_key_of,
    save_identity_key,
    utc_now,
)
from plora.node.transport.invitation import guest_leaf, invitation_key
from plora.node.transport.tls import is_member, peer_id_of, peer_id_of_leaf
from plora.proto.errors import FormatError, KeyFileError, ProtocolError
from plora.proto.keys import generate_private_key
from plora.proto.swarm import Swarm, new_swarm

END = b"-----END CERTIFICATE-----\n"
MakeIdentity = Callable[[], Identity]


def test_a_leaf_names_the_identity_that_signed_it(wire: Any, make_identity: MakeIdentity, swarm: Swarm) -> None:
    identity, mallory = make_identity(), make_identity()
    leaf = x509.load_pem_x509_certificate(identity.leaf().chain_pem)
    assert peer_id_of_leaf(leaf) == identity.peer_id
    forged = x509.load_pem_x509_certificate(wire.forged_leaf(mallory, identity.peer_id, swarm).chain_pem)
    with pytest.raises(ProtocolError, match="isn't signed by the identity"):
        peer_id_of_leaf(forged)


class _Context:
    def __init__(self, **properties: list[bytes]) -> None:
        self._properties = properties

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._properties


def test_identity_needs_tls_1_3_and_a_certificate(make_identity: MakeIdentity) -> None:
    identity = make_identity()
    pem = [identity.leaf().chain_pem]
    assert peer_id_of(_Context(ssl_tls_version=[b"TLSv1.3"], x509_pem_cert=pem)) == identity.peer_id
    for version in ([b"TLSv1.2"], [], [b"TLSv1.3", b"TLSv1.2"]):
        with pytest.raises(ProtocolError, match=r"1\.3"):
            peer_id_of(_Context(ssl_tls_version=version, x509_pem_cert=pem))
    for certificates in ([], [b"nonsense"]):
        with pytest.raises(ProtocolError, match="no client certificate"):
            peer_id_of(_Context(ssl_tls_version=[b"TLSv1.3"], x509_pem_cert=certificates))


def create_identity_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    save_identity_key(path, key)
    return key


def test_a_saved_key_is_the_same_peer(tmp_path: Path, swarm: Swarm) -> None:
    path = tmp_path / "key.pem"
    made = Identity(create_identity_key(path), swarm)
    loaded = Identity(load_identity_key(path, made.peer_id), swarm)
    assert loaded.peer_id == made.peer_id
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="already exists"):
        create_identity_key(path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    create_identity_key(path)
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match="readable by others; chmod 600"):
            load_identity_key(path)


def test_a_foreign_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    create_identity_key(path)
    with pytest.raises(KeyFileError, match="the key of another peer"):
        load_identity_key(path, "ab" * 32)
    rsa = tmp_path / "rsa.pem"
    generate_private_key("RSA-PSS-SHA256").save(rsa)
    with pytest.raises(KeyFileError, match="an identity is an Ed25519 key"):
        load_identity_key(rsa)
    path.write_bytes(b"nonsense")
    with pytest.raises(KeyFileError, match="not a private key"):
        load_identity_key(path)
    with pytest.raises(KeyFileError, match="can't be read"):
        load_identity_key(tmp_path / "missing.pem")


def test_the_mark_follows_from_the_secret_alone(swarm: Swarm) -> None:
    renamed = Swarm("other name", "ff" * 32, swarm.secret)
    assert mark_key(renamed).private_bytes_raw() == mark_key(swarm).private_bytes_raw()
    other = new_swarm(swarm.name, os.urandom(64))
    assert mark_key(other).private_bytes_raw() != mark_key(swarm).private_bytes_raw()
    assert mark_name(other) != mark_name(swarm)
    assert swarm.secret not in mark_key(swarm).private_bytes_raw().hex()


def test_a_leaf_lives_at_most_thirty_days_and_is_renewed_after_one(swarm: Swarm) -> None:
    now = [datetime(2030, 5, 1, tzinfo=UTC)]
    identity = Identity(Ed25519PrivateKey.generate(), swarm, clock=lambda: now[0])
    first = identity.leaf()
    leaf, bridge = x509.load_pem_x509_certificates(first.chain_pem)
    assert leaf.not_valid_before_utc == now[0] - timedelta(hours=24)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=30)
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == [TLS_NAME]
    bridge.public_key()
    leaf.verify_directly_issued_by(bridge)
    now[0] += timedelta(hours=23)
    assert identity.leaf() is first
    now[0] += timedelta(hours=1)
    assert identity.leaf().chain_pem != first.chain_pem


@pytest.mark.parametrize("text", ["", "ab" * 31, "AB" * 32, "zz" * 32, " " + "ab" * 31 + " "])
def test_what_is_no_peer_id_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        public_key_of(text)


def test_the_key_of_a_ticket_is_that_of_the_vectors() -> None:
    path = Path(__file__).parents[2] / "proto/vectors/tickets.json"
    for vector in json.loads(path.read_text()):
        made = invitation_key(bytes.fromhex(vector["token"])).public_key().public_bytes_raw()
        assert made.hex() == vector["public_key"]


def test_a_member_is_whom_a_mark_vouches_for(swarm: Swarm, other_swarm: Swarm) -> None:
    key, token = Ed25519PrivateKey.generate(), bytes(16)
    member, stranger = Identity(key, swarm), Identity(key, other_swarm)
    mallory = Identity(Ed25519PrivateKey.generate(), swarm)
    guest = guest_leaf(key, token, utc_now())

    def vouched(*chain: bytes) -> bool:
        sent = [pem.split(END, 1)[1] for pem in chain]  # what comes after the leaf
        return is_member(_Context(x509_pem_cert_chain=[b"".join(sent)]), member.peer_id, member.mark_keys)

    assert vouched(member.leaf().chain_pem)
    assert vouched(guest.chain_pem, member.leaf().chain_pem)
    assert not vouched(guest.chain_pem)
    assert not vouched(stranger.leaf().chain_pem)
    assert not vouched(mallory.leaf().chain_pem), "a mark's word about another peer"
    assert not vouched(*[guest.chain_pem] * 4, member.leaf().chain_pem), "beyond what is looked at"
    assert not vouched()
    nonsense = _Context(x509_pem_cert_chain=[b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
    assert not is_member(nonsense, member.peer_id, member.mark_keys)
    assert not is_member(_Context(), member.peer_id, member.mark_keys)
