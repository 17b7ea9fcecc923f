"""The event log's lines: a common header around the body of a record, one JSON object a line.

Rules:

- `stamp` adds the header {v, peer, boot, seq, mono_ns, wall_ms, round, kind, cause}. In a boot `seq` counts from 0
  without gaps. `cause` names the record, at some peer, that led to this one: paths need no clocks.
- A line is JSON with sorted keys and no blanks, ending in one line feed. It is deterministic but not RFC 8785: a log is
  not signed, and nanoseconds pass 2^53 after 104 days.
- Reading ignores unknown fields and keeps records of unknown kinds as `Opaque`, so that old analysis reads new logs.

>>> from plora.proto.records import StatementSeen
>>> body = StatementSeen(id="ab" * 32, statement_kind="manifest", from_="cd" * 32, via="reconcile", hops=2)
>>> record = stamp(body, peer="ef" * 32, boot="01", seq=7, now=Instant(5, 1_000), round_number=3)
>>> record_to_line(record)[:60]
'{"boot":"01","cause":null,"from":"cdcdcdcdcdcdcdcdcdcdcdcdcd'
>>> record_from_line(record_to_line(record)) == record
True
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple, Protocol

from pydantic import TypeAdapter, ValidationError

from plora.proto.errors import FormatError
from plora.proto.records import BODIES, Body, Opaque, body_fields

RECORD_VERSION = 1


class Clock(Protocol):
    """One reading of both clocks."""

    @property
    def mono_ns(self) -> int:
        """Monotonic nanoseconds."""

    @property
    def wall_ms(self) -> int:
        """Milliseconds since 1970."""


class CauseLike(Protocol):
    """Whatever names a record: `Cause`, or the core's own."""

    @property
    def peer(self) -> str:
        """The peer whose log it stands in."""

    @property
    def boot(self) -> str:
        """The boot."""

    @property
    def seq(self) -> int:
        """The number in that boot."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A plain `Clock`."""

    mono_ns: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Cause:
    """The name of one record at one peer."""

    peer: str
    boot: str
    seq: int


class Record(NamedTuple):
    """One line of the event log; a plain tuple, since a simulation makes millions of them."""

    v: int
    peer: str
    boot: str
    seq: int
    mono_ns: int
    wall_ms: int
    round: int
    cause: Cause | None
    body: Body

    @property
    def kind(self) -> str:
        """The kind, as it stands in the line."""
        return self.body.name if isinstance(self.body, Opaque) else self.body.kind


def stamp(
    body: Body, *, peer: str, boot: str, seq: int, now: Clock, round_number: int = 0, cause: CauseLike | None = None
) -> Record:
    """The record of a body that was emitted at `now`."""
    named = None if cause is None else Cause(cause.peer, cause.boot, cause.seq)
    return Record(RECORD_VERSION, peer, boot, seq, now.mono_ns, now.wall_ms, round_number, named, body)


def record_to_line(record: Record) -> str:
    """The record as one line of JSON with its line feed; `FormatError` when a body holds what JSON can't carry."""
    cause = record.cause
    line = {
        **body_fields(record.body),
        "v": record.v,
        "peer": record.peer,
        "boot": record.boot,
        "seq": record.seq,
        "mono_ns": record.mono_ns,
        "wall_ms": record.wall_ms,
        "round": record.round,
        "kind": record.kind,
        "cause": None if cause is None else {"peer": cause.peer, "boot": cause.boot, "seq": cause.seq},
    }
    try:
        return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise FormatError(f"a {record.kind} record can't be written ({error})") from error


def record_from_line(line: str) -> Record:
    """The record in a line; `FormatError` when it is malformed or its version is unknown."""
    try:
        members = json.loads(line)
        header = _header_reader().validate_python({name: members.pop(name) for name in _HEADER})
        body = _body(header.kind, members)
    except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise FormatError("not a record of the event log", where=line[:80].rstrip()) from error
    if header.v != RECORD_VERSION:
        raise FormatError(f"a record of version {header.v}", mend=f"this Plora reads version {RECORD_VERSION}")
    return Record(
        header.v,
        header.peer,
        header.boot,
        header.seq,
        header.mono_ns,
        header.wall_ms,
        header.round,
        header.cause,
        body,
    )


@dataclass(frozen=True, slots=True)
class _HeaderFields:
    v: int
    peer: str
    boot: str
    seq: int
    mono_ns: int
    wall_ms: int
    round: int
    kind: str
    cause: Cause | None


_HEADER = tuple(place.name for place in fields(_HeaderFields))


def _body(kind: str, members: dict[str, Any]) -> Body:
    if kind not in BODIES:
        return Opaque(kind, members)
    body: Body = _body_reader(kind).validate_python(members)
    return body


@cache
def _header_reader() -> TypeAdapter[_HeaderFields]:
    return TypeAdapter(_HeaderFields)


@cache
def _body_reader(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(BODIES[kind])
