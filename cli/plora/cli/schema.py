"""The JSON schema of peer.yaml (draft 2020-12), from `PeerConfig` and the meanings of its settings.

- An editor that knows `# yaml-language-server: $schema=…` completes and checks peer.yaml by it. `plora init` and
  `plora join` write it beside peer.yaml, so that it needs no network.
- A size may be text such as `64MiB`; every setting has its meaning as its description.
- What spans several settings (a quorum that can't be reached) isn't in it: `plora-node --check` knows that too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from plora.cli.reference import MEANINGS, block_of, is_size
from plora.node.daemon.config import SIZE, PeerConfig
from plora.proto.home import Home

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def peer_schema() -> dict[str, Any]:
    """The schema as plain data."""
    schema = PeerConfig.model_json_schema()
    for path, model, settings in _blocks(PeerConfig, schema, schema["$defs"], ""):
        for name, field in model.model_fields.items():
            settings[name] = _setting(settings[name], MEANINGS.get(path + name), size=is_size(field))
    return {"$schema": DIALECT, **_untitled(schema), "title": "peer.yaml"}


def schema_text() -> str:
    """The schema as a file has it."""
    return json.dumps(peer_schema(), indent=1) + "\n"


def write_schema(home: Home) -> None:
    """Write the schema beside a home's peer.yaml."""
    home.schema.write_text(schema_text(), encoding="utf-8")


def _blocks(
    model: type[BaseModel], schema: Mapping[str, Any], known: Mapping[str, Any], path: str
) -> Iterator[tuple[str, type[BaseModel], dict[str, Any]]]:
    """Every block with its path and the schemas of its settings."""
    yield path, model, schema["properties"]
    for name, field in model.model_fields.items():
        block = block_of(field.annotation)
        if block is not None:
            yield from _blocks(block, known[block.__name__], known, f"{path}{name}.")


def _setting(schema: dict[str, Any], meaning: str | None, *, size: bool) -> dict[str, Any]:
    if size:
        number = {"type": "integer", "minimum": schema.get("ge", 0)}
        schema = {"default": schema["default"], "anyOf": [number, {"type": "string", "pattern": f"^{SIZE.pattern}$"}]}
    return {**schema, "description": meaning} if meaning else schema


def _untitled(schema: Any) -> Any:
    """Without pydantic's titles, which only repeat the names."""
    if isinstance(schema, list):
        return [_untitled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _untitled(one) for name, one in schema.items() if name != "title" or not isinstance(one, str)}
