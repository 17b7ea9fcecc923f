"""`make bench-attack`: what an attack costs those who only want their adapters.

A peer serves an adapter of 1 MiB. An honest member fetches it again and again by one-way Fetch, each time over a new
connection: in calm, and from the moment on when ten members begin to attack it (floods of pings, settings, resets and
endless headers; ranges, chunks, links without a greeting) and an eleventh dials it fifty times a second
(`bench/attackers.py`, at nice 19, on the same machine). Calm and attack, each time by new identities, take turns.
Compared is the 99th percentile of all; memory is read throughout.

Then ten thousand other members come once each (`bench/newcomers.py`), and the peer's memory is read as they do.
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

    def add(self, other: Phase) -> Phase:
        """Take in another; it is returned."""
        self.seconds += other.seconds
        self.failed += other.failed
        self.resident += other.resident
        return other

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


@dataclass
class Siege:
    """All of calm, all of attack, the ratio of each round, and the fewest attackers that were named in one."""

    calm: Phase = field(default_factory=Phase)
    during: Phase = field(default_factory=Phase)
    ratios: list[float] = field(default_factory=list)
    named: int = 10


def besieged(peer: Peer, process: subprocess.Popen[bytes], digest: bytes, rounds: int, fetches: int) -> Siege:
    """So many rounds of calm and attack, of so many fetches each."""
    phase(peer, process, digest, fetches // 4)
    siege = Siege()
    for _ in range(rounds):
        quiet = siege.calm.add(phase(peer, process, digest, fetches))
        with attacked(peer, peer.home.root) as attackers:
            loud = siege.during.add(phase(peer, process, digest, fetches))
            with contextlib.suppress(RuntimeError):
                wait_for(partial(_all_named, peer, attackers[:10]), "all ten to be named")
            siege.named = min(siege.named, named(peer, attackers[:10]))
        siege.ratios.append(loud.p99 / quiet.p99)
    return siege


def _all_named(peer: Peer, attackers: list[str]) -> bool:
    return named(peer, attackers) == len(attackers)


def visited(peer: Peer, process: subprocess.Popen[bytes], newcomers: int) -> list[int]:
    """The peer's resident bytes after each hundred of so many new members. Raises RuntimeError where one is lost."""
    arguments = [str(peer.port), peer.peer_id, str(peer.home.swarm), str(peer.home.root), str(newcomers)]
    command = [sys.executable, "-m", "bench.newcomers", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as coming:
        assert coming.stdout
        resident = [resident_bytes(process) for _ in coming.stdout]
    if coming.returncode:
        raise RuntimeError(f"a newcomer failed after {len(resident)} hundred of them")
    return resident


def measure(root: Path, rounds: int, fetches: int, newcomers: int) -> list[Row]:
    """The siege, then the newcomers."""
    peer = init_peer(root, "victim")
    folder = root / "adapter"
    path = make_adapter(folder, size_bytes=MIB, seed=1)
    digest = hashlib.sha256(path.read_bytes()).digest()
    with running(peer) as process:
        wait_up(peer, process)
        publish(peer, folder, "adapter")
        wait_for(lambda: any(record["kind"] == "verdict" for record in peer.records()), "its verdict")
        siege = besieged(peer, process, digest, rounds, fetches)
        return [*_rows(siege), *_newcomers_rows(newcomers, visited(peer, process, newcomers))]


def _rows(siege: Siege) -> list[Row]:
    what = "an honest fetch of 1 MiB"
    calm, during = siege.calm, siege.during
    half = len(during.resident) // 2
    growth = max(during.resident[half:]) - max(during.resident[:half])
    limited = partial(Row.of, peer=LIMIT, command=COMMAND)
    shown = partial(Row.of, command=COMMAND)
    return [
        limited(f"{what} under attack, p99 as a ratio to calm", during.p99 / calm.p99, "x", goal="<= 3"),
        shown(f"the same, median of {len(siege.ratios)} rounds", statistics.median(siege.ratios), "x"),
        shown("the same, worst round", max(siege.ratios), "x"),
        shown(f"{what} in calm, p99", calm.p99, "s"),
        shown(f"{what} under attack, p99", during.p99, "s"),
        shown(f"{what} in calm, median", statistics.median(calm.seconds), "s"),
        shown(f"{what} under attack, median", statistics.median(during.seconds), "s"),
        limited("honest fetches that failed under attack", during.failed, "", goal="== 0"),
        limited("attackers named in the event log, of ten", siege.named, "", goal="== 10"),
        limited("memory, second half of the attacks beyond their first", growth / 1e6, "MB", goal="<= 16"),
        shown("memory at most, under attack", max(during.resident) / 1e6, "MB"),
        shown("memory in calm", max(calm.resident) / 1e6, "MB"),
    ]


def _newcomers_rows(newcomers: int, resident: list[int]) -> list[Row]:
    early = len(resident) // 10
    growth = max(resident[early:]) - max(resident[:early])
    of = f"{newcomers:,} members who come once each"
    return [
        Row.of(f"memory, {of}: beyond the first tenth", growth / 1e6, "MB", goal="<= 16", peer=LIMIT, command=COMMAND),
        Row.of(f"memory at most, {of}", max(resident) / 1e6, "MB", command=COMMAND),
    ]


def main() -> int:
    """Run it; the exit code is 1 when a goal doesn't hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="of calm and attack")
    parser.add_argument("--fetches", type=int, default=400, help="in each calm and in each attack")
    parser.add_argument("--newcomers", type=int, default=10_000, help="a thousand at least")
    parser.add_argument("--show", action="store_true", help="keep nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plora-bench-", ignore_cleanup_errors=True) as folder:
        rows = measure(Path(folder), options.rounds, options.fetches, options.newcomers)
    return show(rows) if options.show else finish("attack", rows)


if __name__ == "__main__":
    sys.exit(main())
