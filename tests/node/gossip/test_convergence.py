"""Two or three gossip cores on one pump: whatever the network does, their sets become equal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.gate import Policy, Trust
from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.effects import Dial, Emit, HangUp, Persist, Send, SetTimer
from plora.node.core.events import (
    DialBackAsked,
    Event,
    LinkClosed,
    LinkOpened,
    Misbehaved,
    Persisted,
    PersistFailed,
    PolicyChanged,
    Publish,
    Received,
    SettingsChanged,
    Start,
    Stop,
    TimerDue,
)
from plora.node.core.messages import (
    Carried,
    DialBack,
    Have,
    Heartbeat,
    IHave,
    IWant,
    Message,
    PeerAddress,
    Push,
    Range,
    Reconcile,
)
from plora.node.core.notices import LinkLost, LinkReady, SourceFound, StatementAdded, StatementDropped
from plora.node.core.now import Now
from plora.node.core.streams import Streams
from plora.node.gossip.core import ROUND_TIMER, STAGED_MAX, Gossip
from plora.node.gossip.sessions import Sessions
from plora.node.store.disk import Put
from plora.node.store.snapshot import Snapshot
from plora.proto.canonical import canonical_bytes
from plora.proto.dsse import StatementKind, pae
from plora.proto.fields import format_timestamp
from plora.proto.payloads import OwnerKey, OwnerRecord
from plora.proto.records import Body, BoundHit, EvidenceFound
from plora.proto.statement import Statement, sign_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import ISSUED_S, attest, make_owner, make_plasmid, revoke

SWARM = "ab" * 32
ADA, BEN, CLEO = (letter * 64 for letter in "abc")
ADA_OWNER, BEN_OWNER = make_owner("ada", SWARM), make_owner("ben", SWARM)
DATA = bytes(range(256)) * 8
MS = 1_000_000
DAY_MS = 86_400_000


class World:
    """Some cores, their links, timers and rows; frames may be dropped, doubled and shuffled."""

    def __init__(self, *peers: str, chaos: Random | None = None, loss: float = 0.0, **settings: Any) -> None:
        self.mono_ms, self.chaos, self.loss = 0, chaos, loss
        self.settings = settings
        self.failing: dict[str, str] = {}
        self.rows: dict[str, dict[bytes, bytes]] = defaultdict(dict)
        self.frames: list[tuple[str, str, Message]] = []
        self.sent: list[tuple[str, str, Message]] = []
        self.links: set[frozenset[str]] = set()
        self.timers: dict[tuple[str, str], int] = {}
        self.outputs: dict[str, list[Any]] = defaultdict(list)
        self.neighbours = {peer: tuple(PeerAddress(o, (o[:4],)) for o in peers if o > peer) for peer in peers}
        self.cores = {peer: self.boot(peer) for peer in peers}

    def boot(self, peer: str) -> Gossip:
        config = CoreConfig(peer=peer, swarm=SWARM, boot="00" * 16, neighbours=self.neighbours[peer], **self.settings)
        snapshot = Snapshot(tables={"statements": tuple(sorted(self.rows[peer].items()))})
        return Gossip(config, snapshot, Streams(1, peer))

    @property
    def now(self) -> Now:
        return Now(self.mono_ms * MS, WALL_START_MS + self.mono_ms)

    def tell(self, peer: str, event: Event) -> list[Any]:
        outputs = self.cores[peer].handle(event, self.now)
        self.outputs[peer] += outputs
        for output in outputs:
            self._carry_out(peer, output)
        return outputs

    def _carry_out(self, peer: str, output: object) -> None:
        match output:
            case Send(other, message):
                self.sent.append((peer, other, message))
                self.frames.append((peer, other, message))
            case Dial(other) if frozenset((peer, other)) not in self.links:
                self.links.add(frozenset((peer, other)))
                self.tell(peer, LinkOpened(other, True))
                self.tell(other, LinkOpened(peer, False))
            case HangUp(other):
                self.deliver()
                self.links.discard(frozenset((peer, other)))
                self.tell(peer, LinkClosed(other, "hung up"))
                self.tell(other, LinkClosed(peer, "hung up there"))
            case SetTimer(timer, due_ns):
                self.timers[peer, timer] = due_ns
            case Persist(token, rows) if peer in self.failing:
                self.tell(peer, PersistFailed(token, self.failing[peer]))
            case Persist(token, rows):
                for row in rows:
                    if isinstance(row, Put):
                        self.rows[peer][row.key] = row.value
                    else:
                        self.rows[peer].pop(row.key, None)
                self.tell(peer, Persisted(token))

    def deliver(self) -> None:
        while self.frames:
            place = self.chaos.randrange(len(self.frames)) if self.chaos else 0
            source, target, message = self.frames.pop(place)
            if self.chaos and self.chaos.random() < self.loss:
                continue
            if self.chaos and self.chaos.random() < self.loss / 2:
                self.frames.append((source, target, message))
            if frozenset((source, target)) in self.links:
                self.tell(target, Received(source, message))

    def run(self, ms: int) -> None:
        end = self.mono_ms + ms
        self.deliver()
        while self.timers and (due := min(self.timers.values())) <= end * MS:
            peer, timer = min(key for key, at in self.timers.items() if at == due)
            del self.timers[peer, timer]
            self.mono_ms = max(self.mono_ms, -(-due // MS))
            self.tell(peer, TimerDue(timer))
            self.deliver()
        self.mono_ms = end

    def start(self) -> None:
        for peer in self.cores:
            self.tell(peer, Start())
        self.deliver()

    def records(self, peer: str, kind: str) -> list[Body]:
        bodies = [output.body for output in self.outputs[peer] if isinstance(output, Emit)]
        return [body for body in bodies if body.kind == kind]

    def ids(self, peer: str) -> set[bytes]:
        return {statement.id for statement in self.cores[peer].live()}

    def roots(self) -> set[bytes]:
        return {core.seen.view(core.seen.day).root() for core in self.cores.values()}


def added(outputs: list[Any]) -> list[bytes]:
    return [output.statement.id for output in outputs if isinstance(output, StatementAdded)]


def plasmid(version: int = 1, name: str = "legal", owner: Any = ADA_OWNER, **more: Any) -> Statement:
    return make_plasmid(owner, name, DATA, version=version, **more).statement


def started(*peers: str, **settings: Any) -> World:
    world = World(*peers, **settings)
    world.start()
    return world


def test_what_one_publishes_all_see_with_hops_counted() -> None:
    world = World(ADA, BEN, CLEO)
    world.neighbours = {ADA: world.neighbours[ADA][:1], BEN: world.neighbours[BEN], CLEO: ()}
    world.cores = {peer: world.boot(peer) for peer in world.cores}
    world.start()
    wanted = (ADA_OWNER.record, plasmid(), attest(ADA_OWNER, plasmid().id))
    assert added(world.tell(ADA, Publish(wanted))) == []  # the notice answers Persisted, which the pump tells
    world.run(6000)
    assert world.roots() == {world.cores[ADA].seen.view(world.cores[ADA].seen.day).root()}
    assert world.ids(CLEO) == {statement.id for statement in wanted}
    news = [output for output in world.outputs[CLEO] if isinstance(output, StatementAdded)]
    assert {(each.hops, each.via) for each in news} == {(2, BEN)}
    own = [output for output in world.outputs[ADA] if isinstance(output, StatementAdded)]
    assert {(each.hops, each.via) for each in own} == {(0, None)}
    assert len(world.records(ADA, "published")) == 1
    assert [record.via for record in world.records(CLEO, "statement_seen")] == ["reconcile"] * 3  # type: ignore[attr-defined]


def chain(name: str) -> tuple[Statement, ...]:
    """Three records of an owner, each signed by a key that only the one before it lists."""
    first = make_owner(name, SWARM)
    records, key = [first.record], first.key
    for version in (2, 3):
        following = make_owner(f"{name}-{version}", SWARM).key
        fields = {"swarm": SWARM, "issued": format_timestamp(ISSUED_S), "key_id": key.public.key_id, "name": name}
        payload = OwnerRecord(
            **fields,  # type: ignore[arg-type]
            owner=first.id,
            previous=records[-1].id.hex(),
            version=version,
            keys=(OwnerKey.of(following.public),),
            threshold=1,
        )
        records.append(sign_statement(StatementKind.OWNER, payload, key))
        key = following
    return tuple(records)


@pytest.mark.parametrize("name", ["ada", "ben", "cyd", "dan", "eve", "fay"])
def test_records_that_follow_each_other_are_published_and_sent_together(name: str) -> None:
    """Whatever order their ids have: who first publishes after a rotation hands over all of them."""
    world, records = started(ADA, BEN, round_ms=10_000), chain(name)
    world.tell(ADA, Publish(records[::-1]))
    assert world.cores[ADA].refusals == {} and world.ids(ADA) == {record.id for record in records}
    world.tell(ADA, TimerDue("gossip:round"))
    world.deliver()
    assert world.ids(BEN) == world.ids(ADA)


def test_the_first_round_comes_within_a_round_and_not_everybodys_at_once() -> None:
    world = World(*(letter * 64 for letter in "abcd"), round_ms=2000)
    world.mono_ms = 60_000
    world.start()
    due_ms = {due_ns / MS for (_, timer), due_ns in world.timers.items() if timer == ROUND_TIMER}
    assert len(due_ms) == len(world.cores) and all(60_000 <= each < 62_000 for each in due_ms)


def test_differences_flow_both_ways_in_one_round() -> None:
    world = World(ADA, BEN, round_ms=10_000)
    world.start()
    world.tell(ADA, Publish((ADA_OWNER.record, plasmid())))
    world.tell(BEN, Publish((BEN_OWNER.record, plasmid(owner=BEN_OWNER))))
    world.sent.clear()
    world.tell(ADA, TimerDue("gossip:round"))
    world.deliver()
    assert len(world.roots()) == 1
    assert len(world.ids(ADA)) == len(world.ids(BEN)) == 4
    assert len(world.records(ADA, "reconcile")) == len(world.records(BEN, "reconcile")) == 1


def test_equal_sets_cost_two_small_frames_and_no_record() -> None:
    world = started(ADA, BEN, round_ms=10_000)
    world.sent.clear()
    world.tell(ADA, TimerDue("gossip:round"))
    world.deliver()
    assert [(source, len(message.ranges)) for source, _, message in world.sent if isinstance(message, Reconcile)] == [
        (ADA, 1),
        (BEN, 0),
    ]
    assert world.records(ADA, "reconcile") == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.1, 0.3]))
def test_sets_become_equal_over_a_bad_network(seed: int, loss: float) -> None:
    world = World(ADA, BEN, CLEO, chaos=Random(seed), loss=loss)
    world.start()
    world.tell(ADA, Publish((ADA_OWNER.record, plasmid(), plasmid(2))))
    world.run(1500)
    others = plasmid(owner=BEN_OWNER)
    world.tell(CLEO, Publish((BEN_OWNER.record, others, attest(BEN_OWNER, others.id))))
    world.tell(ADA, Publish((revoke(ADA_OWNER, "content", plasmid().id.hex()),)))
    world.run(90_000)
    assert len(world.roots()) == 1
    assert len(world.ids(ADA)) == 6  # all of them but the superseded version


def test_many_statements_arrive_in_frames_within_their_bounds() -> None:
    world = started(ADA, BEN, round_ms=10_000)
    many = tuple(plasmid(name=f"p{number}") for number in range(150))
    world.tell(ADA, Publish((ADA_OWNER.record, *many)))
    world.tell(BEN, TimerDue("gossip:round"))
    world.deliver()
    assert len(world.ids(BEN)) == 151
    haves = [message for _, _, message in world.sent if isinstance(message, Have)]
    wants = [message for _, _, message in world.sent if isinstance(message, IWant)]
    assert max(len(have.items) for have in haves) <= 64
    assert max(sum(len(item.statement.payload) for item in have.items) for have in haves) < 64 * 1024
    assert max(len(want.ids) for want in wants) <= 64
    asked = [identity for want in wants for identity in want.ids]
    assert len(asked) <= 151 + 64 * 4 + 4  # orphans of the frames before the owner record are asked once more


def test_nothing_counts_before_it_is_durable() -> None:
    world = started(ADA, BEN)
    world.failing[BEN] = "disk_full"
    world.tell(ADA, Publish((ADA_OWNER.record,)))
    world.run(3000)
    assert world.ids(BEN) == set()
    assert added(world.outputs[BEN]) == []
    assert world.records(BEN, "error")
    world.failing.clear()
    world.run(5000)
    assert world.ids(BEN) == {ADA_OWNER.record.id}


def test_a_restart_brings_back_exactly_what_was_durable_and_announces_nothing() -> None:
    world = started(ADA, BEN)
    world.tell(ADA, Publish((ADA_OWNER.record, plasmid(), plasmid(2))))
    world.run(3000)
    before, rows = world.ids(BEN), dict(world.rows[BEN])
    world.rows[BEN][b"\x07" * 32] = b"rubbish"
    world.cores[BEN] = world.boot(BEN)
    outputs = world.tell(BEN, Start())
    assert world.ids(BEN) == before == {ADA_OWNER.record.id, plasmid(2).id}
    assert added(outputs) == []
    assert world.rows[BEN] == rows  # the row that can't be read was repaired away
    assert len(world.records(BEN, "repair")) == 1


def test_a_newer_version_takes_the_place_of_the_older_everywhere() -> None:
    world = started(ADA, BEN)
    world.tell(ADA, Publish((ADA_OWNER.record, plasmid())))
    world.run(3000)
    world.tell(ADA, Publish((plasmid(2),)))
    world.run(3000)
    assert world.ids(BEN) == {ADA_OWNER.record.id, plasmid(2).id}
    dropped = [output for output in world.outputs[BEN] if isinstance(output, StatementDropped)]
    assert [(each.statement.id, each.reason) for each in dropped] == [(plasmid().id, "superseded")]
    assert set(world.rows[BEN]) == world.ids(BEN)


def test_two_contents_of_one_version_are_evidence_and_stay() -> None:
    world = started(ADA, BEN)
    twins = (plasmid(), plasmid(domain="other"))
    world.tell(ADA, Publish((ADA_OWNER.record, *twins)))
    world.run(3000)
    assert world.ids(BEN) >= {twin.id for twin in twins}
    found = world.records(BEN, "evidence")
    first, second = sorted(twin.id.hex() for twin in twins)
    assert found == [EvidenceFound("two_contents", ADA_OWNER.id, first, second)]


def test_what_expires_leaves_both_sides_the_day_after() -> None:
    world = started(ADA, BEN)
    world.tell(ADA, Publish((ADA_OWNER.record, plasmid(life_s=86_400))))
    world.run(3000)
    assert plasmid(life_s=86_400).id in world.ids(BEN)
    world.mono_ms += 3 * DAY_MS  # every loop sleeps as long as the silence lasts, so nobody is hung up
    world.run(3000)
    assert not world.records(BEN, "link_down")
    assert world.ids(ADA) == world.ids(BEN) == {ADA_OWNER.record.id}
    assert len(world.records(BEN, "expired")) == 1
    assert len(world.roots()) == 1


def test_a_forged_statement_costs_the_sender_the_link_but_not_the_true_one_its_place() -> None:
    world = started(ADA, BEN)
    forged = replace(ADA_OWNER.record, signature=bytes(64))
    world.tell(BEN, Received(ADA, Push((Carried(forged),))))
    assert frozenset((ADA, BEN)) not in world.links
    assert [record.reason for record in world.records(BEN, "penalty")] == ["bad_signature"]  # type: ignore[attr-defined]
    world.tell(ADA, Publish((ADA_OWNER.record,)))
    world.run(90_000)
    assert ADA_OWNER.record.id in world.ids(BEN)


@pytest.mark.parametrize(
    "event", [Misbehaved(ADA, "frame_too_large"), Received(ADA, Reconcile(2, (Range(b"x" * 99),)))]
)
def test_breaking_the_protocol_is_punished_for_a_while(event: Event) -> None:
    world = started(ADA, BEN, redial_ms_max=4000)
    outputs = world.tell(BEN, event)
    assert any(isinstance(output, LinkLost) for output in outputs)
    assert len(world.records(BEN, "penalty")) == 1
    world.tell(BEN, LinkOpened(ADA, False))
    assert world.cores[BEN].links.get(ADA) is None
    world.tell(BEN, LinkClosed(ADA, "sent away"))
    world.run(5000)
    world.tell(BEN, LinkOpened(ADA, False))
    assert world.cores[BEN].links.get(ADA) is not None


def test_ranges_far_ahead_of_their_time_are_not_answered_and_then_an_offence() -> None:
    world = started(ADA, BEN)
    first = Sessions(ADA, Random(1)).begin(BEN).number
    ranges = tuple(Range((n + 1).to_bytes(2, "big"), fingerprint=bytes(16)) for n in range(1484))
    frames = [Reconcile(first + 2 * number, ranges) for number in range(22)]
    told = [world.cores[BEN].handle(Received(ADA, message), world.now) for message in frames]
    assert not any(told[:-1]), "nobody honest begins with more than one range"
    assert any(isinstance(output, HangUp) for output in told[-1])


def test_beginning_again_and_again_is_not_answered_and_then_an_offence() -> None:
    world = started(ADA, BEN)
    first = Sessions(ADA, Random(1)).begin(BEN).number
    frames = [Reconcile(first + 2 * number, (Range(b"", fingerprint=bytes(16)),)) for number in range(1928)]
    told = [world.cores[BEN].handle(Received(ADA, message), world.now) for message in frames]
    answered = [any(isinstance(output, Send) for output in outputs) for outputs in told]
    assert answered == [True] * 481 + [False] * 1446 + [True]
    assert any(isinstance(output, HangUp) for output in told[-1])


def test_a_session_has_a_bounded_number_of_legs() -> None:
    world = started(ADA, BEN, bounds=Bounds(reconcile_legs=5))
    message = Reconcile(Sessions(ADA, Random(1)).begin(BEN).number, (Range(b"", fingerprint=bytes(16)),))
    told = [world.cores[BEN].handle(Received(ADA, message), world.now) for _ in range(6)]
    answered = [any(isinstance(output, Send) for output in outputs) for outputs in told]
    assert answered == [True, True, False] * 2  # two questions, two answers, and the session is over
    hits = [output.body for output in told[2] if isinstance(output, Emit) and isinstance(output.body, BoundHit)]
    assert hits == [BoundHit("reconcile_legs", 5, 5)]


def test_announcements_are_passed_on_within_their_bound() -> None:
    world = started(ADA, BEN, bounds=Bounds(announced_per_link=3))
    ids = tuple(bytes([number]) * 32 for number in range(5))
    outputs = world.tell(BEN, Received(ADA, IHave((ids[0], *ids))))
    found = [output for output in outputs if isinstance(output, SourceFound)]
    assert found == [SourceFound(ADA, identity) for identity in ids[:3]]
    assert world.records(BEN, "bound_hit") == [BoundHit("announced_per_link", 3, 4)]
    assert world.tell(BEN, Received(ADA, IHave(ids))) == found  # again, for a source may have refused meanwhile
    world.tell(BEN, TimerDue("gossip:round"))
    world.tell(BEN, Received(ADA, IHave(ids)))
    assert len(world.records(BEN, "bound_hit")) == 2


def test_a_bound_on_owners_changes_without_a_restart() -> None:
    world = started(ADA, BEN, bounds=Bounds(untrusted_owners=1))
    for owner, known in ((ADA_OWNER, 1), (BEN_OWNER, 1)):
        world.tell(BEN, Received(ADA, Push((Carried(owner.record),))))
        assert len(world.ids(BEN)) == known
    world.tell(BEN, SettingsChanged(bounds=Bounds(untrusted_owners=2)))
    world.tell(BEN, Received(ADA, Push((Carried(BEN_OWNER.record),))))
    assert world.ids(BEN) == {ADA_OWNER.record.id, BEN_OWNER.record.id}


def test_owners_beyond_the_bound_are_refused_until_trusted() -> None:
    world = started(ADA, BEN, bounds=Bounds(untrusted_owners=1))
    world.tell(ADA, Publish((ADA_OWNER.record,)))
    world.run(3000)
    world.tell(BEN, Received(ADA, Push((Carried(BEN_OWNER.record), Carried(plasmid(owner=BEN_OWNER))))))
    assert world.ids(BEN) == {ADA_OWNER.record.id}
    assert world.records(BEN, "bound_hit") == [BoundHit("limits.untrusted_owners", 1, 2)]
    world.tell(BEN, PolicyChanged(Policy(base_model="mini"), Trust(owners=(BEN_OWNER.trusted,))))
    world.tell(BEN, Received(ADA, Push((Carried(BEN_OWNER.record), Carried(plasmid(owner=BEN_OWNER))))))
    assert len(world.ids(BEN)) == 3


def test_an_orphans_owner_record_is_asked_for_once_a_round() -> None:
    world = started(ADA, BEN, round_ms=10_000)
    orphan = Push((Carried(plasmid()),))
    asked = [o.message for o in world.cores[BEN].handle(Received(ADA, orphan), world.now) if isinstance(o, Send)]
    assert asked == [IWant((ADA_OWNER.record.id, plasmid().id))]
    assert world.cores[BEN].handle(Received(ADA, orphan), world.now) == []
    assert world.ids(BEN) == set()
    world.tell(BEN, Received(ADA, Have((Carried(plasmid()), Carried(ADA_OWNER.record)))))
    assert len(world.ids(BEN)) == 2  # within a frame the record comes first, whatever the order


def asked_of(world: World, peer: str, number: int) -> list[IWant]:
    """What CLEO asks a peer for that offers ADA's owner record in the session of that number."""
    offer = Reconcile(number, (Range(b"", ids=(ADA_OWNER.record.id,)),))
    outputs = world.cores[CLEO].handle(Received(peer, offer), world.now)
    return [o.message for o in outputs if isinstance(o, Send) and isinstance(o.message, IWant)]


