"""Core inputs as JSON and back: what a recording is made of.

- Every dataclass is written with its name; only the classes in `CLASSES` are read back, so a recording can't name code.
- Bytes are base64, tuples are lists (and lists come back as tuples), mappings are lists of pairs.
- A record's body is written with its kind and its fields, which are plain already.
- The data of a `Chunk` is written as its length and comes back as zeros: the core never looks inside.

>>> from plora.node.core.events import TimerDue
>>> from_plain(to_plain(TimerDue("gossip:round")))
TimerDue(timer='gossip:round')
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args

from plora.gate import BaseFacts, Distrusted, Features, Policy, Root, RootMember, Trust, TrustedOwner
from plora.gate.consensus import Member, Membership
from plora.gate.features import ModuleFacts, TensorFacts, ValueFacts
from plora.gate.findings import Figure, Findings
from plora.node.core.config import Bounds, CoreConfig, Limits, ProbeBudget, Recipe, Subscription
from plora.node.core.events import Detector, Event
from plora.node.core.messages import Carried, Cause, Chunk, DialTry, Message, PeerAddress, Range
from plora.node.core.now import Now
from plora.node.store.rows import ChunkPlan
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import FormatError
from plora.proto.keys import PublicKey
from plora.proto.records import BODIES, Body, body_fields
from plora.proto.statement import Statement

CLASSES: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        *get_args(Event),
        *(kind for group in get_args(Message) for kind in (get_args(group) or (group,))),
        *(Bounds, CoreConfig, Limits, ProbeBudget, Recipe, Subscription),
        *(Carried, Cause, DialTry, PeerAddress, Range, Now, ChunkPlan, Snapshot, Statement),
        *(Member, Membership),
        *(BaseFacts, Features, ModuleFacts, TensorFacts, ValueFacts, Trust, TrustedOwner, Distrusted),
        *(Root, RootMember),
        *(Detector, Figure, Findings),
    )
}


def to_plain(value: Any) -> Any:
    """`value` in terms of JSON. Raises FormatError for what no core input holds."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case tuple() | list():
            return [to_plain(item) for item in value]
        case frozenset():
            return {"$set": sorted(value)}
        case Mapping():
            return {"$map": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
        case _:
            return _object_to_plain(value)


def from_plain(plain: Any) -> Any:
    """The inverse of `to_plain`. Raises FormatError for an unknown class or tag."""
    if isinstance(plain, list):
        return tuple(from_plain(item) for item in plain)
    if not isinstance(plain, dict):
        return plain
    tag: str
    content: Any
    tag, content = next(iter(plain.items()), ("", None))
    match tag:
        case "$bytes":
            return base64.b64decode(content)
        case "$zeros":
            return bytes(content)
        case "$set":
            return frozenset(content)
        case "$map":
            return {from_plain(key): from_plain(item) for key, item in content}
        case "$key":
            return PublicKey.from_text(content)
        case "$policy":
            return Policy.model_validate(content)
        case "$record":
            return _body_from_plain(content)
        case _:
            return _object_from_plain(tag, content)


def _object_to_plain(value: Any) -> Any:
    if isinstance(value, PublicKey):
        return {"$key": value.to_text()}
    if isinstance(value, Policy):
        return {"$policy": value.model_dump(mode="json")}
    if isinstance(value, Body):
        return {"$record": {"kind": value.kind, **body_fields(value)}}
    if not is_dataclass(value) or type(value) not in CLASSES.values():
        raise FormatError(f"a {type(value).__name__} is no core input")
    kind: type = type(value)
    elided = {"data": {"$zeros": len(value.data)}} if isinstance(value, Chunk) else {}
    content = {name: elided.get(name) or to_plain(getattr(value, name)) for name in _names(kind)}
    return {kind.__name__: content}


def _object_from_plain(name: str, content: Any) -> Any:
    kind = CLASSES.get(name)
    if kind is None or not isinstance(content, dict):
        raise FormatError(f"{name!r} is no core input", mend="was it recorded by another version?")
    try:
        return kind(**{key: from_plain(item) for key, item in content.items()})
    except TypeError as error:
        raise FormatError(f"a {name} of another version", where="recording") from error


def _body_from_plain(content: dict[str, Any]) -> Body:
    fields_of = {"from_" if name == "from" else name: item for name, item in content.items() if name != "kind"}
    try:
        return BODIES[content["kind"]](**fields_of)
    except (KeyError, TypeError) as error:
        raise FormatError("a record of another version", where="recording") from error


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(kind) if entry.init)
