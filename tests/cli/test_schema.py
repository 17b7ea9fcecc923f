"""An editor that checks peer.yaml by the schema says what the peer itself would say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from tests.cli.conftest import Run

from plora.cli.reference import MEANINGS
from plora.cli.schema import peer_schema
from plora.node.daemon.config import PeerConfig
from plora.node.home import TEMPLATE

SCHEMA = Draft202012Validator(peer_schema())
PEER = "ab" * 32


def good(document: Any) -> bool:
    return bool(SCHEMA.is_valid(document))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(peer_schema())


def test_init_writes_a_file_that_its_schema_finds_good(plora: Run, world: Path) -> None:
    assert plora("init", "--name", "ada", "--home", "home").code == 0
    text = Path("home/peer.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=peer.schema.json\n")
    written = json.loads(Path("home/peer.schema.json").read_text())
    assert Draft202012Validator(written).is_valid(yaml.safe_load(text))


def test_what_the_written_file_has_in_comments_is_good_too() -> None:
    lines = TEMPLATE.format(name="ada", listen="127.0.0.1:4700", advertise="").splitlines()
    commented = [line[2:] for line in lines if line.startswith("# ") and ": " in line.partition("  #")[0]]
    documents = [yaml.safe_load(line) for line in commented if not line.startswith(("peer.yaml", "yaml-", "`plora"))]
    assert len(documents) >= 4
    assert [one for one in documents if not good({"name": "ada", **one})] == []


def test_every_meaning_is_a_description() -> None:
    text = json.dumps(peer_schema())
    assert [meaning for meaning in MEANINGS.values() if json.dumps(meaning)[1:-1] not in text] == []


@pytest.mark.parametrize(
    "fault",
    [
        {"gossip": {"fanuot": 1}},
        {"gossip": {"round_ms": "soon"}},
        {"listen": "nowhere"},
        {"neighbours": [{"peer": "ab"}]},
        {"neighbours": [{"address": "127.0.0.1:1"}]},
        {"limits": {"store_max": "20 parsecs"}},
        {"limits": {"store_max": -1}},
        {"policy": {"unknown_owner": "believe"}},
        {"log": "loud"},
        {"dialable": "yes"},
        {"merge": {"max_delta_fro": True}},
        {"policy": {"min_reputation": True}},
    ],
)
def test_faults_are_faults_to_both(fault: dict[str, Any]) -> None:
    document = {"name": "ada", **fault}
    assert not good(document)
    with pytest.raises(ValidationError):
        PeerConfig.model_validate(document)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 1 << 40),
    st.sampled_from(["", "64MiB", "1 GiB", "127.0.0.1:1", PEER, "x"]),
)
PLACES = [(name.split(".")) for name in MEANINGS if "policy" not in name and name.count(".") <= 1]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
def test_what_the_peer_takes_the_schema_takes(place: list[str], value: object) -> None:
    document: dict[str, Any] = {"name": "ada"}
    inner: Any = value
    for part in reversed(place):
        inner = {part: inner}
    document |= inner
    try:
        PeerConfig.model_validate(document)
    except ValidationError:
        return
    assert good(document), document
