"""When a peer may say that it has read all that a neighbour holds: never too early, and in the end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from tests.node.gossip.test_convergence import ADA, ADA_OWNER, BEN, BEN_OWNER, DATA, World

from plora.node.core.config import Bounds
from plora.node.core.events import Event, Publish, Start
from plora.node.core.notices import PeerRead
from plora.sim.material import make_plasmid

HELD = [make_plasmid(BEN_OWNER, f"p{number}", DATA).statement for number in range(150)]


class Reading(World):
    """Notes, each time a peer has read the other, how many of the other's statements it lacked just then."""

    def __init__(self, *peers: str, **settings: Any) -> None:
        self.lacked: dict[str, list[int]] = {peer: [] for peer in peers}
        super().__init__(*peers, **settings)

    def tell(self, peer: str, event: Event) -> list[Any]:
        outputs = super().tell(peer, event)
        for output in outputs:
            if isinstance(output, PeerRead):
                here, there = self.cores[peer].seen, self.cores[output.peer].seen
                self.lacked[peer].append(sum(here.lacks(entry.id) for entry in there.entries()))
        return outputs


def filled(count: int, **settings: Any) -> Reading:
    """ben holds statements before ada comes; both have started."""
    world = Reading(ADA, BEN, **settings)
    world.tell(BEN, Start())
    world.tell(BEN, Publish((BEN_OWNER.record, *HELD[:count])))
    world.tell(BEN, Publish((ADA_OWNER.record,)))
    world.tell(ADA, Start())
    world.deliver()
    return world


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [0, 1, 20, 150])
def test_what_was_read_is_held(seed: int, count: int) -> None:
    world = filled(count, chaos=Random(seed), loss=0.1)
    world.run(60_000)
    assert world.lacked[ADA] and not any(world.lacked[ADA])
    assert world.lacked[BEN] and not any(world.lacked[BEN])


def test_what_cant_be_stored_is_not_read() -> None:
    world = filled(5)
    world.failing[ADA] = "the disk is full"
    world.run(20_000)
    assert not world.lacked[ADA] and world.lacked[BEN]
    del world.failing[ADA]
    world.run(20_000)
    assert world.lacked[ADA] and not any(world.lacked[ADA])


def test_what_is_refused_for_good_keeps_nobody_from_reading() -> None:
    world = filled(20, bounds=Bounds(statements_per_owner=3))
    world.cores[BEN].seen.limit(Bounds())
    world.tell(BEN, Publish(tuple(HELD[:20])))
    world.run(20_000)
    assert len(world.cores[ADA].seen) < len(world.cores[BEN].seen)
    assert world.lacked[ADA] and not any(world.lacked[ADA])