def rumour(number: int) -> Statement:
    """A statement of a kind that nobody knows, by ADA's owner."""
    kind, key = "application/vnd.plora.rumour.v9+json", ADA_OWNER.key
    body = {"swarm": SWARM, "owner": ADA_OWNER.id, "key_id": key.public.key_id, "issued": "2026-01-01T00:00:00Z"}
    payload = canonical_bytes(body | {"note": str(number)})
    return Statement(kind, payload, key.public.key_id, "Ed25519", key.sign(pae(kind, payload)))


def test_what_a_lost_neighbour_was_asked_for_is_asked_of_another_at_once() -> None:
    world = started(ADA, BEN, CLEO, round_ms=60_000)
    assert asked_of(world, ADA, 2) == [IWant((ADA_OWNER.record.id,))]
    assert asked_of(world, BEN, 2) == []
    world.cores[CLEO].handle(LinkClosed(ADA, "gone"), world.now)
    assert asked_of(world, BEN, 4) == [IWant((ADA_OWNER.record.id,))]


def test_what_did_not_come_for_two_rounds_is_asked_of_another() -> None:
    world = started(ADA, BEN, CLEO, round_ms=60_000)
    assert asked_of(world, ADA, 2) == [IWant((ADA_OWNER.record.id,))]
    world.mono_ms += 2 * 60_000
    assert asked_of(world, BEN, 2) == []
    world.mono_ms += 1
    assert asked_of(world, BEN, 4) == [IWant((ADA_OWNER.record.id,))]


