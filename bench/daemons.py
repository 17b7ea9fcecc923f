"""Two real peers in homes of their own on loopback, driven as people drive them: `plora` commands and the admin socket.

- Merging is off and every size bound admits the fixture, so that nothing but the transfer runs while it is measured.
- The receiver trusts the sender's owner by its trust.yaml, as `plora trust` would write it.
- A transfer's time is that of the receiver's own event log, from `fetch_started` (before the list of chunk hashes is
  asked for) to `fetch_done` (the whole file hashed, synced, renamed and on record).
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # dev extra only
import yaml
from bench.fixture import BASE, BASE_DIGEST

from plora.gate import Trust, TrustedOwner, load_trust, save_trust
from plora.lab.demo.peers import free_port
from plora.node.admin.client import AdminClient
from plora.proto.home import Home
from plora.proto.owner_files import read_owner_record
from plora.v1 import admin_pb2 as pb

BIN = Path(sys.executable).parent
CHUNK_KIB = 1024
WAIT_S = 60.0
POLL_S = 0.005
ACCEPTED_POLL_S = 0.2
"""Seldom, for each question costs the peer that is being measured."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A home, and the name and address that it was made with."""

    home: Home
    name: str
    peer_id: str
    port: int

    @property
    def owner_key(self) -> Path:
        """The private key of the owner who works at this peer."""
        return self.home.owner_folder / f"{self.name}.pem"

    @property
    def owner_record(self) -> Path:
        """What others import in order to trust that owner."""
        return self.owner_key.with_suffix(".owner")

    def configure(self, **settings: object) -> None:
        """Change settings of peer.yaml."""
        document = yaml.safe_load(self.home.config.read_text()) | settings
        self.home.config.write_text(yaml.safe_dump(document))

    def trust(self, other: Peer) -> None:
        """Trust another peer's owner."""
        statement, _ = read_owner_record(other.owner_record)
        known = load_trust(self.home.trust)
        owner = TrustedOwner.of_record(statement, who="bench", when="2026-01-01T00:00:00Z")
        save_trust(self.home.trust, Trust((*known.owners, owner), version=known.version + 1))

    def records(self) -> Iterator[dict[str, object]]:
        """The event log of this home so far; a line that is still being written is left out."""
        for path in sorted(self.home.events.glob("*.jsonl")):
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    yield json.loads(line)


def plora(*arguments: object) -> None:
    """Run a `plora` command; its output only where it fails."""
    done = subprocess.run([BIN / "plora", *map(str, arguments)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"plora {arguments[0]} failed: {done.stderr.strip()}")


def init_peer(root: Path, name: str) -> Peer:
    """`plora init` in a home below `root`, all in one open swarm."""
    home, port = Home(root / name), free_port()
    plora("init", "--name", name, "--home", home.root, "--swarm", "open:bench", "--listen", f"127.0.0.1:{port}", "-q")
    peer = Peer(home, name, home.peer_id.read_text().strip(), port)
    peer.configure(merge={"enabled": False}, log="json")
    return peer


@contextlib.contextmanager
def running(peer: Peer) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon of a peer, until it is stopped by SIGTERM. It returns as soon as its process exists."""
    with (peer.home.root / "daemon.log").open("wb") as log:
        process = subprocess.Popen([BIN / "plora-node", "--config", peer.home.config], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(WAIT_S)


def wait_up(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    """Returns when the admin socket answers a status request."""

    def listens() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{peer.name} ended: {(peer.home.root / 'daemon.log').read_text().strip()}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(peer.home.admin_socket)) == 0

    wait_for(listens, f"{peer.name} to listen")
    with AdminClient(peer.home) as client:
        client.call("Status", pb.StatusRequest())


def wait_for(condition: Callable[[], bool], what: str, poll_s: float = POLL_S) -> None:
    """Poll until the condition holds. Raises RuntimeError after a minute."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WAIT_S:g} s for {what}")
        time.sleep(poll_s)


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    """Resident memory of a process with all its children."""
    root = psutil.Process(process.pid)
    return sum(int(each.memory_info().rss) for each in (root, *root.children(recursive=True)))


def cpu_s(pid: int) -> tuple[float, float]:
    """CPU seconds that a process itself has taken, and its children: those that live, and those that it waited for.

    What ends just between two looks at it may count twice here, and never gets lost.
    """
    root = psutil.Process(pid)
    living = sum(sum(_spent_s(child)) for child in root.children(recursive=True))
    own, ended = _spent_s(root)
    return own, living + ended


def _spent_s(process: psutil.Process) -> tuple[float, float]:
    """By the process, and by children that ended and that it waited for."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return float(times.user + times.system), float(times.children_user + times.children_system)


def publish(sender: Peer, folder: Path, plasmid_id: str) -> None:
    """Sign a folder with the sender's owner and hand it to its daemon."""
    facts = ("--domain", "legal", "--id", plasmid_id, "--base", BASE, "--base-digest", BASE_DIGEST)
    plora("sign", folder, "--key", sender.owner_key, *facts, "--chunk-kib", CHUNK_KIB, "-q")
    plora("publish", folder, "--home", sender.home.root, "-q")


def wait_accepted(receiver: Peer, plasmid_id: str) -> None:
    """Returns when the receiver has accepted that plasmid."""

    def accepted() -> bool:
        plasmids = client.call("List", pb.ListRequest(state="accepted")).plasmids
        return any(f"/{plasmid_id}@" in plasmid.name for plasmid in plasmids)

    with AdminClient(receiver.home) as client:
        wait_for(accepted, f"{receiver.name} to accept {plasmid_id}", ACCEPTED_POLL_S)


def fetch_seconds(receiver: Peer, digest: str) -> float:
    """How long the receiver's event log says that one fetch took."""
    times = {
        str(record["kind"]): int(str(record["mono_ns"]))
        for record in receiver.records()
        if record["kind"] in ("fetch_started", "fetch_done") and record["digest"] == digest
    }
    return (times["fetch_done"] - times["fetch_started"]) / 1e9
