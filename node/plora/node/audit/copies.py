"""An audit away from its peer: the file that is exported, and the heads that were noted elsewhere.

    {"v":1,"peer":"…","start":{…},"head":{…}}    the first line: whose it is, where it starts and ends
    {"at_ms":…,"what":…,…}                       an entry a line, exactly the bytes that were hashed

- A copy is verified like the original, without the state beside it. Who has the file can write another one that fits in
  itself: compare its head with one that was noted elsewhere.
- Notes come from the event log (`audited` records), from freshness statements that were made by this peer's help, and
  from whoever wrote one down: NUMBER:HASH, or the hash alone.

>>> parse_head("7:" + "ab" * 32).seq, parse_head("ab" * 32).seq
(7, 0)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from plora.node.audit.chain import GENESIS, Ends, Mark, entry_key, read_entry, read_mark
from plora.node.audit.verify import Audit, Fault, Note, faults_of
from plora.node.gossip.rows import STATEMENTS, decode_statement
from plora.node.store.store import Store
from plora.proto.canonical import INTEGER_MAX, is_hex_digest
from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError, StatementError, StoreError, UsageError
from plora.proto.fields import parse_timestamp
from plora.proto.payloads import Freshness
from plora.proto.statement import open_statement

COPY_VERSION = 1
_AUDITED = '"kind":"audited"'


@dataclass(frozen=True, slots=True)
class Verified:
    """What an audit was compared with, and what is wrong with it. `at_ms`: when, 0 where that isn't kept."""

    ends: Ends
    notes: int
    faults: tuple[Fault, ...]
    at_ms: int = 0

    @property
    def open(self) -> list[Fault]:
        """What nobody acknowledged."""
        return [fault for fault in self.faults if fault.open]


def verify(store: Store, events: Path, heads: Iterable[str] = ()) -> Verified:
    """Compare a peer's audit with its state, its event log, its freshness statements, and `heads`. Blocking."""
    given = [parse_head(text) for text in heads]
    notes = [*given, *noted_in_log(events), *noted_in_statements(store.disk.rows(STATEMENTS))]
    audit = store.audit()  # after the notes: what is noted meanwhile is not yet in it
    return Verified(audit.ends, len(notes), tuple(faults_of(audit, notes)))


def verify_copy(lines: Iterable[str], heads: Iterable[str] = ()) -> Verified:
    """Compare an exported audit with itself and with `heads`; FormatError for what is no export."""
    audit, notes = read_copy(lines), [parse_head(text) for text in heads]
    return Verified(audit.ends, len(notes), tuple(faults_of(audit, notes)))


def copy_lines(audit: Audit, peer: str) -> Iterator[str]:
    """The lines of an export, each with its line feed."""
    first = {"v": COPY_VERSION, "peer": peer, **asdict(audit.ends)}
    yield json.dumps(first, sort_keys=True, separators=(",", ":")) + "\n"
    for _, value in audit.rows:
        yield value.decode(errors="replace") + "\n"


def read_copy(lines: Iterable[str]) -> Audit:
    """An export as it was; FormatError when the first line isn't that of one."""
    source = iter(lines)
    try:
        first = json.loads(next(source, ""))
        ends = Ends(read_mark(first["start"]), read_mark(first["head"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError("not an exported audit", mend="export one by `plora audit export`") from error
    if first.get("v") != COPY_VERSION:
        raise FormatError("an audit of another version", mend="verify it by the version that exported it")
    return Audit(ends, tuple(_numbered(source, ends.start.seq)))


def newest(audit: Audit, count: int) -> Audit:
    """The audit with no more than the newest `count` entries; 0: all."""
    if not count or count >= len(audit.rows):
        return audit
    rows = audit.rows[-count:]
    first = read_entry(rows[0][1])
    return Audit(Ends(Mark(first.seq - 1, first.prev), audit.ends.head), rows)


def parse_head(text: str) -> Note:
    """A head as a person noted it; UsageError for anything else."""
    number, _, head = text.rpartition(":")
    if not is_hex_digest(head) or (number and not number.isdecimal()):
        mend = "write NUMBER:HASH or HASH, as `plora audit verify` prints it"
        raise UsageError(f"'{text[:80]}' is no head of an audit", where="--head", mend=mend)
    return Note(int(number or 0), head, "the given head", at_ms=INTEGER_MAX, outside=True)


def noted_in_log(folder: Path) -> Iterator[Note]:
    """The heads in the records of an event log, of all boots that are kept."""
    for segment in sorted(folder.glob("*.jsonl")):
        with segment.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                note = _note(line, f"{folder.name}/{segment.name}:{number}") if _AUDITED in line else None
                if note is not None:
                    yield note


def noted_in_statements(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Note]:
    """The heads in freshness statements that were brought in here: others tell of the audits of their peers."""
    for key, value in rows:
        try:
            statement, hops = decode_statement(key, value)
            body = open_statement(statement) if statement.kind == StatementKind.FRESHNESS and not hops else None
        except (StatementError, StoreError):
            continue
        if isinstance(body, Freshness) and body.audit_head != GENESIS.head:
            at_ms = parse_timestamp(body.issued) * 1000
            yield Note(0, body.audit_head, f"the freshness statement of {body.issued}", at_ms, outside=True)


def _numbered(lines: Iterable[str], start: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries under the numbers that they say, so that one that is missing shows; a spoilt one under the next."""
    seq = start
    for line in lines:
        value = line.rstrip("\n").encode(errors="replace")
        try:
            seq = read_entry(value).seq
        except StoreError:
            seq += 1
        yield entry_key(seq), value


def _note(line: str, where: str) -> Note | None:
    try:
        record = json.loads(line)
        return Note(int(record["entry"]), str(record["head"]), where)
    except (KeyError, TypeError, ValueError):
        return None  # half of a line that a power cut left
