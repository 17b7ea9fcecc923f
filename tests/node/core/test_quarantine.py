"""Quarantine at a desk: what a person lets out counts as accepted, what they delete stays what it was."""

from __future__ import annotations

from tests.node.core.conftest import ADA, LEGAL, SHARED, SOURCE, TRUST, Bench, records, those

from plora.gate import Policy
from plora.node.core.effects import DropBlob, Examine, Expose, Hide, Merge
from plora.node.core.events import Examined, FetchAsked, PolicyChanged, ReleaseAsked, RemoveAsked, Start, TimerDue
from plora.node.core.larder import EXAMINE_TRIES
from plora.node.core.notices import BytesHeld, BytesWanted
from plora.proto.records import Wished
from plora.sim.material import make_plasmid, revoke, tiny_adapter

EMPTY = make_plasmid(ADA, "empty", tiny_adapter(1, scale=0.0))
HELD = ("quarantine", "all_zero")


def held() -> Bench:
    bench = Bench()
    bench.accept(EMPTY)
    assert bench.verdict(EMPTY) == HELD
    return bench


def test_what_is_released_counts_as_accepted_and_says_what_was_waived() -> None:
    bench = held()
    out = bench.tell(ReleaseAsked(EMPTY.content_id))
    assert bench.verdict(EMPTY) == ("accept", "")
    assert records(out, "wished") == [Wished(EMPTY.content_id.hex(), "released")]
    assert [effect.name for effect in those(Expose, out)] == ["ada--empty"]
    merged = those(Merge, bench.tell(TimerDue("desk:merge:mini")))[0]
    assert [item.content_id for item in merged.inputs] == [EMPTY.content_id]
    verdict = bench.desk.book.live[EMPTY.content_id].verdict
    assert verdict is not None
    assert [one.evidence["released"] for one in verdict.stages if "released" in one.evidence] == ["all_zero"]


def test_a_release_outlasts_a_restart() -> None:
    bench = held()
    bench.tell(ReleaseAsked(EMPTY.content_id))
    again = bench.restarted(live=(ADA.record, EMPTY.statement))
    assert again.desk.wishes.released(EMPTY.content_id)


def test_a_release_waives_nothing_but_quarantine() -> None:
    bench = held()
    bench.tell(ReleaseAsked(EMPTY.content_id))
    bench.tell(PolicyChanged(Policy(quorum_required=2), TRUST))
    assert bench.verdict(EMPTY) == ("pending", "below_quorum")
    bench.tell(PolicyChanged(Policy(rank_max=1), TRUST))
    assert bench.verdict(EMPTY) == ("reject", "rank_too_large")
    bench.tell(PolicyChanged(Policy(), TRUST))
    out = bench.add(revoke(ADA, "content", EMPTY.content_id.hex()))
    assert bench.verdict(EMPTY) == ("reject", "revoked_content") and those(Hide, out)


def test_a_new_version_is_not_released_with_the_old_one() -> None:
    bench = held()
    bench.tell(ReleaseAsked(EMPTY.content_id))
    newer = make_plasmid(ADA, "empty", tiny_adapter(2, scale=0.0), version=2)
    bench.add(newer.statement)
    bench.hold(newer)
    assert bench.verdict(newer) == HELD


def test_what_is_removed_stays_in_quarantine_without_bytes_and_is_not_fetched_again() -> None:
    bench = held()
    out = bench.tell(RemoveAsked(EMPTY.content_id))
    assert those(DropBlob, out) == [DropBlob(EMPTY.manifest.artifacts.sha256)]
    assert bench.verdict(EMPTY) == HELD and not those(BytesWanted, out)


def test_who_asks_for_what_they_removed_gets_it_back_into_quarantine() -> None:
    bench = held()
    bench.tell(RemoveAsked(EMPTY.content_id))
    out = bench.tell(FetchAsked(EMPTY.content_id))
    assert those(BytesWanted, out) and bench.verdict(EMPTY) == ("pending", "bytes_missing")
    again = bench.restarted(live=(ADA.record, EMPTY.statement))
    assert those(BytesWanted, again.tell(Start())), "asked for, also after a restart"
    bench.tell(BytesHeld(EMPTY.manifest.artifacts.sha256, (SOURCE,), 1, 0, 0))
    assert bench.verdict(EMPTY) == HELD


def test_bytes_that_no_worker_could_examine_are_tried_again_when_asked_for() -> None:
    bench, digest = Bench(), LEGAL.manifest.artifacts.sha256
    bench.add(ADA.record, LEGAL.statement)
    bench.tell(BytesHeld(digest, (SOURCE,), 1, 0, 0))
    for _ in range(EXAMINE_TRIES):
        bench.tell(Examined(digest, None, "killed"))
        bench.tell(PolicyChanged(Policy(), TRUST))
    assert bench.verdict() == ("quarantine", "examination_failed")
    assert those(Examine, bench.tell(FetchAsked(LEGAL.content_id))) == [Examine(digest, LEGAL.manifest.owner)]
    bench.tell(Examined(digest, SHARED.features(LEGAL.data)))
    assert bench.verdict() == ("accept", "")


def test_removing_takes_a_release_back() -> None:
    bench = held()
    bench.tell(ReleaseAsked(EMPTY.content_id))
    out = bench.tell(RemoveAsked(EMPTY.content_id))
    assert bench.verdict(EMPTY) == HELD and those(Hide, out) == [Hide("ada--empty")]


def test_bytes_of_what_was_removed_come_again_for_a_release() -> None:
    bench = held()
    bench.tell(RemoveAsked(EMPTY.content_id))
    out = bench.tell(ReleaseAsked(EMPTY.content_id))
    assert those(BytesWanted, out) and bench.verdict(EMPTY) == ("pending", "bytes_missing")
