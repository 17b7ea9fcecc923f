"""Where adapters are, and going back to a merge, at a real peer that is killed meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.swarm.conftest import MakePeer, Peer

from plora.merge import read_adapter
from plora.proto.errors import RefusedError, UsageError
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow
PLORA = Path(sys.executable).with_name("plora")


def plora(peer: Peer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PLORA), *arguments, "--home", str(peer.home.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def merge_of(peer: Peer) -> Any:
    (merge,) = peer.call("Merges", pb.MergesRequest()).merges or [pb.MergeInfo()]
    return merge


def publish(peer: Peer, tmp_path: Path, *names: str) -> None:
    for name in names:
        peer.signed_folder(tmp_path / name, seed=len(name))
        peer.publish(tmp_path / name)
        count = len(peer.plasmids())
        peer.until(lambda count=count: len(merge_of(peer).inputs) == count)  # type: ignore[misc]


def test_the_merge_before_is_served_over_a_kill_until_inputs_change(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    assert plora(ada, "path", "merged").returncode == 3
    publish(ada, tmp_path, "law", "legal")
    beside = ada.home.adapters / "merged--mini"
    both = read_adapter(beside).digest
    back = plora(ada, "rollback")
    assert back.returncode == 0, back.stderr
    assert back.stdout == "merged/mini: serves generation 1, no longer 2\n"
    one = read_adapter(beside).digest
    assert one != both and beside.resolve() == ada.home.merged / "mini" / "gen-1"
    (record,) = ada.records("rollback")
    assert (record["before"], record["after"], record["reason"]) == (2, 1, "asked")
    refused = plora(ada, "rollback", "mini")
    assert refused.returncode == 3 and "merge.generations_max" in refused.stderr

    ada.kill()
    ada.start()
    assert (merge_of(ada).generation, list(merge_of(ada).inputs)) == (1, ["ada/law@1"])
    assert plora(ada, "rollback", "--forward").stdout.startswith("merged/mini: serves generation 2")
    assert read_adapter(beside).digest == both
    plora(ada, "rollback")
    publish(ada, tmp_path, "medical")
    assert (merge_of(ada).generation, list(merge_of(ada).before)) == (3, [2, 1])


def test_path_prints_the_folder_of_what_was_accepted(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    for peer in (ada, bob):
        peer.start()
    publish(ada, tmp_path, "legal")
    link = ada.home.adapters / "ada--legal"
    assert plora(ada, "path", "ada/legal").stdout == f"{link}\n"
    document = json.loads(plora(ada, "path", "legal", "--json").stdout)
    assert (document["name"], document["target"]) == ("ada/legal@1", str(link.resolve()))
    assert plora(ada, "path", "merged--mini").stdout == f"{ada.home.adapters / 'merged--mini'}\n"
    assert json.loads(plora(ada, "path", "merged", "--json").stdout)["name"] == "merged/mini@1"
    with pytest.raises(UsageError, match="no plasmid 'nothing'"):
        ada.call("Locate", pb.LocateRequest(name="nothing"))
    bob.until(lambda: bob.plasmids("waiting"))
    with pytest.raises(RefusedError, match=r"waiting: nobody here trusts its owner .*; see `plora why legal`"):
        bob.call("Locate", pb.LocateRequest(name="legal"))
