"""What a peer serves as its merge is the merge of what it accepts, after every arrival and every revocation."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.swarm.conftest import MakePeer, Peer
from tests.swarm.test_rollback import merge_of, plora

from plora.merge import merge_folders
from plora.merge.gram_file import Writer, read_blocks, read_index
from plora.merge.peft_folder import TENSORS_NAME
from plora.merge.plan import MergePlan
from plora.merge.registry import plan_of
from plora.proto.wire import statement_to_pb
from plora.sim.material import Owner, Plasmid, revoke
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow


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
@pytest.mark.parametrize("count", [6, pytest.param(20, marks=pytest.mark.nightly)])
def test_they_come_and_are_revoked_in_turn(make_peer: MakePeer, tmp_path: Path, count: int) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    for peer in (ada, bob):
        peer.start()

    def merge_is_of(names: list[str]) -> None:
        bob.until(lambda: merges(bob, names))
        assert kept_files(bob) == len(names)
        assert {one.name for one in bob.plasmids("accepted").values()} == {f"ada/{name}@1" for name in names}
        expected = tmp_path / f"expected-{len(names)}-{len(list(tmp_path.iterdir()))}"
        merge_folders([bob.home.adapters / f"ada--{name}" for name in names], expected, base_model_name="mini")
        assert served_bytes(bob) == (expected / TENSORS_NAME).read_bytes()

    made: dict[str, Plasmid] = {}
    for number in range(count):
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
    reused = {len(one["inputs"]): one["reused"] for one in bob.records("merge") if one["inputs"]}
    arrivals = {len(one["inputs"]): one["reused"] for one in reversed(bob.records("merge")) if one["inputs"]}
    assert arrivals[count] == (count - 1) / (count + 1)  # of 20 that make 210 pairs 190, of any number of modules
    assert all(reused[number] == 1.0 for number in range(1, count))


def kept_files(peer: Peer) -> int:
    return len(list((peer.home.kept / "mini").iterdir()))


def test_forged_blocks_change_no_merge_and_none_of_them_stays(make_peer: MakePeer, tmp_path: Path) -> None:
    """As a worker leaves them that foreign bytes took over: whole files, but with numbers of their own."""
    ada = make_peer("ada")
    ada.start()
    names = ["law", "legal", "tax", "poems"]
    for seed, name in enumerate(names[:3]):
        ada.signed_folder(tmp_path / name, seed=seed)
        ada.publish(tmp_path / name)
    ada.until(lambda: merges(ada, names[:3]))
    for path in (ada.home.kept / "mini").iterdir():
        forge(path)
    ada.signed_folder(tmp_path / "poems", seed=3)
    ada.publish(tmp_path / "poems")
    ada.until(lambda: merges(ada, names))
    merge_folders([ada.home.adapters / f"ada--{name}" for name in names], tmp_path / "expected", base_model_name="mini")
    assert served_bytes(ada) == (tmp_path / "expected" / TENSORS_NAME).read_bytes()
    assert kept_files(ada) == 0
    assert [one["what"][:32] for one in ada.records("repair")] == ["what earlier merges kept was wro"]


def forge(path: Path) -> None:
    index, writer = read_index(path), Writer(path.with_suffix(".forged"))
    for module, record in index.records.items():
        others = [index.others[place] for place in record.places]
        writer.write(module, 1.01 * read_blocks(path, record), others, record.ranks)
    writer.end()
    path.with_suffix(".forged").replace(path)


def test_another_strategy_in_the_configuration_merges_again_without_a_restart_and_after_one(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    ada = make_peer("ada")
    ada.start()
    names = ["law", "legal"]
    for seed, name in enumerate(names):
        ada.signed_folder(tmp_path / name, seed=seed)
        ada.publish(tmp_path / name)
    ada.until(lambda: merges(ada, names))

    def served_is(plan: MergePlan) -> None:
        generation = merge_of(ada).generation
        expected = tmp_path / f"expected-{generation}"
        merge_folders([ada.home.adapters / f"ada--{name}" for name in names], expected, plan, base_model_name="mini")
        assert served_bytes(ada) == (expected / TENSORS_NAME).read_bytes()

    def made_anew(before: int) -> int:
        ada.until(lambda: merge_of(ada).generation > before)
        return int(merge_of(ada).generation)

    first = int(merge_of(ada).generation)
    served_is(plan_of())
    ada.settings["merge"] |= {"strategy": "ties", "rank_max": 2}
    ada.reload()
    second = made_anew(first)
    served_is(plan_of("ties", rank_max=2))
    ada.stop()
    ada.settings["merge"] |= {"max_delta_fro": 0.5}
    ada.start()
    made_anew(second)
    served_is(plan_of("ties", rank_max=2, max_delta_fro=0.5))


def test_one_of_another_layout_is_left_out_and_named(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    for number, width in enumerate((32, 64, 32)):
        ada.signed_folder(tmp_path / f"law-{number}", seed=number, width=width)
        ada.publish(tmp_path / f"law-{number}")
    ada.until(lambda: merges(ada, ["law-0", "law-1", "law-2"]))
    expected = tmp_path / "expected"
    merge_folders([ada.home.adapters / f"ada--law-{number}" for number in (0, 2)], expected, base_model_name="mini")
    assert served_bytes(ada) == (expected / TENSORS_NAME).read_bytes()
    said = plora(ada, "why", "merged").stdout
    assert "- ada/law-1@1            it doesn't fit the others: updates of different shapes" in said
    assert "+ ada/law-2@1            weight 0.5 " in said


def test_a_merge_that_is_killed_leaves_the_one_before_served_and_is_made_later(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    ada = make_peer("ada")
    ada.start()
    ada.signed_folder(tmp_path / "law", seed=1)
    ada.publish(tmp_path / "law")
    ada.until(lambda: merges(ada, ["law"]))
    before = served_bytes(ada)
    ada.signed_folder(tmp_path / "legal", seed=2)
    ada.publish(tmp_path / "legal")
    while not (
        worker := ada.worker("plora.merge.worker")
    ):  # a poll without a pause: a worker lives for less than a second
        assert not merges(ada, ["law", "legal"])
    os.killpg(worker, signal.SIGKILL)
    ada.until(lambda: merge_of(ada).trouble)
    assert (served_bytes(ada), list(merge_of(ada).inputs)) == (before, ["ada/law@1"])
    assert "! the newest attempt failed" in plora(ada, "why", "merged").stdout
    ada.until(lambda: merges(ada, ["law", "legal"]))
    assert not merge_of(ada).trouble
    merge_folders([ada.home.adapters / f"ada--{name}" for name in ("law", "legal")], tmp_path / "expected")
    assert served_bytes(ada) == (tmp_path / "expected" / TENSORS_NAME).read_bytes()
    assert kept_files(ada) == 2 and not list((ada.home.root / "tmp").glob("kept-*"))


def test_why_merged_says_what_is_in_it_and_why_the_rest_is_not(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob, eve = make_peer("ada"), make_peer("bob"), make_peer("eve")
    bob.dials(ada, eve)
    bob.trusts(ada)
    for peer in (ada, bob, eve):
        peer.start()
    assert plora(bob, "why", "merged").returncode == 2
    eve.signed_folder(tmp_path / "tax", seed=1)
    eve.publish(tmp_path / "tax")
    bob.until(lambda: bob.plasmids("waiting"))
    assert plora(bob, "why", "merged").stdout.startswith("merged/mini: nothing is served\n- ")
    for name, seed in (("legal", 2), ("again", 2), ("poems", 3)):
        ada.signed_folder(tmp_path / name, seed=seed)
        ada.publish(tmp_path / name)
        bob.until(lambda name=name: any(one.name == f"ada/{name}@1" for one in bob.plasmids("accepted").values()))  # type: ignore[misc]
    bob.until(lambda: merges(bob, ["legal", "poems"]))
    said = plora(bob, "why", "merged/mini", "--json")
    (document,) = json.loads(said.stdout)
    assert {one["name"]: one["weight"] for one in document["inputs"]} == {"ada/legal@1": 0.5, "ada/poems@1": 0.5}
    reasons = {one["name"]: one["reason"] for one in document["left_out"]}
    assert reasons["ada/again@1"] == "its bytes are those of ada/legal@1, which count once"
    (waits,) = (reason for name, reason in reasons.items() if name.endswith("/tax@1"))
    assert waits.startswith("waiting: nobody here trusts its owner")
    assert plora(bob, "why", "merged/other").returncode == 2
    assert plora(bob, "rollback").returncode == 0
    assert "- ada/poems@1            generation" in plora(bob, "why", "merged").stdout
