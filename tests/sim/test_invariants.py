"""What always holds, holds on honest swarms through kills and power cuts, and a core without a guard is found out."""

from __future__ import annotations

from random import Random

import pytest

from plora.gate import Trust
from plora.node.core.effects import Emit
from plora.proto.records import Penalty
from plora.sim.invariants import nobody_honest_is_blamed
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring
from plora.sim.watcher import Watcher, watch
from plora.sim.world import Look, Memory

OWNERS = [make_owner(name, SWARM_ID) for name in ("ada", "bob", "cyd")]
TRUST = Trust(owners=tuple(owner.trusted for owner in OWNERS))
PLASMIDS = [make_plasmid(owner, owner.name, tiny_adapter(number)) for number, owner in enumerate(OWNERS)]
SHARED = Shared()


def small(seed: int) -> tuple[Swarm, list[str], Watcher]:
    """Five honest peers under watch."""
    swarm = Swarm(seed, shared=SHARED)
    ids = swarm.add(5, ring(5), trust=TRUST)
    owners, clean = [owner.id for owner in OWNERS], [plasmid.content_id for plasmid in PLASMIDS]
    watcher = watch(swarm, owners=owners, clean=clean)
    swarm.boot()
    swarm.run(3)
    return swarm, ids, watcher


def pass_rounds(swarm: Swarm, watcher: Watcher, count: int) -> None:
    for _ in range(count):
        swarm.run(1)
        watcher.after_round()


def test_blame_under_any_name_of_an_honest_peer_is_seen() -> None:
    swarm, ids, watcher = small(0)
    peer = swarm.peer(ids[1])
    peer.crash()
    peer.rename("ee" * 32)
    look = Look(swarm.peer(ids[0]), Memory(), watcher.world, peer.now)
    blamed = [name for name in (ids[1], "ee" * 32, "ff" * 32) for _ in nobody_honest_is_blamed(look, blame(name))]
    assert blamed == [ids[1], "ee" * 32]


def blame(name: str) -> Emit:
    return Emit(Penalty(name, "malformed"))


@pytest.mark.parametrize("seed", range(3))
def test_honest_peers_break_nothing_through_kills_and_power_cuts(seed: int) -> None:
    swarm, ids, watcher = small(seed)
    for number, (owner, plasmid) in enumerate(zip(OWNERS, PLASMIDS, strict=True)):
        swarm.peer(ids[number]).publish((owner.record, plasmid.statement), (plasmid.data,))
    pass_rounds(swarm, watcher, 2)
    swarm.peer(ids[3]).crash(Random(seed))
    swarm.peer(ids[1]).crash()
    pass_rounds(swarm, watcher, 2)
    swarm.boot([ids[1], ids[3]])
    pass_rounds(swarm, watcher, 20)
    watcher.at_rest()
    assert watcher.broken == []
    assert all(swarm.usable(plasmid.content_id) == 5 for plasmid in PLASMIDS)
