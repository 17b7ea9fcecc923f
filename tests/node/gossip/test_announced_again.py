"""A source that refused for a while and announces its bytes again is asked again."""

from __future__ import annotations

from plora.node.core.config import CoreConfig
from plora.node.core.events import LinkOpened, Received, Start
from plora.node.core.messages import WIRE_VERSION, Hello, IHave, Welcome
from plora.node.core.notices import Notice, SourceFound
from plora.node.core.now import Now
from plora.node.core.streams import Streams
from plora.node.gossip.core import Gossip
from plora.node.store.snapshot import Snapshot
from plora.sim.clock import WALL_START_MS

ME, SOURCE = "aa" * 32, "bb" * 32
SWARM = "ab" * 32
CONTENT = bytes(32)
NOW = Now(1, WALL_START_MS)
HELLO = Hello((WIRE_VERSION,), (), SWARM, "cd" * 16, NOW.epoch_day)


def test_every_announcement_is_passed_on() -> None:
    config = CoreConfig(peer=ME, swarm=SWARM, boot="1")
    gossip = Gossip(config, Snapshot(), Streams(1, ME))
    for event in (Start(), LinkOpened(SOURCE, True), Received(SOURCE, HELLO), Received(SOURCE, Welcome(WIRE_VERSION))):
        gossip.handle(event, NOW)
    for _ in range(2):
        out = gossip.handle(Received(SOURCE, IHave((CONTENT,))), NOW)
        assert [one for one in out if isinstance(one, Notice)] == [SourceFound(SOURCE, CONTENT)]
