"""Peers as real processes: a plasmid moves, signals are obeyed, a killed peer resumes, a recording replays."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.merge import read_adapter
from plora.node.daemon.node import SOFTWARE
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.tls import channel_credentials, channel_options
from plora.proto.errors import PeerNotRunningError, RefusedError, UsageError
from plora.proto.statement import Statement
from plora.proto.swarm import load_swarm
from plora.proto.wire import statement_from_pb
from plora.sim.replay import first_difference, replay
from plora.v1 import admin_pb2 as pb
from plora.v1 import peer_pb2 as wire
from plora.v1.peer_pb2_grpc import PeerStub

pytestmark = pytest.mark.timeout(120)
Make = Callable[[str], Any]


def test_two_daemons_move_one_plasmid(make_daemon: Make, sign: Callable[..., Any], tmp_path: Path) -> None:
    ada, bob = make_daemon("ada"), make_daemon("bob")
    bob.neighbour(ada)
    for daemon in (ada, bob):
        daemon.edit("log: console", "record: true\nlog: json")
    statement = sign(tmp_path / "legal", ada.owner)
    for daemon in (ada, bob):
        daemon.start()
    published = ada.call("Publish", pb.PublishRequest(folder=str(tmp_path / "legal")))
    assert (published.name, published.content_id) == ("ada/legal@1", statement.id.hex())

    # bob sees it, and waits, since nobody there trusts ada; SIGHUP after the trust changed is enough.
    unknown = f"{ada.made.owner.id[:12]}/legal@1"
    assert bob.in_state(unknown, "waiting").reason == "unknown_owner"
    bob.trust(ada)
    bob.signal(signal.SIGHUP)
    accepted = bob.in_state("ada/legal@1", "accepted")
    assert (accepted.percent, accepted.outcome, accepted.own) == (100, "ACCEPT", False)
    assert bob.call("Status", pb.StatusRequest()).links == 1
    assert len(bob.events("link_up")) == 1
    assert not bob.events("link_down", "error", "penalty")

    bob.until(lambda: bob.call("Merges", pb.MergesRequest()).merges)
    (merge,) = bob.call("Merges", pb.MergesRequest()).merges
    assert list(merge.inputs) == ["ada/legal@1"]
    assert read_adapter(Path(merge.folder)).pairs.keys() == read_adapter(tmp_path / "legal").pairs.keys()
    config = Path(bob.plasmid("ada/legal@1").folder) / "adapter_config.json"
    assert config.read_bytes() == (tmp_path / "legal" / "adapter_config.json").read_bytes()

    fetched = bob.call("Fetch", pb.FetchPlasmidRequest(name="legal", target=str(tmp_path / "copy")))
    assert fetched.folder == str(tmp_path / "copy")
    names = ["adapter_config.json", "adapter_model.safetensors", "plora.yml"]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == names
    assert all((tmp_path / "copy" / one).read_bytes() == (tmp_path / "legal" / one).read_bytes() for one in names)

    _bob_offers_it_to_tools(bob, statement, (tmp_path / "legal" / "adapter_model.safetensors").read_bytes())
    why = json.loads(bob.call("Why", pb.WhyRequest(name="legal")).document)
    assert why["layers"]
    assert why["state"] == "accepted"
    (peer,) = bob.call("Peers", pb.ListPeersRequest()).peers
    assert (peer.peer, peer.state, peer.outbound) == (ada.made.peer_id, "up", True)
    with pytest.raises(UsageError, match="no plasmid 'nothing'"):
        bob.call("Show", pb.ShowRequest(name="nothing"))

    assert bob.stop() == 0
    assert ada.stop(signal.SIGINT) == 0
    with pytest.raises(PeerNotRunningError, match="no peer is running"):
        ada.call("Status", pb.StatusRequest())
    _the_log_has_no_gaps_and_replays(bob, "SIGTERM")
    _the_log_has_no_gaps_and_replays(ada, "SIGINT")


def _bob_offers_it_to_tools(bob: Any, statement: Statement, artifact: bytes) -> None:
    """The one-way calls, by a member of the swarm whom bob has never met."""
    stranger = Identity(Ed25519PrivateKey.generate(), load_swarm(bob.home.swarm))
    credentials = channel_credentials(stranger, bob.made.peer_id)
    with grpc.secure_channel(f"127.0.0.1:{bob.port}", credentials, options=channel_options()) as channel:
        peer: Any = PeerStub(channel)  # type: ignore[no-untyped-call]
        (offered,) = peer.Offer(wire.OfferRequest(domain="legal"), timeout=10).plasmids
        assert (offered.content_id, offered.size_bytes) == (statement.id, len(artifact))
        assert not peer.Offer(wire.OfferRequest(base_model="other"), timeout=10).plasmids
        (found,) = peer.GetStatements(wire.GetStatementsRequest(ids=[statement.id, bytes(32)]), timeout=10).statements
        assert statement_from_pb(found) == statement
        with pytest.raises(grpc.RpcError, match="at most 64 ids"):
            peer.GetStatements(wire.GetStatementsRequest(ids=[bytes(32)] * 65), timeout=10)
        first, *chunks = peer.Fetch(wire.FetchRequest(digest=offered.digest), timeout=10)
        assert first.chunk_list.hashes == b"".join(sha256(reply.chunk.data).digest() for reply in chunks)
        assert b"".join(reply.chunk.data for reply in chunks) == artifact
        assert len(list(peer.Fetch(wire.FetchRequest(digest=offered.digest, first_chunk=1), timeout=10))) == len(chunks)
        with pytest.raises(grpc.RpcError, match="not served here"):
            list(peer.Fetch(wire.FetchRequest(digest=bytes(32)), timeout=10))


def _the_log_has_no_gaps_and_replays(daemon: Any, reason: str) -> None:
    (log,) = daemon.home.events.glob("*.jsonl")
    lines = log.read_text().splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert records[0]["kind"] == "boot"
    assert records[0]["software"] == SOFTWARE
    assert (records[-1]["kind"], records[-1]["reason"]) == ("stop", reason)
    with log.with_suffix(".inputs").open() as recording:
        assert first_difference(lines, replay(recording)) is None


def test_a_killed_peer_resumes_and_fetches_no_stored_chunk_again(
    make_daemon: Make, sign: Callable[..., Any], tmp_path: Path
) -> None:
    ada, bob = make_daemon("ada"), make_daemon("bob")
    bob.neighbour(ada)
    bob.trust(ada)
    ada.edit("upload_rate: 4MiB", "upload_rate: 256KiB")
    ada.edit("lan_exempt: true", "lan_exempt: false")
    sign(tmp_path / "legal", ada.owner, dim=20_000)  # 640 KB in 40 chunks, 2.5 s
    size = (tmp_path / "legal" / "adapter_model.safetensors").stat().st_size
    for daemon in (ada, bob):
        daemon.start()
    ada.call("Publish", pb.PublishRequest(folder=str(tmp_path / "legal")))
    bob.until(lambda: (found := bob.plasmid("ada/legal@1")) is not None and 20 < found.percent < 80)
    assert bob.stop(signal.SIGKILL) == -signal.SIGKILL
    bob.start()
    bob.in_state("ada/legal@1", "accepted")
    (done,) = [json.loads(line) for line in bob.events("fetch_done")]
    assert done["resumed_bytes"] > 0
    assert done["wire_bytes"] + done["resumed_bytes"] == size
    assert done["wasted_bytes"] == 0
    assert bob.stop() == ada.stop() == 0


def test_publishing_wrong_bytes_is_refused_and_keeps_nothing(
    make_daemon: Make, sign: Callable[..., Any], tmp_path: Path
) -> None:
    ada = make_daemon("ada")
    sign(tmp_path / "legal", ada.owner)
    artifact = tmp_path / "legal" / "adapter_model.safetensors"
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"\xff")
    ada.start()
    with pytest.raises(RefusedError, match="the manifest says"):
        ada.call("Publish", pb.PublishRequest(folder=str(tmp_path / "legal")))
    assert not ada.call("List", pb.ListRequest()).plasmids
    assert not [path for path in (ada.home.root / "blobs").rglob("*") if path.is_file()]
    artifact.unlink()
    artifact.symlink_to("/etc/hostname")
    with pytest.raises(Exception, match="can't be read"):
        ada.call("Publish", pb.PublishRequest(folder=str(tmp_path / "legal")))
    _a_broken_reload_changes_nothing(ada)
    assert ada.stop() == 0


def _a_broken_reload_changes_nothing(ada: Any) -> None:
    good = ada.home.config.read_text()
    ada.home.config.write_text(good.replace("unknown_owner: wait", "unknown_owner: perhaps"))
    ada.signal(signal.SIGHUP)
    ada.until(lambda: ada.call("Status", pb.StatusRequest()).warnings)
    (warning,) = ada.call("Status", pb.StatusRequest()).warnings
    assert "the last reload failed" in warning
    ada.home.config.write_text(good.replace("unknown_owner: wait", "unknown_owner: reject"))
    assert list(ada.call("Reload", pb.ReloadRequest()).changed) == ["policy and trust"]
    assert not ada.call("Status", pb.StatusRequest()).warnings
    assert list(ada.call("Reload", pb.ReloadRequest()).changed) == []
    ada.edit("upload_rate: 4MiB", "upload_rate: 256KiB")
    ada.edit("lan_exempt: true", "lan_exempt: false")
    assert list(ada.call("Reload", pb.ReloadRequest()).changed) == ["subscriptions and limits"]
