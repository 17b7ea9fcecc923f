"""The desk alone: notices in, effects out, an in-memory world that answers what the test lets it answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from plora.gate import Features, Policy, Trust
from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.desk import CLOCK_TIMER, RETRY_MS, Desk
from plora.node.core.effects import DropBlob, Emit, Examine, Expose, Hide, Merge, Persist, Send, SetTimer
from plora.node.core.events import (
    Event,
    Examined,
    FetchAsked,
    Merged,
    Persisted,
    PersistFailed,
    PolicyChanged,
    Publish,
    SettingsChanged,
    Start,
    TimerDue,
)
from plora.node.core.larder import ANNOUNCE_TIMER
from plora.node.core.messages import IHAVE_MAX, IHave
from plora.node.core.notices import (
    BytesFailed,
    BytesHeld,
    BytesOffered,
    BytesServable,
    BytesUnwanted,
    BytesWanted,
    BytesWithheld,
    LinkLost,
    LinkReady,
    Notice,
    SourceFound,
    StatementAdded,
    StatementDropped,
)
from plora.node.core.now import Now
from plora.node.core.rows import decode_verdict
from plora.node.store.disk import Delete, Put
from plora.node.store.snapshot import Snapshot
from plora.proto.records import Body
from plora.proto.records import Examined as ExaminedRecord
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import LIFE_S, Owner, Plasmid, attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

PEER, SOURCE = "aa" * 32, "bb" * 32
ADA, BOB = make_owner("ada", SWARM_ID), make_owner("bob", SWARM_ID)
TRUST = Trust(owners=(ADA.trusted, BOB.trusted))
DATA = tiny_adapter(1)
LEGAL = make_plasmid(ADA, "legal", DATA)
CONFIG = CoreConfig(peer=PEER, swarm=SWARM_ID, boot="1")
SHARED = Shared()

_Kind = TypeVar("_Kind")


@dataclass
class Bench:
    """A desk, what it asked for, and rows as a store would keep them."""

    trust: Trust = TRUST
    policy: Policy = field(default_factory=Policy)
    config: CoreConfig = CONFIG
    snapshot: Snapshot = field(default_factory=Snapshot)
    live: tuple[Statement, ...] = ()
    wall_ms: int = WALL_START_MS
    out: list[Any] = field(default_factory=list)
    rows: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    persisting: bool = True

    def __post_init__(self) -> None:
        self.desk = Desk(self.config, self.policy, self.trust, self.snapshot, lambda: self.live)

    @property
    def now(self) -> Now:
        return Now((self.wall_ms - WALL_START_MS) * 1_000_000, self.wall_ms)

    def tell(self, *events: Event | Notice) -> list[Any]:
        """Hand over events, and answer transactions while `persisting`; what this led to."""
        start, queue = len(self.out), list(events)
        while queue:
            outputs = self.desk.handle(queue.pop(0), self.now)
            self.out += outputs
            for effect in outputs:
                if isinstance(effect, Persist) and self.persisting:
                    self.commit(effect)
                    queue.append(Persisted(effect.token))
        return self.out[start:]

    def commit(self, effect: Persist) -> None:
        for row in effect.rows:
            if isinstance(row, Put):
                self.rows[(row.table, row.key)] = row.value
            elif isinstance(row, Delete):
                self.rows.pop((row.table, row.key), None)

    def add(self, *statements: Statement, via: str | None = SOURCE) -> list[Any]:
        return self.tell(*(StatementAdded(statement, via, 1) for statement in statements))

    def hold(self, plasmid: Plasmid = LEGAL) -> list[Any]:
        """The bytes arrive and are examined."""
        digest = plasmid.manifest.artifacts.sha256
        arrived = self.tell(BytesHeld(digest, (SOURCE,), 1, 0, 0))
        return [*arrived, *self.tell(Examined(digest, SHARED.features(plasmid.data)))]

    def accept(self, plasmid: Plasmid = LEGAL, owner: Owner = ADA) -> list[Any]:
        return [*self.add(owner.record, plasmid.statement), *self.hold(plasmid)]

    def verdict(self, plasmid: Plasmid = LEGAL) -> tuple[str, str]:
        verdict = self.desk.book.live[plasmid.content_id].verdict
        assert verdict is not None
        return verdict.outcome.value, verdict.reason

    def restarted(self, **changes: Any) -> Bench:
        """The same peer after a restart, from the rows that it wrote."""
        tables: dict[str, list[tuple[bytes, bytes]]] = {}
        for (table, key), value in sorted(self.rows.items()):
            tables.setdefault(table, []).append((key, value))
        snapshot = Snapshot(
            tables={name: tuple(rows) for name, rows in tables.items()}, held=dict(self.desk.larder.held)
        )
        again = {"trust": self.trust, "policy": self.policy, "config": self.config, "wall_ms": self.wall_ms, **changes}
        return Bench(snapshot=again.pop("snapshot", snapshot), **again)


def those(kind: type[_Kind], outputs: list[Any]) -> list[_Kind]:
    return [output for output in outputs if isinstance(output, kind)]


def records(outputs: list[Any], kind: str) -> list[Body]:
    return [effect.body for effect in those(Emit, outputs) if effect.body.kind == kind]


def test_a_trusted_manifest_is_fetched_examined_accepted_and_exposed() -> None:
    bench = Bench()
    bench.tell(LinkReady(SOURCE), SourceFound(SOURCE, LEGAL.content_id))
    asked = bench.add(ADA.record, LEGAL.statement)
    assert those(BytesWanted, asked)[0].artifact.digest == LEGAL.manifest.artifacts.sha256
    assert those(BytesOffered, asked) == [BytesOffered(SOURCE, LEGAL.manifest.artifacts.sha256)]
    assert bench.verdict() == ("pending", "bytes_missing")
    out = bench.hold()
    assert bench.verdict() == ("accept", "")
    assert those(Examine, out) == [Examine(LEGAL.manifest.artifacts.sha256)]
    assert [effect.name for effect in those(Expose, out)] == ["ada--legal"]
    assert [body.change for body in records(out, "knowledge")] == ["gained"]  # type: ignore[attr-defined]
    assert those(BytesServable, out) and Send(SOURCE, IHave((LEGAL.content_id,))) in out


def test_nothing_is_granted_before_the_verdict_is_durable() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    bench.persisting = False
    out = bench.hold()
    assert bench.verdict() == ("accept", "")
    assert not those(Expose, out) and not records(out, "verdict") and not records(out, "knowledge")
    done = [output for token in [those(Persist, out)[-1].token] for output in bench.tell(Persisted(token))]
    assert those(Expose, done) and records(done, "verdict") and records(done, "knowledge")


def test_a_verdict_that_could_not_be_written_is_tried_again() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    bench.persisting = False
    failed = bench.tell(PersistFailed(those(Persist, bench.hold())[-1].token, "disk_full"))
    assert records(failed, "error") and not those(Expose, failed)
    assert those(SetTimer, failed)[0].timer == CLOCK_TIMER
    bench.persisting = True
    bench.wall_ms += RETRY_MS
    assert those(Expose, bench.tell(TimerDue(CLOCK_TIMER)))


def test_the_stages_are_recorded_before_the_verdict() -> None:
    bench = Bench()
    kinds = [effect.body.kind for effect in those(Emit, bench.accept())]
    assert kinds.count("verdict") == 2
    assert kinds.index("stage") < kinds.index("verdict")
    last = len(kinds) - 1 - kinds[::-1].index("verdict")
    assert kinds[last - 13 : last] == ["stage"] * 13


def test_an_unknown_owner_waits_and_trust_lets_it_in() -> None:
    bench = Bench(trust=Trust())
    out = bench.add(ADA.record, LEGAL.statement)
    assert bench.verdict() == ("pending", "unknown_owner")
    assert not those(BytesWanted, out)
    assert those(BytesWanted, bench.tell(PolicyChanged(bench.policy, TRUST)))


def test_distrust_hides_unserves_and_unmerges_but_keeps_the_bytes() -> None:
    bench = Bench()
    bench.accept()
    bench.tell(TimerDue("desk:merge:mini"), Merged("mini", 1, "{}"))
    out = bench.tell(PolicyChanged(bench.policy, TRUST.with_distrusted(ADA.id)))
    assert bench.verdict() == ("reject", "distrusted")
    assert those(Hide, out) == [Hide("ada--legal")] and those(BytesWithheld, out) and not those(DropBlob, out)
    assert [body.change for body in records(out, "knowledge")] == ["lost"]  # type: ignore[attr-defined]
    assert those(Merge, bench.tell(TimerDue("desk:merge:mini"))) == [Merge("mini", 2, ())]


def spoil(bench: Bench, plasmid: Plasmid = LEGAL) -> list[Any]:
    """A merge finds other bytes than were examined."""
    bench.tell(TimerDue("desk:merge:mini"))
    return bench.tell(Merged("mini", 1, "", "hash_mismatch", plasmid.manifest.artifacts.sha256))


def test_spoilt_bytes_are_dropped_fetched_again_and_the_rest_is_merged() -> None:
    bench = Bench()
    other = make_plasmid(BOB, "medical", tiny_adapter(7))
    bench.accept()
    bench.accept(other, BOB)
    bench.tell(LinkReady(SOURCE), SourceFound(SOURCE, LEGAL.content_id))
    out = spoil(bench)
    digest = LEGAL.manifest.artifacts.sha256
    order = [
        effect for effect in out if isinstance(effect, BytesWithheld | DropBlob | Hide | BytesWanted | BytesOffered)
    ]
    assert order[1:3] == [DropBlob(digest), Hide("ada--legal")]
    assert [type(effect) for effect in order] == [BytesWithheld, DropBlob, Hide, BytesWanted, BytesOffered]
    assert bench.verdict() == ("pending", "bytes_missing") and bench.verdict(other) == ("accept", "")
    (error,) = records(out, "error")
    assert digest in error.where  # type: ignore[attr-defined]
    (merge,) = those(Merge, bench.tell(TimerDue("desk:merge:mini")))
    assert [item.content_id for item in merge.inputs] == [other.content_id]
    bench.tell(Merged("mini", 2, "{}"))

    again = bench.tell(BytesHeld(digest, (SOURCE,), 1, 0, 0))
    assert bench.verdict() == ("accept", "") and those(Expose, again) and not those(Examine, again)
    (merge,) = those(Merge, bench.tell(TimerDue("desk:merge:mini")))
    assert len(merge.inputs) == 2


def test_spoilt_bytes_of_ones_own_are_refused_until_they_are_published_again() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.tell(Publish((ADA.record, LEGAL.statement), (digest,)))
    bench.add(ADA.record, LEGAL.statement, via=None)
    bench.tell(Examined(digest, SHARED.features(DATA)))
    out = spoil(bench)
    assert bench.verdict() == ("reject", "hash_mismatch")
    assert those(DropBlob, out) == [DropBlob(digest)] and those(Hide, out) and not those(BytesWanted, out)
    assert not those(Merge, bench.tell(TimerDue("desk:merge:mini")))
    back = bench.tell(Publish((LEGAL.statement,), (digest,)))
    assert bench.verdict() == ("accept", "") and those(Expose, back)


def test_a_culprit_that_is_not_held_changes_nothing() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    out = bench.tell(Merged("mini", 1, "", "hash_mismatch", LEGAL.manifest.artifacts.sha256))
    assert out == []


def test_withdrawing_waits_for_no_disk() -> None:
    bench = Bench()
    bench.accept()
    bench.persisting = False
    out = bench.tell(PolicyChanged(bench.policy, Trust()))
    assert those(Hide, out) == [Hide("ada--legal")]
    assert out.index(Hide("ada--legal")) < out.index(those(Persist, out)[0])


def test_attack_088_a_late_cosignature_turns_pending_into_accepted() -> None:
    bench = Bench(policy=Policy(quorum_required=2))
    bench.accept()
    assert bench.verdict() == ("pending", "below_quorum")
    assert LEGAL.manifest.artifacts.sha256 in bench.desk.larder.served  # a co-signer elsewhere must be able to see it
    out = bench.add(BOB.record, attest(BOB, LEGAL.content_id))
    assert bench.verdict() == ("accept", "")
    assert those(Expose, out)


@pytest.mark.parametrize(
    ("target_kind", "target"),
    [("content", LEGAL.content_id.hex()), ("key", ADA.key.public.key_id), ("owner", ADA.id)],
)
def test_attack_118_a_revocation_hides_unmerges_and_deletes(target_kind: str, target: str) -> None:
    bench = Bench()
    bench.accept()
    bench.tell(TimerDue("desk:merge:mini"), Merged("mini", 1, "{}"))
    out = bench.add(revoke(ADA, target_kind, target))
    assert bench.verdict() == ("reject", f"revoked_{target_kind}")
    assert those(Hide, out) and those(DropBlob, out) == [DropBlob(LEGAL.manifest.artifacts.sha256)]
    assert records(out, "revoked")
    assert those(Merge, bench.tell(TimerDue("desk:merge:mini"))) == [Merge("mini", 2, ())]


def test_a_newer_version_takes_the_place_of_the_older() -> None:
    bench = Bench()
    bench.accept()
    newer = make_plasmid(ADA, "legal", tiny_adapter(2), version=2)
    out = [*bench.add(newer.statement), *bench.tell(StatementDropped(LEGAL.statement, "superseded"))]
    assert those(Hide, out) == [Hide("ada--legal")]
    assert DropBlob(LEGAL.manifest.artifacts.sha256) in out
    assert bench.desk.book.gone[LEGAL.content_id].gone == "superseded"
    assert ("verdicts", LEGAL.content_id) not in bench.rows
    bench.hold(newer)
    assert bench.verdict(newer) == ("accept", "")


def test_attack_051_two_contents_of_one_version_block_each_other() -> None:
    bench = Bench()
    bench.accept()
    twin = make_plasmid(ADA, "legal", tiny_adapter(2))
    out = bench.add(twin.statement)
    assert bench.verdict() == bench.verdict(twin) == ("reject", "equivocation")
    assert those(Hide, out) and not those(BytesWanted, out)


def test_attack_052_not_yet_valid_is_judged_again_when_its_time_comes() -> None:
    start_s = WALL_START_MS // 1000 + 3600
    later = make_plasmid(ADA, "later", DATA, issued_s=start_s)
    bench = Bench()
    out = bench.add(ADA.record, later.statement)
    assert bench.verdict(later) == ("defer", "not_yet_valid")
    assert those(SetTimer, out)[-1].timer == CLOCK_TIMER
    bench.wall_ms = start_s * 1000
    assert those(BytesWanted, bench.tell(TimerDue(CLOCK_TIMER)))


def test_expiry_hides_without_any_statement() -> None:
    bench = Bench()
    short = make_plasmid(ADA, "short", DATA, life_s=7200)
    bench.accept(short)
    bench.wall_ms += LIFE_S * 1000
    out = bench.tell(TimerDue(CLOCK_TIMER))
    assert bench.verdict(short) == ("reject", "expired")
    assert those(Hide, out)
    assert those(DropBlob, out)


def test_the_clock_is_looked_at_within_the_hour_even_if_nothing_is_due() -> None:
    bench = Bench()
    timers = [effect for effect in those(SetTimer, bench.accept()) if effect.timer == CLOCK_TIMER]
    assert {effect.due_ns for effect in timers} == {3_600_000 * 1_000_000}


def test_bytes_that_are_not_what_was_signed_are_refused_for_that() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesFailed(LEGAL.manifest.artifacts.sha256, "bad_hash"))
    assert bench.verdict() == ("reject", "hash_mismatch")
    again = bench.tell(FetchAsked(LEGAL.content_id))
    assert bench.verdict() == ("pending", "bytes_missing") and those(BytesWanted, again)


def test_a_full_disk_is_nobodys_fault_and_tried_again() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesFailed(LEGAL.manifest.artifacts.sha256, "disk_full"))
    assert bench.verdict() == ("pending", "bytes_missing")
    bench.wall_ms += RETRY_MS
    assert those(BytesWanted, bench.tell(TimerDue(CLOCK_TIMER)))


def test_attack_117_a_worker_that_dies_twice_means_quarantine() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    digest = LEGAL.manifest.artifacts.sha256
    bench.tell(BytesHeld(digest, (), 0, 0, 0), Examined(digest, None, "killed"))
    assert bench.verdict() == ("pending", "bytes_missing")
    bench.wall_ms += RETRY_MS
    assert those(Examine, bench.tell(TimerDue(CLOCK_TIMER))) == [Examine(digest)]
    bench.tell(Examined(digest, None, "killed"))
    assert bench.verdict() == ("quarantine", "internal_error")
    assert digest not in bench.desk.larder.served and not bench.desk.larder.examining(digest)
    verdict = bench.desk.book.live[LEGAL.content_id].verdict
    assert verdict is not None and verdict.evidence == {"worker": "killed"}
    assert [stage.outcome.value for stage in verdict.stages] == ["pass"] * 6 + ["quarantine"]


def test_bad_content_is_refused_deleted_and_not_fetched_again() -> None:
    bench = Bench()
    bad = make_plasmid(ADA, "bad", b"not a safetensors file at all, only text", rank=4)
    out = bench.accept(bad)
    assert bench.verdict(bad)[0] == "reject" and bench.verdict(bad)[1].startswith("header_")
    assert those(DropBlob, out) == [DropBlob(bad.manifest.artifacts.sha256)]
    twin = make_plasmid(BOB, "copy", bad.data)
    assert not those(BytesWanted, bench.add(BOB.record, twin.statement))
    assert bench.verdict(twin)[1].startswith("header_")


def test_features_known_without_bytes_accept_nothing() -> None:
    bench = Bench()
    bench.accept()
    bench.tell(StatementDropped(LEGAL.statement, "evicted"))
    bench.desk.larder._features[LEGAL.manifest.artifacts.sha256] = SHARED.features(DATA)
    out = bench.add(LEGAL.statement)
    assert bench.verdict() == ("pending", "bytes_missing") and those(BytesWanted, out)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"subscribe_domains": ("medical",)}, False),
        ({"subscribe_domains": ("medical", "legal")}, True),
        ({"subscribe_bases": ("other",)}, False),
        ({"subscribe_bases": ("mini",), "subscribe_domains": ("legal",)}, True),
        ({"subscribe_bases": ("other",), "carry": True}, True),
    ],
)
def test_bytes_are_wanted_by_subscription_or_carried(changes: dict[str, Any], wanted: bool) -> None:
    bench = Bench(config=replace(CONFIG, **changes))
    assert bool(those(BytesWanted, bench.add(ADA.record, LEGAL.statement))) is wanted
    if not wanted:
        assert those(BytesWanted, bench.tell(FetchAsked(LEGAL.content_id)))


@pytest.mark.parametrize("setting", ["artifact_bytes_max", "store_bytes_max"])
def test_a_size_bound_is_a_record_that_names_the_setting(setting: str) -> None:
    bench = Bench(config=replace(CONFIG, **{setting: len(DATA) - 1}))  # type: ignore[arg-type]
    out = bench.add(ADA.record, LEGAL.statement)
    assert not those(BytesWanted, out)
    assert [body.setting for body in records(out, "bound_hit")] == [setting]  # type: ignore[attr-defined]
    assert bench.desk.book.live[LEGAL.content_id].trouble == setting
    bench.desk.larder._config = CONFIG
    assert those(BytesWanted, bench.tell(PolicyChanged(bench.policy, bench.trust)))
    assert bench.desk.book.live[LEGAL.content_id].trouble == ""


def test_the_store_bound_counts_what_is_held_and_what_is_coming() -> None:
    other = make_plasmid(BOB, "other", tiny_adapter(5))
    bench = Bench(config=replace(CONFIG, store_bytes_max=2 * len(DATA)))
    assert len(those(BytesWanted, bench.add(ADA.record, LEGAL.statement, BOB.record, other.statement))) == 2
    third = make_plasmid(BOB, "third", tiny_adapter(6))
    assert not those(BytesWanted, bench.add(third.statement))


def test_one_artifact_under_two_manifests_is_fetched_once_and_kept_while_one_lives() -> None:
    twin = make_plasmid(BOB, "same", DATA)
    bench = Bench()
    out = bench.add(ADA.record, LEGAL.statement, BOB.record, twin.statement)
    assert len(those(BytesWanted, out)) == 1
    bench.hold()
    assert bench.verdict(twin) == ("accept", "")
    merge = those(Merge, bench.tell(TimerDue("desk:merge:mini")))[0]
    assert len(merge.inputs) == 1  # the same bytes count once
    gone = bench.tell(StatementDropped(LEGAL.statement, "expired"))
    assert not those(DropBlob, gone) and not those(BytesWithheld, gone)
    assert those(DropBlob, bench.tell(StatementDropped(twin.statement, "expired")))


def test_an_examination_is_recorded_with_the_cpu_time_that_the_worker_took() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesHeld(digest, (SOURCE,), 1, 0, 0))
    (failed,) = records(bench.tell(Examined(digest, None, "killed", 9.0)), "examined")
    assert failed == ExaminedRecord(digest, 9.0, "killed")
    (done,) = records(bench.tell(Examined(digest, SHARED.features(DATA), cpu_ms=2.5)), "examined")
    assert done == ExaminedRecord(digest, 2.5)


@pytest.mark.parametrize(
    "wanted",
    [SettingsChanged(), SettingsChanged(("mini",), ("legal",)), SettingsChanged(("x",), carry=True)],
)
def test_new_subscriptions_start_and_stop_fetches(wanted: SettingsChanged) -> None:
    bench = Bench(config=replace(CONFIG, subscribe_domains=("medical",)))
    assert not those(BytesWanted, bench.add(ADA.record, LEGAL.statement))
    assert those(BytesWanted, bench.tell(wanted))
    unwanted = bench.tell(SettingsChanged(("other",), ()))
    assert those(BytesUnwanted, unwanted) == [BytesUnwanted(LEGAL.manifest.artifacts.sha256)]


def test_a_fetch_is_stopped_when_nobody_wants_it_any_more() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    out = bench.tell(PolicyChanged(bench.policy, Trust()))
    assert those(BytesUnwanted, out) == [BytesUnwanted(LEGAL.manifest.artifacts.sha256)]


def test_bytes_that_arrive_for_nobody_are_deleted() -> None:
    out = Bench().tell(BytesHeld("cd" * 32, (), 0, 0, 0))
    assert those(DropBlob, out) == [DropBlob("cd" * 32)]


def test_ones_own_is_not_fetched_and_passes_the_same_gate() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.tell(Publish((ADA.record, LEGAL.statement), (digest,)))
    out = bench.add(ADA.record, LEGAL.statement, via=None)
    assert not those(BytesWanted, out) and those(Examine, out)
    bench.tell(Examined(digest, SHARED.features(DATA)))
    assert bench.verdict() == ("accept", "") and bench.desk.book.live[LEGAL.content_id].own


def test_a_new_neighbour_hears_of_everything_in_frames_of_bounded_size() -> None:
    bench = Bench()
    bench.accept()
    ids = [bytes([number % 256, number // 256]) * 16 for number in range(IHAVE_MAX + 1)]
    frames = those(Send, bench.desk.larder._announce(ids, [SOURCE]))
    assert [len(frame.message.ids) for frame in frames] == [IHAVE_MAX, 1]  # type: ignore[union-attr]
    assert Send(SOURCE, IHave((LEGAL.content_id,))) in bench.tell(LinkReady(SOURCE))
    again = bench.tell(TimerDue(ANNOUNCE_TIMER))
    assert Send(SOURCE, IHave((LEGAL.content_id,))) in again
    assert ANNOUNCE_TIMER in [effect.timer for effect in those(SetTimer, again)]
    bench.tell(LinkLost(SOURCE))
    assert not those(Send, bench.tell(TimerDue(ANNOUNCE_TIMER)))


def test_what_a_link_announces_is_bounded_and_forgotten_with_it() -> None:
    bench = Bench(config=replace(CONFIG, bounds=Bounds(announced_per_link=2)))
    out = bench.tell(*(SourceFound(SOURCE, bytes([number]) * 32) for number in (1, 2, 2, 3)))
    assert [body.setting for body in records(out, "bound_hit")] == ["announced_per_link"]  # type: ignore[attr-defined]
    assert bench.desk.larder.sources(b"\x01" * 32) == [SOURCE]
    bench.tell(LinkLost(SOURCE))
    assert bench.desk.larder.sources(b"\x01" * 32) == []


def test_a_source_that_comes_later_is_passed_on_only_while_fetching() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    assert those(BytesOffered, bench.tell(SourceFound(SOURCE, LEGAL.content_id)))
    bench.hold()
    assert not those(BytesOffered, bench.tell(SourceFound("cc" * 32, LEGAL.content_id)))


def test_after_a_restart_all_stands_as_before_and_nothing_is_recorded_twice() -> None:
    bench = Bench()
    bench.accept()
    bench.tell(TimerDue("desk:merge:mini"), Merged("mini", 1, json.dumps({"weights": [1.0]})))
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    out = again.tell(Start())
    assert [effect.name for effect in those(Expose, out)] == ["ada--legal"]
    assert not those(Examine, out) and not those(Persist, out)
    assert not records(out, "verdict") and not records(out, "knowledge")
    assert not those(Merge, again.tell(TimerDue("desk:merge:mini")))
    plasmid = again.desk.book.live[LEGAL.content_id]
    assert (plasmid.via, plasmid.seen_ms, plasmid.usable) == (SOURCE, WALL_START_MS, True)


def test_a_peer_that_was_killed_before_its_first_merge_makes_it_after_the_restart() -> None:
    bench = Bench()
    bench.accept()
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    assert "desk:merge:mini" in [effect.timer for effect in those(SetTimer, again.tell(Start()))]
    (merge,) = those(Merge, again.tell(TimerDue("desk:merge:mini")))
    assert [item.content_id for item in merge.inputs] == [LEGAL.content_id]


def test_after_a_restart_under_other_trust_what_no_longer_holds_is_withdrawn() -> None:
    bench = Bench()
    bench.accept()
    again = bench.restarted(live=(ADA.record, LEGAL.statement), trust=Trust())
    out = again.tell(Start())
    assert those(Hide, out) == [Hide("ada--legal")] and not those(Expose, out)
    assert [body.change for body in records(out, "knowledge")] == ["lost"]  # type: ignore[attr-defined]


def test_after_a_restart_without_the_statement_its_remains_are_cleared() -> None:
    bench = Bench()
    bench.accept()
    out = bench.restarted().tell(Start())
    assert those(Hide, out) == [Hide("ada--legal")]
    assert those(DropBlob, out) == [DropBlob(LEGAL.manifest.artifacts.sha256)]
    assert Delete("verdicts", LEGAL.content_id) in [row for effect in those(Persist, out) for row in effect.rows]


def test_a_lost_blob_is_fetched_again() -> None:
    bench = Bench()
    bench.accept()
    bench.desk.larder.held.clear()
    out = bench.restarted(live=(ADA.record, LEGAL.statement)).tell(Start())
    assert those(BytesWanted, out) and those(Hide, out) == [Hide("ada--legal")]


def test_a_new_nickname_moves_the_folder() -> None:
    bench = Bench()
    bench.accept()
    renamed = Trust(owners=(replace(ADA.trusted, nickname="lovelace"),))
    out = bench.tell(PolicyChanged(bench.policy, renamed))
    assert those(Hide, out) == [Hide("ada--legal")]
    assert [effect.name for effect in those(Expose, out)] == ["lovelace--legal"]
    assert decode_verdict(bench.rows[("verdicts", LEGAL.content_id)]).name == "lovelace--legal"


def test_the_same_look_is_written_once() -> None:
    bench = Bench()
    bench.accept()
    count = len(those(Persist, bench.out))
    bench.tell(PolicyChanged(bench.policy, replace(TRUST, version=9)))
    assert len(those(Persist, bench.out)) == count


def test_events_of_others_are_ignored() -> None:
    bench = Bench()
    assert bench.tell(TimerDue("desk:unknown"), FetchAsked(b"\x00" * 32), Merged("none", 1, "{}")) == []
    assert bench.desk.handle(Persisted(99), bench.now) == []


def test_knowledge_is_gained_by_the_first_and_lost_with_the_last_of_a_domain() -> None:
    other = make_plasmid(BOB, "law", tiny_adapter(7), domain="legal")
    bench = Bench()
    out = [*bench.accept(), *bench.accept(other, BOB)]
    assert len(records(out, "knowledge")) == 1
    first = bench.tell(StatementDropped(LEGAL.statement, "expired"))
    assert not records(first, "knowledge")
    last = bench.tell(StatementDropped(other.statement, "expired"))
    assert [body.change for body in records(last, "knowledge")] == ["lost"]  # type: ignore[attr-defined]


def test_an_own_blob_stays_although_its_content_is_refused() -> None:
    bad = make_plasmid(ADA, "bad", b"not a safetensors file at all, only text")
    digest = bad.manifest.artifacts.sha256
    bench = Bench()
    bench.tell(Publish((bad.statement,), (digest,)))
    bench.add(ADA.record, bad.statement, via=None)
    out = bench.tell(Examined(digest, SHARED.features(bad.data)))
    assert bench.verdict(bad)[0] == "reject" and not those(DropBlob, out) and digest not in bench.desk.larder.served


def test_another_stage_version_is_examined_again() -> None:
    bench = Bench()
    bench.accept()
    key = ("features", bytes.fromhex(LEGAL.manifest.artifacts.sha256))
    old: Callable[[Features], Features] = lambda features: replace(features, stage_version=0)  # noqa: E731
    bench.rows[key] = old(SHARED.features(DATA)).to_json().encode()
    out = bench.restarted(live=(ADA.record, LEGAL.statement)).tell(Start())
    assert those(Examine, out)


def test_what_left_and_comes_back_starts_afresh() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    for _ in range(2):
        bench.add(ADA.record, LEGAL.statement)
        bench.tell(BytesHeld(digest, (), 0, 0, 0), Examined(digest, None, "killed"))
        assert bench.verdict() == ("pending", "bytes_missing")
        bench.tell(StatementDropped(LEGAL.statement, "evicted"))
    bench.add(LEGAL.statement)
    bench.tell(BytesFailed(digest, "bad_hash"), StatementDropped(LEGAL.statement, "evicted"))
    assert those(BytesWanted, bench.add(LEGAL.statement))


def test_who_asked_is_remembered_over_a_restart() -> None:
    bench = Bench(config=replace(CONFIG, subscribe_domains=("medical",)))
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(FetchAsked(LEGAL.content_id))
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    assert those(BytesWanted, again.tell(Start()))


def test_ones_own_bytes_mend_what_others_sent_wrong() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesFailed(digest, "bad_hash"))
    assert those(Examine, bench.tell(Publish((LEGAL.statement,), (digest,)))) == [Examine(digest)]
    bench.tell(Examined(digest, SHARED.features(DATA)))
    assert bench.verdict() == ("accept", "")


def test_a_worker_that_was_asked_before_is_asked_again_after_the_bytes_came_back() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesHeld(digest, (), 0, 0, 0), StatementDropped(LEGAL.statement, "evicted"))
    bench.add(LEGAL.statement)
    assert those(Examine, bench.tell(BytesHeld(digest, (), 0, 0, 0))) == [Examine(digest)]
