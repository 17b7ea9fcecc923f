"""A council in a swarm of real cores: certificates, a liar, dead and restored members, a broken epoch."""

from __future__ import annotations

import copy
import io
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tests.council import vote_key
from tests.sim.assembly import (
    ADA,
    LEGAL,
    LIAR,
    MEMBERS,
    OTHER,
    PEERS,
    RIVAL,
    make,
    members,
    own_accepts,
    peers,
    publish,
    records,
    up,
    vote_as,
    why,
)

from plora.gate import Policy
from plora.node.core import council_view
from plora.node.core.events import ReleaseAsked
from plora.proto.dsse import StatementKind
from plora.sim.material import Plasmid, make_plasmid, tiny_adapter
from plora.sim.replay import first_difference, replay
from plora.sim.scenario import Links
from plora.sim.swarm import Swarm, peer_id

EMPTY = make_plasmid(ADA, "empty", tiny_adapter(4, scale=0.0))


def layer(swarm: Swarm, number: int, plasmid: Plasmid = LEGAL) -> dict[str, Any]:
    """What the last stage says at a peer."""
    return next((one for one in why(swarm, number, plasmid)["layers"] if one["stage"] == "consensus"), {"evidence": {}})


def test_what_a_quorum_accepts_everybody_accepts() -> None:
    swarm = up(make())
    publish(swarm.peer(peer_id(4)))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == PEERS, limit_s=60)
    for peer in peers(swarm):
        assert [record["content"] for record in records(peer, "certificate")] == [LEGAL.content_id.hex()]
    last = layer(swarm, 4)
    assert last["state"] == "pass" and len(last["evidence"]["accepted_by"]) >= 3
    swarm.run_until(lambda: swarm.agree(6), limit_s=60)
    assert all(own_accepts(swarm, number) == {LEGAL.content_id.hex()} for number in range(MEMBERS))


@pytest.mark.parametrize("seed", range(6))
def test_with_one_member_dead_and_a_bad_network(seed: int) -> None:
    swarm = up(make(seed, Links(loss=0.2, duplication=0.05, reorder=0.1)), (0, 1, 2, 4))
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == 4, limit_s=120)


def test_without_a_quorum_it_waits_and_says_for_whom_and_a_late_certificate_counts() -> None:
    swarm = up(make(wait_ms=20_000), (0, 1, 2, 4))
    swarm.run(10)
    swarm.peer(peer_id(2)).crash()
    publish(swarm.peer(peer_id(0)))
    swarm.run(15)
    told = why(swarm, 4)
    assert (told["state"], told["reason"]) == ("pending", "awaiting_certificate")
    swarm.run(10)
    told = why(swarm, 4)
    assert told["reason"] == "certificate_overdue"
    assert told["sentence"] == "overdue: 2 of 3 members accepted it (m0, m1); not heard: m2, m3"
    assert records(swarm.peer(peer_id(4)), "verdict")[-1]["reason"] == "certificate_overdue"
    up(swarm, (2,))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == 4, limit_s=60)


def test_a_member_alone_votes_for_nothing_before_it_has_read_from_others() -> None:
    swarm = up(make(), (0,))
    publish(swarm.peer(peer_id(0)))
    swarm.run(30)
    assert not own_accepts(swarm, 0)
    up(swarm, (1, 2))
    assert swarm.run_until(lambda: own_accepts(swarm, 0) == {LEGAL.content_id.hex()}, limit_s=60)


def test_a_liar_who_votes_twice_is_found_and_blocks_nothing() -> None:
    swarm = up(make(), (0, 1, 2, 4))
    for number, plasmid in ((0, LEGAL), (1, RIVAL)):
        peer = swarm.peer(peer_id(number))
        publish(peer, plasmid)
        swarm.run(0.05)
        vote_as(LIAR, plasmid, peer)
    publish(swarm.peer(peer_id(0)), OTHER)
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == 4, limit_s=60)
    accused = vote_key(LIAR).public.key_id
    for peer in swarm.running():
        found = [record for record in records(peer, "evidence") if record["offence"] == "two_votes"]
        assert [record["accused"] for record in found] == [accused]
        assert accused in peer.core.council.tally.guilty  # type: ignore[union-attr]
        assert not records(peer, "alarm")
    evidence = [one for one in swarm.running()[3].core.gossip.live() if one.kind == StatementKind.EVIDENCE]
    assert evidence
    assert swarm.usable(LEGAL.content_id) == swarm.usable(RIVAL.content_id) == 0


def test_who_lies_in_one_slot_counts_in_no_other_also_after_a_restart() -> None:
    swarm = up(make(), (0, 1, 4))
    peer = swarm.peer(peer_id(4))
    publish(peer, LEGAL)
    publish(peer, RIVAL)
    publish(peer, OTHER)
    swarm.run(1)
    for plasmid in (LEGAL, RIVAL, OTHER):
        vote_as(LIAR, plasmid, peer)
    swarm.run(20)
    peer.crash()
    peer.boot()
    swarm.run(20)
    told = why(swarm, 4, OTHER)
    assert told["reason"] == "awaiting_certificate"
    assert "voted twice, so it no longer counts: m3" in told["sentence"]
    up(swarm, (2,))
    assert swarm.run_until(lambda: swarm.usable(OTHER.content_id) == 4, limit_s=60)


@pytest.mark.parametrize("cut_ms", range(0, 1500, 100))
def test_a_member_that_crashes_at_any_moment_votes_once_and_in_the_end(cut_ms: int) -> None:
    swarm = up(make(3))
    swarm.run(8)
    publish(swarm.peer(peer_id(0)))
    swarm.run(cut_ms / 1000)
    crashed = swarm.peer(peer_id(1))
    crashed.crash(Random(cut_ms))
    swarm.run(0.5)
    crashed.boot()
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == PEERS, limit_s=60)
    assert swarm.run_until(lambda: len(own_accepts(swarm, 1)) == 1, limit_s=60)
    assert not any(records(peer, "evidence") for peer in swarm.running())


