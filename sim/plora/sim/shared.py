"""Pure work that peers of one simulation share: results depend on the bytes alone, so each is computed once.

Signature checks and features are memoised by content, verdicts by all that they depend on. `findings` is what detectors
see, by detector and digest, unless `drawn` has something for this peer; nothing of note where neither says anything.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache

from plora.gate import Case, Features, Policy, Trust, Verdict, decide
from plora.gate.findings import Findings
from plora.gate.reputation import Reputation
from plora.gate.tensors import examine_descriptor
from plora.node.core.bookkeeping import verdict_records
from plora.node.core.effects import Emit
from plora.node.gossip.rows import RowOf, statement_row
from plora.node.store.store import Store, blob_path
from plora.proto.fields import parse_timestamp
from plora.proto.keys import PublicKey
from plora.proto.statement import Statement, verify_statement

JUDGED_MAX = 1 << 16
ROWS_MAX = 1024


class Shared:
    """The memos of one simulation, or of many that use the same statements."""

    def __init__(self) -> None:
        self._verified: dict[tuple[bytes, bytes, str, str, str], bool] = {}
        self._features: dict[str, Features] = {}
        self._judged: dict[tuple[object, ...], tuple[Case, Policy, Trust, Verdict]] = {}
        self._told: dict[tuple[int, bytes, str], tuple[Verdict, Sequence[Emit]]] = {}
        self.findings: dict[tuple[str, str], Findings] = {}
        self.row: RowOf = lru_cache(maxsize=ROWS_MAX)(statement_row)
        """Made once, and so kept once: what one peer writes, others write too."""
        self.drawn: Callable[[str, str, str], Findings | None] = lambda peer, detector, digest: None

    def find(self, peer: str, detector: str, digest: str) -> Findings:
        """What a peer's detector finds in an artifact."""
        drawn = self.drawn(peer, detector, digest)
        return self.findings.get((detector, digest), Findings("sim")) if drawn is None else drawn

    def verify(self, statement: Statement, key: PublicKey) -> bool:
        """`verify_statement`, once for each statement, all that stands on its envelope, and key."""
        name = (statement.id, statement.signature, statement.key_id, statement.algorithm, key.key_id)
        if name not in self._verified:
            self._verified[name] = verify_statement(statement, key)
        return self._verified[name]

    def judge(self, case: Case, policy: Policy, trust: Trust) -> Verdict:
        """`decide`, once for each case, but for those on which time may have a word of its own."""
        if policy.consensus or trust.root is not None or not _in_its_time(case, policy):
            return decide(case, policy, trust)
        name = _name_of(case, policy, trust)
        known = self._judged.get(name)
        if known is None:
            if len(self._judged) >= JUDGED_MAX:
                self._judged.clear()
            # Kept alive with the verdict, so that no other object can get the ids that stand in the name.
            known = self._judged[name] = (case, policy, trust, decide(case, policy, trust))
        return known[-1]

    def tell(self, content_id: bytes, verdict: Verdict, policy_digest: str) -> Sequence[Emit]:
        """`verdict_records`, once for each verdict: the same object in as many logs as say it."""
        name = (id(verdict), content_id, policy_digest)
        known = self._told.get(name)
        if known is None:
            if len(self._told) >= JUDGED_MAX:
                self._told.clear()
            known = self._told[name] = (verdict, verdict_records(content_id, verdict, policy_digest))
        return known[-1]

    def examine(self, store: Store, digest: str) -> Features:
        """The gate's features of a held blob, whatever its digest claims."""
        data = store.disk.read(blob_path(digest), 0, store.disk.size(blob_path(digest)))
        return self.features(data)

    def features(self, data: bytes) -> Features:
        """The gate's features of these bytes."""
        name = hashlib.sha256(data).hexdigest()
        if name not in self._features:
            with tempfile.TemporaryFile() as file:
                file.write(data)
                file.seek(0)
                self._features[name] = examine_descriptor(file.fileno())
        return self._features[name]


def _in_its_time(case: Case, policy: Policy) -> bool:
    """Whether the manifest is in force, so that the gate says the same at any time until it expires."""
    issued_ms, expires_ms = parse_timestamp(case.manifest.issued) * 1000, parse_timestamp(case.manifest.expires) * 1000
    latest_ms = case.now_ms + policy.clock_skew_ms_max
    return max(issued_ms, case.signed_time_ms) <= latest_ms and case.now_ms < expires_ms


def _name_of(case: Case, policy: Policy, trust: Trust) -> tuple[object, ...]:
    """What a verdict depends on beside the hour: the very objects that peers share, or their contents."""
    parts = (policy, trust, case.statement, case.manifest, case.features, case.base)
    statements = (case.owner_records, case.attestations, case.revocations, case.freshness)
    return (
        *map(id, parts),
        *(tuple([id(statement) for statement, _ in some]) for some in statements),
        *(case.swarm, case.believed, case.granted, case.newest_version, case.same_version),
        *(_seen(case.weight_findings), _seen(case.probe_findings), case.blamed_beside),
        _earned(case.reputation) if policy.reputation else None,
        *(case.folder_fault, case.released),
    )


def _seen(findings: Findings | None) -> tuple[object, ...] | None:
    if findings is None:
        return None
    figures = (findings.calibration, findings.figures, findings.p_value, findings.alpha, findings.seconds)
    return (*figures, findings.note, findings.failure, tuple(findings.details.items()))


def _earned(reputation: Reputation) -> tuple[object, ...]:
    return (reputation.good, reputation.bad, reputation.fault, reputation.fault_ms)