def test_who_offers_and_never_gives_keeps_a_statement_away_for_one_patience_only() -> None:
    """However often and however soon they offer it again, others who offered it meanwhile are asked first."""
    world = started(ADA, BEN, CLEO, round_ms=60_000)
    wanted = IWant((ADA_OWNER.record.id,))
    assert asked_of(world, ADA, 2) == [wanted]
    assert asked_of(world, ADA, 4) == [] and asked_of(world, BEN, 2) == []
    world.mono_ms += 2 * 60_000 + 1
    offer = Reconcile(6, (Range(b"", ids=wanted.ids),))
    outputs = world.cores[CLEO].handle(Received(ADA, offer), world.now)
    assert [(o.peer, o.message) for o in outputs if isinstance(o, Send) and isinstance(o.message, IWant)] == [
        (BEN, wanted)
    ]


def test_what_did_not_come_is_asked_of_another_in_the_next_round_by_itself() -> None:
    world = started(ADA, BEN, CLEO, round_ms=60_000)
    assert asked_of(world, ADA, 2) and not asked_of(world, BEN, 2)
    world.mono_ms += 2 * 60_000 + 1
    outputs = world.cores[CLEO].handle(TimerDue("gossip:round"), world.now)
    assert Send(BEN, IWant((ADA_OWNER.record.id,))) in outputs


