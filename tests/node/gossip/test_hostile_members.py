"""What a member may say to do harm: numbers at their limit, and frames before the greeting is over."""

from __future__ import annotations

from typing import Any

import pytest

from plora.node.core.config import CoreConfig
from plora.node.core.effects import Emit, Persist, Send
from plora.node.core.events import LinkOpened, Persisted, Publish, Received, Start
from plora.node.core.messages import (
    WIRE_VERSION,
    Carried,
    DialBack,
    Have,
    Heartbeat,
    Hello,
    IHave,
    IWant,
    Push,
    Reconcile,
    Welcome,
)
from plora.node.core.now import Now
from plora.node.core.streams import Streams
from plora.node.gossip.core import Gossip
from plora.node.gossip.reconcile import open_ranges
from plora.node.store.snapshot import Snapshot
from plora.node.transport.codec import decode_session, encode
from plora.proto.errors import ProtocolError
from plora.proto.records import StatementSeen
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner

ME, ADA, BEN = "5" * 64, "a" * 64, "b" * 64
SWARM = "ab" * 32
NOW = Now(0, WALL_START_MS)
OWNER = make_owner("ada", SWARM)
HELLO = Hello((WIRE_VERSION,), (), SWARM, "11" * 16, NOW.epoch_day)


def tell(core: Gossip, *events: Any) -> list[Any]:
    return [output for event in events for output in core.handle(event, NOW)]


def listening() -> Gossip:
    core = Gossip(CoreConfig(peer=ME, swarm=SWARM, boot="00" * 16), Snapshot(), Streams(1, ME))
    tell(core, Start())
    return core


def greet(core: Gossip, peer: str) -> None:
    tell(core, LinkOpened(peer, False), Received(peer, HELLO), Received(peer, Welcome(WIRE_VERSION)))


def test_a_number_of_hops_at_its_limit_travels_on() -> None:
    core = listening()
    greet(core, ADA)
    greet(core, BEN)
    taken = tell(core, Received(ADA, Push((Carried(OWNER.record, 2**32 - 1),))))
    tell(core, *(Persisted(output.token) for output in taken if isinstance(output, Persist)))
    answer = tell(core, Received(BEN, IWant((OWNER.record.id,))))
    (sent,) = [output.message for output in answer if isinstance(output, Send)]
    assert isinstance(sent, Have)
    assert decode_session(encode(sent)) == sent
    assert [item.statement for item in sent.items] == [OWNER.record]


def test_a_statement_is_told_together_with_who_brought_it() -> None:
    core = listening()
    greet(core, ADA)
    ben = make_owner("ben", SWARM)
    told = []
    for event in (Received(ADA, Push((Carried(OWNER.record, 0),))), Publish((ben.record,))):
        taken = tell(core, event)
        outputs = tell(core, *(Persisted(output.token) for output in taken if isinstance(output, Persist)))
        told += [output.body for output in outputs if isinstance(output, Emit)]
    assert [(body.id, body.from_) for body in told if isinstance(body, StatementSeen)] == [
        (OWNER.record.id.hex(), ADA),
        (ben.record.id.hex(), ME),
    ]


@pytest.mark.parametrize(
    "early",
    [
        IHave((bytes(32),)),
        IWant((OWNER.record.id,)),
        Reconcile(1, open_ranges(listening().seen.view(NOW.epoch_day))),
        Push((Carried(OWNER.record, 0),)),
        DialBack(1),
    ],
    ids=lambda early: type(early).__name__,
)
def test_who_never_answers_the_greeting_has_nothing_kept_for_them(early: Any) -> None:
    core = listening()
    tell(core, LinkOpened(ADA, False), Received(ADA, HELLO))
    assert tell(core, Received(ADA, early)) == []


def test_a_clock_beyond_all_numbers_is_no_heartbeat() -> None:
    beat = Heartbeat(0, bytes(16), 0, 2**64 - 1)
    with pytest.raises(ProtocolError, match="clock"):
        decode_session(encode(beat))
