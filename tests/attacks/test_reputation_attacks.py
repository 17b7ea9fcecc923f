"""Attacks on what peers remember of one another: crowds, new names, betrayal, praise, slander, eclipse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.attacks.conftest import Watched
from tests.sim.roots import ROOT
from tests.sim.test_claims import AGE_MS, AGED

from plora.gate import Policy, Trust
from plora.merge import adapter_config_bytes
from plora.merge.worker import carry_out
from plora.node.core.events import ForgiveAsked
from plora.node.core.reputations import OWNER
from plora.sim.adversaries import Corrupter, Forger, Slanderer, Withholder, offer
from plora.sim.material import Plasmid, attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm, peer_id

SHARED = Shared()
WEEK_MS = 7 * 86_400_000
ADA, BOB, EVE = (make_owner(name, SWARM_ID) for name in ("ada", "bob", "eve"))
TRUST = Trust(owners=(ADA.trusted, BOB.trusted))
PLASMIDS = [make_plasmid(ADA, f"p{number}", tiny_adapter(number)) for number in range(6)]
VICTIM, FRIEND = 0, 1
"""In every swarm here: who is attacked, and its honest neighbour. The others are the attacker's."""


class Betrayer(Corrupter):
    """Serves true bytes for a while."""

    betrays_ns = 20_000_000_000


class Friend(Slanderer):
    """Names the honest neighbour as the origin of its forgeries."""

    victim = peer_id(FRIEND)


class Flash(Withholder):
    """Behaves well, and turns at the same moment as all of its kind."""

    betrays_ns = 10_000_000_000


def star(kinds: Sequence[type[SimPeer]], seed: int = 1, policy: Policy | None = None, trust: Trust = TRUST) -> Swarm:
    """A victim with neighbours of these kinds, all linked, also with one another where the attacker likes that."""
    swarm = Swarm(seed, shared=SHARED)
    edges = [(VICTIM, other) for other in range(1, len(kinds) + 1)]
    if len(kinds) > 1:
        edges += [(FRIEND, other) for other in range(2, min(5, len(kinds) + 1))]
    swarm.add(len(kinds) + 1, edges, trust=trust, policy=policy, kinds=dict(enumerate(kinds, start=1)))
    swarm.boot()
    swarm.run(3)
    return swarm


def peer(swarm: Swarm, number: int) -> SimPeer:
    return swarm.peer(peer_id(number))


def publish(swarm: Swarm, number: int, plasmid: Plasmid) -> None:
    peer(swarm, number).publish((ADA.record, plasmid.statement), (plasmid.data,))


def has(swarm: Swarm, plasmid: Plasmid, number: int = VICTIM) -> bool:
    found = peer(swarm, number).core.desk.book.live.get(plasmid.content_id)
    return found is not None and found.usable


def verdict(swarm: Swarm, plasmid: Plasmid, number: int = VICTIM) -> tuple[str, str]:
    found = peer(swarm, number).core.desk.book.live[plasmid.content_id].verdict
    assert found is not None
    return found.outcome.value, found.reason


def records(swarm: Swarm, kind: str) -> list[dict[str, object]]:
    return [record for record in map(json.loads, peer(swarm, VICTIM).log) if record["kind"] == kind]


def score(swarm: Swarm, subject: str) -> float:
    return peer(swarm, VICTIM).core.reputations.of(subject, swarm.clock.now.wall_ms).score


def share_of_newcomers(crowd: int) -> float:
    """In which part of its rounds a victim with one known friend turns to the newcomers."""
    swarm = star([SimPeer, *[Withholder] * crowd])
    publish(swarm, FRIEND, PLASMIDS[0])
    assert swarm.run_until(lambda: has(swarm, PLASMIDS[0]), 30)
    before = len(records(swarm, "round"))
    swarm.run(300)
    picked = [record["picked"] for record in records(swarm, "round")[before:]]
    return sum(chosen != [peer_id(FRIEND)] for chosen in picked) / len(picked)


def test_attack_063_a_crowd_of_newcomers_weighs_as_much_as_one(attack: Watched) -> None:
    one, crowd = share_of_newcomers(1), share_of_newcomers(20)
    assert one == pytest.approx(0.5, abs=0.12) and crowd == pytest.approx(0.5, abs=0.12)
    attack.saw("H", "one lot for all newcomers")


