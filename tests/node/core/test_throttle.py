"""A member who repeats itself can't fill the event log; what was left out is counted."""

from __future__ import annotations

from collections import Counter

from plora.gate import Trust
from plora.node.core.effects import Emit
from plora.node.core.events import LinkClosed, Received, TimerDue
from plora.node.core.messages import Carried, Push
from plora.node.core.now import Now
from plora.node.core.throttle import PER_SPAN, SPAN_MS, Throttle
from plora.proto.records import BoundHit, Duplicate, Stop, Suppressed
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.scenario import Links
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
LATER = Now(SPAN_MS * 1_000_000, 0)


def test_a_flood_of_known_statements_is_counted_and_not_written() -> None:
    swarm = Swarm(1, Links())
    ids = swarm.add(2, ring(2), trust=Trust(owners=(ADA.trusted,)))
    swarm.boot()
    swarm.run(2)
    victim = swarm.peer(ids[0])
    victim.publish((ADA.record, LEGAL.statement), (LEGAL.data,))
    swarm.run(5)
    flood = Push(tuple(Carried(LEGAL.statement) for _ in range(64)))
    before = len(victim.log)
    for _ in range(1000):
        victim.handle(Received(ids[1], flood))
    assert len(victim.log) - before == PER_SPAN[Duplicate]
    swarm.run(SPAN_MS / 1000 + 2)
    kinds = Counter(line.partition('"kind":"')[2].partition('"')[0] for line in victim.log)
    assert kinds["duplicate"] <= 2 * PER_SPAN[Duplicate] and kinds["suppressed"] == 1
    (line,) = [line for line in victim.log if '"kind":"suppressed"' in line]
    assert f'"count":{64_000 - PER_SPAN[Duplicate]}' in line and f'"subject":"{ids[1]}"' in line


def test_links_and_settings_have_shares_of_their_own() -> None:
    throttle = Throttle()
    frame = Received("bob", Push(()))
    hits: list[Emit] = [Emit(BoundHit(setting, 1, 2)) for setting in ("a", "b") for _ in range(20)]
    assert len(throttle.watch(frame, list(hits), Now(0, 0))) == 2 * PER_SPAN[BoundHit]
    assert len(throttle.watch(Received("eve", Push(())), list(hits), Now(0, 0))) == 2 * PER_SPAN[BoundHit]
    assert throttle.watch(frame, [Emit(Stop("x"))] * 1000, Now(0, 0)) == [Emit(Stop("x"))] * 1000
    told = throttle.watch(LinkClosed("bob", "gone"), [], Now(0, 0))
    assert told == [Emit(Suppressed("bound_hit", setting, 4)) for setting in ("a", "b")]
    assert len(throttle.watch(TimerDue("x"), [], LATER)) == 2
    assert len(throttle.watch(frame, list(hits), LATER)) == 2 * PER_SPAN[BoundHit]
