"""A council on real processes: four members, of whom one is dead and its key lies, and a follower."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run, runner
from tests.council import Ballots
from tests.swarm.conftest import MakePeer, Peer

from plora.gate.consensus import Member, Membership, membership
from plora.node.gossip.rows import statement_row
from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store
from plora.proto.keys import PrivateKey, PublicKey, load_private_key
from plora.proto.statement import Statement
from plora.sim.material import Plasmid
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow
NAMES = ("ada", "ben", "cyd", "dan")


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


def council_of(peers: list[Peer], plora: Run) -> list[dict[str, Any]]:
    """The members' lines, as their people get them by the command; twice, for a key is made once."""
    entries = []
    for peer in peers:
        first = json.loads(plora("consensus", "key", "--json", "--home", peer.home.root).out)
        again = json.loads(plora("consensus", "key", "--json", "--home", peer.home.root).out)
        assert first["made"] and not again["made"] and first["key"] == again["key"]
        assert stat.S_IMODE(peer.home.vote_key.stat().st_mode) == 0o600
        entries.append({field: first[field] for field in ("name", "key", "peer")})
    return entries


def link_all(peers: list[Peer], members: list[dict[str, Any]]) -> None:
    """Everybody dials and trusts everybody, and wants certificates."""
    for peer in peers:
        peer.dials(*(other for other in peers if other is not peer))
        peer.trusts(*(other for other in peers if other is not peer))
        peer.settings["consensus"] = {"members": members}
        peer.settings["policy"] = {"consensus": True, "certificate_wait_ms": 1500}


def accepted(peers: list[Peer], plasmid: Plasmid) -> None:
    """Wait until all of these use it."""
    for peer in peers:
        peer.until(lambda peer=peer: plasmid.content_id.hex() in used(peer))  # type: ignore[misc]


def used(peer: Peer) -> set[str]:
    return set(peer.plasmids("accepted")) | set(peer.plasmids("own"))


def consensus(peer: Peer) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(peer.call("Consensus", pb.ConsensusRequest()).document)
    return answer


def guilty(peer: Peer) -> list[str]:
    return [member["name"] for member in consensus(peer)["members"] if member["guilty"]]


def slip_in(peer: Peer, statements: list[Statement]) -> None:
    """Have a peer that doesn't run hold statements, as one whose program was changed might."""
    disk = RealDisk(peer.home.root)
    try:
        Store(disk).commit([statement_row(statement, 0) for statement in statements])
    finally:
        disk.close()


def lie(members: Membership, key: PrivateKey, plasmid: Plasmid) -> Statement:
    """An ACCEPT by a key that votes for whatever it likes."""
    return Ballots(members.slot(plasmid.manifest)).signed(key, plasmid.content_id.hex(), swarm=members.swarm)


def test_three_of_four_decide_though_one_is_dead_and_lies(make_peer: MakePeer, tmp_path: Path, plora: Run) -> None:
    members = [make_peer(name) for name in NAMES]
    eve = make_peer("eve")
    entries = council_of(members, plora)
    ada, ben, cyd, dan = members
    alive = [ada, ben, cyd, eve]
    link_all([*members, eve], entries)
    for peer in alive:
        peer.start()

    first = ada.signed_folder(tmp_path / "a" / "first", seed=1)
    ada.publish(tmp_path / "a" / "first")
    accepted(alive, first)
    layer = next(one for one in eve.why("first")["layers"] if one["stage"] == "consensus")
    assert layer["state"] == "pass" and layer["evidence"]["accepted_by"] == ["ada", "ben", "cyd"]
    assert [record["members"] for record in eve.records("certificate")] == [["ada", "ben", "cyd"]]
    said = plora("consensus", "--home", eve.home.root).out
    assert "3 of 4 members make a certificate, 1 may lie" in said and "certificates: 1" in said

    # anybody checks that from a file, without a peer, who knows the epoch and nothing else
    file, folder = tmp_path / "first.certificate", tmp_path / "a" / "first"
    epoch, record = consensus(eve)["epoch"], ada.home.owner_folder / "ada.owner"
    assert plora("consensus", "certificate", "first", "--out", file, "--home", eve.home.root).code == 0
    checked = plora("consensus", "verify", file, folder, "--epoch", epoch, "--owner", record, "--json")
    assert (checked.code, checked.document["members"]) == (0, ["ada", "ben", "cyd"])
    assert checked.document["content_id"] == first.content_id.hex()
    assert plora("consensus", "verify", file, "--config", eve.home.config).code == 0
    assert plora("consensus", "verify", file, "--epoch", "0" * 64).code == 3
    assert plora("consensus", "verify", file).code == 2

    # ben signs two contents of one version, of which no peer publishes the second where it knows the first; dan's key
    # accepts both. eve brings what no peer of ours would, and tells no one of its making
    lies = [ben.signed_folder(tmp_path / place / "twice", seed=seed) for place, seed in (("b", 2), ("c", 3))]
    ben.publish(tmp_path / "b" / "twice")
    both = {one.content_id.hex() for one in lies}
    eve.until(lambda: lies[0].content_id.hex() in eve.plasmids())
    eve.stop()
    known = membership(ada.made.owner.record.swarm, [_member(one) for one in entries])
    dans = load_private_key(dan.home.vote_key)
    slip_in(eve, [lies[1].statement, *(lie(known, dans, plasmid) for plasmid in lies)])
    eve.start()
    for peer in alive:
        peer.until(lambda peer=peer: guilty(peer) == ["dan"] and both <= set(peer.plasmids()))  # type: ignore[misc]
        assert not both & used(peer)
        assert any("member dan voted for two contents" in warning for warning in peer.status.warnings)

    # the lie blocks nothing else, and a member that starts again says the same as before
    ben.stop()
    ben.start()
    second = ada.signed_folder(tmp_path / "a" / "second", seed=4)
    ada.publish(tmp_path / "a" / "second")
    accepted(alive, second)
    assert first.content_id.hex() in used(ben)
    assert all(guilty(peer) == ["dan"] and not consensus(peer)["compromised"] for peer in alive)

    # with another member gone there is no quorum: it waits, says for whom, and goes on when one is back
    cyd.kill()
    third = ada.signed_folder(tmp_path / "a" / "third", seed=5)
    ada.publish(tmp_path / "a" / "third")
    told = eve.until(lambda: (why := eve.why("third"))["reason"] == "certificate_overdue" and why)
    assert "2 of 3 members accepted it (ada, ben)" in told["sentence"]
    assert consensus(eve)["waiting"] == ["ada/third@1"]
    early = plora("consensus", "certificate", "third", "--out", tmp_path / "third", "--home", eve.home.root)
    assert (early.code, "2 of the 3 members that it takes accepted it" in early.err) == (3, True)
    cyd.start()
    accepted(alive, third)

    # other settings of the consensus take a restart, and until then the peer says so
    eve.settings["consensus"]["number"] = 2
    eve.reload()
    eve.until(lambda: any("which takes a restart" in warning for warning in eve.status.warnings))


def _member(entry: dict[str, Any]) -> Member:
    return Member(entry["name"], PublicKey.from_text(entry["key"]), entry["peer"])
