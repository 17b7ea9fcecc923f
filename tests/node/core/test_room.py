"""Room on the desk: what gives way to what, what never does, and that room that comes free is used."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.node.core.conftest import ADA, BOB, CONFIG, DATA, LEGAL, Bench, records, those

from plora.gate import Policy, Trust
from plora.node.core.config import Limits, Subscription
from plora.node.core.effects import DropBlob, Hide
from plora.node.core.events import (
    DiskSpace,
    FetchAsked,
    PinAsked,
    PolicyChanged,
    Publish,
    RemoveAsked,
    RoomNeeded,
    SettingsChanged,
    Start,
)
from plora.node.core.notices import BytesWanted, StatementDropped
from plora.node.core.room import SETTLE_MS
from plora.proto.records import BoundHit, Evicted
from plora.sim.material import Plasmid, make_plasmid, tiny_adapter

SIZE = len(DATA)
OTHER, THIRD, FOURTH = (make_plasmid(BOB, name, tiny_adapter(seed)) for seed, name in ((5, "b"), (6, "c"), (7, "d")))
ALL = (LEGAL, OTHER, THIRD, FOURTH)


def digest(plasmid: Plasmid) -> str:
    return plasmid.manifest.artifacts.sha256


def held(bench: Bench) -> list[Plasmid]:
    return [plasmid for plasmid in ALL if digest(plasmid) in bench.desk.larder.held]


def later(bench: Bench, *plasmids: Plasmid, wait_ms: int = 1000) -> None:
    """They are seen and accepted, one after another."""
    for plasmid in plasmids:
        bench.wall_ms += wait_ms
        bench.add(plasmid.statement)
        if digest(plasmid) in bench.desk.larder.fetching:
            bench.hold(plasmid)


def bench_with(count: int, *, floor: int = 0, free: int | None = None, collect: bool = True) -> Bench:
    """A store of that many artifacts' size, with both owners' records."""
    assert all(plasmid.artifact_size == SIZE for plasmid in map(_Sized, ALL))
    limits = Limits(store_max=count * SIZE, disk_free_min=floor, collect_garbage=collect)
    bench = Bench(config=replace(CONFIG, limits=limits))
    bench.add(ADA.record, BOB.record)
    if free is not None:
        bench.tell(DiskSpace(free))
    return bench


class _Sized:
    def __init__(self, plasmid: Plasmid) -> None:
        self.artifact_size = plasmid.manifest.artifacts.size_bytes


def test_the_oldest_gives_way_to_what_is_new_and_does_not_push_back() -> None:
    bench = bench_with(2)
    later(bench, LEGAL, OTHER)
    start = len(bench.out)
    later(bench, THIRD)
    out = bench.out[start:]
    assert held(bench) == [OTHER, THIRD]
    assert records(out, "evicted") == [Evicted(digest(LEGAL), SIZE, "limits.store_max")]
    assert those(Hide, out) == [Hide("ada--legal")]
    assert bench.verdict() == ("pending", "bytes_missing")
    bound = bench.desk.book.live[LEGAL.content_id].bound
    assert bound is not None and bound.setting == "limits.store_max"
    bench.tell(PolicyChanged(bench.policy, bench.trust))
    assert held(bench) == [OTHER, THIRD]


def test_ones_own_makes_room_before_it_is_published() -> None:
    bench = bench_with(2)
    later(bench, LEGAL, OTHER)
    assert not those(DropBlob, bench.tell(RoomNeeded(0)))
    assert those(DropBlob, bench.tell(RoomNeeded(SIZE))) == [DropBlob(digest(LEGAL))]
    bench.tell(PinAsked(OTHER.content_id, True))
    assert not those(DropBlob, bench.tell(RoomNeeded(2 * SIZE)))


def test_nothing_gives_way_where_it_would_not_be_enough_or_is_switched_off() -> None:
    for bench in (bench_with(2), bench_with(2, collect=False)):
        later(bench, LEGAL, OTHER)
        large = make_plasmid(ADA, "large", tiny_adapter(9, width=20_000))
        out = bench.add((large if bench.config.limits.collect_garbage else THIRD).statement)
        assert held(bench) == [LEGAL, OTHER] and not those(BytesWanted, out)
        assert len(records(out, "bound_hit")) == 1


def test_pinned_own_and_asked_for_bytes_stay() -> None:
    bench = bench_with(3)
    bench.tell(Publish((LEGAL.statement,), (digest(LEGAL),)))
    bench.add(LEGAL.statement, via=None)
    later(bench, OTHER, THIRD)
    bench.tell(PinAsked(OTHER.content_id, True), FetchAsked(THIRD.content_id))
    later(bench, FOURTH)
    assert held(bench) == [LEGAL, OTHER, THIRD]
    bench.tell(PinAsked(OTHER.content_id, False))
    assert digest(FOURTH) in bench.desk.larder.fetching, "what was pinned may give way now, to what waits"
    assert held(bench) == [LEGAL, THIRD]


def test_who_is_asked_for_may_push_out_what_is_newer_but_not_asked_for() -> None:
    bench = bench_with(1)
    later(bench, LEGAL, OTHER)
    assert held(bench) == [OTHER]
    out = bench.tell(FetchAsked(LEGAL.content_id))
    assert those(BytesWanted, out) and not held(bench)
    bench.hold(LEGAL)
    assert held(bench) == [LEGAL], "and the newer one does not push back"


def test_refused_bytes_go_first() -> None:
    bench = bench_with(2)
    later(bench, LEGAL, OTHER)
    bench.tell(PolicyChanged(Policy(unknown_owner="reject"), Trust(owners=(ADA.trusted,))))
    assert bench.verdict(OTHER) == ("reject", "unknown_owner") and held(bench) == [LEGAL, OTHER]
    newer = make_plasmid(ADA, "newer", tiny_adapter(4))
    later(bench, newer)
    assert held(bench) == [LEGAL] and digest(newer) in bench.desk.larder.held


def test_only_what_is_needed_goes() -> None:
    wide = make_plasmid(ADA, "wide", tiny_adapter(3, width=64))
    wide_bytes = wide.manifest.artifacts.size_bytes
    bench = Bench(config=replace(CONFIG, limits=Limits(store_max=SIZE + wide_bytes)))
    bench.add(ADA.record, BOB.record)
    later(bench, OTHER, wide)
    newer = make_plasmid(ADA, "newer", tiny_adapter(4, width=64))
    later(bench, newer)
    assert digest(OTHER) in bench.desk.larder.held, "deleting the oldest would not have been enough, nor was it needed"
    assert wide.manifest.artifacts.sha256 not in bench.desk.larder.held


def test_room_that_comes_free_is_used_without_anybody_asking() -> None:
    bench = bench_with(1, collect=False)
    later(bench, LEGAL, OTHER, THIRD)
    out = bench.tell(RemoveAsked(LEGAL.content_id))
    (wanted,) = those(BytesWanted, out)
    assert wanted.artifact.digest == digest(THIRD), "the newest first"
    limits = replace(bench.config.limits, store_max=3 * SIZE)
    out = bench.tell(SettingsChanged(limits=limits))
    assert [one.artifact.digest for one in those(BytesWanted, out)] == [digest(OTHER)]


def test_a_fetch_that_is_given_up_leaves_its_room_to_others() -> None:
    bench = bench_with(1, collect=False)
    bench.add(LEGAL.statement, OTHER.statement)
    out = bench.tell(StatementDropped(LEGAL.statement, "superseded"))
    assert [one.artifact.digest for one in those(BytesWanted, out)] == [digest(OTHER)]


def test_a_lower_bound_deletes_the_oldest_at_once() -> None:
    bench = bench_with(3)
    later(bench, LEGAL, OTHER, THIRD)
    out = bench.tell(SettingsChanged(limits=Limits(store_max=SIZE)))
    assert held(bench) == [THIRD]
    assert [body.setting for body in records(out, "bound_hit")] == ["limits.store_max"] * 2  # type: ignore[attr-defined]


def test_the_floor_keeps_a_fetch_out_until_the_disk_has_room() -> None:
    bench = bench_with(9, floor=10 * SIZE, free=10 * SIZE + SIZE - 1)
    out = bench.add(LEGAL.statement)
    assert records(out, "bound_hit") == [BoundHit("limits.disk_free_min", 10 * SIZE, 10 * SIZE - 1)]
    assert not those(BytesWanted, out)
    assert those(BytesWanted, bench.tell(DiskSpace(11 * SIZE)))


def test_what_is_coming_counts_against_the_floor() -> None:
    bench = bench_with(9, floor=10 * SIZE, free=11 * SIZE)
    assert len(those(BytesWanted, bench.add(LEGAL.statement, OTHER.statement))) == 1


def test_below_the_floor_the_oldest_goes_and_comes_back_with_a_margin_only() -> None:
    floor = 80 * SIZE
    bench = bench_with(9, floor=floor, free=90 * SIZE)
    later(bench, LEGAL, OTHER, THIRD)
    out = bench.tell(DiskSpace(floor - SIZE - 1))
    assert held(bench) == [THIRD]
    assert records(out, "evicted") == [Evicted(digest(one), SIZE, "limits.disk_free_min") for one in (LEGAL, OTHER)]
    assert those(DropBlob, out) == [DropBlob(digest(one)) for one in (LEGAL, OTHER)]
    bench.tell(DiskSpace(floor - SIZE - 1))
    assert held(bench) == [THIRD], "what was deleted shows in the free space a little later"
    bench.wall_ms += SETTLE_MS
    assert not those(BytesWanted, bench.tell(DiskSpace(floor + 5 * SIZE)))
    assert those(BytesWanted, bench.tell(DiskSpace(floor + 12 * SIZE)))


def test_a_floor_that_no_deletion_would_reach_deletes_nothing() -> None:
    bench = bench_with(9, floor=80 * SIZE, free=90 * SIZE)
    later(bench, LEGAL, OTHER, THIRD)
    bench.tell(DiskSpace(76 * SIZE))
    assert held(bench) == [LEGAL, OTHER, THIRD]


def test_nothing_is_deleted_by_a_free_space_of_which_nothing_is_known() -> None:
    bench = bench_with(9, floor=10 * SIZE)
    later(bench, *ALL)
    assert held(bench) == list(ALL)


@pytest.mark.parametrize("reason", ["superseded", "expired"])
def test_pinned_bytes_outlast_their_manifest_until_they_are_unpinned(reason: str) -> None:
    bench = bench_with(2)
    later(bench, LEGAL)
    bench.tell(PinAsked(LEGAL.content_id, True))
    out = bench.tell(StatementDropped(LEGAL.statement, reason))
    assert held(bench) == [LEGAL] and those(Hide, out) and not those(DropBlob, out)
    again = bench.restarted(live=(ADA.record, BOB.record))
    again.tell(Start())
    assert held(again) == [LEGAL]
    (wish,) = again.desk.wishes.departed()
    assert (wish.name, wish.gone, wish.size_bytes) == ("ada/legal@1", reason, SIZE)
    out = again.tell(PinAsked(LEGAL.content_id, False))
    assert those(DropBlob, out) == [DropBlob(digest(LEGAL))] and not held(again)
    assert not again.desk.wishes.departed()


def test_ones_own_expired_bytes_stay_when_they_are_unpinned_and_go_when_they_are_removed() -> None:
    bench = bench_with(2)
    bench.tell(Publish((LEGAL.statement,), (digest(LEGAL),)))
    bench.add(LEGAL.statement, via=None)
    bench.tell(PinAsked(LEGAL.content_id, True), StatementDropped(LEGAL.statement, "expired"))
    bench.tell(PinAsked(LEGAL.content_id, False))
    assert held(bench) == [LEGAL]
    bench.tell(RemoveAsked(LEGAL.content_id))
    assert not held(bench)


def test_a_clock_that_jumps_forward_deletes_nothing_of_ones_own() -> None:
    bench = bench_with(2)
    bench.tell(Publish((LEGAL.statement,), (digest(LEGAL),)))
    bench.add(LEGAL.statement, via=None)
    later(bench, OTHER)
    bench.wall_ms += 10 * 365 * 86_400_000
    bench.tell(PolicyChanged(bench.policy, bench.trust))
    assert bench.verdict() == ("reject", "expired")
    bench.tell(StatementDropped(LEGAL.statement, "expired"), StatementDropped(OTHER.statement, "expired"))
    assert held(bench) == [LEGAL]
    bench.wall_ms -= 10 * 365 * 86_400_000
    again = bench.restarted(live=(ADA.record, BOB.record))
    again.tell(Start())
    assert held(again) == [LEGAL]
    again.add(LEGAL.statement)
    assert again.desk.book.live[LEGAL.content_id].own and not again.desk.wishes.departed()
    assert not those(BytesWanted, again.out)


def test_what_was_removed_stays_away_until_it_is_asked_for() -> None:
    bench = bench_with(2)
    later(bench, LEGAL)
    out = bench.tell(RemoveAsked(LEGAL.content_id))
    assert those(DropBlob, out) == [DropBlob(digest(LEGAL))] and those(Hide, out) == [Hide("ada--legal")]
    assert bench.desk.larder.unwanted(bench.desk.book.live[LEGAL.content_id]) == "removed"
    again = bench.restarted(live=(ADA.record, BOB.record, LEGAL.statement))
    again.tell(Start(), PolicyChanged(again.policy, again.trust), SettingsChanged())
    assert not those(BytesWanted, again.out)
    assert those(BytesWanted, again.tell(FetchAsked(LEGAL.content_id)))
    again.hold(LEGAL)
    assert again.verdict() == ("accept", "")


def test_a_twin_keeps_bytes_that_were_removed_under_another_name() -> None:
    twin = make_plasmid(BOB, "same", DATA)
    bench = bench_with(2)
    bench.add(LEGAL.statement, twin.statement)
    bench.hold(LEGAL)
    out = bench.tell(RemoveAsked(LEGAL.content_id))
    assert not those(DropBlob, out) and those(Hide, out) == [Hide("ada--legal")]
    assert bench.verdict() == ("pending", "bytes_missing") and bench.verdict(twin) == ("accept", "")
    assert those(DropBlob, bench.tell(RemoveAsked(twin.content_id)))


def test_bytes_that_are_published_again_under_another_name_outlast_the_removal_of_the_first() -> None:
    twin = make_plasmid(ADA, "same", DATA)
    bench = bench_with(2)
    later(bench, LEGAL)
    bench.tell(RemoveAsked(LEGAL.content_id))
    out = bench.tell(Publish((twin.statement,), (digest(LEGAL),)))
    assert not those(DropBlob, out)
    bench.add(twin.statement, via=None)
    assert held(bench) == [LEGAL] and bench.verdict(twin) == ("accept", "")
    assert those(DropBlob, bench.tell(RemoveAsked(twin.content_id))) == [DropBlob(digest(LEGAL))]


def test_a_wish_for_something_unknown_changes_nothing() -> None:
    bench = bench_with(1)
    assert bench.tell(PinAsked(bytes(32), True), RemoveAsked(bytes(32)), FetchAsked(bytes(32))) == []


def test_asking_mode_fetches_nothing_unasked() -> None:
    bench = Bench(config=replace(CONFIG, subscription=Subscription(ask=True)))
    assert not those(BytesWanted, bench.add(ADA.record, LEGAL.statement))
    assert those(BytesWanted, bench.tell(FetchAsked(LEGAL.content_id)))
