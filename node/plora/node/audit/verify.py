"""What is wrong with an audit: every edit and every cut of the chain, its tail included, and edits of the state. Pure.

- The entries themselves show an edit, an entry taken out of the middle, and a tail that is shorter than the `ends` say.
- Whoever cuts the tail may write fitting ends, or the whole chain anew: *notes* show that. A note is a head that was
  written elsewhere when it was the newest: a record of the event log, a freshness statement, one that a person kept.
- The newest entry about a row says what must lie there. Rows of audited tables that no entry tells of are foreign, as
  long as the first entry is there: those after it tell of everything that lay in the home when the audit began.
- Where it says "or", the chain can't tell which of two entries was edited: each holds only the hash of the one before.
- What a person acknowledged (`plora.node.audit.acknowledging`) is still found, and says so. What a note from outside of
  the home shows can't be: whoever rewrote the chain would acknowledge it.

Not handled here: rows that only dropped entries told of; what was changed together with every note of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from plora.node.audit.chain import Ends, Entry, Fact, Mark, chain_hash, read_entry, seq_of
from plora.node.audit.facts import ACKNOWLEDGED, BEGUN, audited, row_digest
from plora.proto.errors import StoreError

State = Mapping[str, Mapping[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit as it lies somewhere. `state`: the audited tables beside it; None for a copy without them."""

    ends: Ends
    rows: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    state: State | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """A head that was the newest once, and where that stands. `seq` 0: the number isn't known; `at_ms`: when, if so.

    `outside`: it isn't of the home itself, whose writer may have changed it as well.
    """

    seq: int
    head: str
    where: str
    at_ms: int = 0
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, at or after entry `seq`.

    `seen` names exactly what was found there, so that an acknowledgement covers this and nothing that comes later.
    `until` is the newest entry about which the event log disagrees, where that shows it. Neither is there for what
    can't be acknowledged. `note` and `noted_ms` are the acknowledgement, "" and 0 where there is none.
    """

    seq: int
    what: str
    seen: str = ""
    until: int = 0
    note: str = ""
    noted_ms: int = 0

    @property
    def open(self) -> bool:
        """Whether nobody acknowledged it."""
        return not self.noted_ms


def faults_of(audit: Audit, notes: Iterable[Note] = ()) -> list[Fault]:
    """Everything that is wrong, the earliest entry first; empty for an audit that nobody touched."""
    walk = _Walk(audit.ends.start)
    for key, value in audit.rows:
        walk.take(key, value)
    settled = max(map(_until, walk.said), default=0)
    found = [*walk.faults, *_end(walk.at, audit.ends.head)]
    for group in _parted(notes, settled):
        found += _against(group, walk, audit.ends.start)
    if audit.state is not None:
        found += _state(walk, audit.state)
    marked = [_marked(fault, walk.said) for fault in dict.fromkeys(found)]
    return sorted(marked, key=lambda fault: fault.seq)


def entries_of(audit: Audit) -> Iterator[Entry]:
    """The entries that can be read, the oldest first."""
    for _, value in audit.rows:
        try:
            yield read_entry(value)
        except StoreError:
            continue


def _parted(notes: Iterable[Note], settled: int) -> tuple[list[Note], ...]:
    """The event log's notes that a person has answered for, its others, and those from outside."""
    groups: tuple[list[Note], list[Note], list[Note]] = ([], [], [])
    for note in notes:
        groups[2 if note.outside else int(note.seq > settled)].append(note)
    return groups


def _until(fact: Fact) -> int:
    """How far an acknowledgement answers for the event log; nowhere, where somebody wrote something else there."""
    until = fact.says.get("until")
    return until if isinstance(until, int) else 0


def _marked(fault: Fault, said: Sequence[Fact]) -> Fault:
    """The fault with what a person said of it."""
    for fact in said:
        answered = _until(fact) >= fault.until > 0
        if answered or (fault.seen and fact.says.get("seen") == fault.seen):
            return replace(fault, note=str(fact.says.get("note", "")), noted_ms=max(1, fact.at_ms))
    return fault


class _Walk:
    """Goes along the entries and keeps of them only what is asked for later: an audit is long.

    `heads`: the hash of each; `first`: the oldest that can be read; `told`: the newest about each row, by table and
    key; `said`: the acknowledgements.
    """

    def __init__(self, start: Mark) -> None:
        self.at = start
        self.heads = {start.seq: start.head}
        self.first: Entry | None = None
        self.told: dict[tuple[str, bytes], Entry] = {}
        self.said: list[Fact] = []
        self.faults: list[Fault] = []

    def take(self, key: bytes, value: bytes) -> None:
        """The next entry by key."""
        try:
            seq, entry = seq_of(key), read_entry(value)
        except StoreError as error:
            self._fault(self.at.seq + 1, error.what, chain_hash(value))
            self.at = Mark(self.at.seq + 1, chain_hash(value))
            return
        if seq > self.at.seq + 1:
            self._fault(self.at.seq + 1, f"{_span(self.at.seq + 1, seq - 1)} missing", entry.prev)
        elif seq <= self.at.seq:
            self._fault(seq, f"entry {seq} stands in the wrong place", entry.prev)
        elif entry.prev != self.at.head:
            what = f"entry {self.at.seq} was edited, or entry {seq}: they don't fit together"
            self._fault(self.at.seq, what, entry.prev)
        if entry.seq != seq:
            self._fault(seq, f"entry {seq} says that it is entry {entry.seq}", chain_hash(value))
        self.at = Mark(seq, chain_hash(value))
        self.heads[seq] = self.at.head
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        self.first = self.first or entry
        if entry.fact.table:
            self.told[entry.fact.table, entry.fact.key] = entry
        if entry.fact.what == ACKNOWLEDGED:
            self.said.append(entry.fact)

    def _fault(self, seq: int, what: str, other: str) -> None:
        """Of the entry before and `other` it is known again, also once further entries follow (see `_end`)."""
        self.faults.append(Fault(seq, what, f"{self.at.head} {other}"))


