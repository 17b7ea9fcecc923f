"""Swarms of real cores: they agree, whatever the network and the power do."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from plora.gate import Policy, Trust
from plora.node.core import view
from plora.node.core.config import CoreConfig, Limits
from plora.node.core.events import PolicyChanged
from plora.node.core.messages import IHave
from plora.node.store.rows import ChunkPlan, plan_row
from plora.node.store.store import blob_path
from plora.proto.chunks import chunk_hashes
from plora.proto.record_lines import record_from_line
from plora.sim.disk import PowerCutError
from plora.sim.event_log import log_file, log_files
from plora.sim.material import Plasmid, attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.replay import first_difference, replay
from plora.sim.replay import main as replay_main
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import complete, erdos_renyi_graph, ring

OWNERS = [make_owner(name, SWARM_ID) for name in ("ada", "bob", "cyd")]
TRUST = Trust(owners=tuple(owner.trusted for owner in OWNERS))
PLASMIDS = [
    make_plasmid(owner, domain, tiny_adapter(number))
    for number, (owner, domain) in enumerate(zip(OWNERS, ("legal", "medical", "arithmetic"), strict=True))
]
BIG = make_plasmid(OWNERS[0], "big", tiny_adapter(9, width=2048, layers=4))
SHARED = Shared()
ROUGH = Links(loss=0.2, duplication=0.05, reorder=0.1)
SEEDS = range(200)


def pair(trust: Trust = TRUST, policy: Policy | None = None, **changes: Any) -> tuple[Swarm, SimPeer, SimPeer]:
    """Two linked peers."""
    swarm = Swarm(1, shared=SHARED)
    template = replace(CoreConfig(peer="", swarm=SWARM_ID, boot=""), **changes)
    ids = swarm.add(2, ring(2), trust=trust, policy=policy, template=template)
    swarm.boot()
    swarm.run(2)
    return swarm, swarm.peer(ids[0]), swarm.peer(ids[1])


def publish(peer: SimPeer, plasmid: Plasmid, owner: int = 0) -> None:
    peer.publish((OWNERS[owner].record, plasmid.statement), (plasmid.data,))


def kinds(peer: SimPeer) -> Counter[str]:
    return Counter(record_from_line(line).kind for line in peer.log)


@pytest.mark.slow
@pytest.mark.parametrize(
    "start", [0, *(pytest.param(start, marks=pytest.mark.nightly) for start in range(50, len(SEEDS), 50))]
)
def test_ten_peers_agree_after_cuts_losses_and_a_late_joiner(start: int) -> None:
    for seed in SEEDS[start : start + 50]:
        swarm = Swarm(seed, ROUGH, shared=SHARED)
        ids = swarm.add(10, erdos_renyi_graph(10, 0.4, seed, connected=True))
        swarm.boot(ids[:9])
        swarm.run(3)
        swarm.partition(ids[:5], ids[5:])
        for owner, plasmid, number in zip(OWNERS, PLASMIDS, (0, 4, 8), strict=True):
            swarm.peer(ids[number]).publish((owner.record, plasmid.statement))
        swarm.run(10)
        assert not swarm.agree(6), f"seed {seed}: the cut doesn't cut"
        swarm.network.heal_all()
        swarm.boot(ids[9:])
        assert swarm.run_until(lambda: swarm.agree(6), 180), f"seed {seed}"  # noqa: B023
        assert not any(line for peer in swarm.peers.values() for line in peer.log if '"penalty"' in line), seed


def test_a_plasmid_reaches_everybody_and_is_merged() -> None:
    swarm = Swarm(5, shared=SHARED)
    ids = swarm.add(8, erdos_renyi_graph(8, 0.4, 5, connected=True), trust=TRUST)
    swarm.boot()
    swarm.run(2)
    for number, plasmid in enumerate(PLASMIDS):
        publish(swarm.peer(ids[number]), plasmid, number)
    assert swarm.run_until(lambda: all(swarm.usable(plasmid.content_id) == 8 for plasmid in PLASMIDS), 60)
    swarm.run(2)
    by_digest = sorted(PLASMIDS, key=lambda plasmid: plasmid.manifest.artifacts.sha256)
    expected = tuple(plasmid.content_id.hex() for plasmid in by_digest)
    for peer in swarm.running():
        assert peer.merged == {"mini": expected}
        assert sorted(peer.adapters) == ["ada--legal", "bob--medical", "cyd--arithmetic"]
        assert kinds(peer)["knowledge"] == 3
    assert swarm.holding(PLASMIDS[0].manifest.artifacts.sha256) == 8


def test_no_chunk_is_stored_twice_when_a_peer_is_killed_in_the_middle() -> None:
    swarm, giver, taker = pair(limits=Limits(upload_rate=200_000))
    publish(giver, BIG)
    count = BIG.manifest.artifacts.chunk_count
    assert swarm.run_until(lambda: len(taker.stored_chunks) > count // 2, 60)
    taker.crash()
    swarm.run(1)
    taker.boot()
    assert swarm.run_until(lambda: swarm.usable(BIG.content_id) == 2, 120)
    assert sorted(taker.stored_chunks) == [(BIG.manifest.artifacts.sha256, index) for index in range(count)]
    done = [record_from_line(line).body for line in taker.log if '"fetch_done"' in line]
    assert done[-1].resumed_bytes > 0 and done[-1].wasted_bytes == 0  # type: ignore[attr-defined]


def test_a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() -> None:
    operation, crashed = 0, True
    while crashed:
        operation += 1
        swarm, giver, taker = pair()
        taker.disk.cut_power_at(taker.disk.operations + operation)
        publish(giver, PLASMIDS[0])
        swarm.run(8)
        crashed = not taker.up
        if crashed:
            taker.boot()
        assert swarm.run_until(lambda: swarm.usable(PLASMIDS[0].content_id) == 2, 60), operation  # noqa: B023
        swarm.run(2)
        assert taker.adapters == {"ada--legal": PLASMIDS[0].content_id.hex()} and "mini" in taker.merged
        assert swarm.agree(2) and not kinds(taker)["penalty"]
    assert operation > 10


def test_a_power_cut_outside_of_effects_reaches_the_caller() -> None:
    _, giver, _ = pair()
    giver.disk.cut_power_at(giver.disk.operations + 1)
    with pytest.raises(PowerCutError):
        publish(giver, PLASMIDS[0])


def test_a_peer_that_lost_its_unsynced_data_catches_up() -> None:
    swarm, giver, taker = pair(limits=Limits(upload_rate=200_000))
    publish(giver, BIG)
    assert swarm.run_until(lambda: len(taker.stored_chunks) > 10, 60)
    taker.crash(Random(3))
    swarm.run(1)
    taker.boot()
    assert swarm.run_until(lambda: swarm.usable(BIG.content_id) == 2, 120)


def test_a_revocation_is_out_of_every_merge_within_seconds() -> None:
    swarm, giver, taker = pair()
    publish(giver, PLASMIDS[0])
    assert swarm.run_until(lambda: bool(taker.merged.get("mini")), 30)
    giver.publish((revoke(OWNERS[0], "content", PLASMIDS[0].content_id.hex()),))
    assert swarm.run_until(lambda: taker.merged == giver.merged == {"mini": ()}, 10)
    assert taker.adapters == {} and swarm.holding(PLASMIDS[0].manifest.artifacts.sha256) == 0


def test_a_cosignature_elsewhere_makes_it_accepted_here() -> None:
    swarm, giver, taker = pair(policy=Policy(quorum_required=2))
    publish(giver, PLASMIDS[0])
    swarm.run(5)
    digest = PLASMIDS[0].manifest.artifacts.sha256
    assert swarm.usable(PLASMIDS[0].content_id) == 0 and swarm.holding(digest) == 2
    taker.publish((OWNERS[1].record, attest(OWNERS[1], PLASMIDS[0].content_id)))
    assert swarm.run_until(lambda: swarm.usable(PLASMIDS[0].content_id) == 2, 20)


def test_trust_given_later_needs_no_restart() -> None:
    swarm, giver, taker = pair(trust=Trust())
    publish(giver, PLASMIDS[0])
    swarm.run(5)
    assert [row["state"] for row in view.ls(taker.core, swarm.clock.now)] == ["waiting"]
    for peer in (giver, taker):
        peer.handle(PolicyChanged(Policy(), TRUST))
    assert swarm.run_until(lambda: swarm.usable(PLASMIDS[0].content_id) == 2, 40)


def test_bytes_tampered_with_on_the_givers_disk_are_refused_and_blamed_on_the_sender() -> None:
    swarm, giver, taker = pair()
    publish(giver, PLASMIDS[0])
    digest = PLASMIDS[0].manifest.artifacts.sha256
    swarm.network.cut(giver.id, taker.id)
    swarm.run(1)
    giver.disk.write(f"blobs/{digest[:2]}/{digest}", 700, b"\xff")
    swarm.network.heal_all()
    swarm.run(30)
    (row,) = view.ls(taker.core, swarm.clock.now)
    assert (row["state"], row["reason"]) == ("refused", "hash_mismatch")
    assert swarm.usable(PLASMIDS[0].content_id) == 1 and kinds(taker)["penalty"] >= 1


def test_attack_018_right_chunks_of_the_wrong_whole_are_the_signers_fault() -> None:
    liar = make_plasmid(OWNERS[0], "liar", tiny_adapter(3), sha256="ab" * 32)
    swarm, giver, taker = pair()
    artifacts = liar.manifest.artifacts
    plan = ChunkPlan(artifacts.size_bytes, artifacts.chunk_bytes, tuple(chunk_hashes(liar.data, artifacts.chunk_bytes)))
    giver.store.commit([plan_row(artifacts.sha256, plan)])
    giver.disk.write(blob_path(artifacts.sha256), 0, liar.data)
    giver.publish((OWNERS[0].record, liar.statement))
    giver.core.transfer.serve(artifacts.sha256, artifacts.size_bytes, artifacts.chunk_bytes)  # against its own gate
    swarm.network.send(giver.id, taker.id, IHave((liar.content_id,)))
    swarm.run(10)
    verdict = taker.core.desk.book.live[liar.content_id].verdict
    assert verdict is not None and (verdict.outcome.value, verdict.reason) == ("reject", "hash_mismatch")
    assert not taker.adapters and not kinds(taker)["penalty"] and swarm.network.linked(giver.id, taker.id)


def run(seed: int) -> Swarm:
    swarm = Swarm(seed, ROUGH, shared=Shared())
    ids = swarm.add(6, complete(6), trust=TRUST)
    swarm.boot()
    swarm.run(3)
    publish(swarm.peer(ids[2]), PLASMIDS[0])
    swarm.run(6)
    swarm.peer(ids[4]).crash(Random(seed))
    swarm.run(2)
    swarm.peer(ids[4]).boot()
    swarm.run(10)
    return swarm


def test_equal_seeds_give_equal_logs_and_others_do_not() -> None:
    assert run(11).digest() == run(11).digest() != run(12).digest()


def test_logs_are_the_daemons_format(tmp_path: Path) -> None:
    swarm, giver, _ = pair()
    publish(giver, PLASMIDS[0])
    swarm.run(5)
    paths = swarm.write_logs(tmp_path / "logs")
    assert [path.name for path in paths] == ["0000.jsonl", "0001.jsonl"]
    for path, peer in zip(paths, swarm.peers.values(), strict=True):
        found = [record_from_line(line) for line in path.read_text().splitlines(keepends=True)]
        assert [record.seq for record in found] == list(range(len(found)))
        assert {record.peer for record in found} == {peer.id}


def test_logs_of_many_peers_are_in_the_order_of_the_peers(tmp_path: Path) -> None:
    for number in (10_000, 1001, 7):
        log_file(tmp_path, number).touch()
    assert [path.stem for path in log_files(tmp_path)] == ["0007", "1001", "10000"]


def recorded() -> tuple[SimPeer, list[str]]:
    """A peer's recording of a whole story, and its log."""
    swarm = Swarm(1, shared=SHARED)
    ids = swarm.add(2, ring(2), trust=TRUST)
    taker = swarm.peer(ids[1])
    taker.recording = io.StringIO()
    swarm.boot()
    swarm.run(2)
    publish(swarm.peer(ids[0]), PLASMIDS[0])
    swarm.run(6)
    taker.handle(PolicyChanged(Policy(rank_max=2), TRUST))
    swarm.run(2)
    return taker, taker.recording.getvalue().splitlines(keepends=True)


def test_a_recording_replayed_gives_the_same_log_byte_for_byte() -> None:
    taker, lines = recorded()
    assert list(replay(lines)) == list(taker.log)
    assert kinds(taker)["verdict"] == 3


def test_a_replay_says_where_a_log_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taker, lines = recorded()
    recording, log = tmp_path / "recording", tmp_path / "log"
    recording.write_text("".join(lines))
    log.write_text("".join(taker.log))
    assert replay_main([str(recording), str(log)]) == 0
    log.write_text("".join(taker.log[:-1]))
    assert replay_main([str(recording), str(log)]) == 1
    assert f"line {len(taker.log)} differs" in capsys.readouterr().out
    assert replay_main([]) == 2


def test_the_first_difference() -> None:
    assert first_difference(["a", "b"], ["a", "b"]) is None
    assert first_difference(["a", "b"], ["a", "c"]) == (2, "b", "c")
    assert first_difference(["a"], ["a", "c"]) == (2, "", "c")
