"""Who is believed, on real processes: co-signing, late trust, distrust, revocation, clocks that disagree.

Each test reads what the person reads: the commands' own words, without a restart of any peer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.cli.conftest import Ran, Run, runner
from tests.swarm.conftest import DAY_S, MakePeer, Peer, write_folder

from plora.proto.dsse import StatementKind
from plora.proto.errors import RefusedError
from plora.proto.fields import format_timestamp
from plora.proto.keys import generate_private_key
from plora.proto.payloads import OwnerKey, OwnerRecord
from plora.proto.statement import sign_statement, statement_to_json
from plora.proto.wire import statement_to_pb
from plora.proto.words import fingerprint
from plora.proto.yaml_view import from_yaml
from plora.sim.material import Owner, Plasmid, make_owner, revoke
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
NOBODY_SIGNED_TOO = "1 of 2 owners signed (ada); waiting for one of: "


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


Tell = Callable[..., Ran]


@pytest.fixture
def tell(plora: Run) -> Tell:
    """`tell(peer, "why", …)`: a command about a peer's home."""

    def run(peer: Peer, *words: object) -> Ran:
        return plora(*words, "--home", peer.home.root)

    return run


def why(tell: Tell, peer: Peer, name: str = "legal") -> str:
    """The first line of `plora why`, without the name."""
    return tell(peer, "why", name).out.splitlines()[0].partition(": ")[2]


def in_line(*peers: Peer) -> None:
    """Each dials the one before it."""
    for before, peer in pairwise(peers):
        peer.dials(before)


def start(*peers: Peer) -> None:
    for peer in peers:
        peer.spawn()
    for peer in peers:
        peer.ready()


def boots(peer: Peer) -> int:
    return len(peer.records("boot"))


def accepted(peer: Peer, plasmid: Plasmid) -> bool:
    found = peer.plasmids().get(plasmid.content_id.hex())
    return found is not None and found.state in ("accepted", "own") and bool(found.folder)


def merged(peer: Peer) -> bool:
    return (peer.home.merged / "mini" / "current").exists()


def blobs(peer: Peer) -> list[Path]:
    return [path for path in (peer.home.root / "blobs").rglob("*") if path.is_file()]


def test_a_second_owner_far_away_signs_and_every_peer_accepts(tell: Tell, make_peer: MakePeer, tmp_path: Path) -> None:
    """Four in a line, k = 2: the bytes come to the co-signer although nobody has accepted them yet."""
    ada, mid, far, bob = peers = [make_peer(name) for name in ("ada", "mid", "far", "bob")]
    in_line(*peers)
    for peer in peers:
        peer.settings["policy"] = {"quorum_required": 2}
        peer.trusts(*(one for one in (ada, bob) if one is not peer))
    start(*peers)
    legal = ada.signed_folder(tmp_path / "legal", seed=1)
    published = tell(ada, "publish", tmp_path / "legal")
    assert (published.code, published.out) == (0, "published ada/legal@1\n")
    for peer in peers:
        peer.until(lambda peer=peer: legal.content_id.hex() in peer.plasmids() and blobs(peer))  # type: ignore[misc]
        peer.until(lambda peer=peer: why(tell, peer).startswith(NOBODY_SIGNED_TOO))  # type: ignore[misc]
    assert why(tell, mid) == NOBODY_SIGNED_TOO + "bob, mid"
    assert tell(mid, "why", "legal").code == 3

    unasked = tell(bob, "cosign", "legal")
    assert (unasked.code, "say --yes" in unasked.err) == (2, True)
    signed = tell(bob, "cosign", "legal", "--yes")
    assert (signed.code, signed.out) == (0, "bob signed ada/legal@1: passed the gate and is in use\n")
    assert "signatures and quorum" in signed.err and "weights" in signed.err
    for peer in peers:
        peer.until(lambda peer=peer: accepted(peer, legal))  # type: ignore[misc]
        assert boots(peer) == 1
    assert [one["owner"] for one in cosignatures(ada)] == [bob.made.owner.id]
    again = tell(bob, "cosign", "legal", "--yes")
    assert (again.code, "was signed by this key already" in again.err) == (3, True)

    far.until(lambda: merged(far))
    assert tell(far, "trust", "rm", "bob").code == 0
    far.until(lambda: not merged(far))
    too = f"; signed too by bob ({bob.made.owner.id[:12]}), whom nobody here trusts"
    assert why(tell, far) == NOBODY_SIGNED_TOO + "far" + too
    assert accepted(mid, legal)


