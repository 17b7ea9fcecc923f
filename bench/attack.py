"""`make bench-attack`: what an attack costs those who only want their adapters.

A peer serves an adapter of 1 MiB. An honest member fetches it again and again by one-way Fetch, each time over a new
connection: first in calm, then while ten members attack it (floods of pings, settings, resets and endless headers;
ranges, chunks, links without a greeting) and an eleventh dials it fifty times a second (`bench/attackers.py`, at
nice 19, on the same machine), then in calm again. Compared is the 99th percentile; memory is read throughout.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.daemons import Peer, init_peer, publish, resident_bytes, running, wait_for, wait_up
from bench.fixture import make_adapter
from bench.report import Row, finish, show
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.tls import channel_credentials, channel_options
from plora.proto.swarm import load_swarm
from plora.v1 import peer_pb2 as pb
from plora.v1.peer_pb2_grpc import PeerStub

COMMAND = "make bench-attack"
ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
LIMIT = "a limit of this project"


@dataclass
class Phase:
    """Seconds that fetches took, how many failed, and the peer's memory after each."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    resident: list[int] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]


def fetched(peer: Peer, member: Identity, digest: bytes) -> bytes:
    """The adapter's bytes, by a new connection."""
    credentials, options = channel_credentials(member, peer.peer_id), channel_options()
    with grpc.secure_channel(f"127.0.0.1:{peer.port}", credentials, options=options) as channel:
        stub: Any = PeerStub(channel)  # type: ignore[no-untyped-call]
        replies = stub.Fetch(pb.FetchRequest(digest=digest), timeout=30)
        return b"".join(reply.chunk.data for reply in replies)


def phase(peer: Peer, process: subprocess.Popen[bytes], digest: bytes, fetches: int) -> Phase:
    """So many fetches, one after the other."""
    member = Identity(Ed25519PrivateKey.generate(), load_swarm(peer.home.swarm))
    found = Phase()
    while len(found.seconds) + found.failed < fetches:
        began = time.perf_counter()
        try:
            whole = hashlib.sha256(fetched(peer, member, digest)).digest() == digest
        except grpc.RpcError:
            whole = False
        found.failed += not whole
        if whole:
            found.seconds.append(time.perf_counter() - began)
        found.resident.append(resident_bytes(process))
    return found


@contextlib.contextmanager
def attacked(peer: Peer, folder: Path) -> Iterator[list[str]]:
    """The ids of those who attack, while they do."""
    arguments = [str(peer.port), peer.peer_id, str(peer.home.swarm), str(folder)]
    command = ["nice", "-n", "19", sys.executable, "-m", "bench.attackers", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield [process.stdout.readline().strip() for _ in range(11)]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def named(peer: Peer, attackers: list[str]) -> int:
    """How many of them the event log names."""
    subjects = {record["subject"] for record in peer.records() if record["kind"] == "penalty"}
    return sum(attacker in subjects for attacker in attackers)


def measure(root: Path, fetches: int) -> list[Row]:
    """The three phases."""
    peer = init_peer(root, "victim")
    folder = root / "adapter"
    path = make_adapter(folder, size_bytes=MIB, seed=1)
    digest = hashlib.sha256(path.read_bytes()).digest()
    with running(peer) as process:
        wait_up(peer, process)
        publish(peer, folder, "adapter")
        wait_for(lambda: any(record["kind"] == "verdict" for record in peer.records()), "its verdict")
        phase(peer, process, digest, fetches // 4)
        calm = phase(peer, process, digest, fetches)
        with attacked(peer, root) as attackers:
            wait_for(lambda: named(peer, attackers[:10]) > 0, "the attack to begin")
            during = phase(peer, process, digest, fetches)
            wait_for(lambda: named(peer, attackers[:10]) == 10, "all ten to be named")
            count = named(peer, attackers[:10])
        after = phase(peer, process, digest, fetches)
    return _rows(calm, during, after, count)


def _rows(calm: Phase, during: Phase, after: Phase, count: int) -> list[Row]:
    what = "an honest fetch of 1 MiB"
    base = statistics.mean((calm.p99, after.p99))
    half = len(during.resident) // 2
    growth = max(during.resident[half:]) - max(during.resident[:half])
    limited = partial(Row.of, peer=LIMIT, command=COMMAND)
    shown = partial(Row.of, command=COMMAND)
    return [
        limited(f"{what} under attack, p99 as a ratio to calm", during.p99 / base, "x", goal="<= 3"),
        shown(f"{what} in calm, p99", base, "s"),
        shown(f"{what} under attack, p99", during.p99, "s"),
        shown(f"{what} under attack, median", statistics.median(during.seconds), "s"),
        limited("honest fetches that failed under attack", during.failed, "", goal="== 0"),
        limited("attackers named in the event log, of ten", count, "", goal="== 10"),
        limited("memory, second half of the attack beyond its first", growth / 1e6, "MB", goal="<= 16"),
        shown("memory at most, under attack", max(during.resident) / 1e6, "MB"),
        shown("memory in calm", max(calm.resident) / 1e6, "MB"),
    ]


def main() -> int:
    """Run it; the exit code is 1 when a goal doesn't hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fetches", type=int, default=400, help="in each phase")
    parser.add_argument("--show", action="store_true", help="keep nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plora-bench-", ignore_cleanup_errors=True) as folder:
        rows = measure(Path(folder), options.fetches)
    return show(rows) if options.show else finish("attack", rows)


if __name__ == "__main__":
    sys.exit(main())
