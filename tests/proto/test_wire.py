"""The wire messages: numbers that must never change, and generated code that fits its source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plora.v1 import admin_pb2, peer_pb2

ROOT = Path(__file__).parents[2]
FRAME = ["hello", "welcome", "goodbye", "heartbeat", "push", "i_have", "i_want", "reconcile", "have", "peers", "ack"]
BULK = ["want", "chunk_list", "chunk", "refuse", "cancel"]


@pytest.mark.parametrize(("message", "names"), [(peer_pb2.Frame, FRAME), (peer_pb2.BulkFrame, BULK)])
def test_frame_numbers(message: type[peer_pb2.Frame] | type[peer_pb2.BulkFrame], names: list[str]) -> None:
    fields = message.DESCRIPTOR.fields_by_name
    assert [fields[name].number for name in names] == list(range(1, len(names) + 1))
    (oneof,) = message.DESCRIPTOR.oneofs
    assert (oneof.name, len(oneof.fields)) == ("body", len(fields))


def test_statement_on_the_wire() -> None:
    statement = peer_pb2.Statement(kind="k", payload=b"{}", key_id="i", algorithm="a", signature=b"s")
    assert statement.SerializeToString().hex() == "0a016b12027b7d1a01692201612a0173"


def test_services() -> None:
    peer = [method.name for method in peer_pb2.DESCRIPTOR.services_by_name["Peer"].methods]
    assert peer == ["Session", "Bulk", "Join", "Offer", "GetStatements", "Fetch"]
    admin = [method.name for method in admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods]
    assert admin[:4] == ["Status", "List", "Show", "Why"]


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    sources = [f"plora/v1/{name}.proto" for name in ("peer", "admin")]
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *sources]
    subprocess.run(command, cwd=ROOT / "proto", check=True, timeout=60)
    for path in sorted((tmp_path / "plora" / "v1").iterdir()):
        assert (ROOT / "proto/plora/v1" / path.name).read_text() == path.read_text(), path.name