def test_the_other_key_of_an_owner_signs_by_cosign_too(tell: Tell, make_peer: MakePeer, tmp_path: Path) -> None:
    """An owner of two keys, both of which must sign; the second lies elsewhere, with the owner's record beside it."""
    ada = make_peer("ada")
    first, second = (generate_private_key("Ed25519") for _ in range(2))
    record = OwnerRecord(
        swarm=ada.made.owner.record.swarm,
        issued=format_timestamp(int(time.time())),
        key_id=first.public.key_id,
        name="house",
        version=1,
        keys=(OwnerKey.of(first.public), OwnerKey.of(second.public)),
        threshold=2,
    )
    statement = sign_statement(StatementKind.OWNER, record, first)
    (tmp_path / "second.owner").write_text(statement_to_json(statement))
    second.save(tmp_path / "second.pem")
    write_folder(tmp_path / "legal", Owner("house", record.swarm, first, statement), seed=1)
    assert tell(ada, "trust", "add", tmp_path / "second.owner", "--yes").code == 0
    ada.start()
    assert tell(ada, "publish", tmp_path / "legal", "--owner", tmp_path / "second.owner").code == 0
    ada.until(lambda: why(tell, ada) == "1 of 2 keys of house signed; waiting for another key of house")
    signed = tell(ada, "cosign", "legal", "--key", tmp_path / "second.pem", "--yes")
    assert (signed.code, signed.out) == (0, "house signed house/legal@1: published here\n")
    ada.until((ada.home.adapters / "house--legal").exists)


def cosignatures(peer: Peer) -> list[dict[str, str]]:
    signed = from_yaml(peer.call("Show", pb.ShowRequest(name="legal")).yaml)
    return [one.model_dump() for one in signed.cosignatures]


def test_a_stranger_waits_without_bytes_until_trusted_and_leaves_when_not(
    tell: Tell, make_peer: MakePeer, tmp_path: Path
) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    start(ada, bob)
    legal = ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    ada.until(lambda: accepted(ada, legal))
    bob.until(lambda: bob.plasmids("waiting"))
    owner, words = ada.made.owner.id, fingerprint(ada.made.owner.id)

    (stranger,) = json.loads(tell(bob, "trust", "pending", "--json").out)["owners"]
    assert (stranger["name"], stranger["fingerprint"]) == ("ada", words)
    assert stranger["waiting"] == ["legal@1 (legal on mini)"]
    waits = f"nobody here trusts its owner {words}, who goes by 'ada'; if you know them: `plora trust add {owner[:12]}`"
    assert (why(tell, bob), blobs(bob)) == (waits, [])

    assert tell(bob, "trust", "add", "ada", "--domains", "medical", "--yes").code == 0
    bob.until(lambda: "is trusted here for medical only, not for legal" in why(tell, bob))
    assert blobs(bob) == []
    assert tell(bob, "trust", "add", owner[:8], "--domains", "legal", "--yes").code == 0
    bob.until(lambda: accepted(bob, legal) and merged(bob))
    assert "legal" in tell(bob, "trust", "ls").out
    assert "Nobody waits." in tell(bob, "trust", "pending").err

    assert tell(bob, "distrust", "ada").out == "bob distrusts ada\n"
    bob.until(lambda: not merged(bob))
    assert why(tell, bob) == "ada was distrusted here; `plora trust add` takes that back"
    assert not (bob.home.adapters / "ada--legal").exists()
    assert tell(bob, "trust", "add", "ada", "--yes").code == 0
    bob.until(lambda: accepted(bob, legal) and merged(bob))

    assert tell(bob, "trust", "rm", "ada").code == 0
    bob.until(lambda: not merged(bob))
    assert why(tell, bob) == waits
    changes = [(one["added"], one["removed"], one["distrusted"]) for one in bob.records("trust")]
    assert changes == [(["ada"], [], []), (["ada"], [], []), ([], [], ["ada"]), (["ada"], [], []), ([], ["ada"], [])]
    assert [one["inputs"] for one in bob.records("merge")] == [
        [legal.content_id.hex()],
        [],
        [legal.content_id.hex()],
        [],
    ]
    assert boots(bob) == 1


