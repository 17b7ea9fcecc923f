"""Which rows of the state are audited, and what is said of each. Pure.

- A table with a teller in `TELLERS` is audited: every row that is written or removed there is a fact, whoever wrote it.
- Of `statements` only revocations are: whether they lie there is the one thing that others' words change for good.
- What isn't: bytes, features, addresses, and what is counted (rounds, transfers). The event log tells of those.

>>> from plora.node.store.disk import Delete
>>> [fact.what for fact in facts_of([Delete("verdicts", bytes(32)), Delete("features", bytes(32))], at_ms=5)]
['verdict removed']
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from plora.node.audit.chain import AUDIT_STATE, ENDS_KEY, Fact
from plora.node.core.blames import BLAMES
from plora.node.core.council_rows import BALLOTS, BROKEN, CERTIFICATES, GUILTY
from plora.node.core.freshness import SIGNED_TIME
from plora.node.core.invitations import INVITATIONS
from plora.node.core.merge_rows import MERGES
from plora.node.core.reputations import REPUTATIONS
from plora.node.core.rotations import ROTATIONS
from plora.node.core.rows import VERDICTS, VERSIONS
from plora.node.core.wishes import WISHES
from plora.node.gossip.rows import STATEMENTS, decode_statement
from plora.node.store.disk import Put, RowOp
from plora.proto.dsse import StatementKind
from plora.proto.errors import StatementError, StoreError
from plora.proto.payloads import Revocation
from plora.proto.statement import open_statement

BEGUN = "begun"
"""What the first entry is called; what lay in the home before it is told next."""

FAULT = "fault"
"""What an entry is called that says what a start found changed."""

ACKNOWLEDGED = "acknowledged"
"""What an entry is called that says what a person answers for."""

Says = dict[str, str | int | bool]


def _verdict(value: Any) -> Says:
    return {name: str(value["verdict"][name]) for name in ("outcome", "stage", "reason")}


def _wish(value: Any) -> Says:
    return {name: bool(value.get(name)) for name in ("pinned", "removed", "released", "own")}


def _merge(value: Any) -> Says:
    """`serves` is 0 while the newest generation is served."""
    newest, inputs = int(value["generation"]), len(value["inputs"])
    return {"newest": newest, "inputs": inputs, "serving": int(value.get("serves", 0)) or (newest if inputs else 0)}


def _ballot(value: Any) -> Says:
    return {"content": str(value["content"])}


def _invitation(value: Any) -> Says:
    return {"name": str(value["name"]), "peer": str(value["peer"])}


def _nothing(value: Any) -> Says:
    return {}


TELLERS: Mapping[str, tuple[str, Callable[[Any], Says]]] = {
    VERDICTS: ("verdict", _verdict),
    VERSIONS: ("floor", lambda value: {"version": int(value["version"])}),
    WISHES: ("wish", _wish),
    MERGES: ("merge", _merge),
    BLAMES: ("blame", lambda value: {"base": str(value["base"]), "beside": len(value["beside"])}),
    ROTATIONS: ("owner keys", _nothing),
    REPUTATIONS: ("standing", lambda value: {"of": str(value["kind"]), "fault": str(value["fault"])}),
    BALLOTS: ("vote", _ballot),
    CERTIFICATES: ("certificate", _ballot),
    GUILTY: ("evidence", _nothing),
    BROKEN: ("compromised", _nothing),
    INVITATIONS: ("invitation", _invitation),
    SIGNED_TIME: ("signed time", lambda value: {"wall_ms": int(value)}),
    AUDIT_STATE: ("belief", dict),
}
"""Audited tables: what a row is called, and what is said of its value."""


def facts_of(rows: Iterable[RowOp], at_ms: int) -> list[Fact]:
    """What a transaction changes that matters, in its order."""
    found = (_statement(row, at_ms) if row.table == STATEMENTS else _fact(row, at_ms) for row in rows)
    return [fact for fact in found if fact is not None]


def beginning(rows: Sequence[RowOp], at_ms: int) -> list[Fact]:
    """The first facts of an audit: that it begins, and every audited row that lies in the home already."""
    return [Fact(at_ms, BEGUN, "audit", {"rows": len(rows)}), *facts_of(rows, at_ms)]


def audited(table: str, key: bytes) -> bool:
    """Whether every change of that row is a fact."""
    return table in TELLERS and not (table == AUDIT_STATE and key == ENDS_KEY)


def row_digest(value: bytes) -> str:
    """What an entry says of a row's value."""
    return hashlib.sha256(value).hexdigest()


def _fact(row: RowOp, at_ms: int) -> Fact | None:
    if not audited(row.table, row.key):
        return None
    what, told = TELLERS[row.table]
    subject = _subject(row.table, row.key)
    if row.table == AUDIT_STATE:
        what, subject = subject, "this peer"
    if isinstance(row, Put):
        says, digest = told(json.loads(row.value)), row_digest(row.value)
        return Fact(at_ms, what, subject, says, row.table, row.key, digest)
    return Fact(at_ms, f"{what} removed", subject, {}, row.table, row.key)


def _subject(table: str, key: bytes) -> str:
    """A row's key, as people read it: a digest in hexadecimal, a slot by what it decides, else its text."""
    if table in (VERDICTS, WISHES, INVITATIONS, REPUTATIONS, BLAMES):
        return key.hex()
    text = key.decode(errors="replace")
    if table in (BALLOTS, CERTIFICATES, BROKEN):
        slot = json.loads(text)
        return f"{slot['owner']}/{slot['plasmid_id']}@{slot['version']}"
    return text


def _statement(row: RowOp, at_ms: int) -> Fact | None:
    if not isinstance(row, Put) or StatementKind.REVOCATION.encode() not in row.value:
        return None  # the envelope holds the kind as it is: most rows need not be read
    try:
        statement, _ = decode_statement(row.key, row.value)
        body = open_statement(statement) if statement.kind == StatementKind.REVOCATION else None
    except (StatementError, StoreError):
        return None  # a kind or a version that this build doesn't know
    if not isinstance(body, Revocation):
        return None
    says: Says = {"of": body.target_kind, "target": body.target, "by": body.owner or statement.key_id}
    return Fact(at_ms, "revocation", row.key.hex(), says)
