"""What a peer serves as its merge is the merge of what it accepts, after every arrival and every revocation."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.swarm.conftest import MakePeer, Peer
from tests.swarm.test_rollback import merge_of

from plora.merge import merge_folders
from plora.merge.peft_folder import TENSORS_NAME
from plora.proto.wire import statement_to_pb
from plora.sim.material import Owner, Plasmid, revoke
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow
COUNT = 20


def served_bytes(peer: Peer) -> bytes:
    return (peer.home.adapters / "merged--mini" / TENSORS_NAME).read_bytes()


def revoke_content(peer: Peer, plasmid: Plasmid) -> None:
    made = peer.made.owner
    owner = Owner(peer.name, made.record.swarm, made.key, made.statement)
    peer.call(
        "Revoke", pb.RevokeRequest(revocation=statement_to_pb(revoke(owner, "content", plasmid.content_id.hex())))
    )


def merges(peer: Peer, names: list[str]) -> bool:
    return sorted(merge_of(peer).inputs) == sorted(f"ada/{name}@1" for name in names)


@pytest.mark.timeout(300)
def test_twenty_come_and_are_revoked_in_turn(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    for peer in (ada, bob):
        peer.start()

    def merge_is_of(names: list[str]) -> None:
        bob.until(lambda: merges(bob, names))
        assert {one.name for one in bob.plasmids("accepted").values()} == {f"ada/{name}@1" for name in names}
        expected = tmp_path / f"expected-{len(names)}-{len(list(tmp_path.iterdir()))}"
        merge_folders([bob.home.adapters / f"ada--{name}" for name in names], expected, base_model_name="mini")
        assert served_bytes(bob) == (expected / TENSORS_NAME).read_bytes()

    made: dict[str, Plasmid] = {}
    for number in range(COUNT):
        name = f"legal-{number}"
        made[name] = ada.signed_folder(tmp_path / name, seed=number)
        ada.publish(tmp_path / name)
        merge_is_of(list(made))
    while len(made) > 1:
        name, plasmid = made.popitem()
        revoke_content(ada, plasmid)
        merge_is_of(list(made))
    revoke_content(ada, made.popitem()[1])
    bob.until(lambda: merge_of(bob).generation == 0 and not (bob.home.adapters / "merged--mini").exists())