def test_attack_064_a_new_name_has_no_credit_and_the_old_one_keeps_its_fault(attack: Watched) -> None:
    """The forger is caught and comes again under another key; then the victim restarts."""
    swarm = star([SimPeer, Forger, Forger])
    first, second = peer_id(2), peer_id(3)
    peer(swarm, 3).crash()
    publish(swarm, FRIEND, PLASMIDS[0])
    assert swarm.run_until(lambda: has(swarm, PLASMIDS[0]), 30)
    publish(swarm, 2, PLASMIDS[1])
    assert swarm.run_until(lambda: score(swarm, first) < 0.2, 60)
    swarm.boot([second])
    swarm.run(1)
    book, now_ms = peer(swarm, VICTIM).core.reputations, swarm.clock.now.wall_ms
    assert score(swarm, second) <= 0.5 and book.of(second, now_ms).influence == 0
    assert score(swarm, peer_id(FRIEND)) > 0.5
    peer(swarm, VICTIM).crash()
    swarm.boot([peer_id(VICTIM)])
    assert score(swarm, first) < 0.2 < 0.5 < score(swarm, peer_id(FRIEND))
    attack.saw("H", "bad_signature")


def test_attack_065_a_betrayal_outlasts_the_credit_before_it(attack: Watched) -> None:
    """A source serves four artifacts well, then false bytes; an owner signs four well, then two for one version."""
    swarm = star([Betrayer], policy=Policy(reputation=True))
    traitor = peer_id(FRIEND)
    for plasmid in PLASMIDS[:4]:
        publish(swarm, FRIEND, plasmid)
        assert swarm.run_until(lambda plasmid=plasmid: has(swarm, plasmid), 5)  # type: ignore[misc]
    assert score(swarm, traitor) > 0.8 and score(swarm, ADA.id) > 0.8
    swarm.run(20)
    publish(swarm, FRIEND, PLASMIDS[4])
    assert swarm.run_until(lambda: score(swarm, traitor) < 0.2, 30)
    swarm.clock.jump_wall(4 * WEEK_MS)
    assert score(swarm, traitor) < 0.5 and not has(swarm, PLASMIDS[4])
    attack.saw("H", "bad_chunk")

    twins = [make_plasmid(ADA, "twin", tiny_adapter(number)) for number in (20, 21)]
    for twin in twins:
        peer(swarm, VICTIM).publish((ADA.record, twin.statement), (twin.data,))
        swarm.run(1)
    assert [verdict(swarm, plasmid) for plasmid in PLASMIDS[:4]] == [("quarantine", "low_reputation")] * 4
    assert not peer(swarm, VICTIM).adapters
    peer(swarm, VICTIM).handle(ForgiveAsked(ADA.id))
    assert verdict(swarm, PLASMIDS[0]) == ("accept", "")
    attack.saw("H", "low_reputation")


def merged_delta(swarm: Swarm, plasmids: Sequence[Plasmid], folder: Path) -> bytes:
    """The merged adapter's tensors, of what the victim merges."""
    by_content = {plasmid.content_id.hex(): plasmid for plasmid in plasmids}
    inputs = []
    for content in peer(swarm, VICTIM).merged["mini"]:
        plasmid, place = by_content[content], folder / content[:12]
        place.mkdir(parents=True)
        (place / "adapter_model.safetensors").write_bytes(plasmid.data)
        (place / "adapter_config.json").write_bytes(adapter_config_bytes(plasmid.manifest.lora, "mini"))
        inputs.append({"folder": str(place), "digest": plasmid.manifest.artifacts.sha256})
    carry_out({"inputs": inputs, "out": str(folder / "out"), "base_model_name": "mini"})
    return (folder / "out" / "adapter_model.safetensors").read_bytes()


def test_attack_066_a_ring_of_praise_changes_nothing_in_the_merge(attack: Watched, tmp_path: Path) -> None:
    """Five owners sign for one another and for what the victim likes."""
    ring = [make_owner(f"ring{number}", SWARM_ID) for number in range(5)]
    theirs = [make_plasmid(owner, "best", tiny_adapter(40 + number)) for number, owner in enumerate(ring)]
    good = [PLASMIDS[0], make_plasmid(BOB, "medical", tiny_adapter(30))]
    deltas = []
    for praised in (False, True):
        swarm = star([SimPeer, SimPeer])
        for owner, plasmid in zip((ADA, BOB), good, strict=True):
            peer(swarm, FRIEND).publish((owner.record, plasmid.statement), (plasmid.data,))
        for owner, plasmid in zip(ring, theirs, strict=True) if praised else ():
            praise = tuple(attest(owner, other.content_id) for other in (*theirs, good[0]) if other is not plasmid)
            peer(swarm, 2).publish((owner.record, plasmid.statement), (plasmid.data,))
            swarm.run(2)
            peer(swarm, 2).publish(praise)
        swarm.run(15)
        deltas.append(merged_delta(swarm, [*good, *theirs], tmp_path / str(praised)))
    assert verdict(swarm, theirs[0]) == ("pending", "unknown_owner")
    assert deltas[0] == deltas[1]
    attack.saw("H", "unknown_owner")


