"""A peer keeps a model server's adapters what it has accepted; the server keeps to vLLM's rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.node.serving.vllm_rules import SAFE_NAME, VllmStandIn, refusal
from tests.swarm.conftest import MakePeer, Peer

from plora.cli.revoking import owner_of, sign_revocation
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow
MODEL = "/models/mini"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def vllm() -> Iterator[VllmStandIn]:
    with VllmStandIn(MODEL).running() as server:
        yield server


@pytest.fixture
def ada(make_peer: MakePeer, vllm: VllmStandIn) -> Peer:
    peer = make_peer("ada")
    peer.settings |= {"base_paths": {"mini": MODEL}, "serving": {"vllm": {"url": vllm.url, "check_ms": 200}}}
    peer.start()
    return peer


def revoke(peer: Peer, name: str) -> None:
    plasmid = peer.call("Show", pb.ShowRequest(name=name)).plasmid
    owner = owner_of(peer.home.root, None, plasmid.name, plasmid.owner)
    issued_s = plasmid.seen_wall_ms // 1000
    statement = sign_revocation(owner, plasmid.content_id, "wrong file", issued_s)
    peer.call("Revoke", pb.RevokeRequest(revocation=statement))


def test_a_server_follows_what_is_accepted_merged_and_revoked(ada: Peer, vllm: VllmStandIn, tmp_path: Path) -> None:
    law, legal = (ada.signed_folder(tmp_path / name, seed=len(name)) for name in ("law", "legal"))
    ada.publish(tmp_path / "law")
    merged = ada.home.merged / "mini"
    vllm.until(lambda: vllm.adapters.get("merged/mini") == str(merged / "gen-1"))
    ada.publish(tmp_path / "legal")
    vllm.until(lambda: vllm.adapters.get("merged/mini") == str(merged / "gen-2"))
    views = ada.home.root / "views"
    assert vllm.adapters["ada/law"] == str(views / law.content_id.hex())
    assert vllm.adapters["ada/legal"] == str(views / legal.content_id.hex())

    ada.kill()
    count = len(vllm.requests)
    ada.start()
    ada.until(lambda: len(vllm.adapters) == 3)
    ada.call("Rollback", pb.RollbackRequest())
    vllm.until(lambda: vllm.adapters.get("merged/mini") == str(merged / "gen-1"))
    assert vllm.requests[count:] == [("unload", "merged/mini"), ("load", "merged/mini")]

    revoke(ada, "law")
    vllm.until(lambda: "ada/law" not in vllm.adapters and vllm.adapters.get("merged/mini") == str(merged / "gen-4"))
    kinds = [(record["name"], record["change"]) for record in ada.records("serving")]
    assert ("ada/law", "loaded") in kinds and ("ada/law", "unloaded") in kinds
    assert not ada.records("error")


def test_what_is_exposed_keeps_to_vllms_rules(ada: Peer, tmp_path: Path) -> None:
    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    ada.until(lambda: len(ada.call("Merges", pb.MergesRequest()).merges) == 1)
    folders = list(ada.home.adapters.iterdir())
    assert sorted(folder.name for folder in folders) == ["ada--legal", "merged--mini"]
    for folder in folders:
        assert refusal(folder, MODEL) == "" and SAFE_NAME.fullmatch(folder.name)
        assert refusal(folder, "/models/other") == "another base"


def test_a_server_that_is_away_holds_nothing_up(make_peer: MakePeer, tmp_path: Path) -> None:
    bob = make_peer("bob")
    bob.settings |= {"base_paths": {"mini": MODEL}}
    with VllmStandIn(MODEL).running() as vllm:
        bob.settings["serving"] = {"vllm": {"url": vllm.url, "check_ms": 300}}
    bob.start()
    bob.signed_folder(tmp_path / "legal", seed=1)
    bob.publish(tmp_path / "legal")
    bob.until(lambda: bob.plasmids("own"))
    (met,) = bob.until(lambda: bob.records("error"))
    assert met["where"] == vllm.url and "can't be reached" in met["what"]
    assert any("can't be reached" in warning for warning in bob.status.warnings)
    bob.stop()
    assert len(bob.records("error")) == 1


STAND_IN = {
    "__init__.py": "",
    "lora/__init__.py": "",
    "lora/request.py": """
from dataclasses import dataclass

@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str
""",
    "lora/resolver.py": """
class LoRAResolverRegistry:
    resolvers = {}

    @classmethod
    def register_resolver(cls, name, resolver):
        cls.resolvers[name] = resolver
""",
}
"""The two modules of vLLM that a resolver sees; `tests/swarm/test_vllm.py` has the real ones."""
ASK = """
import asyncio, json, sys
from importlib.metadata import EntryPoint

value, *names = sys.argv[1:]
register = EntryPoint("plora", value, "vllm.general_plugins").load()
assert "grpc" not in sys.modules and "google.protobuf" not in sys.modules, "vLLM loads it in all its processes"
register()
from vllm.lora.resolver import LoRAResolverRegistry
resolve = LoRAResolverRegistry.resolvers["plora"].resolve_lora
found = [asyncio.run(resolve("/models/mini", name)) for name in names]
asked = [asyncio.run(resolve("/models/other", names[0]))]
print(json.dumps([one and (one.lora_name, one.lora_path, one.lora_int_id > 0) for one in found + asked]))
"""


def test_vllms_resolver_asks_the_peer(ada: Peer, tmp_path: Path) -> None:
    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    ada.until(lambda: len(ada.call("Merges", pb.MergesRequest()).merges) == 1)
    for name, text in STAND_IN.items():
        file = tmp_path / "stand-in" / "vllm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    value = project["entry-points"]["vllm.general_plugins"]["plora"]
    names = ["ada/legal", "ada/legal@1", "merged", "../ada--legal", "nothing"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "stand-in"), "PLORA_HOME": str(ada.home.root)}
    command = [sys.executable, "-c", ASK, value, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    view = str((ada.home.adapters / "ada--legal").resolve())
    merged = str(ada.home.merged / "mini" / "gen-1")
    answers = [["ada/legal", view, True], ["ada/legal@1", view, True], ["merged", merged, True], None, None, None]
    assert json.loads(done.stdout) == answers
    assert "ada/legal@1 is for the base /models/mini, not /models/other" in done.stderr
    ada.stop()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [None] * 6