def test_what_waits_to_be_asked_for_is_bounded() -> None:
    world = started(ADA, BEN, CLEO, bounds=Bounds(announced_per_link=3))
    ids = tuple(bytes([number]) * 32 for number in range(1, 6))
    outputs = world.cores[CLEO].handle(Received(ADA, Reconcile(2, (Range(b"", ids=ids),))), world.now)
    assert Emit(BoundHit("announced_per_link", 3, 3)) in outputs
    assert Send(ADA, IWant(ids[:3])) in outputs


def test_statements_on_their_way_to_the_disk_are_bounded() -> None:
    world = started(ADA, BEN, bounds=Bounds(statements_per_owner=STAGED_MAX + 2))
    core = world.cores[BEN]
    for statement in (ADA_OWNER.record, *(rumour(number) for number in range(STAGED_MAX - 1))):
        assert core.seen.admit(statement).entry is not None
    late = tuple(Carried(rumour(STAGED_MAX + number)) for number in range(3))
    outputs = core.handle(Received(ADA, Push(late)), world.now)
    assert [output.body for output in outputs if isinstance(output, Emit)] == [
        BoundHit("STAGED_MAX", STAGED_MAX, STAGED_MAX + 1)
    ]
    assert core.seen.staged == STAGED_MAX
    assert core.seen.wanted(rumour(STAGED_MAX).id)  # a later round finds it again


