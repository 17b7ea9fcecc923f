"""The core's part in the audit: the facts of every transaction, what a person believes, and the newest head. Pure.

- Whoever asks for a transaction, its facts come from its rows (`plora.node.audit.facts`), so no part can forget one.
- Trust and policy lie in files. When they are taken up, at start or by a reload, and are others than the newest entry
  says, that is a fact of its own, written with a row that remembers them; it is tried again if it can't be written.
- When the head has moved, one record says so: the event log is where a cut of the tail shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from plora.gate import Trust
from plora.node.audit.chain import AUDIT_STATE, ENDS_KEY, Fact, Mark, read_ends
from plora.node.audit.facts import facts_of
from plora.node.core.codec import to_plain
from plora.node.core.effects import Effect, Emit, Persist, SetTimer
from plora.node.core.events import Event, Persisted, PersistFailed
from plora.node.core.notices import Notice, Outputs
from plora.node.core.now import Now
from plora.node.core.rules import Rules
from plora.node.store.disk import Put, RowOp
from plora.node.store.snapshot import Snapshot
from plora.proto.records import Audited

TIMER = "auditor:again"
RETRY_MS = 10_000


class Auditor:
    """Knows the newest durable head. `rules` are the policy and trust of this moment."""

    def __init__(self, snapshot: Snapshot, rules: Rules) -> None:
        rows = dict(snapshot.rows(AUDIT_STATE))
        self.head: Mark = read_ends(rows.get(ENDS_KEY)).head
        self._rules = rules
        self._written = {key: value for key, value in rows.items() if key != ENDS_KEY}

    def handle(self, event: Event | Notice, now: Now) -> Outputs:
        """Look whether trust and policy are still those that were written; a failure to write is tried again."""
        match event:
            case Persisted():
                return []
            case PersistFailed():
                self._written = {}
                return [SetTimer(TIMER, now.after_ms(RETRY_MS))]
        wanted = {b"trust": _trust_value(self._rules.trust), b"policy": _value({"sha256": self._rules.policy_digest})}
        rows = [Put(AUDIT_STATE, key, value) for key, value in wanted.items() if self._written.get(key) != value]
        self._written.update(wanted)
        return [Persist(0, tuple(rows))] if rows else []

    def facts(self, rows: Iterable[RowOp], now: Now) -> tuple[Fact, ...]:
        """What a transaction changes that matters."""
        return tuple(facts_of(rows, now.wall_ms))

    def moved(self, event: Persisted | PersistFailed) -> list[Effect]:
        """A record of the head, if the transaction moved it."""
        if not isinstance(event, Persisted) or event.audit_seq <= self.head.seq:
            return []
        self.head = Mark(event.audit_seq, event.audit_head)
        return [Emit(Audited(event.audit_seq, event.audit_head))]


def _trust_value(trust: Trust) -> bytes:
    whole = json.dumps(to_plain(trust), sort_keys=True, separators=(",", ":"))
    counts = {"owners": len(trust.owners), "distrusted": len(trust.distrusted)}
    return _value({**counts, "version": trust.version, "sha256": hashlib.sha256(whole.encode()).hexdigest()})


def _value(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
