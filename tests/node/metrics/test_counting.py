"""What records add up to, and what the table promises of names."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest

from plora.node.core.now import Now
from plora.node.metrics.counting import Counting, changes
from plora.node.metrics.endpoint import Collector
from plora.node.metrics.table import METRICS, QUESTIONS, named
from plora.node.metrics.waits import Waits
from plora.proto.records import (
    BoundHit,
    Duplicate,
    ErrorMet,
    Evicted,
    EvidenceFound,
    Examined,
    FetchDone,
    FetchFailed,
    Inspected,
    LinkDown,
    LinkUp,
    MergeDone,
    Penalty,
    Repair,
    Revoked,
    Round,
    StatementSeen,
    VerdictGiven,
)

SEEN_ID, NOW = "ab" * 32, Now(0, 1_800_000_000_000)
ACCEPTED = VerdictGiven(SEEN_ID, "accept", "", "", "")
EACH = [
    LinkUp("bob", outbound=True),
    LinkDown("bob", "goodbye: <anything that bob says>"),
    Round((), 1, ""),
    StatementSeen(SEEN_ID, "manifest", "bob", "push", 1),
    Duplicate(SEEN_ID, "bob", "push"),
    FetchDone("cd", ("bob",), 1000, 10, 0),
    FetchFailed("cd", "no_source"),
    Examined("cd", 250.0),
    Examined("cd", 0.0, "killed <by anything>"),
    Inspected("cd", "weights", 2000.0),
    Inspected("cd", "probes", 0.0, "no time"),
    ACCEPTED,
    VerdictGiven(SEEN_ID, "reject", "header", "too_large", ""),
    MergeDone("mini", (), (), 0.0, 0, 1),
    Penalty("bob", "<anything>"),
    EvidenceFound("two_contents", "eve", "1", "2"),
    Revoked("content", "cd", "stolen"),
    Evicted("cd", 77, "limits.store_max"),
    BoundHit("limits.store_max", 1, 2),
    Repair("<anything>"),
    ErrorMet("<anything>", "somewhere"),
]


def counted(*bodies: Any, waited_s: float | None = None) -> dict[str, float]:
    counting = Counting(lambda content_id: waited_s)
    for body in bodies:
        counting.note(body, NOW)
    lines = generate_latest(counting.registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_records_add_up() -> None:
    found = counted(*EACH, *EACH)
    assert found["plora_links_up_total"] == found["plora_links_down_total"] == found["plora_rounds_total"] == 2
    assert found['plora_statements_seen_total{via="push"}'] == found["plora_duplicates_total"] == 2
    assert (found['plora_fetches_total{outcome="done"}'], found['plora_fetches_total{outcome="no_source"}']) == (2, 2)
    assert (found["plora_fetched_bytes_total"], found["plora_wasted_bytes_total"]) == (2000, 20)
    assert found["plora_examination_cpu_seconds_sum"] == 0.5 and found["plora_examination_cpu_seconds_count"] == 2
    assert found["plora_examinations_failed_total"] == 2
    assert found['plora_inspection_cpu_seconds_sum{detector="weights"}'] == 4.0
    assert found['plora_inspections_failed_total{detector="probes"}'] == 2
    assert found['plora_verdicts_total{outcome="reject",reason="too_large",stage="header"}'] == 2
    assert found['plora_merges_total{base="mini"}'] == 2
    assert found['plora_merge_timestamp_seconds{base="mini"}'] == NOW.wall_ms / 1000
    assert found["plora_penalties_total"] == found["plora_repairs_total"] == found["plora_errors_total"] == 2
    assert found["plora_evicted_bytes_total"] == 154 and found["plora_revocations_total"] == 2
    assert found['plora_evidence_total{offence="two_contents"}'] == 2
    assert found['plora_bounds_hit_total{setting="limits.store_max"}'] == 2


def test_what_others_say_never_becomes_a_label() -> None:
    assert not any("<" in label for body in EACH for _, labels, _ in changes(body) for label in labels)
    assert not any("<" in name for name in counted(*EACH))


def test_only_a_first_acceptance_is_timed() -> None:
    assert counted(ACCEPTED, waited_s=None)["plora_acceptance_seconds_count"] == 0
    found = counted(ACCEPTED, waited_s=3.0)
    assert (found["plora_acceptance_seconds_count"], found["plora_acceptance_seconds_sum"]) == (1, 3.0)
    assert found['plora_acceptance_seconds_bucket{le="2.5"}'] == 0
    assert found['plora_acceptance_seconds_bucket{le="5.0"}'] == 1


def test_each_plasmid_of_others_is_timed_once() -> None:
    live = {bytes([number]): plasmid_like(accepted_ms) for number, accepted_ms in enumerate((500, 4000, 5000, None))}
    live[b"own"] = plasmid_like(6000, own=True)
    waits = Waits(live, since_ms=1000)
    told = [waits.seconds(one) for one in (*live, *live, b"unheard of")]
    assert told == [None, 3.0, 4.0, None, None] + [None] * 6


def plasmid_like(accepted_ms: int | None, *, own: bool = False) -> Any:
    """What counts of a plasmid here."""
    return SimpleNamespace(own=own, seen_ms=1000, accepted_ms=accepted_ms)


def test_who_is_gone_is_not_remembered() -> None:
    live = {number.to_bytes(2): plasmid_like(2000) for number in range(1000)}
    waits = Waits(live, since_ms=0)
    for one in list(live):
        assert waits.seconds(one) == 1.0
        del live[one]
    live |= {one: plasmid_like(2000) for one in (b"\0\0",)}
    assert waits.seconds(b"\0\0") == 1.0  # signed again long after, it counts again


def test_every_counted_metric_is_counted_from_some_record() -> None:
    named_by_records = {name for body in EACH for name, _, _ in changes(body)}
    beside = {"plora_acceptance_seconds", "plora_merge_timestamp_seconds", "plora_loop_lag_seconds"}
    assert named_by_records | beside == {one.name for one in METRICS if one.source == "records"}


def test_names_follow_the_rules() -> None:
    names = [one.name for one in METRICS]
    assert len(set(names)) == len(names) == sum(map(len, QUESTIONS.values()))
    for one in METRICS:
        assert re.fullmatch(r"(plora|process)(_[a-z]+)+", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter")
        assert bool(one.buckets) == (one.kind == "histogram")
        assert (one.name.startswith("process_")) == (one.source == "process")
        assert not {"le", "instance", "job"} & set(one.labels)


def test_a_family_without_a_number_has_its_heading() -> None:
    families = {one.name: one for one in Collector(lambda: [("plora_held", (), 3.0)]).collect()}
    assert [sample.value for sample in families["plora_held"].samples] == [3.0]
    assert families["plora_stale"].samples == [] and families["plora_sent_bytes"].type == "counter"
    assert len(families) == sum(one.source == "state" for one in METRICS)


def test_a_reading_of_no_metric_is_an_error() -> None:
    with pytest.raises(KeyError):
        list(Collector(lambda: [("plora_unheard_of", (), 1.0)]).collect())
    with pytest.raises(KeyError):
        named("plora_unheard_of")