def test_two_strangers_of_one_name_are_told_apart_by_fingerprint(
    tell: Tell, make_peer: MakePeer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bob, ada, other = make_peer("bob"), make_peer("ada"), make_peer("ada")
    bob.dials(ada, other)
    start(bob, ada, other)
    for number, peer in enumerate((ada, other)):
        peer.signed_folder(tmp_path / f"legal{number}", seed=number)
        peer.publish(tmp_path / f"legal{number}")
    bob.until(lambda: len(bob.plasmids("waiting")) == 2)
    both = tell(bob, "trust", "add", "ada", "--yes")
    assert (both.code, "'ada' may mean 2 owners" in both.err) == (2, True)
    assert all(fingerprint(peer.made.owner.id) in both.err for peer in (ada, other))
    assert tell(bob, "trust", "add", other.made.owner.id[:10], "--nickname", "ida", "--yes").out == "bob trusts ida\n"
    bob.until(lambda: [one.name for one in bob.plasmids("accepted").values()] == ["ida/legal1@1"])


def test_a_revocation_unmerges_everywhere_and_is_never_undone(tell: Tell, make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    start(ada, bob)
    legal = ada.signed_folder(tmp_path / "legal", seed=1)
    tax = ada.signed_folder(tmp_path / "tax", seed=2, version=3)
    for folder in ("legal", "tax"):
        ada.publish(tmp_path / folder)
    bob.until(
        lambda: len(bob.plasmids("accepted")) == 2 and inputs(bob) == {legal.content_id.hex(), tax.content_id.hex()}
    )

    done = tell(ada, "revoke", "legal", "--reason", "names of people", "--yes")
    assert (done.code, done.out) == (0, "revoked ada/legal@1\n")
    for peer in (ada, bob):
        peer.until(lambda peer=peer: inputs(peer) == {tax.content_id.hex()})  # type: ignore[misc]
        assert why(tell, peer) == "ada revoked it: names of people"
        assert legal.content_id.hex() in [one["target"] for one in peer.records("revoked")]
        merges = [one["inputs"] for one in peer.records("merge")]
        assert merges[-2:] == [[], [tax.content_id.hex()]], "the merge with it was not taken away first"
    assert [one["reason"] for one in bob.records("verdict") if one["id"] == legal.content_id.hex()][
        -1
    ] == "revoked_content"

    twice = tell(ada, "revoke", "legal", "--reason", "again", "--yes")
    assert (twice.code, "was revoked by this key already" in twice.err) == (3, True)
    eve = make_owner("eve", ada.made.owner.record.swarm)
    unheard = pb.RevokeRequest(revocation=statement_to_pb(revoke(eve, "content", tax.content_id.hex())))
    with pytest.raises(RefusedError, match="the owner's record, which has the key, is not known here"):
        ada.call("Revoke", unheard)

    again = tell(ada, "publish", tmp_path / "legal")
    assert again.code == 3
    assert "ada revoked it: names of people; a revocation is never undone" in again.err
    ada.signed_folder(tmp_path / "old" / "tax", seed=4, version=2)
    lower = tell(ada, "publish", tmp_path / "old" / "tax")
    assert (lower.code, "version 3 is known here, this is version 2" in lower.err) == (3, True)
    ada.signed_folder(tmp_path / "twin" / "tax", seed=5, version=3)
    twin = tell(ada, "publish", tmp_path / "twin" / "tax")
    assert (twin.code, "tax@3 was published already with other content" in twin.err) == (3, True)
    assert tell(ada, "publish", tmp_path / "tax").code == 0
    assert boots(bob) == 1


def inputs(peer: Peer) -> set[str]:
    """What the newest merge was made of."""
    merges = peer.records("merge")
    return set(merges[-1]["inputs"]) if merges and merged(peer) else set()


def test_with_merging_switched_off_a_merge_that_stands_goes_with_its_owner(
    tell: Tell, make_peer: MakePeer, tmp_path: Path
) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    start(ada, bob)
    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    bob.until(lambda: merged(bob))
    bob.stop()
    bob.settings["merge"]["enabled"] = False
    bob.start()
    assert merged(bob)
    assert tell(bob, "distrust", "ada").code == 0
    bob.until(lambda: not merged(bob))


def test_a_quorum_that_nobody_can_reach_any_more_keeps_nobody_believed(
    tell: Tell, make_peer: MakePeer, tmp_path: Path
) -> None:
    """Taking trust away works at once even if nothing can be accepted afterwards, and over a restart."""
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.settings["policy"] = {"quorum_required": 2}
    bob.trusts(ada)
    start(bob)
    assert tell(bob, "distrust", "ada").code == 0
    warning = "2 owners must sign (policy.quorum_required), but only 1 is trusted here, so everything waits"
    bob.until(lambda: warning in tell(bob, "status").out)
    bob.stop()
    bob.start()
    assert warning in tell(bob, "status").out


def test_a_manifest_of_tomorrow_waits_and_the_clock_is_named(tell: Tell, make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    start(ada, bob)
    legal = ada.signed_folder(tmp_path / "legal", seed=1, ahead_s=DAY_S)
    ada.publish(tmp_path / "legal")
    bob.until(lambda: bob.plasmids("deferred"))
    said = why(tell, bob)
    assert re.match(r"it was issued (23 h 59 min|1 d) in the future of this machine's clock, which says 20", said)
    assert "one of the two clocks is wrong: check this one, then ask the publisher" in said
    assert (tell(bob, "why", "legal").code, blobs(bob), accepted(ada, legal)) == (3, [], False)
    held = tell(bob, "cosign", "legal", "--yes")
    assert (held.code, "not signed, since the gate holds it: it was issued" in held.err) == (3, True)


@pytest.mark.nightly
def test_what_runs_out_leaves_and_says_by_which_clock(tell: Tell, make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    start(ada, bob)
    legal = ada.signed_folder(tmp_path / "legal", seed=1, life_s=20)
    ada.publish(tmp_path / "legal")
    bob.until(lambda: accepted(bob, legal))
    bob.until(lambda: bob.plasmids("refused") and not merged(bob))
    assert why(tell, bob).startswith(f"it expired at {legal.manifest.expires}; this machine's clock says 20")
    assert tell(ada, "publish", tmp_path / "legal").code == 3


@pytest.mark.skipif(not FAKETIME, reason="a clock that is off needs libfaketime (Debian: faketime)")
def test_a_peer_whose_clock_is_a_day_behind_says_so(tell: Tell, make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.environment = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": "-1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    bob.dials(ada)
    bob.trusts(ada)
    ada.start()
    bob.start()
    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    bob.until(lambda: bob.plasmids("deferred"))
    assert "in the future of this machine's clock" in why(tell, bob)
