"""Two peers in an environment without extras: `python tests/smoke_base.py WORKDIR`, run by `.ci/smoke-base`.

Makes two homes by this environment's own `plora`, starts two `plora-node`, publishes a tiny adapter at one, and sees it
accepted by the other. No pytest here: the environment has none.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - a base dependency that must be importable
import numpy as np

from plora.merge.lora_config import adapter_config_bytes
from plora.merge.safetensors_io import tensors_to_bytes

PROGRAMS = Path(sys.executable).parent
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
ACCEPTED_S = 30.0
PAUSE = threading.Event()
LORA = {"r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": ["q_proj"], "use_rslora": False}
LORA |= {"rank_pattern": {}, "alpha_pattern": {}}


def plora(*arguments: object) -> Any:
    """The document that a command prints."""
    command = [str(PROGRAMS / "plora"), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def make_adapter(folder: Path) -> Path:
    """A folder with one module's factors."""
    draw = np.random.default_rng(0)
    a, b = (draw.normal(scale=0.1, size=shape).astype(np.float32) for shape in ((2, 16), (12, 2)))
    folder.mkdir(parents=True)
    tensors = {f"{MODULE}.lora_A.weight": a, f"{MODULE}.lora_B.weight": b}
    (folder / "adapter_model.safetensors").write_bytes(tensors_to_bytes(tensors))
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(LORA, "mini"))
    return folder


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_homes(work: Path) -> tuple[Path, Path]:
    """Ada and bob in one swarm, each the other's neighbour; bob trusts ada, since he starts from her trust.yaml."""
    ada, bob = work / "a", work / "b"
    ports = (free_port(), free_port())
    peers = []
    for home, name, port, swarm in ((ada, "ada", ports[0], ""), (bob, "bob", ports[1], ada / "swarm.json")):
        options = ("--home", home, "--name", name, "--listen", f"127.0.0.1:{port}", "--swarm", swarm)
        peers.append(plora("init", *options)["peer"])
    shutil.copyfile(ada / "trust.yaml", bob / "trust.yaml")
    for home, other, port in ((ada, peers[1], ports[1]), (bob, peers[0], ports[0])):
        settings = home / "peer.yaml"
        neighbours = f"neighbours:\n  - {{peer: {other}, address: 127.0.0.1:{port}}}\n"
        lines = settings.read_text().splitlines(keepends=True)
        settings.write_text("".join(neighbours if line.startswith("neighbours:") else line for line in lines))
    return ada, bob


def start(home: Path) -> subprocess.Popen[bytes]:
    """A peer whose admin socket answers."""
    peer = subprocess.Popen([str(PROGRAMS / "plora-node"), "--config", str(home / "peer.yaml")])
    end = time.monotonic() + ACCEPTED_S
    while not (home / "run" / "admin.sock").exists():
        if peer.poll() is not None or time.monotonic() > end:
            sys.exit(f"{home}: the peer did not start")
        PAUSE.wait(0.05)
    return peer


def wait_accepted(home: Path) -> None:
    """Return once the peer has accepted the adapter."""
    end = time.monotonic() + ACCEPTED_S
    while not any(row["state"] == "accepted" for row in plora("ls", "--home", home)):
        if time.monotonic() > end:
            sys.exit(f"not accepted: {plora('ls', '--home', home)}")
        PAUSE.wait(0.2)


def check_web_says_what_it_needs(home: Path) -> None:
    """Without the extra, `plora web` says which one, and the peer goes on."""
    command = [str(PROGRAMS / "plora"), "web", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 2 or "pip install 'plora[web]'" not in done.stderr:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    plora("status", "--home", home)


def main(work: Path) -> None:
    """The whole story; exits with a sentence when something is not as it must be."""
    if importlib.util.find_spec("torch"):
        sys.exit("torch is installed: this is no base-only environment")
    ada, bob = make_homes(work)
    folder = make_adapter(work / "out" / "legal")
    plora("sign", folder, "--key", ada / "owner" / "ada.pem", "--domain", "legal", "--base-digest", "ba" * 32)
    peers = [start(ada), start(bob)]
    try:
        plora("publish", folder, "--home", ada)
        wait_accepted(bob)
        if plora("why", "legal", "--home", bob)["outcome"].lower() != "accept":
            sys.exit("bob accepted the adapter, and `plora why` says something else")
        plora("gate", folder, "--owner", ada / "owner" / "ada.owner")
        plora("fetch", "legal", "--home", bob, "--out", work / "copy")
        check_web_says_what_it_needs(ada)
    finally:
        for peer in peers:
            peer.send_signal(signal.SIGTERM)
        codes = [peer.wait(timeout=30) for peer in peers]
    if codes != [0, 0]:
        sys.exit(f"exit codes after SIGTERM: {codes}")
    sys.stdout.write("1 passed, 0 failed\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
