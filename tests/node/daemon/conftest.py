"""Homes, a small signed adapter, and peers as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ports import free_port

from plora.gate import TrustedOwner, load_trust, save_trust
from plora.merge import adapter_config_bytes
from plora.merge.safetensors_io import write_tensors
from plora.node.admin.client import AdminClient
from plora.node.home import MadeHome, init_home
from plora.proto.chunks import describe_artifact
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.home import Home
from plora.proto.manifest import Artifacts, Manifest
from plora.proto.owner_files import Owner, load_owner
from plora.proto.statement import Statement, sign_statement
from plora.proto.swarm import Swarm, new_swarm
from plora.proto.yaml_view import SignedManifest, write_plora_yml
from plora.v1 import admin_pb2 as pb

WAIT_S = 30.0
DAY_S = 86_400
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
NODE = Path(sys.executable).with_name("plora-node")


def signed_adapter(
    folder: Path, owner: Owner, *, plasmid_id: str = "legal", dim: int = 64, version: int = 1
) -> Statement:
    """A PEFT folder of one module with (dim, 4) factors, and its plora.yml."""
    folder.mkdir()
    rng = np.random.default_rng(dim)
    factors = {
        f"{MODULE}.lora_A.weight": rng.normal(0, 0.01, (4, dim)).astype(np.float32),
        f"{MODULE}.lora_B.weight": rng.normal(0, 0.01, (dim, 4)).astype(np.float32),
    }
    write_tensors(folder / "adapter_model.safetensors", factors)
    now_s = int(time.time())
    lora = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ["q_proj"]}
    described = describe_artifact(folder / "adapter_model.safetensors", 16 * 1024)
    manifest = Manifest.of_fields(
        {
            "swarm": owner.record.swarm,
            "issued": format_timestamp(now_s),
            "expires": format_timestamp(now_s + DAY_S),
            "owner": owner.id,
            "lineage": owner.lineage,
            "plasmid_id": plasmid_id,
            "version": 1,
            "domain": plasmid_id,
            "base_model": "mini",
            "base_digest": "00" * 32,
            "lora": lora,
            "artifacts": Artifacts.of(described),
            "safety": {"licence": "Apache-2.0", "poisoning_score": 0.0},
            "signer": {"algo": owner.key.public.algorithm, "pubkey_fingerprint": owner.key.public.key_id},
        }
    )
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(manifest.lora, "mini"))
    statement = sign_statement(StatementKind.MANIFEST, manifest, owner.key)
    write_plora_yml(folder / "plora.yml", SignedManifest.of(statement))
    return statement


@dataclass
class Daemon:
    """One peer: its home, and its process while it runs."""

    made: MadeHome
    port: int
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    calls: list[AdminClient] = field(default_factory=list)

    @property
    def home(self) -> Home:
        return self.made.home

    @property
    def owner(self) -> Owner:
        return load_owner(next(self.home.owner_folder.glob("*.pem")))

    def edit(self, old: str, new: str) -> None:
        text = self.home.config.read_text()
        assert old in text
        self.home.config.write_text(text.replace(old, new))

    def trust(self, other: Daemon) -> None:
        trusted = TrustedOwner.of_record(other.made.owner.statement)
        save_trust(self.home.trust, load_trust(self.home.trust).with_owner(trusted))

    def neighbour(self, other: Daemon) -> None:
        entry = f'{{peer: {other.made.peer_id}, address: "127.0.0.1:{other.port}"}}'
        self.edit("neighbours: []", f"neighbours: [{entry}]")

    def spawn(self) -> None:
        """Start the process, and don't wait for it."""
        errors = (self.home.root / "stderr").open("ab")
        variables = environment() | self.environment
        self.process = subprocess.Popen([NODE, "--config", self.home.config], stderr=errors, env=variables)
        errors.close()

    def start(self) -> None:
        self.spawn()
        self.until(lambda: self.call("Status", pb.StatusRequest()))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self.process = None
        return code

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def call(self, method: str, request: Any) -> Any:
        with AdminClient(self.home) as client:
            return client.call(method, request, timeout_s=WAIT_S)

    def plasmid(self, name: str) -> Any:
        found = self.call("List", pb.ListRequest()).plasmids
        return next((one for one in found if one.name == name), None)

    def in_state(self, name: str, state: str) -> Any:
        def look() -> Any:
            found = self.plasmid(name)
            return found if found is not None and found.state == state else None

        return self.until(look)

    def events(self, *kinds: str) -> list[str]:
        with AdminClient(self.home) as client:
            return [reply.line for reply in client.stream("Events", pb.EventsRequest(kinds=kinds))]

    def until(self, reached: Callable[[], Any]) -> Any:
        """What `reached` gives as soon as it gives something; a process that died ends the wait."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                if found := reached():
                    return found
            except Exception:
                if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, (self.home.root / "stderr").read_text()[-2000:]
            assert self.process is not None
            with_timeout(self.process, 0.05)


def with_timeout(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Let a moment pass, or less if the process ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "HOME": os.environ.get("HOME", "/")}


@pytest.fixture
def swarm() -> Swarm:
    return new_swarm("test", bytes(range(64)))


@pytest.fixture
def make_daemon(tmp_path_factory: pytest.TempPathFactory, swarm: Swarm) -> Iterator[Callable[[str], Daemon]]:
    daemons: list[Daemon] = []

    def make(name: str) -> Daemon:
        port = free_port()
        root = tmp_path_factory.mktemp("h") / name
        made = init_home(root, name=name, swarm=swarm, listen=f"127.0.0.1:{port}", now_s=int(time.time()))
        daemon = Daemon(made, port)
        daemon.edit("disk_free_min: 1GiB", "disk_free_min: 0")
        daemon.edit("round_ms: 1000", "round_ms: 200")
        daemons.append(daemon)
        return daemon

    yield make
    for daemon in daemons:
        if daemon.process is not None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.fixture
def sign() -> Callable[..., Statement]:
    return signed_adapter
