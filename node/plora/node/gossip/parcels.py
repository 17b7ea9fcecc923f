"""Statements on their way: cut into frames that stay within their bounds, the ones that others depend on first.

>>> frames([])
[]
"""

from __future__ import annotations

from collections.abc import Iterable

from plora.node.core.messages import FRAME_BYTES_MAX, HAVE_MAX, Carried
from plora.node.gossip.entries import Entry
from plora.proto.dsse import StatementKind
from plora.proto.statement import Statement

_OVERHEAD = 320
"""Kind, key id, algorithm, cause, tags and lengths of one carried statement, never less than they take."""

_FIRST = (StatementKind.OWNER, StatementKind.MANIFEST)


def carried(entry: Entry) -> Carried:
    """An entry as it is sent."""
    return Carried(entry.statement, entry.hops)


def arrival_order(item: Carried) -> tuple[int, int, bytes]:
    """Owner records first, older before newer ones, then manifests, then the rest; by id among equals."""
    statement = item.statement
    rank = next((place for place, first in enumerate(_FIRST) if statement.kind == first), len(_FIRST))
    return rank, statement.version if statement.kind == StatementKind.OWNER else 0, statement.id


def frames(entries: Iterable[Entry]) -> list[tuple[Carried, ...]]:
    """The entries in as few frames as `HAVE_MAX` and `FRAME_BYTES_MAX` allow."""
    packed: list[tuple[Carried, ...]] = []
    load: list[Carried] = []
    load_bytes = 0
    for item in sorted(map(carried, entries), key=arrival_order):
        item_bytes = _item_bytes(item.statement)
        if load and (len(load) == HAVE_MAX or load_bytes + item_bytes > FRAME_BYTES_MAX - _OVERHEAD):
            packed.append(tuple(load))
            load, load_bytes = [], 0
        load.append(item)
        load_bytes += item_bytes
    return [*packed, tuple(load)] if load else packed


def _item_bytes(statement: Statement) -> int:
    return len(statement.payload) + len(statement.signature) + _OVERHEAD
