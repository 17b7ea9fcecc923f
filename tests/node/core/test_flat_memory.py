"""Thousands of strangers: what they make a peer keep is bounded, and whom it trusts it keeps."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from plora.gate import Policy, Trust
from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.effects import Persist
from plora.node.core.events import Event, LinkClosed, LinkOpened, Misbehaved, Persisted, Received, Start, TimerDue
from plora.node.core.messages import Carried, Chunk, Have, Hello, IHave, PeerAddress, Peers, Welcome
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.swarm import SWARM_ID

pytestmark = pytest.mark.slow
STRANGERS = pytest.mark.parametrize(
    "strangers", [2_400, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(600)])]
)
EACH_MAX = 160
"""Bytes by which a stranger of the second half may make the core grow: less than an id and its place in a table take
(over 200). Tables at their bounds that are laid out anew make up to 110."""
BOUNDS = Bounds(refused_ids=1024, reputations=1024, untrusted_owners=100)
CONFIG = CoreConfig(peer="ee" * 32, swarm=SWARM_ID, boot="1", bounds=BOUNDS, exchange=True)
ADA = make_owner("ada", SWARM_ID)
FORGED = make_plasmid(ADA, "legal", tiny_adapter(1)).statement
FORGED = replace(FORGED, signature=bytes(64))


class World:
    """A core, time that passes with every event, and a disk that takes everything."""

    def __init__(self) -> None:
        self.core = PeerCore(CONFIG, Policy(), Trust(owners=(ADA.trusted,)), Snapshot())
        self.ms = 0
        self.tell(Start())

    def tell(self, *events: Event) -> None:
        queue = list(events)
        while queue:
            self.ms += 1
            for effect in self.core.handle(queue.pop(0), Now(self.ms * 1_000_000, WALL_START_MS + self.ms)):
                if isinstance(effect, Persist):
                    queue.append(Persisted(effect.token))

    def greet(self, peer: str) -> None:
        day = WALL_START_MS // 86_400_000
        self.tell(LinkOpened(peer, False, "192.0.2.1", 4700), Received(peer, Hello((1,), (), SWARM_ID, "2", day)))
        self.tell(Received(peer, Welcome(1)))


def stranger(number: int) -> str:
    return hashlib.sha256(b"stranger %d" % number).hexdigest()


def growth(world: World, act: Callable[[int], None], strangers: int) -> Iterator[float]:
    """By how many bytes a stranger the process grew, in each half of their visits."""
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        half = strangers // 2
        for number in range(strangers):
            act(number)
            if number % half == half - 1:
                world.tell(TimerDue("gossip:beat"))
                gc.collect()
                now = tracemalloc.get_traced_memory()[0]
                yield (now - before) / half
                before = now
    finally:
        tracemalloc.stop()


@STRANGERS
def test_peers_that_misbehave_leave_no_more_than_the_bounds(strangers: int) -> None:
    """Each comes with an identity of its own, says something false or too much, and is gone."""
    world = World()

    def visit(number: int) -> None:
        peer = stranger(number)
        world.greet(peer)
        world.tell(Received(peer, IHave((hashlib.sha256(peer.encode()).digest(),))))
        world.tell(Received(peer, Peers((PeerAddress(stranger(number + strangers), ("198.51.100.7:4700",)),))))
        match number % 3:
            case 0:
                world.tell(Received(peer, Chunk("77" * 32, 0, b"x" * 100)))
            case 1:
                world.tell(Received(peer, Have((Carried(FORGED),))))
            case _:
                world.tell(Misbehaved(peer, "malformed frame"))
        world.tell(LinkClosed(peer, "gone"))

    world.greet("aa" * 32)
    world.tell(Received("aa" * 32, Have((Carried(ADA.record),))))
    _, second = growth(world, visit, strangers)
    assert second < EACH_MAX
    assert len(world.core.reputations) <= BOUNDS.reputations + 1


@STRANGERS
def test_owners_leave_no_more_than_the_bounds_and_the_trusted_one_is_heard(strangers: int) -> None:
    world, neighbour = World(), "aa" * 32
    world.greet(neighbour)

    def publish(number: int) -> None:
        record = make_owner(f"stranger-{number}", SWARM_ID).record
        world.tell(Received(neighbour, Have((Carried(record),))))

    _, second = growth(world, publish, strangers)
    assert second < EACH_MAX
    assert world.core.gossip.seen.strangers == BOUNDS.untrusted_owners
    world.tell(Received(neighbour, Have((Carried(ADA.record),))))
    assert ADA.record.id in world.core.gossip.seen