def test_eager_push_goes_to_as_many_as_asked_and_never_back() -> None:
    world = started(ADA, BEN, CLEO, eager_fanout=2, round_ms=60_000)
    world.sent.clear()
    world.tell(BEN, Received(ADA, Push((Carried(ADA_OWNER.record),))))
    pushes = [(source, target) for source, target, message in world.sent if isinstance(message, Push)]
    assert (BEN, CLEO) in pushes
    assert (BEN, ADA) not in pushes


def test_known_statements_are_duplicates_and_change_nothing() -> None:
    world = started(ADA, BEN)
    for _ in range(2):
        world.tell(BEN, Received(ADA, Push((Carried(ADA_OWNER.record, hops=4),))))
    assert len(world.records(BEN, "statement_seen")) == 1
    assert world.records(BEN, "statement_seen")[0].hops == 5  # type: ignore[attr-defined]
    assert len(world.records(BEN, "duplicate")) == 1
    assert world.rows[BEN].keys() == {ADA_OWNER.record.id}


def test_publishing_what_can_not_enter_is_an_error_of_ones_own() -> None:
    world = started(ADA)
    world.tell(ADA, Publish((plasmid(),)))
    assert world.ids(ADA) == set()
    assert [record.what for record in world.records(ADA, "error")] == ["can't publish: unknown key"]  # type: ignore[attr-defined]


