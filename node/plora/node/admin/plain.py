"""A message of the admin service as plain data, defaults included: what `--json` and the web page give.

>>> from plora.v1 import admin_pb2 as pb
>>> list(plain(pb.ChunkRun(state="here", count=2)).items()), "rtt_ms" in plain(pb.PeerInfo())
([('state', 'here'), ('count', 2)], False)
"""

from __future__ import annotations

from typing import Any


def plain(message: Any) -> dict[str, Any]:
    """The fields of a protobuf message by name; messages and maps are dictionaries, repeated fields lists.

    An optional number that isn't there is None. Deprecated fields are left out: nobody fills them.
    """
    fields = (field for field in message.DESCRIPTOR.fields if not field.GetOptions().deprecated)
    return {field.name: _field(message, field) for field in fields}


def _field(message: Any, field: Any) -> Any:
    if field.has_presence and field.message_type is None and not message.HasField(field.name):
        return None
    return _value(getattr(message, field.name))


def _value(value: Any) -> Any:
    if isinstance(value, str | bytes | bool | int | float):
        return value
    if hasattr(value, "DESCRIPTOR"):
        return plain(value)
    if hasattr(value, "items"):
        return {key: _value(one) for key, one in value.items()}
    return [_value(one) for one in value]
