"""Every metric of a peer: name, type, labels, meaning, and the question that it helps to answer. Pure.

- Names follow Prometheus' rules: `plora_`, base units last (`_bytes`, `_seconds`), `_total` for what only grows.
- A scrape holds exactly these names, those without a value as a heading alone; docs/metrics.md is made from them.
- No label has a value that strangers choose. `base` is chosen by owners who are trusted here.
- `source` says where numbers come from: "state", read at each scrape; "records", counted as they are written to the
  event log, from 0 at each start; "process", what the system says of the process.

Source: https://prometheus.io/docs/practices/naming/

>>> named("plora_held_bytes").unit, named("plora_fetches_total").kind, named("process_open_fds").source
('bytes', 'counter', 'process')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]
Source = Literal["state", "records", "process"]

LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CPU_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
WAIT_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)
UNITS = ("bytes", "seconds")


@dataclass(frozen=True, slots=True)
class Metric:
    """One family. `buckets`: the upper bounds of a histogram's."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    source: Source = "state"
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """What its numbers are; empty for plain counts."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in UNITS else ""


def _gauge(name: str, meaning: str, *labels: str, source: Source = "state") -> Metric:
    return Metric(name, "gauge", meaning, labels, source)


def _counter(name: str, meaning: str, *labels: str, source: Source = "records") -> Metric:
    return Metric(name, "counter", meaning, labels, source)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, "histogram", meaning, labels, "records", buckets)


SPREADING = (
    _gauge("plora_peer_info", "1; who this is: id, the name it calls itself, Plora's version", "id", "name", "version"),
    _gauge("plora_links", "peers linked now"),
    _gauge("plora_neighbours", "neighbours of peer.yaml and of invitations"),
    _gauge("plora_neighbours_unlinked", "of those, the ones without a link now"),
    _counter("plora_links_up_total", "links that got ready"),
    _counter("plora_links_down_total", "links that ended"),
    _gauge("plora_statements", "statements that are live"),
    _gauge(
        "plora_statements_root",
        "the first 48 bits of the digest of the live statements: peers that know the same show the same number",
    ),
    _gauge("plora_statements_behind", "how many statements more than this peer the fullest linked peer says it has"),
    _counter("plora_statements_seen_total", "statements that became durable: publish, push, reconcile, want", "via"),
    _counter("plora_duplicates_total", "statements that came although they were known"),
    _counter("plora_rounds_total", "rounds of reconciliation begun"),
    _gauge("plora_plasmids", "live plasmids by what `plora ls` shows as their state", "state"),
    _histogram(
        "plora_acceptance_seconds",
        "from the first sight of a plasmid of others to its first acceptance, by this peer's clock",
        WAIT_S,
    ),
    _gauge("plora_transfers", "artifacts that are being fetched"),
    _counter("plora_fetches_total", "fetches that ended: `done`, or the code of the trouble", "outcome"),
    _counter("plora_fetched_bytes_total", "chunk data received for fetches that ended well"),
    _counter("plora_wasted_bytes_total", "of those, what was of no use"),
    _counter("plora_served_bytes_total", "chunk data and chunk lists given to others", source="state"),
    *(
        _counter(f"plora_{way}_{unit}_total", f"{unit} {way}, by kind of frame", "frame", source="state")
        for way in ("sent", "received")
        for unit in ("frames", "bytes")
    ),
)
SAFE = (
    _gauge("plora_objections", "live plasmids that a layer of the gate holds or refuses, and why", "stage", "reason"),
    _counter(
        "plora_verdicts_total",
        "verdicts given, with the layer that decided and its reason; a plasmid is judged again when something changes",
        "outcome",
        "stage",
        "reason",
    ),
    _histogram("plora_examination_cpu_seconds", "CPU time in which a worker examined an artifact", CPU_S),
    _counter("plora_examinations_failed_total", "artifacts that no worker could examine"),
    _histogram("plora_inspection_cpu_seconds", "CPU time of a detector (weights, probes)", CPU_S, "detector"),
    _counter("plora_inspections_failed_total", "artifacts that a detector could not look into", "detector"),
    _gauge("plora_examining", "artifacts that a worker examines, or that wait for it"),
    _gauge("plora_insecure", "1 while anybody's adapter is accepted without a trusted signature (policy.insecure)"),
    _gauge("plora_stale", "1 while the pinned root's owners were not heard lately; there where a root is"),
    _gauge("plora_fresh_until_timestamp_seconds", "when the peer turns stale, 0 where it is; there where a root is"),
    _gauge("plora_reputations", "peers and owners of whom something is known, and those with a fault", "of"),
    _counter("plora_penalties_total", "rules broken by peers and owners"),
    _counter("plora_cut_off_total", "peers cut off for breaking a rule", source="state"),
    _counter("plora_repelled_total", "connections of nobody known that were ended", source="state"),
    _counter("plora_evidence_total", "proofs that a key or an owner signed what it may not", "offence"),
    _gauge("plora_two_contents", "versions of which somebody trusted signed two contents: neither is accepted"),
    _counter("plora_revocations_total", "revocations that took effect here"),
    _gauge("plora_consensus_certificates", "contents that a quorum accepted; there where members are, as the next"),
    _gauge("plora_consensus_waiting", "plasmids that wait for a certificate"),
    _gauge("plora_consensus_guilty", "members who voted for two contents of one slot"),
    _gauge("plora_consensus_compromised", "slots with two certificates: nothing is accepted until a new epoch"),
    _gauge("plora_audit_entry", "number of the audit's newest entry"),
    _gauge("plora_audit_entries", "entries of the audit that are kept"),
    _gauge("plora_audit_faults", "what was wrong when the audit was last verified, and nobody acknowledged"),
    _gauge("plora_audit_faults_acknowledged", "what was wrong, and a person answers for"),
    _gauge("plora_audit_fault_entry", "entry of the first open fault; absent for none"),
    _gauge("plora_audit_verified_timestamp_seconds", "when the audit was last verified"),
)
HEALTHY = (
    _gauge("plora_troubles", "sentences in `plora status` that say what needs this peer's person"),
    _histogram("plora_loop_lag_seconds", "how late the event loop was, sampled twice a second", LAG_S),
    _gauge("plora_held", "artifacts in the store"),
    _gauge("plora_held_bytes", "bytes of the artifacts in the store"),
    _gauge("plora_store_limit_bytes", "limits.store_max; 0 is unlimited"),
    _gauge("plora_disk_free_bytes", "what the file system of the home has left"),
    _gauge("plora_disk_floor_bytes", "limits.disk_free_min: below it nothing is fetched"),
    _counter("plora_evicted_bytes_total", "bytes deleted to make room"),
    _gauge("plora_merge_generation", "the merge of a base that is served; 0 for none", "base"),
    _gauge("plora_merge_inputs", "adapters in it", "base"),
    _gauge("plora_merge_failed", "1 while the newest merge of a base couldn't be made or served", "base"),
    _counter("plora_merges_total", "merges made", "base"),
    _gauge(
        "plora_merge_timestamp_seconds",
        "when a base was last merged; absent until it is, since the start",
        "base",
        source="records",
    ),
    _gauge(
        "plora_certificate_expiry_timestamp_seconds",
        "until when the TLS certificate holds that the next connection is shown; it is made anew each day",
    ),
    _counter("plora_errors_total", "failures that nobody else is to blame for"),
    _counter("plora_repairs_total", "broken things that were put right"),
    _counter("plora_bounds_hit_total", "limits reached, by setting", "setting"),
    _gauge("plora_reload_failed", "1 while peer.yaml or trust.yaml couldn't be read again"),
    _gauge("plora_event_log_failed", "1 when the event log can no longer be written"),
    _gauge("plora_isolation_missing", "what this system lacks of the cage in which workers run"),
    _gauge("process_resident_memory_bytes", "resident memory, without workers", source="process"),
    _gauge("process_virtual_memory_bytes", "virtual memory", source="process"),
    _counter("process_cpu_seconds_total", "CPU time, user and system", source="process"),
    _gauge("process_start_time_seconds", "when the process started", source="process"),
    _gauge("process_open_fds", "open file descriptors", source="process"),
    _gauge("process_max_fds", "how many it may open", source="process"),
)
QUESTIONS = {"Is it spreading?": SPREADING, "Is it safe?": SAFE, "Is it healthy?": HEALTHY}
METRICS = (*SPREADING, *SAFE, *HEALTHY)

_NAMED = {metric.name: metric for metric in METRICS}


def named(name: str) -> Metric:
    """The metric of that name; KeyError for none."""
    return _NAMED[name]


def series_of(metric: Metric) -> tuple[str, ...]:
    """The names that a query may use of it."""
    return tuple(metric.name + part for part in ("_bucket", "_count", "_sum")) if metric.buckets else (metric.name,)
