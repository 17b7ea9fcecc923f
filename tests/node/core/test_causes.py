"""Causes: records are numbered as the log numbers them, and statements that leave name theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plora.gate import Policy, Trust
from plora.node.core.causes import Causes
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Effect, Emit, Persist, Send
from plora.node.core.events import LinkOpened, Noted, Persisted, Received, Start
from plora.node.core.messages import WIRE_VERSION, Carried, Cause, Goodbye, Have, Hello, Push, Welcome
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.proto.records import ErrorMet, StatementSeen
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

PEER, OTHER = "aa" * 32, "bb" * 32
ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
NOTE = Emit(ErrorMet("x"))


def seen(statement_id: bytes) -> Emit:
    return Emit(StatementSeen(statement_id.hex(), "manifest", OTHER, "push", 1))


def test_statements_that_leave_name_the_record_by_which_they_became_known() -> None:
    causes = Causes(PEER, "b1")
    relayed = Carried(LEGAL.statement, 1, Cause(OTHER, "b2", 9))
    old = Carried(ADA.record, 0, Cause(OTHER, "b2", 8))
    goodbye = Send(OTHER, Goodbye("done"))
    effects: list[Effect] = [NOTE, seen(LEGAL.content_id), NOTE, Send(OTHER, Push((relayed, old))), goodbye]
    out = causes.number(effects)
    here = Carried(LEGAL.statement, 1, Cause(PEER, "b1", 1))
    assert out == [*effects[:3], Send(OTHER, Push((here, Carried(ADA.record)))), goodbye]
    assert causes.number([Send(OTHER, Have((relayed,)))]) == [Send(OTHER, Have((here,)))]
    causes.number([seen(ADA.record.id)])
    assert causes.of(ADA.record.id) == Cause(PEER, "b1", 3)
    causes.forget([LEGAL.content_id, b"unknown"])
    assert causes.of(LEGAL.content_id) is None


def test_what_the_driver_notes_is_emitted_and_counts() -> None:
    core = PeerCore(CoreConfig(peer=PEER, swarm=SWARM_ID, boot="1"), Policy(), Trust(), Snapshot())
    now = Now(0, 0)
    core.handle(Start(), now)
    assert core.handle(Noted(NOTE.body), now) == [NOTE]


@pytest.mark.parametrize("claimed", [OTHER, "cc" * 32])
def test_only_the_senders_own_records_are_believed_to_be_causes(claimed: str) -> None:
    core = PeerCore(CoreConfig(peer=PEER, swarm=SWARM_ID, boot="1"), Policy(), Trust(), Snapshot())
    now = Now(0, WALL_START_MS)
    hello = Hello((WIRE_VERSION,), (), SWARM_ID, "2", now.epoch_day)
    cause = Cause(claimed, "2", 5)
    came = Received(OTHER, Have((Carried(ADA.record, 0, cause),)))
    for event in (
        Start(),
        LinkOpened(OTHER, dialed=True),
        Received(OTHER, hello),
        Received(OTHER, Welcome(WIRE_VERSION)),
    ):
        core.handle(event, now)
    (persist,) = [effect for effect in core.handle(came, now) if isinstance(effect, Persist)]
    effects = [*core.handle(Persisted(persist.token), now), *core.handle(came, now)]
    found = {effect.body.kind: effect.cause for effect in effects if isinstance(effect, Emit)}
    believed = cause if claimed == OTHER else None
    assert (found["statement_seen"], found["duplicate"]) == (believed, believed)


def records(peer: SimPeer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in peer.log]


def test_every_path_can_be_walked_back_to_who_published() -> None:
    swarm = Swarm(3, Links(loss=0.1, duplication=0.2), shared=Shared())
    ids = swarm.add(6, ring(6))
    swarm.boot()
    swarm.run(2)
    swarm.peer(ids[0]).publish((ADA.record, LEGAL.statement))
    assert swarm.run_until(lambda: swarm.agree(2), 60)
    logs = {name: records(swarm.peer(name)) for name in ids}
    name = LEGAL.content_id.hex()
    for peer in ids:
        (record,) = [one for one in logs[peer] if one["kind"] == "statement_seen" and one["id"] == name]
        while record["cause"] is not None:
            cause = record["cause"]
            assert (cause["peer"], cause["boot"]) == (record["from"], "00000001")
            before = logs[cause["peer"]][cause["seq"]]
            assert (before["kind"], before["id"]) == ("statement_seen", name)
            assert before["hops"] == record["hops"] - 1
            record = before
        assert (record["peer"], record["via"]) == (ids[0], "publish")


def test_after_a_restart_the_sender_knows_no_cause_but_the_receiver_says_from_whom() -> None:
    swarm = Swarm(3, shared=Shared())
    ids = swarm.add(2, ring(2))
    swarm.boot(ids[:1])
    swarm.peer(ids[0]).publish((ADA.record,))
    swarm.run(1)
    swarm.peer(ids[0]).crash()
    swarm.boot()
    assert swarm.run_until(lambda: swarm.agree(1), 30)
    (record,) = [one for one in records(swarm.peer(ids[1])) if one["kind"] == "statement_seen"]
    assert (record["cause"], record["from"]) == (None, ids[0])
