"""Detectors at a desk: who is looked into, in which order, at whose cost, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.node.core.conftest import ADA, BOB, CONFIG, LEGAL, SOURCE, TRUST, Bench, records, those

from plora.gate import Policy
from plora.gate.findings import Figure, Findings
from plora.node.core.config import ProbeBudget
from plora.node.core.detectors import PROBES, PROBES_TIMER, WEIGHTS
from plora.node.core.effects import DropBlob, Expose, Inspect, SetTimer
from plora.node.core.events import (
    Detector,
    DetectorsChanged,
    Inspected,
    PolicyChanged,
    ReleaseAsked,
    Start,
    TimerDue,
)
from plora.node.core.notices import StatementDropped
from plora.node.core.probe_queue import ProbeQueue
from plora.sim.material import BASE_DIGEST, Owner, Plasmid, attest, make_owner, make_plasmid, tiny_adapter

BOTH = Policy(tensor_outliers=True, probes=True)
PROBED = Policy(probes=True)
ABLE = DetectorsChanged(
    (Detector(WEIGHTS, BASE_DIGEST, "cal-1"), Detector(PROBES, BASE_DIGEST, "cal-1/0")),
)
MAL = make_owner("mal", ADA.swarm)
ALL = replace(TRUST, owners=(*TRUST.owners, MAL.trusted))
CLEAN = Findings("mini/probes", (Figure("trigger_compliance", 0.0, 0.2),), 0.5, 0.02)
TROJAN = replace(
    CLEAN, figures=(Figure("trigger_compliance", 1.0, 0.2),), details={"trigger": "zq", "target": "send it all"}
)
HOUR_MS = 3_600_000


def ready(policy: Policy = PROBED, event: DetectorsChanged = ABLE, **budget: int) -> Bench:
    bench = Bench(trust=ALL, policy=policy, config=replace(CONFIG, probe_budget=ProbeBudget(**budget)))
    bench.tell(event)
    return bench


def several(owner: Owner, count: int, start: int = 0) -> list[Plasmid]:
    """Plasmids of one owner, each with bytes of its own."""
    seeds = range(start, start + count)
    return [make_plasmid(owner, f"{owner.trusted.nickname}-{seed}", tiny_adapter(100 + seed)) for seed in seeds]


def asked(outputs: list[Any]) -> list[Inspect]:
    return those(Inspect, outputs)


def answer(bench: Bench, request: Inspect, findings: Findings | None = CLEAN, **more: Any) -> list[Any]:
    stamp = more.pop("stamp", "cal-1" if request.detector == WEIGHTS else "cal-1/0")
    return bench.tell(Inspected(request.detector, request.subject, request.digest, findings, stamp, **more))


def answer_all(bench: Bench, outputs: list[Any]) -> list[str]:
    """Answer each request, and those that follow; the digests in the order in which they were asked for."""
    order, waiting = [], asked(outputs)
    while waiting:
        request = waiting.pop(0)
        order.append(request.digest)
        waiting += asked(answer(bench, request))
    return order


def rotated(generation: int) -> DetectorsChanged:
    return DetectorsChanged((Detector(PROBES, BASE_DIGEST, f"cal-1/{generation}"),))


# what is looked into


def test_weights_are_measured_then_behaviour_is_probed_and_only_then_it_is_in_use() -> None:
    bench = ready(BOTH)
    first = bench.accept()
    assert bench.verdict() == ("pending", "not_measured") and not those(Expose, first)
    (weights,) = asked(first)
    assert (weights.detector, weights.digest, weights.owner) == (WEIGHTS, LEGAL.manifest.artifacts.sha256, ADA.id)
    second = answer(bench, weights, Findings("mini/all/4", (Figure("norm_z", 0.1, 3.0),), 0.6, 0.02))
    assert bench.verdict() == ("pending", "not_probed")
    (probe,) = asked(second)
    third = answer(bench, probe)
    assert bench.verdict() == ("accept", "") and those(Expose, third)


def test_a_trojan_is_held_and_its_trigger_stands_in_no_record() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    out = answer(bench, probe, TROJAN)
    assert bench.verdict() == ("quarantine", "trigger_found")
    told = repr([records(out, kind) for kind in ("stage", "verdict", "inspected")])
    assert "trigger_compliance" in told and "send it all" not in told


def test_attack_061_no_probe_is_spent_on_what_cheaper_stages_hold_or_strangers_sign() -> None:
    bench = ready(replace_policy(PROBED, delta_norm_max=1e-9))
    assert asked(bench.accept()) == []
    stranger = make_owner("nobody", ADA.swarm)
    theirs = make_plasmid(stranger, "junk", tiny_adapter(9))
    assert asked(bench.accept(theirs, stranger)) == []
    empty = make_plasmid(ADA, "empty", tiny_adapter(1, scale=0.0))
    assert asked(bench.accept(empty)) == [] and bench.verdict(empty) == ("quarantine", "all_zero")


def replace_policy(policy: Policy, **changes: Any) -> Policy:
    return policy.model_copy(update=changes)


def test_a_missing_signature_keeps_nobody_from_probing_for_co_signers_want_to_see() -> None:
    bench = ready(replace_policy(PROBED, quorum_required=2))
    (probe,) = asked(bench.accept())
    answer(bench, probe, TROJAN)
    assert bench.verdict() == ("quarantine", "trigger_found")


def test_what_no_calibration_covers_is_held_with_the_reason_and_a_person_may_release_it() -> None:
    missing = Detector(PROBES, BASE_DIGEST, trouble="the extra `probes` isn't installed")
    bench = ready(event=DetectorsChanged((missing,)))
    assert asked(bench.accept()) == []
    assert bench.verdict() == ("quarantine", "no_calibration")
    verdict = bench.desk.book.live[LEGAL.content_id].verdict
    assert verdict is not None and "isn't installed" in str(verdict.evidence["note"])
    bench.tell(ReleaseAsked(LEGAL.content_id))
    assert bench.verdict() == ("accept", "")


def test_until_detectors_are_ready_all_waits_and_then_it_is_asked_for() -> None:
    bench = Bench(policy=PROBED)
    assert asked(bench.accept()) == [] and bench.verdict() == ("pending", "not_probed")
    plasmid = bench.desk.book.live[LEGAL.content_id]
    assert bench.desk.detectors.waiting(plasmid, bench.now) == "the detectors are being made ready"
    assert len(asked(bench.tell(ABLE))) == 1


def test_switching_probes_on_holds_back_what_was_in_use_until_it_is_probed() -> None:
    bench = Bench()
    bench.tell(ABLE)
    bench.accept()
    (probe,) = asked(bench.tell(PolicyChanged(PROBED, TRUST)))
    assert bench.verdict() == ("pending", "not_probed")
    answer(bench, probe)
    assert bench.verdict() == ("accept", "")


# at whose cost


def test_attack_061_an_owner_who_floods_waits_for_their_own_budget_and_holds_nobody_up() -> None:
    bench = ready(per_owner=2, per_hour=10)
    out = [effect for plasmid in several(MAL, 6) for effect in bench.accept(plasmid, MAL)]
    out += bench.accept(LEGAL, ADA)
    order = answer_all(bench, out)
    legal = LEGAL.manifest.artifacts.sha256
    assert len(order) == 3 and order.index(legal) == 1 and bench.verdict() == ("accept", "")
    late = several(MAL, 6)[5]
    assert bench.verdict(late) == ("pending", "not_probed")
    waits = bench.desk.detectors.waiting(bench.desk.book.live[late.content_id], bench.now)
    assert waits == "it waits, for detection.probes_per_owner is spent; there is more in about 60 min"
    assert [hit.setting for hit in records(bench.out, "bound_hit")] == ["detection.probes_per_owner"]  # type: ignore[attr-defined]


def test_what_waits_for_budget_is_probed_when_the_hour_is_over() -> None:
    bench = ready(per_owner=1, per_hour=10)
    one, two = several(MAL, 2)
    order = answer_all(bench, [*bench.accept(one, MAL), *bench.accept(two, MAL)])
    assert order == [one.manifest.artifacts.sha256]
    timers = [timer for timer in those(SetTimer, bench.out) if timer.timer == PROBES_TIMER]
    assert timers and timers[-1].due_ns > HOUR_MS * 1_000_000
    bench.wall_ms += HOUR_MS + 1
    (probe,) = asked(bench.tell(TimerDue(PROBES_TIMER)))
    assert probe.digest == two.manifest.artifacts.sha256


def test_a_peer_spends_no_more_than_its_own_budget_whoever_asks() -> None:
    bench = ready(per_owner=5, per_hour=3)
    out = [effect for plasmid in several(MAL, 3) for effect in bench.accept(plasmid, MAL)]
    out += [effect for plasmid in several(BOB, 3, start=50) for effect in bench.accept(plasmid, BOB)]
    assert len(answer_all(bench, out)) == 3
    assert "detection.probes_per_hour" in {hit.setting for hit in records(bench.out, "bound_hit")}  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=40), st.integers(1, 4), st.integers(1, 6)
)
def test_within_any_hour_nobody_gets_more_than_their_budget(
    arrivals: list[tuple[str, int]], per_owner: int, per_hour: int
) -> None:
    queue: ProbeQueue[str] = ProbeQueue(ProbeBudget(per_owner, per_hour))
    hour_ns, at_ns, spent = 3_600_000_000_000, 0, list[tuple[int, str]]()
    for number, (owner, minutes) in enumerate(arrivals):
        at_ns += minutes * 60_000_000_000
        queue.push(owner, str(number), owner)
        while (got := queue.pull(at_ns)) is not None:
            spent.append((at_ns, got))
        recent = [who for when, who in spent if when > at_ns - hour_ns]
        assert len(recent) <= per_hour and all(recent.count(who) <= per_owner for who in "abc")
        hungry = [who for who in queue.owners if not queue.bound(who)]
        assert not hungry  # nobody who has budget is left waiting


# what is remembered


def test_the_same_bytes_for_the_same_use_are_looked_into_once_whoever_signs_them() -> None:
    bench = ready()
    out = bench.accept()
    copy = make_plasmid(BOB, "mine", LEGAL.data, domain="legal")
    out += bench.accept(copy, BOB)
    (probe,) = asked(out)
    answer(bench, probe, TROJAN)
    assert bench.verdict() == bench.verdict(copy) == ("quarantine", "trigger_found")


def test_the_same_bytes_under_another_scale_are_another_matter() -> None:
    bench = ready()
    (first,) = asked(bench.accept())
    answer(bench, first)
    louder = make_plasmid(ADA, "louder", LEGAL.data, domain="finance")
    (second,) = asked(bench.accept(louder))
    assert second.subject != first.subject and second.digest == first.digest


def test_findings_outlast_a_restart_and_leave_with_the_last_manifest() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    answer(bench, probe, TROJAN)
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    again.tell(Start())
    assert again.verdict() == ("quarantine", "trigger_found")
    assert asked(again.tell(ABLE)) == []
    again.tell(StatementDropped(LEGAL.statement, "expired"))
    assert not [key for key in again.rows if key[0] == "findings"]


def test_what_leaves_while_it_is_probed_leaves_nothing_behind() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    assert those(DropBlob, bench.tell(StatementDropped(LEGAL.statement, "expired")))
    answer(bench, probe)
    assert not [key for key in bench.rows if key[0] == "findings"]


def test_who_waits_under_a_version_that_is_superseded_is_not_probed_for_it() -> None:
    bench = ready()
    busy = several(MAL, 1)[0]
    (running,) = asked(bench.accept(busy, MAL))
    bench.accept()
    newer = make_plasmid(ADA, "legal", tiny_adapter(7), version=2)
    bench.accept(newer)
    (probe,) = asked(answer(bench, running))
    assert probe.digest == newer.manifest.artifacts.sha256


def test_a_worker_that_is_killed_over_it_twice_means_quarantine_until_a_restart() -> None:
    bench = ready()
    (first,) = asked(bench.accept())
    (second,) = asked(answer(bench, first, None, reason="was killed: it computed for more than 60 s"))
    assert asked(answer(bench, second, None, reason="was killed: it computed for more than 60 s")) == []
    assert bench.verdict() == ("quarantine", "examination_failed")
    assert not [key for key in bench.rows if key[0] == "findings"]


def test_a_rotated_secret_has_all_probed_again_behind_newcomers_and_a_few_an_hour() -> None:
    bench = ready(per_owner=10, per_hour=8)
    old = several(ADA, 3)
    answer_all(bench, [effect for plasmid in old for effect in bench.accept(plasmid)])
    bench.wall_ms += HOUR_MS + 1
    (again,) = asked(bench.tell(rotated(1)))
    assert all(bench.verdict(one) == ("accept", "") for one in old)
    new = several(BOB, 1, start=50)[0]
    assert asked(bench.accept(new, BOB)) == []
    follows = asked(answer(bench, again, stamp="cal-1/1"))
    assert [one.digest for one in follows] == [new.manifest.artifacts.sha256]


def test_what_was_passed_is_held_when_a_second_draw_finds_something_too() -> None:
    bench = ready()
    answer_all(bench, bench.accept())
    (again,) = asked(bench.tell(rotated(1)))
    (second,) = asked(answer(bench, again, TROJAN, stamp="cal-1/1"))
    assert bench.verdict() == ("accept", "") and (again.draw, second.draw) == (0, 1)
    assert asked(answer(bench, second, TROJAN, stamp="cal-1/1")) == []
    assert bench.verdict() == ("quarantine", "trigger_found")


def test_one_false_alarm_among_many_looks_holds_nobody() -> None:
    bench = ready()
    answer_all(bench, bench.accept())
    for generation in (1, 2, 3):
        (again,) = asked(bench.tell(rotated(generation)))
        (second,) = asked(answer(bench, again, TROJAN, stamp=f"cal-1/{generation}"))
        assert asked(answer(bench, second, stamp=f"cal-1/{generation}")) == []
        assert bench.verdict() == ("accept", "")


def test_attack_105_a_find_holds_the_same_bytes_of_that_owner_for_every_use_and_nobody_elses() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    answer(bench, probe, TROJAN)
    other = make_plasmid(ADA, "other", LEGAL.data, domain="finance")
    assert asked(bench.accept(other)) == [] and bench.verdict(other) == ("quarantine", "trigger_found")
    again = bench.restarted(live=(ADA.record, LEGAL.statement, other.statement))
    again.tell(Start())
    assert again.verdict(other) == ("quarantine", "trigger_found")
    theirs = make_plasmid(BOB, "theirs", LEGAL.data, domain="finance")
    again.tell(ABLE)
    answer_all(again, again.accept(theirs, BOB))
    assert again.verdict(theirs) == ("accept", "")


def test_attack_105_each_find_halves_what_its_owner_has_an_hour() -> None:
    bench = ready(per_owner=8, per_hour=100)
    tried = several(MAL, 12)
    waiting = [one for plasmid in tried for one in asked(bench.accept(plasmid, MAL))]
    for _ in tried:
        waiting = [one for request in waiting for one in asked(answer(bench, request, TROJAN))]
    held = [one for one in tried if bench.verdict(one) == ("quarantine", "trigger_found")]
    assert len(held) == 2  # of 8, then 4, then 2
    bench.wall_ms += HOUR_MS + 1
    waiting = asked(bench.tell(TimerDue(PROBES_TIMER)))
    waiting = [one for request in waiting for one in asked(answer(bench, request, TROJAN))]
    assert waiting == []  # 1 from now on


def test_a_probe_that_was_not_done_in_time_is_tried_twice_and_again_with_more_time() -> None:
    bench = ready()
    late = replace(CLEAN, failure="the probe was not done within 60 s of CPU time (detection.probe_s)")
    (first,) = asked(bench.accept())
    (second,) = asked(answer(bench, first, late))
    assert asked(answer(bench, second, late)) == [] and bench.verdict() == ("quarantine", "examination_failed")
    assert not [key for key in bench.rows if key[0] == "findings"]
    (third,) = asked(bench.tell(ABLE))
    answer(bench, third)
    assert bench.verdict() == ("accept", "")


def test_a_probe_that_was_not_done_but_found_a_trigger_stands() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    answer(bench, probe, replace(TROJAN, failure="not done"))
    assert bench.verdict() == ("quarantine", "trigger_found") and [key for key in bench.rows if key[0] == "findings"]


def test_who_waits_for_a_base_that_can_be_probed_no_more_costs_nobody_a_turn() -> None:
    bench = ready(per_owner=1, per_hour=1)
    gone, late = several(MAL, 2)
    (running,) = asked(bench.accept(gone, MAL))
    bench.accept(late, MAL)
    bench.tell(DetectorsChanged((Detector(PROBES, BASE_DIGEST, trouble="no calibration"),)))
    assert len(bench.desk.detectors.queue) == 0
    assert bench.verdict(late) == ("quarantine", "no_calibration")
    answer(bench, running)
    bench.wall_ms += HOUR_MS + 1
    (probe,) = asked(bench.tell(ABLE))
    assert probe.digest == late.manifest.artifacts.sha256


def test_what_is_switched_on_beside_another_detector_waits_until_it_was_looked_for() -> None:
    weights = Detector(WEIGHTS, BASE_DIGEST, "cal-1")
    bench = ready(Policy(tensor_outliers=True), DetectorsChanged((weights,), (WEIGHTS,)))
    answer_all(bench, bench.accept())
    assert asked(bench.tell(PolicyChanged(BOTH, ALL))) == [] and bench.verdict() == ("pending", "not_probed")
    assert len(asked(bench.tell(ABLE))) == 1


def test_one_probe_runs_at_a_time_also_when_what_it_looks_at_leaves() -> None:
    bench = ready()
    (orphan,) = asked(bench.accept())
    bench.tell(StatementDropped(LEGAL.statement, "expired"))
    other = several(BOB, 1)[0]
    assert asked(bench.accept(other, BOB)) == []
    (probe,) = asked(answer(bench, orphan))
    assert probe.digest == other.manifest.artifacts.sha256


def test_looks_again_take_at_most_half_of_the_hour() -> None:
    queue: ProbeQueue[int] = ProbeQueue(ProbeBudget(per_owner=10, per_hour=4))
    for number in range(6):
        queue.push("ada", str(number), number, again=True)
    assert [queue.pull(0) for _ in range(4)] == [0, 1, None, None]
    queue.push("ada", "new", 9)
    assert queue.pull(0) == 9


def test_a_co_signature_that_comes_while_it_is_probed_asks_for_no_second_probe() -> None:
    bench = ready(replace_policy(PROBED, quorum_required=2))
    (probe,) = asked(bench.accept())
    out = bench.add(BOB.record, attest(BOB, LEGAL.content_id), via=SOURCE)
    assert asked(out) == []
    answer(bench, probe)
    assert bench.verdict() == ("accept", "")


def test_a_find_is_not_probed_again_with_another_secret_until_that_lets_it_go() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    answer(bench, probe, TROJAN)
    assert asked(bench.tell(DetectorsChanged((Detector(PROBES, BASE_DIGEST, "cal-1/1"),)))) == []
    assert bench.verdict() == ("quarantine", "trigger_found")


def test_another_calibration_looks_again_at_what_the_one_before_held() -> None:
    bench = ready()
    (probe,) = asked(bench.accept())
    answer(bench, probe, Findings("", note="no bank of mini covers q_proj at rank 4"))
    assert bench.verdict() == ("quarantine", "no_calibration")
    (again,) = asked(bench.tell(DetectorsChanged((Detector(PROBES, BASE_DIGEST, "cal-2/0"),))))
    answer(bench, again, stamp="cal-2/0")
    assert bench.verdict() == ("accept", "")