def test_a_restored_member_reads_its_vote_back_and_never_votes_twice() -> None:
    swarm = up(make())
    swarm.run(8)
    member = swarm.peer(peer_id(1))
    old = copy.deepcopy(member.disk)
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: bool(own_accepts(swarm, 1)), limit_s=60)
    swarm.run(5)
    member.crash()
    member.disk = old
    member.boot()
    assert not member.core.council.voter.ballots  # type: ignore[union-attr]
    publish(member, RIVAL)  # what the restored member sees first
    assert swarm.run_until(lambda: member.core.council.voter.missing == 0, limit_s=60)  # type: ignore[union-attr]
    swarm.run(20)
    assert own_accepts(swarm, 1) == {LEGAL.content_id.hex()}
    slot = members().slot(LEGAL.manifest)
    assert member.core.council.voter.ballots[slot].content == LEGAL.content_id.hex()  # type: ignore[union-attr]


def test_members_of_another_epoch_are_told_apart_and_alarm() -> None:
    swarm = make()
    stray = swarm.peer(peer_id(1))
    stray.config = replace(stray.config, members=members(number=2))
    up(swarm)
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == 4, limit_s=60)
    swarm.run(10)
    # alone in its epoch, the stray member sees the others vote in another
    assert {(record["alarm"], record["subject"]) for record in records(stray, "alarm")} == {
        ("other_epoch", name) for name in ("m0", "m2", "m3")
    }
    assert why(swarm, 1)["reason"] == "awaiting_certificate"


def test_a_refusal_is_advice_and_says_why() -> None:
    swarm = make()
    strict = swarm.peer(peer_id(2))
    strict.policy = Policy(consensus=True, delta_norm_max=1e-6)
    up(swarm, (0, 1, 2, 4))
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: "m2 refuses it: norm_too_large" in why(swarm, 4).get("sentence", ""), limit_s=60)
    strict.crash()
    strict.policy = Policy(consensus=True)
    strict.boot()
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == 4, limit_s=60)


def test_a_release_from_quarantine_is_no_vote() -> None:
    """A member's person may use what its gate holds back; to others a vote says what a gate passed."""
    swarm = up(make(), (0, 1, 2, 4))
    for number in (0, 1, 2):
        publish(swarm.peer(peer_id(number)), EMPTY)  # what a gate holds back it gives to nobody
    refusals = dict.fromkeys(("m0", "m1", "m2"), "all_zero")
    assert swarm.run_until(lambda: layer(swarm, 0, EMPTY)["evidence"].get("rejected_by") == refusals, limit_s=60)
    for number in (0, 1, 2):
        swarm.peer(peer_id(number)).handle(ReleaseAsked(EMPTY.content_id))
    swarm.run(20)
    told = why(swarm, 0, EMPTY)
    assert (told["state"], told["reason"]) == ("pending", "awaiting_certificate")
    assert not any(records(peer, "certificate") for peer in swarm.running())
    assert swarm.usable(EMPTY.content_id) == 0


def test_peers_without_the_block_are_left_in_peace() -> None:
    swarm = make()
    stranger = swarm.peer(peer_id(4))
    stranger.config = replace(stranger.config, members=None)
    stranger.policy = Policy()
    up(swarm)
    publish(swarm.peer(peer_id(0)))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == PEERS, limit_s=60)
    assert not records(stranger, "vote") and not records(stranger, "penalty")
    assert all(len(peer.core.gossip.links.ready()) == PEERS - 1 for peer in swarm.running())


def test_a_members_recording_replays_to_the_same_log() -> None:
    swarm = make()
    member = swarm.peer(peer_id(0))
    member.recording = io.StringIO()
    up(swarm)
    publish(member)
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == PEERS, limit_s=60)
    lines = member.recording.getvalue().splitlines()
    assert first_difference(replay(lines), member.log) is None and records(member, "certificate")


def test_status_says_what_a_person_must_do_and_metrics_count_it() -> None:
    swarm = up(make(), (0, 1))
    peer = swarm.peer(peer_id(0))
    publish(peer)
    swarm.run(5)
    (said,) = council_view.troubles(peer.core)
    assert said.startswith("this member doesn't vote yet: it must read from 1 more members")
    assert council_view.counts(peer.core) == {"certificates": 0, "guilty": 0, "compromised": 0, "waiting": 1}
    up(swarm, (2,))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == 3, limit_s=60)
    assert not list(council_view.troubles(peer.core))
    assert council_view.counts(peer.core) == {"certificates": 1, "guilty": 0, "compromised": 0, "waiting": 0}
    shown = council_view.consensus(peer.core)
    assert [(one["name"], one["here"], one["linked"]) for one in shown["members"]] == [
        ("m0", True, False),
        ("m1", False, True),
        ("m2", False, True),
        ("m3", False, False),
    ]
    assert (shown["needed"], shown["faults"], shown["ballots"], shown["waiting"]) == (3, 1, 1, [])


def test_a_key_that_is_no_members_is_pointed_out() -> None:
    swarm = make()
    peer = swarm.peer(peer_id(4))
    peer.vote_key = vote_key(9)
    peer.config = replace(peer.config, vote_key=vote_key(9).public.key_id)
    up(swarm, (4,))
    (said,) = council_view.troubles(peer.core)
    assert "`plora consensus key`" in said and not council_view.consensus(peer.core)["votes_here"]