def _end(at: Mark, head: Mark) -> list[Fault]:
    if at == head:
        return []
    seen = f"{at.head} {head.head}"
    if at.seq < head.seq:
        return [Fault(at.seq + 1, f"cut at the tail: {_span(at.seq + 1, head.seq)} missing", seen)]
    if at.seq > head.seq:
        what = f"the chain says that it ends at entry {head.seq}; entry {at.seq} lies behind it"
        return [Fault(head.seq + 1, what, seen)]
    return [Fault(at.seq, f"entry {at.seq}, the last, was edited", seen)]


def _against(notes: Iterable[Note], walk: _Walk, start: Mark) -> list[Fault]:
    """What the notes show. Those from before the oldest entry that is left show nothing."""
    begun_ms = walk.first.fact.at_ms if start.seq and walk.first else 0
    listed = list(notes)
    placed = [note for note in listed if note.seq and note.seq >= start.seq]
    unplaced = [note for note in listed if not note.seq and note.at_ms >= begun_ms]
    return [*_unfound(unplaced, walk, start), *_beyond(placed, walk), *_unlike(placed, walk)]


def _unfound(notes: Sequence[Note], walk: _Walk, start: Mark) -> Iterator[Fault]:
    """The heads, noted without a number, that no entry has."""
    heads = frozenset(walk.heads.values())
    unless = f", unless it is older than entry {start.seq + 1}" if start.seq else ""
    for note in notes:
        if note.head not in heads:
            yield Fault(walk.at.seq, f"no entry has the head {note.head[:12]} that {note.where} names{unless}")


def _beyond(notes: Sequence[Note], walk: _Walk) -> Iterator[Fault]:
    """The farthest cut of the tail."""
    ahead = max(notes, key=lambda note: note.seq, default=None)
    if ahead is not None and ahead.seq > walk.at.seq:
        missing = _span(walk.at.seq + 1, ahead.seq)
        what = f"cut at the tail: {missing} missing, as {ahead.where} shows"
        yield Fault(walk.at.seq + 1, what, until=0 if ahead.outside else ahead.seq)


def _unlike(notes: Sequence[Note], walk: _Walk) -> Iterator[Fault]:
    """The earliest entry that isn't what was noted."""
    other = [note for note in notes if walk.heads.get(note.seq, note.head) != note.head]
    first = min(other, key=lambda note: note.seq, default=None)
    if first is not None:
        what = f"entry {first.seq} or one before it isn't what {first.where} noted"
        yield Fault(first.seq, what, until=max(0 if note.outside else note.seq for note in other))


def _state(walk: _Walk, state: State) -> list[Fault]:
    whole = walk.first is not None and walk.first.seq == 1 and walk.first.fact.what == BEGUN
    lying = {
        (table, key): row_digest(value)
        for table, rows in state.items()
        for key, value in rows.items()
        if audited(table, key)
    }
    digests = [(entry, lying.get(place, "")) for place, entry in walk.told.items()]
    found = [_changed(entry, digest) for entry, digest in digests if digest != entry.fact.sha256]
    foreign = {place: digest for place, digest in lying.items() if whole and place not in walk.told}
    tables = dict.fromkeys(table for table, _ in foreign)
    added = ({key: digest for (name, key), digest in foreign.items() if name == table} for table in tables)
    return [*found, *map(_added, tables, added)]


def _added(table: str, rows: Mapping[bytes, str]) -> Fault:
    """Rows that no entry tells of: their digests by key."""
    which = "a row of `{}` was" if len(rows) == 1 else f"{len(rows)} rows of `{{}}` were"
    whole = repr(sorted(rows.items())).encode()
    return Fault(0, f"{which.format(table)} added that no entry tells of", f"{table} {row_digest(whole)}")


def _changed(entry: Entry, digest: str) -> Fault:
    """A row that isn't what its newest entry says; `digest` is of what lies there, "" for nothing."""
    fact = entry.fact
    where = f"the row of `{fact.table}` about {fact.subject[:76]}"
    what = f"{where} isn't what entry {entry.seq} says ({fact.what}): it was changed, or is gone"
    return Fault(entry.seq, what, f"{fact.table} {fact.key.hex()} {digest}")


def _span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
