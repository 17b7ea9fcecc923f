"""The one-way Fetch of a stranger at a real peer: it keeps to the rate, to one call a peer, and ends on a deny."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.attacks.misbehaving import Member

from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.tls import channel_credentials, channel_options
from plora.proto.swarm import load_swarm
from plora.v1 import peer_pb2 as pb
from plora.v1.peer_pb2_grpc import PeerStub

if TYPE_CHECKING:
    from tests.swarm.conftest import MakePeer, Peer

pytestmark = pytest.mark.timeout(120)

KIB = 1 << 10
RATE = 64 * KIB


def test_a_fetch_keeps_to_the_rate_and_ends_on_a_deny(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, plasmid = _serving(make_peer, tmp_path)
    stranger = Identity(Ed25519PrivateKey.generate(), load_swarm(ada.home.swarm))
    with _channel(ada, stranger) as channel:
        peer: Any = PeerStub(channel)  # type: ignore[no-untyped-call]
        request = pb.FetchRequest(digest=bytes.fromhex(plasmid.manifest.artifacts.sha256))
        began_s = time.monotonic()
        replies = peer.Fetch(request, timeout=30)
        assert len(next(replies).chunk_list.hashes) == 32 * plasmid.manifest.artifacts.chunk_count
        read = sum(len(reply.chunk.data) for reply in _taken(replies, 10))
        assert read == 10 * plasmid.manifest.artifacts.chunk_bytes
        assert time.monotonic() - began_s > 0.7 * read / RATE

        second = peer.Fetch(request, timeout=30)
        with pytest.raises(grpc.RpcError, match="too many fetches at once") as busy:
            next(second)
        assert busy.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        ada.settings["deny"] = [stranger.peer_id]
        ada.reload()
        with pytest.raises(grpc.RpcError, match="denied here") as denied:
            for reply in replies:
                read += len(reply.chunk.data)
        assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert read < plasmid.manifest.artifacts.size_bytes


def test_a_deny_ends_a_fetch_that_nobody_reads(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, plasmid = _serving(make_peer, tmp_path)
    stranger = Member(load_swarm(ada.home.swarm), tmp_path)
    raw = stranger.raw(ada)
    request = pb.FetchRequest(digest=bytes.fromhex(plasmid.manifest.artifacts.sha256))
    raw.call("/plora.v1.Peer/Fetch", request.SerializeToString())
    assert raw.tls.recv(1)
    ada.settings["deny"] = [stranger.id]
    ada.reload()
    assert raw.ends(within_s=30)
    raw.close()


def test_a_fetch_that_is_given_up_makes_room_for_another(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, plasmid = _serving(make_peer, tmp_path)
    stranger = Identity(Ed25519PrivateKey.generate(), load_swarm(ada.home.swarm))
    with _channel(ada, stranger) as channel:
        peer: Any = PeerStub(channel)  # type: ignore[no-untyped-call]
        request = pb.FetchRequest(digest=bytes.fromhex(plasmid.manifest.artifacts.sha256))
        first = peer.Fetch(request, timeout=30)
        next(first)
        first.cancel()
        ada.until(lambda: _answers(peer, request))


def _serving(make_peer: MakePeer, tmp_path: Path) -> tuple[Peer, Any]:
    ada = make_peer("ada")
    ada.settings["limits"] |= {"upload_rate": RATE, "lan_exempt": False}
    ada.start()
    plasmid = ada.signed_folder(tmp_path / "large", seed=1, width=20_000, layers=3)
    ada.publish(tmp_path / "large")
    ada.until(lambda: ada.plasmids("own") and ada.plasmids("own")[plasmid.content_id.hex()].outcome == "ACCEPT")
    return ada, plasmid


def _channel(ada: Peer, stranger: Identity) -> Any:
    credentials = channel_credentials(stranger, ada.id)
    return grpc.secure_channel(f"127.0.0.1:{ada.port}", credentials, options=channel_options())


def _taken(replies: Iterator[pb.FetchReply], count: int) -> list[pb.FetchReply]:
    return [next(replies) for _ in range(count)]


def _answers(peer: Any, request: pb.FetchRequest) -> bool:
    replies = peer.Fetch(request, timeout=30)
    try:
        return bool(next(replies).chunk_list.hashes)
    except grpc.RpcError:
        return False
    finally:
        replies.cancel()
