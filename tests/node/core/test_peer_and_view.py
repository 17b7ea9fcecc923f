"""The composed core: who hears what, and what people see of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from plora.gate import Policy, Trust
from plora.node.core import view
from plora.node.core.config import CoreConfig, Limits, Subscription
from plora.node.core.effects import Emit, Persist, SetTimer
from plora.node.core.events import (
    FetchAsked,
    LinkOpened,
    Persisted,
    PersistFailed,
    PolicyChanged,
    Publish,
    Received,
    Start,
    TimerDue,
)
from plora.node.core.messages import PeerAddress, Refuse, Want
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import UsageError
from plora.sim.clock import WALL_START_MS
from plora.sim.material import Plasmid, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

ADA, BOB = make_owner("ada", SWARM_ID), make_owner("bob", SWARM_ID)
TRUST = Trust(owners=(ADA.trusted,))
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
BIG = make_plasmid(ADA, "big", tiny_adapter(9, width=2048, layers=4))
STRANGE = make_plasmid(BOB, "strange", tiny_adapter(2))
SHARED = Shared()
NOW = Now(0, WALL_START_MS)
CONFIG = CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="1")


def core() -> PeerCore:
    made = PeerCore(CONFIG, Policy(), TRUST, Snapshot())
    made.handle(Start(), NOW)
    return made


def test_answers_to_transactions_find_the_part_that_asked() -> None:
    made = core()
    (first,) = [e for e in made.handle(Publish((ADA.record, LEGAL.statement)), NOW) if isinstance(e, Persist)]
    assert {row.table for row in first.rows} == {"statements"}
    (second,) = [e for e in made.handle(Persisted(first.token), NOW) if isinstance(e, Persist)]
    assert {row.table for row in second.rows} == {"verdicts", "untold", "versions"} and second.token != first.token
    kinds = [e.body.kind for e in made.handle(Persisted(second.token), NOW) if isinstance(e, Emit)]
    assert kinds[-1] == "verdict"
    assert made.handle(Persisted(second.token), NOW) == []
    assert made.handle(PersistFailed(99, "x"), NOW) == []


def test_a_failed_transaction_reaches_gossip_too() -> None:
    made = core()
    (first,) = [e for e in made.handle(Publish((ADA.record,)), NOW) if isinstance(e, Persist)]
    (error,) = made.handle(PersistFailed(first.token, "disk_full"), NOW)
    assert isinstance(error, Emit) and error.body.kind == "error" and made.live_count == 0


def test_timers_find_their_part() -> None:
    made = core()
    for timer, expected in (("desk:announce", "desk:announce"), ("gossip:round", "gossip:round")):
        timers = [e.timer for e in made.handle(TimerDue(timer), NOW) if isinstance(e, SetTimer)]
        assert timers == [expected]
    assert made.handle(TimerDue("transfer:stall"), NOW) == []


def test_bulk_frames_go_to_transfer_and_session_frames_to_gossip() -> None:
    made = core()
    assert made.handle(Received("bb" * 32, Want("cd" * 32, want_list=True)), NOW) == []
    made.handle(LinkOpened("bb" * 32, dialed=True), NOW)
    assert made.handle(Received("bb" * 32, Refuse("cd" * 32, "not_here")), NOW) == []


def test_the_root_is_that_of_the_live_set() -> None:
    made, empty = core(), core().live_root
    assert (made.live_count, made.live_root) == (0, empty)
    (persist,) = [e for e in made.handle(Publish((ADA.record,)), NOW) if isinstance(e, Persist)]
    assert made.live_count == 0  # not before it is durable
    made.handle(Persisted(persist.token), NOW)
    assert made.live_count == 1 and made.live_root != empty


@dataclass
class Pair:
    """Two linked peers, and what one of them sees."""

    swarm: Swarm
    giver: SimPeer
    taker: SimPeer

    @property
    def now(self) -> Now:
        return self.swarm.clock.now

    def publish(self, *plasmids: Plasmid) -> None:
        statements = (ADA.record, BOB.record, *(each.statement for each in plasmids))
        self.giver.publish(statements, tuple(each.data for each in plasmids))

    def why(self, name: str) -> dict[str, Any]:
        answer = view.why(self.taker.core, name, self.now)
        json.dumps(answer)
        return answer

    def state(self, name: str) -> tuple[str, str]:
        answer = self.why(name)
        return answer["state"], answer["reason"]


def pair(taker: Trust = TRUST, policy: Policy | None = None, giver: Trust | None = None, **changes: Any) -> Pair:
    swarm = Swarm(1, Links(), shared=SHARED)
    template = replace(CoreConfig(peer="", swarm=SWARM_ID, boot=""), **changes)
    ids = swarm.add(2, ring(2), trust=giver or Trust(owners=(ADA.trusted, BOB.trusted)), template=template)
    swarm.peer(ids[1]).trust = taker
    swarm.peer(ids[1]).policy = policy or Policy()
    swarm.boot()
    swarm.run(2)
    return Pair(swarm, swarm.peer(ids[0]), swarm.peer(ids[1]))


def test_an_accepted_plasmid_in_every_view() -> None:
    world = pair()
    world.publish(LEGAL)
    world.swarm.run(6)
    (row,) = view.ls(world.taker.core, world.now)
    assert (row["name"], row["state"], row["percent"], row["folder"]) == ("ada/legal@1", "accepted", 100, "ada--legal")
    assert 0 < row["accept_s"] < 5 and not row["own"]
    assert view.ls(world.giver.core, world.now)[0]["state"] == "own"
    answer = world.why("ada/legal")
    assert [layer["state"] for layer in answer["layers"]] == ["pass"] * 10 + ["off"] * 4
    assert answer["sources"] == [world.giver.id] and answer["via"] == world.giver.id and answer["hops"] == 1
    status = view.status(world.taker.core, world.now)
    assert (status["plasmids"], status["links"], status["statements"]) == ({"accepted": 1}, 1, 3)
    assert status["root"] == view.status(world.giver.core, world.now)["root"]
    assert status["merges"][0]["inputs"] == ["ada/legal@1"]
    shown = view.show(world.taker.core, "legal", world.now)
    assert shown["manifest"]["lora"]["r"] == 4 and shown["cosigned_by"] == []
    json.dumps([row, status, shown])


@pytest.mark.parametrize(
    "name",
    [
        "ada/legal@1",
        "ada/legal",
        "legal@1",
        "legal",
        LEGAL.content_id.hex()[:8],
        LEGAL.manifest.artifacts.sha256,
        f"{ADA.id[:10]}/legal",
    ],
)
def test_names_lead_to_the_plasmid(name: str) -> None:
    made = core()
    made.desk._live = lambda: (ADA.record, LEGAL.statement)
    made.handle(Start(), NOW)
    assert view.one(made, name).content_id == LEGAL.content_id


@pytest.mark.parametrize("name", ["", "bob/legal", "legal@2", "leg", "ada/", LEGAL.content_id.hex()[:3], "a/b/c"])
def test_other_names_lead_nowhere(name: str) -> None:
    made = core()
    made.desk._live = lambda: (ADA.record, LEGAL.statement)
    made.handle(Start(), NOW)
    with pytest.raises(UsageError, match="known"):
        view.one(made, name)


def test_an_ambiguous_name_lists_what_it_may_mean() -> None:
    made = core()
    same = make_plasmid(BOB, "legal", tiny_adapter(4))
    made.desk._live = lambda: (ADA.record, BOB.record, LEGAL.statement, same.statement)
    made.handle(Start(), NOW)
    with pytest.raises(UsageError, match="ada/legal@1"):
        view.one(made, "legal")
    assert view.one(made, "ada/legal").content_id == LEGAL.content_id


def test_why_it_is_not_here_unknown() -> None:
    world = pair()
    assert world.state("nobody/nothing") == ("unknown", "unknown")
    assert "1 neighbour is linked" in world.why("nothing")["sentence"]


def test_why_it_is_not_here_nobody_trusts_the_owner() -> None:
    world = pair()
    world.publish(STRANGE)
    world.swarm.run(5)
    assert world.state("strange") == ("waiting", "unknown_owner")
    refusing = pair(policy=Policy(unknown_owner="reject"))
    refusing.publish(STRANGE)
    refusing.swarm.run(5)
    assert refusing.state("strange") == ("refused", "unknown_owner")


def test_why_it_is_not_here_not_wanted_and_a_person_can_ask_for_it() -> None:
    world = pair(subscription=Subscription(domains=("medical",)))
    world.publish(LEGAL)
    world.swarm.run(5)
    assert world.state("legal") == ("unwanted", "subscribe.domains") and "plora fetch" in world.why("legal")["sentence"]
    world.taker.handle(FetchAsked(LEGAL.content_id))
    world.swarm.run(5)
    assert world.state("legal") == ("accepted", "")


def test_why_it_is_not_here_no_source_then_fetching() -> None:
    world = pair(giver=Trust(), limits=Limits(upload_rate=100_000))
    world.publish(BIG)  # the giver's own gate waits, so it serves nothing yet
    world.swarm.run(5)
    assert world.state("big") == ("pending", "no_source")
    world.giver.handle(PolicyChanged(Policy(), TRUST))
    assert world.swarm.run_until(lambda: world.state("big")[0] == "fetching" and world.why("big")["percent"] > 5, 30)
    answer = world.why("big")
    assert f"{answer['percent']} %" in answer["sentence"] and answer["fetch"]["source"] == world.giver.id
    assert answer["percent"] < 100


def test_why_it_is_not_here_waiting_for_a_signature() -> None:
    world = pair(policy=Policy(quorum_required=2))
    world.publish(LEGAL)
    world.swarm.run(5)
    assert world.state("legal") == ("pending", "below_quorum") and world.why("legal")["percent"] == 100


def test_why_it_is_not_here_too_large_and_disk_troubles() -> None:
    world = pair(limits=Limits(artifact_max=100))
    world.publish(LEGAL)
    world.swarm.run(5)
    assert world.state("legal") == ("pending", "limits.artifact_max")


KIB = 1 << 10
HELD_BACK = [
    ({"limits": Limits(artifact_max=KIB)}, "pending", "limits.artifact_max", "1 KiB", "limits.artifact_max is 1 KiB"),
    ({"limits": Limits(store_max=KIB)}, "pending", "limits.store_max", "1 KiB", "limits.store_max is 1 KiB"),
    (
        {"subscription": Subscription(size_max=KIB)},
        *("unwanted", "subscribe.size_max", "1 KiB", "it is 1.2 KiB, and subscribe.size_max is 1 KiB; `plora fetch`"),
    ),
    (
        {"subscription": Subscription(ask=True)},
        *(
            "offered",
            "subscribe.mode",
            "ask",
            "it waits for you: `plora fetch` gets its 1.2 KiB (subscribe.mode",
        ),
    ),
    (
        {"subscription": Subscription(domains=("medical", "code"))},
        *("unwanted", "subscribe.domains", "medical, code", "subscribe.domains names medical, code; `plora fetch`"),
    ),
    (
        {"subscription": Subscription(bases=("other",))},
        *("unwanted", "subscribe.bases", "other", "subscribe.bases names other; `plora fetch`"),
    ),
    (
        {"subscription": Subscription(owners=("bob",))},
        *("unwanted", "subscribe.owners", "bob", "subscribe.owners names bob; `plora fetch`"),
    ),
]


@pytest.mark.parametrize(("changes", "state", "setting", "limit", "words"), HELD_BACK)
def test_a_limit_names_its_setting_and_value(
    changes: dict[str, Any], state: str, setting: str, limit: str, words: str
) -> None:
    world = pair(**changes)
    world.publish(LEGAL)
    world.swarm.run(5)
    (row,) = view.ls(world.taker.core, world.now)
    assert (row["state"], row["reason"], row["limit"]) == (state, setting, limit)
    assert words in row["sentence"] == world.why("legal")["sentence"]
    hits = [json.loads(line) for line in world.taker.log if '"bound_hit"' in line]
    logged = [(hit["setting"], hit["limit"]) for hit in hits]
    assert logged == ([(setting, KIB)] if setting.startswith("limits.") else [])
    assert [one.setting for one in world.taker.core.bounds.values()] == [setting for setting, _ in logged]


def test_the_gates_bound_names_its_setting_too() -> None:
    world = pair(policy=Policy(artifact_bytes_max=KIB))
    world.publish(LEGAL)
    world.swarm.run(5)
    (row,) = view.ls(world.taker.core, world.now)
    assert (row["state"], row["reason"], row["limit"]) == ("refused", "policy.artifact_bytes_max", "1 KiB")
    assert "policy.artifact_bytes_max is 1 KiB" in row["sentence"]


def test_while_it_is_examined() -> None:
    world = pair()
    world.publish(LEGAL)
    digest = LEGAL.manifest.artifacts.sha256
    while digest not in world.taker.core.desk.larder.held:
        assert world.swarm.clock.step()
    assert world.state("legal") == ("examining", "examining")
    world.swarm.run(1)
    assert world.state("legal") == ("accepted", "")


def test_what_left_is_still_explained() -> None:
    world = pair()
    world.publish(LEGAL)
    world.swarm.run(5)
    newer = make_plasmid(ADA, "legal", tiny_adapter(5), version=2)
    world.publish(newer)
    world.swarm.run(5)
    assert world.state("legal@1") == ("superseded", "superseded")
    assert world.state("legal") == ("accepted", "")
    assert world.state(LEGAL.content_id.hex()) == ("superseded", "superseded")
    assert [row["name"] for row in view.ls(world.taker.core, world.now)] == ["ada/legal@2"]


def test_a_revoked_content_is_refused_for_that() -> None:
    world = pair()
    world.publish(LEGAL)
    world.giver.publish((revoke(ADA, "content", LEGAL.content_id.hex()),))
    world.swarm.run(5)
    assert world.state("legal") == ("refused", "revoked_content")
    assert world.why("legal")["percent"] == 0


def test_neighbours_are_configured_by_address() -> None:
    swarm = Swarm(1)
    ids = swarm.add(3, ring(3))
    assert swarm.peer(ids[0]).config.neighbours == (PeerAddress(ids[1], ("sim:1",)), PeerAddress(ids[2], ("sim:2",)))
