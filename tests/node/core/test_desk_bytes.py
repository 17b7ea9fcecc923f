"""The desk and bytes: what it wants, refuses, examines, serves and drops, and what spoilt bytes lead to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.node.core.conftest import ADA, BOB, CONFIG, DATA, LEGAL, SHARED, SOURCE, Bench, records, those

from plora.gate import Trust
from plora.node.core.alarms import CLOCK_TIMER
from plora.node.core.config import Bounds, Limits, Subscription
from plora.node.core.desk import RETRY_MS
from plora.node.core.effects import DropBlob, Examine, Expose, Hide, Merge, Send, SetTimer
from plora.node.core.events import (
    Examined,
    FetchAsked,
    Merged,
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
    BytesUnwanted,
    BytesWanted,
    BytesWithheld,
    LinkLost,
    LinkReady,
    SourceFound,
    StatementDropped,
)
from plora.proto.records import BoundHit
from plora.proto.records import Examined as ExaminedRecord
from plora.sim.material import Plasmid, make_plasmid, tiny_adapter


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
    assert those(Examine, bench.tell(TimerDue(CLOCK_TIMER))) == [Examine(digest, LEGAL.manifest.owner)]
    bench.tell(Examined(digest, None, "killed"))
    assert bench.verdict() == ("quarantine", "examination_failed")
    assert digest not in bench.desk.larder.served and not bench.desk.larder.examining(digest)
    verdict = bench.desk.book.live[LEGAL.content_id].verdict
    assert verdict is not None and verdict.evidence == {"worker": "killed"}
    assert [stage.outcome.value for stage in verdict.stages] == ["pass"] * 6 + ["quarantine"]


def test_a_defect_of_this_program_refuses_and_a_restart_tries_again() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    digest = LEGAL.manifest.artifacts.sha256
    bench.tell(BytesHeld(digest, (), 0, 0, 0))
    for _ in range(2):
        out = bench.tell(Examined(digest, None, "KeyError", defect=True))
        bench.wall_ms += RETRY_MS
        bench.tell(TimerDue(CLOCK_TIMER))
    assert bench.verdict() == ("reject", "internal_error")
    assert not those(DropBlob, out) and not records(out, "penalty") and digest not in bench.desk.larder.served
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    assert those(Examine, again.tell(Start())) == [Examine(digest, LEGAL.manifest.owner)]
    again.tell(Examined(digest, SHARED.features(DATA)))
    assert again.verdict() == ("accept", "")


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
        ({"domains": ("medical",)}, False),
        ({"domains": ("medical", "legal")}, True),
        ({"bases": ("other",)}, False),
        ({"bases": ("mini",), "domains": ("legal",)}, True),
        ({"owners": ("bob",)}, False),
        ({"owners": ("bob", "ada")}, True),
        ({"owners": (ADA.id[:8],)}, True),
        ({"owners": (ADA.id[:7],)}, False),
        ({"size_max": len(DATA) - 1}, False),
        ({"size_max": len(DATA)}, True),
        ({"ask": True}, False),
        ({"bases": ("other",), "carry": True}, True),
    ],
)
def test_bytes_are_wanted_by_subscription_or_carried(changes: dict[str, Any], wanted: bool) -> None:
    bench = Bench(config=replace(CONFIG, subscription=Subscription(**changes)))
    assert bool(those(BytesWanted, bench.add(ADA.record, LEGAL.statement))) is wanted
    if not wanted:
        assert those(BytesWanted, bench.tell(FetchAsked(LEGAL.content_id)))


@pytest.mark.parametrize(
    ("setting", "limits"),
    [("artifact_max", Limits(artifact_max=len(DATA) - 1)), ("store_max", Limits(store_max=len(DATA) - 1))],
)
def test_a_size_bound_is_one_record_that_names_the_setting_until_it_is_raised(setting: str, limits: Limits) -> None:
    bench = Bench(config=replace(CONFIG, limits=limits))
    out = bench.add(ADA.record, LEGAL.statement)
    assert not those(BytesWanted, out)
    hit = BoundHit(f"limits.{setting}", len(DATA) - 1, len(DATA))
    assert records(out, "bound_hit") == [hit]
    assert bench.desk.book.live[LEGAL.content_id].bound == hit
    assert not records(bench.tell(PolicyChanged(bench.policy, bench.trust)), "bound_hit")
    assert those(BytesWanted, bench.tell(SettingsChanged()))
    assert bench.desk.book.live[LEGAL.content_id].bound is None


def test_the_store_bound_counts_what_is_held_and_what_is_coming() -> None:
    other = make_plasmid(BOB, "other", tiny_adapter(5))
    bench = Bench(config=replace(CONFIG, limits=Limits(store_max=2 * len(DATA), collect_garbage=False)))
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
    [
        SettingsChanged(),
        SettingsChanged(Subscription(bases=("mini",), domains=("legal",))),
        SettingsChanged(Subscription(bases=("x",), carry=True)),
    ],
)
def test_new_subscriptions_start_and_stop_fetches(wanted: SettingsChanged) -> None:
    bench = Bench(config=replace(CONFIG, subscription=Subscription(domains=("medical",))))
    assert not those(BytesWanted, bench.add(ADA.record, LEGAL.statement))
    assert those(BytesWanted, bench.tell(wanted))
    unwanted = bench.tell(SettingsChanged(Subscription(bases=("other",))))
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


def test_an_own_blob_stays_although_its_content_is_refused() -> None:
    bad = make_plasmid(ADA, "bad", b"not a safetensors file at all, only text")
    digest = bad.manifest.artifacts.sha256
    bench = Bench()
    bench.tell(Publish((bad.statement,), (digest,)))
    bench.add(ADA.record, bad.statement, via=None)
    out = bench.tell(Examined(digest, SHARED.features(bad.data)))
    assert bench.verdict(bad)[0] == "reject" and not those(DropBlob, out) and digest not in bench.desk.larder.served


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


def test_ones_own_bytes_mend_what_others_sent_wrong() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesFailed(digest, "bad_hash"))
    assert those(Examine, bench.tell(Publish((LEGAL.statement,), (digest,)))) == [Examine(digest, LEGAL.manifest.owner)]
    bench.tell(Examined(digest, SHARED.features(DATA)))
    assert bench.verdict() == ("accept", "")


def test_a_worker_that_was_asked_before_is_asked_again_after_the_bytes_came_back() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesHeld(digest, (), 0, 0, 0), StatementDropped(LEGAL.statement, "evicted"))
    bench.add(LEGAL.statement)
    assert those(Examine, bench.tell(BytesHeld(digest, (), 0, 0, 0))) == [Examine(digest, LEGAL.manifest.owner)]


def test_ones_own_bytes_that_a_worker_saw_before_are_not_examined_again() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    seen = Examined(digest, SHARED.features(DATA), cpu_ms=2.5)
    out = bench.tell(Publish((ADA.record, LEGAL.statement), (digest,), (seen,)))
    assert records(out, "examined") == [ExaminedRecord(digest, 2.5)]
    out += bench.add(LEGAL.statement)
    assert bench.verdict() == ("accept", "") and not those(Examine, out)
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    assert not those(Examine, again.tell(Start())) and again.verdict() == ("accept", "")


def test_ones_own_bytes_that_nobody_saw_are_examined() -> None:
    bench = Bench()
    digest = LEGAL.manifest.artifacts.sha256
    bench.tell(Publish((ADA.record, LEGAL.statement), (digest,)))
    assert those(Examine, bench.add(LEGAL.statement)) == [Examine(digest, LEGAL.manifest.owner)]
