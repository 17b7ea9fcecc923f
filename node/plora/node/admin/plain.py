"""A message of the admin service as plain data, defaults included: what `--json` and the web page give."""

from __future__ import annotations

from typing import Any


def plain(message: Any) -> dict[str, Any]:
    """The fields of a protobuf message by name; messages and maps are dictionaries, repeated fields lists."""
    return {field.name: _value(getattr(message, field.name)) for field in message.DESCRIPTOR.fields}


def _value(value: Any) -> Any:
    if isinstance(value, str | bytes | bool | int | float):
        return value
    if hasattr(value, "DESCRIPTOR"):
        return plain(value)
    if hasattr(value, "items"):
        return {key: _value(one) for key, one in value.items()}
    return [_value(one) for one in value]
