"""The chain: every change of state that matters is an entry whose hash covers the entry before it. Pure.

- An entry goes into the transaction of the rows that it tells of, so neither stands without the other.
- An entry's bytes are JSON with sorted keys and no blanks; they are stored as they were hashed, and never written anew.
  The hash of entry n covers those bytes, and they hold the hash of entry n-1 (`prev`).
- `row` says which row was written and the SHA-256 of its value ("" for one that was removed): so an edit of the state
  itself is found too. A fact that is no row (what a person believes, in trust.yaml) has none.
- At most `entries_max` entries are kept, and an eighth more for a while; what was dropped leaves its end as `start`.

| table | key | value |
|---|---|---|
| `audit` | number of the entry, 8 bytes, big-endian | the entry |
| `audit_state` | `ends` | where what is kept starts and ends, as JSON |

Not handled here: which changes matter (`facts`), what is wrong with a chain (`verify`), who can rewrite all of it: only
a head that was noted elsewhere shows that.

>>> fact = Fact(at_ms=5, what="vote", subject="ab" * 32)
>>> rows, ends = extended(EMPTY, [fact, fact], entries_max=0, get=lambda table, key: None)
>>> ends.head.seq, read_entry(rows[1].value).prev == chain_hash(rows[0].value)
(2, True)
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plora.node.store.disk import Delete, Put, RowOp
from plora.proto.canonical import INTEGER_MAX
from plora.proto.errors import StoreError

AUDIT = "audit"
AUDIT_STATE = "audit_state"
ENDS_KEY = b"ends"
DOMAIN = b"plora audit v1\n"
WALL_MS_MAX = 253_402_300_799_999
"""The end of the year 9999."""
AUDIT_MAX_MIN = 1000
SLACK = 8
"""One in so many entries may be kept beyond the limit before all of those are dropped at once."""

_NUMBER = struct.Struct(">Q")

Get = Callable[[str, bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the chain: the number of an entry, and its hash (64 hex digits)."""

    seq: int
    head: str


GENESIS = Mark(0, "0" * 64)


@dataclass(frozen=True, slots=True)
class Ends:
    """What is kept: the entries after `start`, up to `head`."""

    start: Mark = GENESIS
    head: Mark = GENESIS


EMPTY = Ends()


@dataclass(frozen=True, slots=True)
class Fact:
    """One change: when (ms since 1970), what, of what, and a few plain words of it.

    `table` and `key` name the row that was written, `sha256` is of its value, "" where it was removed.
    """

    at_ms: int
    what: str
    subject: str
    says: Mapping[str, str | int | bool] = field(default_factory=dict)
    table: str = ""
    key: bytes = b""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact in its place."""

    seq: int
    prev: str
    fact: Fact


def chain_hash(value: bytes) -> str:
    """The hash of an entry's bytes."""
    return hashlib.sha256(DOMAIN + value).hexdigest()


def entry_key(seq: int) -> bytes:
    """The key of an entry."""
    return _NUMBER.pack(seq)


def seq_of(key: bytes) -> int:
    """The number in an entry's key; StoreError for what is no such key."""
    if len(key) != _NUMBER.size:
        raise StoreError("an entry's key has the wrong length", where=f"state.db: {AUDIT}")
    return int(_NUMBER.unpack(key)[0])


def entry_bytes(before: Mark, fact: Fact) -> bytes:
    """The bytes of the entry that follows `before`."""
    row = {"table": fact.table, "key": fact.key.hex(), "sha256": fact.sha256} if fact.table else None
    told = {"at_ms": fact.at_ms, "what": fact.what, "subject": fact.subject, "says": dict(fact.says)}
    entry = {**told, "seq": before.seq + 1, "prev": before.head, "row": row}
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_entry(value: bytes) -> Entry:
    """Read an entry; StoreError when it is not what `entry_bytes` writes."""
    try:
        fields = json.loads(value)
        json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair is no text, and nobody could show it
        row = fields.pop("row") or {"table": "", "key": "", "sha256": ""}
        before = read_mark({"seq": int(fields.pop("seq")) - 1, "head": fields.pop("prev")})
        fact = Fact(
            at_ms=_moment(fields.pop("at_ms")),
            says=dict(fields.pop("says")),
            table=str(row["table"]),
            key=bytes.fromhex(row["key"]),
            sha256=str(row["sha256"]),
            **fields,
        )
        return Entry(before.seq + 1, before.head, fact)
    except (AttributeError, OverflowError, KeyError, TypeError, ValueError) as error:
        raise StoreError("an entry can't be read", where=f"state.db: {AUDIT}") from error


def _moment(at_ms: int) -> int:
    if not 0 <= int(at_ms) <= WALL_MS_MAX:
        raise ValueError("no time")
    return int(at_ms)


def read_mark(fields: Mapping[str, Any]) -> Mark:
    """Read a place in the chain; KeyError, TypeError or ValueError for what is none."""
    seq = int(fields["seq"])
    if not 0 <= seq <= INTEGER_MAX:
        raise ValueError("no number of an entry")
    return Mark(seq, str(fields["head"]))


def read_ends(value: bytes | None) -> Ends:
    """Read the ends; `EMPTY` where there are none yet, StoreError for what is no ends."""
    if value is None:
        return EMPTY
    try:
        fields = json.loads(value)
        return Ends(read_mark(fields["start"]), read_mark(fields["head"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("the ends of the audit can't be read", where=f"state.db: {AUDIT_STATE}") from error


def extended(ends: Ends, facts: Iterable[Fact], entries_max: int, get: Get) -> tuple[list[RowOp], Ends]:
    """The rows that add the facts to the chain, and its ends then; `get` reads a row of the chain as it stands.

    `entries_max` 0 keeps all.
    """
    values: dict[bytes, bytes] = {}
    head = ends.head
    for fact in facts:
        value = entry_bytes(head, fact)
        head = Mark(head.seq + 1, chain_hash(value))
        values[entry_key(head.seq)] = value
    if not values:
        return [], ends
    start = _start(ends.start, head, entries_max, lambda key: values.get(key) or get(AUDIT, key))
    kept = [Put(AUDIT, key, value) for key, value in values.items() if seq_of(key) > start.seq]
    dropped = [Delete(AUDIT, entry_key(seq)) for seq in range(ends.start.seq + 1, start.seq + 1)]
    after = Ends(start, head)
    return [*kept, *dropped, ends_row(after)], after


def ends_row(ends: Ends) -> Put:
    """The row of the ends."""
    marks = {"start": ends.start, "head": ends.head}
    fields = {name: {"seq": mark.seq, "head": mark.head} for name, mark in marks.items()}
    return Put(AUDIT_STATE, ENDS_KEY, json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def _start(start: Mark, head: Mark, entries_max: int, get: Callable[[bytes], bytes | None]) -> Mark:
    """Where the chain starts when it has grown to `head`; unchanged if an entry that should be there is missing."""
    if not entries_max or head.seq - start.seq <= entries_max + entries_max // SLACK:
        return start
    seq = head.seq - entries_max
    following = get(entry_key(seq + 1))
    return start if following is None else Mark(seq, read_entry(following).prev)
