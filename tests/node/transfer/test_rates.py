"""Rates: who is left out of them, that downloads keep to theirs, and one-way calls in the same queues."""

from __future__ import annotations

import pytest

from plora.gate import Trust
from plora.node.core.config import Bounds, CoreConfig, Limits
from plora.node.core.effects import Emit, Send, ServeChunk, SetTimer
from plora.node.core.events import (
    CallClosed,
    CallOpened,
    ChunkServed,
    LinkClosed,
    LinkOpened,
    NeighboursChanged,
    Received,
    SettingsChanged,
)
from plora.node.core.messages import Refuse, Want
from plora.node.core.notices import LinkReady, Outputs
from plora.node.core.now import Now
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.core import Transfer
from plora.node.transfer.upload import CALL_MS, caller_of
from plora.proto.records import BoundHit
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.scenario import Links
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

MIB = 1 << 20
DIGEST = "ab" * 32
NOW = Now(10**12, 1)
SLOW = Limits(upload_rate=1000)
ADA = make_owner("ada", SWARM_ID)


def serving(limits: Limits = SLOW, bounds: Bounds | None = None) -> Transfer:
    transfer = Transfer(CoreConfig("ada", "s", "b", limits=limits, bounds=bounds or Bounds()), Snapshot())
    transfer.serve(DIGEST, 10 * MIB, MIB)
    return transfer


def link(transfer: Transfer, peer: str, host: str) -> None:
    transfer.handle(LinkOpened(peer, False, host), NOW)
    transfer.handle(LinkReady(peer), NOW)


def ask(transfer: Transfer, peer: str, *chunks: int) -> list[tuple[str, int]]:
    return turns(transfer.handle(Received(peer, Want(DIGEST, chunks)), NOW))


def turns(outputs: Outputs) -> list[tuple[str, int]]:
    return [(output.peer, output.index) for output in outputs if isinstance(output, ServeChunk)]


def test_the_rate_holds_back_who_is_far_and_nobody_near() -> None:
    transfer = serving()
    link(transfer, "far", "203.0.113.7")
    link(transfer, "near", "192.168.1.7")
    assert ask(transfer, "far", 0, 1) == [("far", 0)]
    assert turns(transfer.handle(ChunkServed("far", DIGEST, 0, MIB), NOW)) == []
    assert ask(transfer, "near", 0, 1) == [("near", 0), ("near", 1)]
    assert ask(transfer, "far", 2) == []
    changed = transfer.handle(SettingsChanged(limits=Limits(upload_rate=1000, lan_exempt=False)), NOW)
    assert turns(changed) == [("far", 1)]
    assert ask(transfer, "near", 2) == []


def test_what_waits_for_the_rate_is_told_once_in_a_while() -> None:
    transfer = serving()
    link(transfer, "far", "203.0.113.7")
    out = [*transfer.handle(Received("far", Want(DIGEST, (0, 1, 2))), NOW)]
    out += transfer.handle(ChunkServed("far", DIGEST, 0, MIB), NOW)
    out += transfer.handle(Received("far", Want(DIGEST, (3,))), NOW)
    assert [one.body for one in out if isinstance(one, Emit)] == [BoundHit("limits.upload_rate", 1000, 2 * MIB)]
    assert len([one for one in out if isinstance(one, SetTimer)]) == 1
    assert transfer.waiting_bytes(DIGEST) == 3 * MIB
    later = Now(NOW.mono_ns + 601 * 10**9, 1)
    again = transfer.handle(Received("far", Want(DIGEST, (4,))), later)
    assert [one for one in again if isinstance(one, Emit)] == [], "the timer that is set already stays"


def test_a_link_that_comes_back_from_elsewhere_counts_as_it_is_now() -> None:
    transfer = serving()
    link(transfer, "bob", "10.0.0.7")
    transfer.handle(LinkClosed("bob", "gone"), NOW)
    link(transfer, "bob", "203.0.113.7")
    assert ask(transfer, "bob", 0, 1, 2) == [("bob", 0)]


