"""A core that lacks a guard breaks an invariant, in a situation in which one that has it breaks none."""

from __future__ import annotations

import pytest
from tests.sim.mutants import MUTANTS

from plora.gate import Trust
from plora.node.core.config import Bounds, CoreConfig
from plora.sim.adversaries import Corrupter, Forger
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import complete
from plora.sim.watcher import watch

ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
JUNK = make_plasmid(ADA, "junk", tiny_adapter(7, rank=2))
STRANGERS = [make_owner(f"stranger-{number}", SWARM_ID) for number in range(4)]
SHARED = Shared()
HONEST, LIAR = 3, 3
ADVERSARIES: dict[str, type[SimPeer]] = {"signatures": Forger, "chunk hashes": Corrupter}
BROKEN = {
    "signatures": "only signed statements enter",
    "verdicts": "only what the gate accepts is shown",
    "durability": "nothing is sent before it is durable",
    "bounds": "bounds are kept",
    "facts": "the audit holds",
    "chunk hashes": "no false chunk is kept",
}


def broken_by(guard: str, kind: type[SimPeer]) -> set[str]:
    """Which invariants break among three peers of a kind who know each other and one who breaks rules."""
    swarm = Swarm(1, shared=SHARED)
    template = CoreConfig(peer="", swarm=SWARM_ID, boot="", eager_fanout=2, bounds=Bounds(untrusted_owners=2))
    kinds = {**dict.fromkeys(range(HONEST), kind), LIAR: ADVERSARIES.get(guard, SimPeer)}
    ids = swarm.add(HONEST + 1, complete(HONEST + 1), trust=Trust((ADA.trusted,)), template=template, kinds=kinds)
    watcher = watch(swarm, honest=ids[:HONEST])
    swarm.boot()
    swarm.run(3)
    publisher = swarm.peer(ids[LIAR if guard in ADVERSARIES else 0])
    for plasmid in (LEGAL, JUNK):
        publisher.publish((ADA.record, plasmid.statement), (plasmid.data,))
    publisher.publish(tuple(owner.record for owner in STRANGERS))
    for _ in range(8):
        swarm.run(1)
        watcher.after_round()
    return {one.invariant for one in watcher.broken}


@pytest.mark.parametrize("guard", sorted(BROKEN))
def test_a_core_without_a_guard_is_found_out_and_one_with_it_is_not(guard: str) -> None:
    assert broken_by(guard, SimPeer) == set()
    assert BROKEN[guard] in broken_by(guard, MUTANTS[guard])
