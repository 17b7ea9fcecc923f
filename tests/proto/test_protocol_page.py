"""docs/protocol.md names every tag, kind and vector file that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plora.proto.dsse import SHA256_CONTEXT, StatementKind
from plora.proto.payloads import PAYLOAD_MODELS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SOURCES = [
    path.read_text(encoding="utf-8") for room in ("proto", "gate", "node") for path in (ROOT / room).rglob("*.py")
]
HASHED = sorted({tag for text in SOURCES for tag in re.findall(r"plora/[a-z-]+/v[0-9]+", text)})
TAGS = [*StatementKind, SHA256_CONTEXT, *HASHED]


@pytest.mark.parametrize("tag", TAGS)
def test_every_domain_tag_is_in_the_table_with_its_vectors(tag: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{tag}`"))
    assert row.endswith(".json` |")


def test_the_tags_in_the_code_are_found() -> None:
    assert {"plora/statement/v1", "plora/chunks/v1", "plora/mark/v1", "plora/epoch/v1"} <= set(HASHED)


def test_no_tag_is_the_beginning_of_another() -> None:
    assert not [(one, two) for one in TAGS for two in TAGS if one != two and two.startswith(one)]


@pytest.mark.parametrize("kind", list(StatementKind))
def test_every_field_of_every_payload_is_named(kind: StatementKind) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {kind.short} |"))
    for name in PAYLOAD_MODELS[kind].model_fields:
        if kind is not StatementKind.MANIFEST and name not in ("schema_version", "swarm", "issued", "key_id"):
            assert f"`{name}`" in row


def test_every_vector_file_is_named() -> None:
    for path in sorted((Path(__file__).parent / "vectors").iterdir()):
        assert f"`{path.name}`" in PAGE