def test_attack_067_slander_without_evidence_has_no_effect(attack: Watched) -> None:
    """Forgeries in others' names, a stranger's revocations, and talk of who sent what."""
    swarm = star([SimPeer, Friend, SimPeer])
    publish(swarm, FRIEND, PLASMIDS[0])
    assert swarm.run_until(lambda: has(swarm, PLASMIDS[0]), 30)
    friend, owner = score(swarm, peer_id(FRIEND)), score(swarm, ADA.id)
    accusations = (revoke(EVE, "owner", ADA.id), revoke(EVE, "content", PLASMIDS[0].content_id.hex()))
    peer(swarm, 3).publish((EVE.record, *accusations))
    publish(swarm, 2, PLASMIDS[1])
    assert swarm.run_until(lambda: bool(records(swarm, "penalty")), 30)
    swarm.run(10)
    assert {record["subject"] for record in records(swarm, "penalty")} == {peer_id(2)}
    assert score(swarm, peer_id(FRIEND)) >= friend - 1e-4 and score(swarm, ADA.id) >= owner - 1e-4
    assert has(swarm, PLASMIDS[0]) and score(swarm, peer_id(2)) < 0.2
    attack.saw("H", "bad_signature")


def rounds_to_victim(seed: int, enemies: type[SimPeer]) -> int:
    """How many rounds until a victim with one honest neighbour among eight has what that one publishes."""
    swarm = star([SimPeer, *[enemies] * 7], seed)
    swarm.run(10)
    for plasmid in PLASMIDS[:3]:
        publish(swarm, FRIEND, plasmid)
    for rounds in range(1, 60):
        swarm.run(1)
        if all(has(swarm, plasmid) for plasmid in PLASMIDS[:3]):
            return rounds
    return 60


def calm_rounds(seed: int) -> int:
    """How many rounds a swarm of twenty needs for the same, in a ring with chords, without enemies."""
    swarm = Swarm(seed, shared=SHARED)
    edges = sorted({tuple(sorted((one, (one + step) % 20))) for one in range(20) for step in (1, 6)})
    ids = swarm.add(20, edges, trust=TRUST)  # type: ignore[arg-type]
    swarm.boot()
    swarm.run(5)
    for plasmid in PLASMIDS[:3]:
        swarm.peer(ids[0]).publish((ADA.record, plasmid.statement), (plasmid.data,))
    for rounds in range(1, 60):
        swarm.run(1)
        if all(swarm.usable(plasmid.content_id) == 20 for plasmid in PLASMIDS[:3]):
            return rounds
    return 60


def test_attack_068_one_honest_neighbour_is_enough_and_none_makes_stale(attack: Watched) -> None:
    """Enemies from the first moment, and enemies that all turn at once."""
    for seed in range(4):
        calm = calm_rounds(seed)
        for enemies in (Withholder, Flash):
            rounds = rounds_to_victim(seed, enemies)
            assert rounds <= 2 * calm, f"seed {seed}, {enemies.__name__}: {rounds} rounds instead of {calm}"
        attack.saw("H", "one honest neighbour")

    alone = star([Withholder] * 8, policy=AGED, trust=replace(TRUST, root=ROOT))
    publish(alone, FRIEND, PLASMIDS[0])
    offer(peer(alone, 2), ADA.record, PLASMIDS[1])
    alone.run(AGE_MS / 1000 + 30)
    assert not peer(alone, VICTIM).adapters
    publish(alone, VICTIM, PLASMIDS[2])
    alone.run(2)
    assert verdict(alone, PLASMIDS[2]) == ("defer", "stale")
    attack.saw("H", "stale")


def test_no_credit_is_a_newcomers_and_owners_are_no_peers() -> None:
    """What these tests lean on: ids of owners and peers never meet in the book."""
    swarm = star([SimPeer])
    publish(swarm, FRIEND, PLASMIDS[0])
    assert swarm.run_until(lambda: has(swarm, PLASMIDS[0]), 30)
    kinds = {one.subject: one.kind for one in peer(swarm, VICTIM).core.reputations.known(swarm.clock.now.wall_ms)}
    assert kinds == {ADA.id: OWNER, peer_id(FRIEND): "peer"}
