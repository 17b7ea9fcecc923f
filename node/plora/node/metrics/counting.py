"""What the records of the event log add up to, since the start.

- `changes` says what one record counts for; `Counting` keeps the sums, as prometheus_client's own metrics.
- A record's free text (what a peer said, why a worker died) never becomes a label.
- Records that the core left out for a flood (`plora.node.core.throttle`) are not counted.

>>> from plora.proto.records import FetchDone
>>> for change in changes(FetchDone("ab", ("bob",), 1000, 10, 0)):
...     print(change)
('plora_fetches_total', ('done',), 1.0)
('plora_fetched_bytes_total', (), 1000.0)
('plora_wasted_bytes_total', (), 10.0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from plora.node.core.now import Now
from plora.node.metrics.table import METRICS, Metric
from plora.proto.records import (
    Body,
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

Change = tuple[str, tuple[str, ...], float]
"""Name of a metric, values of its labels, and by how much it grows, or what is observed."""

_ONE_EACH: dict[type[Body], str] = {
    LinkUp: "plora_links_up_total",
    LinkDown: "plora_links_down_total",
    Duplicate: "plora_duplicates_total",
    Round: "plora_rounds_total",
    Penalty: "plora_penalties_total",
    Revoked: "plora_revocations_total",
    ErrorMet: "plora_errors_total",
    Repair: "plora_repairs_total",
}


def changes(body: Body) -> Iterator[Change]:
    """What a record counts for."""
    if type(body) in _ONE_EACH:
        yield _ONE_EACH[type(body)], (), 1.0
    match body:
        case StatementSeen(via=via):
            yield "plora_statements_seen_total", (via,), 1.0
        case FetchDone(wire_bytes=wire, wasted_bytes=wasted):
            yield "plora_fetches_total", ("done",), 1.0
            yield "plora_fetched_bytes_total", (), float(wire)
            yield "plora_wasted_bytes_total", (), float(wasted)
        case FetchFailed(reason=reason):
            yield "plora_fetches_total", (reason,), 1.0
        case VerdictGiven(outcome=outcome, stage=stage, reason=reason):
            yield "plora_verdicts_total", (outcome, stage, reason), 1.0
        case Examined() | Inspected():
            yield from _looks(body)
        case EvidenceFound(offence=offence):
            yield "plora_evidence_total", (offence,), 1.0
        case Evicted(size_bytes=size):
            yield "plora_evicted_bytes_total", (), float(size)
        case MergeDone(base=base):
            yield "plora_merges_total", (base,), 1.0
        case BoundHit(setting=setting):
            yield "plora_bounds_hit_total", (setting,), 1.0


def _looks(body: Examined | Inspected) -> Iterator[Change]:
    """A worker's look at an artifact; one that failed has no time."""
    what, labels = ("inspection", (body.detector,)) if isinstance(body, Inspected) else ("examination", ())
    if body.reason:
        yield f"plora_{what}s_failed_total", labels, 1.0
    else:
        yield f"plora_{what}_cpu_seconds", labels, body.cpu_ms / 1000


class Counting:
    """Sums in a registry of their own. `waited_s` says of a content id whose acceptance is on record how long it took
    since it was first seen; None where that is to be left out.
    """

    def __init__(self, waited_s: Callable[[bytes], float | None]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when a sum began is when the process did
        self.registry = CollectorRegistry(auto_describe=False)
        self._waited_s = waited_s
        self._sums = {one.name: _sum(one, self.registry) for one in METRICS if one.source == "records"}

    def note(self, body: Body, now: Now) -> None:
        """Take one record, written at that time."""
        for name, labels, amount in changes(body):
            self._add(name, labels, amount)
        if isinstance(body, MergeDone):
            self._add("plora_merge_timestamp_seconds", (body.base,), now.wall_ms / 1000)
        if isinstance(body, VerdictGiven) and body.outcome == "accept":
            waited = self._waited_s(bytes.fromhex(body.id))
            if waited is not None:
                self._add("plora_acceptance_seconds", (), waited)

    def lagged(self, lag_s: float) -> None:
        """The event loop was that late."""
        self._add("plora_loop_lag_seconds", (), lag_s)

    def _add(self, name: str, labels: tuple[str, ...], amount: float) -> None:
        found = self._sums[name]
        one = found.labels(*labels) if labels else found
        if isinstance(one, Counter):
            one.inc(amount)
        elif isinstance(one, Histogram):
            one.observe(amount)
        else:
            one.set(amount)


def _sum(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    told = (metric.name, metric.meaning, metric.labels)
    if metric.kind == "histogram":
        return Histogram(*told, registry=registry, buckets=metric.buckets)
    return (Counter if metric.kind == "counter" else Gauge)(*told, registry=registry)