def test_heartbeats_carry_the_root_and_stop_says_goodbye() -> None:
    world = started(ADA, BEN)
    world.tell(ADA, Publish((ADA_OWNER.record,)))
    world.run(1100)
    beat = world.cores[BEN].links.get(ADA)
    assert beat is not None
    assert isinstance(beat.heartbeat, Heartbeat)
    assert (beat.heartbeat.count, beat.heartbeat.root) == (1, *world.roots())
    world.tell(ADA, Stop())
    assert world.links == set()
    assert "goodbye: stopping" in [record.reason for record in world.records(BEN, "link_down")]  # type: ignore[attr-defined]


def test_only_who_is_linked_is_asked_to_dial_back() -> None:
    world = started(ADA, BEN)
    asked = world.tell(ADA, DialBackAsked(BEN))
    assert [(type(each.message), each.peer) for each in asked if isinstance(each, Send)] == [(DialBack, BEN)]
    assert world.tell(ADA, DialBackAsked(CLEO)) == []


def test_links_get_ready_once_each() -> None:
    world = started(ADA, BEN, CLEO)
    world.run(5000)
    for peer in world.cores:
        ready = sorted(output.peer for output in world.outputs[peer] if isinstance(output, LinkReady))
        assert ready == sorted({ADA, BEN, CLEO} - {peer})
        assert len(world.records(peer, "link_up")) == 2


def test_the_same_events_give_the_same_outputs() -> None:
    def story() -> list[Any]:
        world = World(ADA, BEN, CLEO, chaos=Random(5), loss=0.1)
        world.start()
        world.tell(ADA, Publish((ADA_OWNER.record, plasmid())))
        world.run(10_000)
        return [world.outputs[peer] for peer in world.cores]

    assert story() == story()
