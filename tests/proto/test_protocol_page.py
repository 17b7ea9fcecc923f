"""docs/protocol.md names every tag, kind and vector file that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.proto.dsse import CHUNKS_TAG, EPOCH_TAG, SHA256_CONTEXT, STATEMENT_ID_TAG, StatementKind
from plora.proto.payloads import PAYLOAD_MODELS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
TAGS = [
    *StatementKind,
    SHA256_CONTEXT,
    *(tag.rstrip(b"\x00").decode() for tag in (STATEMENT_ID_TAG, CHUNKS_TAG, EPOCH_TAG)),
]


@pytest.mark.parametrize("tag", TAGS)
def test_every_domain_tag_is_in_the_table(tag: str) -> None:
    assert f"| `{tag}`" in PAGE


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
