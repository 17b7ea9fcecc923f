"""The audit of simulated peers: it agrees with the state and with the log wherever the power goes away."""

from __future__ import annotations

import copy

from plora.gate import Policy, Trust
from plora.node.audit.copies import noted_in_statements
from plora.node.audit.verify import Note, entries_of, faults_of
from plora.node.core.events import PolicyChanged
from plora.proto.record_lines import record_from_line
from plora.sim.material import make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
TRUST = Trust(owners=(ADA.trusted,))
SHARED = Shared()


def pair() -> tuple[Swarm, SimPeer, SimPeer]:
    swarm = Swarm(1, shared=SHARED)
    ids = swarm.add(2, ring(2), trust=TRUST)
    swarm.boot()
    return swarm, swarm.peer(ids[0]), swarm.peer(ids[1])


def notes(peer: SimPeer) -> list[Note]:
    """The heads in the peer's log."""
    bodies = (record_from_line(line).body for line in peer.log if '"kind":"audited"' in line)
    return [Note(body.entry, body.head, "the log") for body in bodies]  # type: ignore[attr-defined]


def told(peer: SimPeer) -> list[str]:
    return [entry.fact.what for entry in entries_of(peer.store.audit())]


def live(swarm: Swarm, giver: SimPeer) -> None:
    """An adapter comes, is accepted, merged, and revoked."""
    giver.publish((ADA.record, LEGAL.statement), (LEGAL.data,))
    swarm.run(6)
    if giver.up:
        giver.publish((revoke(ADA, "content", LEGAL.content_id.hex()),))
    swarm.run(6)


def test_what_a_peer_decides_is_in_its_audit() -> None:
    swarm, giver, taker = pair()
    swarm.run(2)
    live(swarm, giver)
    taker.handle(PolicyChanged(Policy(), Trust()))
    swarm.run(1)
    assert {"begun", "trust", "policy", "floor", "verdict", "standing", "merge", "revocation"} == set(told(taker))
    verdicts = [one.fact.says["outcome"] for one in entries_of(taker.store.audit()) if one.fact.what == "verdict"]
    assert verdicts.index("accept") < len(verdicts) - 1 - verdicts[::-1].index("reject")
    assert faults_of(taker.store.audit(), notes(taker)) == []
    assert notes(taker)[-1].seq == taker.store.audit().ends.head.seq


def test_trust_that_changed_while_the_peer_was_away_is_told_at_the_start() -> None:
    swarm, _, taker = pair()
    swarm.run(1)
    taker.stop()
    taker.boot()
    swarm.run(1)
    assert told(taker).count("trust") == 1
    taker.stop()
    taker.trust = Trust()
    taker.boot()
    swarm.run(1)
    assert told(taker).count("trust") == 2


def test_a_power_cut_at_any_operation_leaves_audit_state_and_log_in_agreement() -> None:
    operation, crashed = 0, True
    while crashed:
        operation += 1
        swarm, giver, taker = pair()
        taker.disk.cut_power_at(taker.disk.operations + operation)
        live(swarm, giver)
        crashed = not taker.up
        if crashed:
            taker.boot()
            assert faults_of(taker.store.audit(), notes(taker)) == [], operation
            swarm.run(12)
        assert faults_of(taker.store.audit(), notes(taker)) == [], operation
        assert told(taker)[0] == "begun" and "revocation" in told(taker), operation
    assert operation > 10


def test_a_disk_that_goes_back_is_shown_by_what_was_noted_before() -> None:
    swarm, giver, taker = pair()
    swarm.run(2)
    before = copy.deepcopy(taker.disk)
    live(swarm, giver)
    taker.crash()
    taker.disk = before
    taker.boot()
    said = [fault.what for fault in faults_of(taker.store.audit(), notes(taker))]
    assert len(said) == 1 and said[0].startswith("cut at the tail: ")
    assert list(noted_in_statements(taker.disk.rows("statements"))) == []
