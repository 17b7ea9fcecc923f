"""Ten peers whose links are cut and healed, a peer that nobody can dial, strangers, and many publishers at once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plora.merge import read_adapter
from plora.proto.swarm import Swarm
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from tests.swarm.conftest import Lines, MakePeer, Peer

pytestmark = pytest.mark.timeout(120)


@pytest.mark.nightly
def test_ten_peers_agree_after_cuts_silence_and_a_late_joiner(
    make_peer: MakePeer, lines: Lines, same_root: Callable[[Sequence[Peer]], bool], tmp_path: Path
) -> None:
    draw = random.Random(11)
    peers = [make_peer(f"p{number}") for number in range(10)]
    early, late = peers[:9], peers[9]
    left, right = peers[:5], peers[5:9]
    inner = [lines.lay(peers[a], peers[b]) for a, b in ((0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (5, 6), (6, 7), (7, 8))]
    reset, silent = lines.lay(peers[4], peers[5]), lines.lay(peers[0], peers[8])
    inner += [lines.lay(late, peers[2]), lines.lay(late, peers[7])]
    publish = _publisher(tmp_path)
    for peer in early:
        peer.spawn()
    for peer in early:
        peer.ready()
    publish(peers[0])
    peers[0].until(lambda: same_root(early) and _count(early) == {2})

    # Two halves: neither learns what the other one publishes.
    lines.cut(reset)
    lines.silence(silent)
    peers[0].until(lambda: peers[0].neighbour(peers[8]).state != "up")
    publish(peers[1])
    publish(peers[6])
    peers[1].until(lambda: same_root(left) and _count(left) == {4})
    peers[6].until(lambda: same_root(right) and _count(right) == {4})
    assert not same_root(early)

    # The halves meet again, other links break at random while two more publish, and the tenth comes.
    lines.heal(reset, silent)
    broken = draw.sample(inner, 4)
    lines.cut(*broken[:2])
    lines.silence(*broken[2:])
    late.spawn()
    publish(peers[3])
    publish(peers[7])
    late.ready()
    lines.heal(*broken)
    late.until(lambda: same_root(peers) and _count(peers) == {10})
    assert not [record for peer in peers for record in peer.records("error", "penalty")]
    for peer in peers:
        peer.stop()


def _publisher(folder: Path) -> Callable[[Peer], None]:
    """Publishes a plasmid of a peer's owner: two statements, since the owner's record goes with it."""

    def publish(peer: Peer) -> None:
        peer.signed_folder(folder / peer.name, seed=peer.port)
        peer.publish(folder / peer.name)

    return publish


def _count(peers: Sequence[Peer]) -> set[int]:
    return {peer.status.statements for peer in peers}


def test_a_peer_that_only_dials_out_serves_what_it_publishes(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob, carol = make_peer("ada"), make_peer("bob"), make_peer("carol")
    bob.dials(ada)
    carol.dials(ada)
    carol.settings["dialable"] = False
    for other in (ada, bob):
        other.trusts(carol)
    for peer in (ada, bob, carol):
        peer.start()
    plasmid = carol.signed_folder(tmp_path / "legal", seed=1, width=2000)
    carol.publish(tmp_path / "legal")
    for peer in (ada, bob):
        peer.until(lambda peer=peer: plasmid.content_id.hex() in peer.plasmids("accepted"))  # type: ignore[misc]
        (done,) = peer.records("fetch_done")
        assert done["wire_bytes"] == len(plasmid.data)
        assert done["sources"] == [{"ada": carol, "bob": ada}[peer.name].id]
    assert not ada.neighbour(carol).outbound
    assert (ada.neighbour(carol).state, ada.neighbour(carol).address) == ("up", "")
    assert bob.neighbour(carol) is None


def test_strangers_and_impersonators_get_no_link(make_peer: MakePeer, other_swarm: Swarm) -> None:
    ada, bob, carol = make_peer("ada"), make_peer("bob"), make_peer("carol")
    stranger = make_peer("stranger", member_of=other_swarm)
    stranger.dials(ada)
    carol.dials(bob, port=ada.port)  # where ada answers for bob, who is elsewhere
    bob.dials(ada)
    for peer in (ada, bob, stranger, carol):
        peer.start()
    stranger.until(lambda: "lets nobody of this swarm in" in stranger.neighbour(ada).last_error)
    carol.until(lambda: "another peer answers there" in carol.neighbour(bob).last_error)
    bob.until(lambda: bob.neighbour(ada).state == "up")
    ada.until(lambda: ada.status.links == 1)
    assert not stranger.records("link_up")
    assert not carol.records("link_up")
    assert [record["neighbour"] for record in ada.records("link_up")] == [bob.id]


@pytest.mark.slow
def test_twenty_plasmids_published_at_once_are_accepted_everywhere(make_peer: MakePeer, tmp_path: Path) -> None:
    peers = [make_peer(f"p{number}") for number in range(5)]
    for number, peer in enumerate(peers):
        peer.trusts(*(other for other in peers if other is not peer))
        peer.dials(peers[(number + 1) % 5])
        peer.spawn()
    signed = {}
    for number in range(20):
        folder = tmp_path / f"plasmid-{number}"
        signed[peers[number % 5].signed_folder(folder, seed=number).content_id.hex()] = folder
    for peer in peers:
        peer.ready()
    with ThreadPoolExecutor(20) as publishers:
        list(publishers.map(lambda job: peers[job[0] % 5].publish(job[1]), enumerate(signed.values())))
    for peer in peers:
        peer.until(lambda peer=peer: _usable(peer) == signed.keys())  # type: ignore[misc]
        (merge,) = peer.until(lambda peer=peer: _merges_of(peer, len(signed)))  # type: ignore[misc]
        assert len(set(merge.inputs)) == len(signed)
        assert merge.folder == str(peer.home.adapters / "merged--mini")
        assert len(list(peer.home.adapters.glob("*--plasmid-*"))) == len(signed)
        assert not peer.records("error", "penalty", "fetch_failed")
    merged = {read_adapter(peer.home.merged / "mini" / "current").digest for peer in peers}
    assert len(merged) == 1, "equal inputs, but merges that differ"


def _usable(peer: Peer) -> set[str]:
    return {*peer.plasmids("accepted"), *peer.plasmids("own")}


def _merges_of(peer: Peer, count: int) -> list[pb.MergeInfo]:
    return [merge for merge in peer.call("Merges", pb.MergesRequest()).merges if len(merge.inputs) == count]
