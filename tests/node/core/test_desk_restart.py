"""The desk after a restart: what its rows bring back, and what no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.node.core.conftest import ADA, CONFIG, DATA, LEGAL, SHARED, SOURCE, Bench, records, those

from plora.gate import Features, Trust
from plora.node.core.alarms import CLOCK_TIMER
from plora.node.core.config import Subscription
from plora.node.core.desk import RETRY_MS
from plora.node.core.effects import DropBlob, Examine, Expose, Hide, Merge, Persist, SetTimer
from plora.node.core.events import (
    Event,
    FetchAsked,
    Merged,
    Persisted,
    PersistFailed,
    PinAsked,
    RemoveAsked,
    Start,
    TimerDue,
)
from plora.node.core.notices import BytesWanted
from plora.node.store.disk import Delete
from plora.sim.clock import WALL_START_MS


def test_after_a_restart_all_stands_as_before_and_nothing_is_recorded_twice() -> None:
    bench = Bench()
    bench.accept()
    bench.tell(TimerDue("desk:merge:mini"), Merged("mini", 1, "{}"))
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    out = again.tell(Start())
    assert [effect.name for effect in those(Expose, out)] == ["ada--legal"]
    assert not those(Examine, out) and not those(Persist, out)
    assert not records(out, "verdict") and not records(out, "knowledge")
    assert not those(Merge, again.tell(TimerDue("desk:merge:mini")))
    plasmid = again.desk.book.live[LEGAL.content_id]
    assert (plasmid.via, plasmid.seen_ms, plasmid.usable) == (SOURCE, WALL_START_MS, True)


def test_a_verdict_that_was_written_but_not_recorded_is_recorded_and_granted_after_the_restart() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    bench.persisting = False
    (unheard,) = those(Persist, bench.hold())
    bench.commit(unheard)
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    out = again.tell(Start())
    assert [body.outcome for body in records(out, "verdict")] == ["accept"]  # type: ignore[attr-defined]
    assert [body.change for body in records(out, "knowledge")] == ["gained"]  # type: ignore[attr-defined]
    assert [type(effect) for effect in out if isinstance(effect, Expose | Hide)] == [Hide, Expose]
    assert Delete("untold", LEGAL.content_id) in [row for effect in those(Persist, out) for row in effect.rows]


def test_a_verdict_without_record_that_no_longer_holds_leaves_nothing_exposed() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    bench.persisting = False
    (unheard,) = those(Persist, bench.hold())
    bench.commit(unheard)
    again = bench.restarted(live=(ADA.record, LEGAL.statement), trust=Trust())
    out = again.tell(Start())
    assert those(Hide, out) == [Hide("ada--legal")] and not those(Expose, out)
    assert [body.outcome for body in records(out, "verdict")] == ["pending"]  # type: ignore[attr-defined]


def test_the_mark_of_a_newer_verdict_outlives_the_record_of_an_older_one() -> None:
    bench = Bench(persisting=False)
    (first,) = those(Persist, bench.add(ADA.record, LEGAL.statement)[-1:])
    (second,) = those(Persist, bench.hold())
    bench.commit(first)
    bench.commit(second)
    for effect in those(Persist, bench.tell(Persisted(first.token))):
        bench.commit(effect)
    assert ("untold", LEGAL.content_id) in bench.rows
    for effect in those(Persist, bench.tell(Persisted(second.token))):
        bench.commit(effect)
    assert ("untold", LEGAL.content_id) not in bench.rows


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


def test_another_stage_version_is_examined_again() -> None:
    bench = Bench()
    bench.accept()
    key = ("features", bytes.fromhex(LEGAL.manifest.artifacts.sha256))
    old: Callable[[Features], Features] = lambda features: replace(features, stage_version=0)  # noqa: E731
    bench.rows[key] = old(SHARED.features(DATA)).to_json().encode()
    out = bench.restarted(live=(ADA.record, LEGAL.statement)).tell(Start())
    assert those(Examine, out)


def test_who_asked_is_remembered_over_a_restart() -> None:
    bench = Bench(config=replace(CONFIG, subscription=Subscription(domains=("medical",))))
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(FetchAsked(LEGAL.content_id))
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    assert those(BytesWanted, again.tell(Start()))


@pytest.mark.parametrize(
    ("wish", "state"),
    [(PinAsked(LEGAL.content_id, True), "pinned"), (RemoveAsked(LEGAL.content_id), "removed")],
    ids=["pin", "rm"],
)
def test_a_wish_that_could_not_be_written_is_tried_again_with_the_verdict(wish: Event, state: str) -> None:
    bench = Bench()
    bench.accept()
    bench.persisting = False
    lost = those(Persist, bench.tell(wish))
    bench.tell(*(PersistFailed(effect.token, "disk_full") for effect in lost))
    bench.persisting = True
    bench.wall_ms += RETRY_MS
    bench.tell(TimerDue(CLOCK_TIMER))
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    assert getattr(again.desk.wishes, state)(LEGAL.content_id)
