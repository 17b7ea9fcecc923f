"""What a real peer accepted and merged, exported: llama.cpp computes with it what PEFT computes with the folders."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.merge.test_gguf_adapter import SPECS, TOLERANCE, compare, random_adapter
from tests.swarm.conftest import DAY_S, MakePeer, Peer

from plora.base.registry import base_info
from plora.merge.draft import Facts, sign_folder
from plora.proto.errors import BaseModelError
from plora.v1 import admin_pb2 as pb

PLORA = Path(sys.executable).with_name("plora")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def publish(peer: Peer, folder: Path, plasmid_id: str, base: str, version: int = 1) -> None:
    """Sign a folder for a base and share it."""
    digest, now_s = base_info(base).digest.removeprefix("sha256:"), int(time.time())
    facts = Facts(plasmid_id, "legal", version, base, digest, "Apache-2.0", now_s, now_s + DAY_S)
    sign_folder(folder, peer.made.owner, facts)
    peer.publish(folder)


def all_merged(peer: Peer, count: int) -> bool:
    return [len(merge.inputs) for merge in peer.call("Merges", pb.MergesRequest()).merges] == [count]


def run(peer: Peer, *arguments: str) -> str:
    command = [str(PLORA), *arguments, "--home", str(peer.home.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        pytest.param("mini", "gemma3_text", 0.1, marks=pytest.mark.slow),
        pytest.param("smollm2", "llama", 0.02, marks=[pytest.mark.nightly, pytest.mark.timeout(600)]),
    ],
)
def test_llama_cpp_computes_with_what_a_peer_exports(
    name: str,
    kind: str,
    size: float,
    make_peer: MakePeer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    try:
        base = base_info(name).folder
    except BaseModelError as error:
        pytest.skip(str(error))
    ada = make_peer("ada")
    ada.settings["merge"] = {"delay_ms": 500}
    ada.start()
    for seed, (plasmid_id, spec) in enumerate(SPECS.items()):
        publish(ada, random_adapter(base, tmp_path / plasmid_id, spec, seed, size), plasmid_id, name)
    ada.until(lambda: all_merged(ada, len(SPECS)), 120)
    files: dict[Path, Path] = {}
    for wanted in (*(f"ada/{one}" for one in SPECS), "merged"):
        file = tmp_path / f"{wanted.rpartition('/')[2]}.gguf"
        assert run(ada, "export", wanted, "--gguf", str(file)).endswith(f"wrote {file}\n")
        files[file] = Path(run(ada, "path", wanted).strip())
    worst = compare(base, files, tmp_path, TOLERANCE.get(kind, 1e-3))
    record_property("largest difference of log-probabilities", f"{worst:.1e}")