@pytest.mark.parametrize("rate", [100_000, 400_000])
def test_the_download_rate_is_kept_whatever_the_line_could_carry(rate: int) -> None:
    swarm = Swarm(1, Links())
    template = CoreConfig(peer="", swarm=SWARM_ID, boot="", limits=Limits(download_rate=rate))
    ids = swarm.add(2, ring(2), trust=Trust(owners=(ADA.trusted,)), template=template)
    swarm.boot()
    swarm.run(2)
    big = make_plasmid(ADA, "big", tiny_adapter(9, width=2048, layers=8))
    size = big.manifest.artifacts.size_bytes
    giver, taker = (swarm.peer(one) for one in ids)
    giver.publish((ADA.record, big.statement), (big.data,))
    digest = big.manifest.artifacts.sha256
    assert swarm.run_until(lambda: bool(taker.core.transfer.progress(swarm.clock.now)), 10)
    began_ns = swarm.clock.mono_ns
    assert swarm.run_until(lambda: digest in taker.core.desk.larder.held, 60)
    seconds = (swarm.clock.mono_ns - began_ns) / 1e9
    assert size / rate * 0.9 < seconds < size / rate * 1.1 + 2


def caller(transfer: Transfer, peer: str, number: int = 0, host: str = "203.0.113.9") -> tuple[str, Outputs]:
    name = caller_of(peer, number)
    return name, transfer.handle(CallOpened(name, host), NOW)


def test_a_one_way_call_waits_its_turn_and_shares_the_rate() -> None:
    transfer = serving()
    link(transfer, "far", "203.0.113.7")
    call, opened = caller(transfer, "eve")
    assert opened == []
    assert ask(transfer, "far", 0, 1) == [("far", 0)]
    assert ask(transfer, call, 0, 1) == [], "the line is busy"
    assert ask(serving(Limits()), call, 0) == [], "a call that was not opened is nobody"


def test_a_peer_has_one_call_and_all_together_their_bound() -> None:
    transfer = serving(bounds=Bounds(callers=2))
    eve, _ = caller(transfer, "eve")
    second, out = caller(transfer, "eve", 1)
    assert out == [Send(second, Refuse("", "busy", 1000))]
    caller(transfer, "fay")
    third, out = caller(transfer, "gil")
    assert out == [Emit(BoundHit("callers", 2, 3)), Send(third, Refuse("", "busy", 1000))]
    transfer.handle(CallClosed(eve), NOW)
    assert caller(transfer, "gil")[1] == []


def test_where_all_calls_are_taken_the_slowest_makes_room_once_it_had_its_time() -> None:
    transfer = serving(Limits(), bounds=Bounds(callers=2))
    (eve, _), (fay, _) = caller(transfer, "eve"), caller(transfer, "fay")
    for call, chunks in ((eve, 1), (fay, 2)):
        for index in range(chunks):
            assert ask(transfer, call, index) == [(call, index)]
            transfer.handle(ChunkServed(call, DIGEST, index, MIB), NOW)
    soon, later = Now(NOW.after_ms(CALL_MS - 1), 1), Now(NOW.after_ms(CALL_MS), 1)
    gil = caller_of("gil", 0)
    assert transfer.handle(CallOpened(gil), soon)[1:] == [Send(gil, Refuse("", "busy", 1000))]
    out = transfer.handle(CallOpened(gil), later)
    assert out == [Emit(BoundHit("callers", 2, 3)), Send(eve, Refuse("", "busy", 1000))]
    assert ask(transfer, eve, 2) == []
    assert ask(transfer, gil, 0) == [(gil, 0)]
    hal = caller_of("hal", 0)
    assert transfer.handle(CallOpened(hal), later)[1:] == [Send(fay, Refuse("", "busy", 1000))], "gil has just begun"


def test_a_call_ends_when_its_peer_is_denied() -> None:
    transfer = serving()
    eve, _ = caller(transfer, "eve")
    fay, _ = caller(transfer, "fay")
    assert transfer.handle(NeighboursChanged((), ("eve", "hal")), NOW) == [Send(eve, Refuse("", "denied"))]
    assert ask(transfer, eve, 0) == []
    assert ask(transfer, fay, 0) == [(fay, 0)]
