"""The desk alone: how statements, trust, policy and time become verdicts, and what a verdict grants or withdraws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.node.core.conftest import ADA, BOB, DATA, LEGAL, SOURCE, TRUST, Bench, records, those

from plora.gate import Policy, Trust
from plora.node.core.alarms import CLOCK_TIMER
from plora.node.core.desk import RETRY_MS
from plora.node.core.effects import DropBlob, Emit, Examine, Expose, Hide, Merge, Persist, Send, SetTimer
from plora.node.core.events import FetchAsked, Merged, Persisted, PersistFailed, PolicyChanged, TimerDue
from plora.node.core.messages import IHave
from plora.node.core.notices import (
    BytesOffered,
    BytesServable,
    BytesWanted,
    BytesWithheld,
    LinkReady,
    SourceFound,
    StatementDropped,
)
from plora.node.core.rows import decode_verdict
from plora.proto.records import TrustChanged
from plora.sim.clock import WALL_START_MS
from plora.sim.material import LIFE_S, attest, make_plasmid, revoke, tiny_adapter


def test_a_trusted_manifest_is_fetched_examined_accepted_and_exposed() -> None:
    bench = Bench()
    bench.tell(LinkReady(SOURCE), SourceFound(SOURCE, LEGAL.content_id))
    asked = bench.add(ADA.record, LEGAL.statement)
    assert those(BytesWanted, asked)[0].artifact.digest == LEGAL.manifest.artifacts.sha256
    assert those(BytesOffered, asked) == [BytesOffered(SOURCE, LEGAL.manifest.artifacts.sha256)]
    assert bench.verdict() == ("pending", "bytes_missing")
    out = bench.hold()
    assert bench.verdict() == ("accept", "")
    assert those(Examine, out) == [Examine(LEGAL.manifest.artifacts.sha256, LEGAL.manifest.owner)]
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


def test_whom_a_person_believes_is_recorded_when_it_changes() -> None:
    bench = Bench(trust=Trust())
    changes = [TRUST, TRUST, TRUST.without(BOB.id), TRUST.without(BOB.id).with_distrusted(ADA.id, name="ada")]
    told = [records(bench.tell(PolicyChanged(bench.policy, trust)), "trust") for trust in changes]
    assert told == [
        [TrustChanged(0, ("ada", "bob"), (), ())],
        [],
        [TrustChanged(1, (), ("bob",), ())],
        [TrustChanged(2, (), (), ("ada",))],
    ]


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
    departed = bench.desk.book.gone[LEGAL.content_id]
    assert departed.gone == "superseded" and departed.plasmid.manifest == LEGAL.manifest
    assert departed.plasmid.verdict is None and "opened" not in vars(departed.statement)  # what takes room is let go
    assert ("verdicts", LEGAL.content_id) not in bench.rows
    bench.hold(newer)
    assert bench.verdict(newer) == ("accept", "")


def test_attack_051_two_contents_of_one_version_block_each_other() -> None:
    bench = Bench()
    bench.accept()
    twin = make_plasmid(ADA, "legal", tiny_adapter(2))
    out = bench.add(twin.statement)
    assert bench.verdict() == bench.verdict(twin) == ("reject", "two_contents")
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
