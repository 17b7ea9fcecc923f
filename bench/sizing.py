"""`make bench-sizing`: what one peer costs a host, in units to add up: idle, an adapter in transit, a run of the gate.

- idle: three linked peers with the settings of `plora init` that have published nothing. CPU time, memory with workers,
  descriptors, bytes on the wire and of event log, per peer, over `--seconds`.
- in transit: an adapter of 64 MiB from one peer to another. CPU time of either side's process, bytes on the wire.
- gate: CPU time and peak memory of the receiver's workers, which examine that adapter.

CPU time is that of the kernel's accounts of the processes with all their children, so other load changes it little.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil  # type: ignore[import-untyped]  # dev extra only
from bench.daemons import Peer, cpu_s, init_peer, publish, resident_bytes, running, wait_accepted, wait_for, wait_up
from bench.fixture import make_adapter
from bench.report import Row, finish

from plora.node.admin.client import AdminClient
from plora.v1 import admin_pb2 as pb

COMMAND = "make bench-sizing"
MIB = 1 << 20
NAMES = ("ada", "bob", "cyd")
SETTLE_S = 10.0
LOOK_S = 0.02
IDLE_CPU_MAX = "<= 1"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a peer has used so far: CPU seconds of its process and of its workers, bytes sent and received, of log."""

    own_s: float
    workers_s: float
    wire_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Running:
    """A peer with its process."""

    peer: Peer
    process: subprocess.Popen[bytes]

    def cost(self) -> Cost:
        """So far."""
        own, workers = cpu_s(self.process.pid)
        with AdminClient(self.peer.home) as client:
            said = client.call("Status", pb.StatusRequest())
        log = sum(path.stat().st_size for path in self.peer.home.events.glob("*.jsonl"))
        return Cost(own, workers, said.sent_bytes + said.received_bytes, log)

    def links(self) -> int:
        """To how many peers."""
        with AdminClient(self.peer.home) as client:
            return int(client.call("Status", pb.StatusRequest()).links)


@contextlib.contextmanager
def swarm(root: Path) -> Iterator[list[Running]]:
    """Three peers, each a neighbour of the others, with the settings that a new peer has."""
    peers = [init_peer(root, name) for name in NAMES]
    for peer in peers:
        others = [other for other in peers if other is not peer]
        peer.configure(neighbours=[{"peer": one.peer_id, "address": f"127.0.0.1:{one.port}"} for one in others])
        for other in others:
            peer.trust(other)
    with contextlib.ExitStack() as stack:
        up = [Running(peer, stack.enter_context(running(peer))) for peer in peers]
        for one in up:
            wait_up(one.peer, one.process)
        wait_for(lambda: all(one.links() == len(NAMES) - 1 for one in up), "the links", poll_s=0.5)
        yield up


def idle_rows(up: Sequence[Running], seconds: float) -> list[Row]:
    """The mean over the peers of what nothing costs."""
    time.sleep(SETTLE_S)
    before, begun = [one.cost() for one in up], time.monotonic()
    time.sleep(seconds)
    after, took_s = [one.cost() for one in up], time.monotonic() - begun
    used = list(zip(before, after, strict=True))
    spent_s = sum(new.own_s + new.workers_s - old.own_s - old.workers_s for old, new in used)
    wire = sum(new.wire_bytes - old.wire_bytes for old, new in used)
    log = sum(new.log_bytes - old.log_bytes for old, new in used)
    share = len(up) * took_s
    return [
        _row("idle peer with 2 links: CPU", 100 * spent_s / share, "% of a core", goal=IDLE_CPU_MAX),
        _row("idle peer with 2 links: memory", sum(resident_bytes(one.process) for one in up) / len(up) / 1e6, "MB"),
        _row("idle peer: descriptors", max(psutil.Process(one.process.pid).num_fds() for one in up), ""),
        _row("idle link: bytes on the wire, both ways", wire / share / (len(up) - 1), "bytes/s"),
        _row("idle peer: event log", log / share * 86_400 / 1e6, "MB/day"),
    ]


def transit_rows(root: Path, up: Sequence[Running], size_bytes: int) -> list[Row]:
    """One adapter from the first peer to the second; the third fetches it too, from whomever."""
    sender, receiver = up[0], up[1]
    make_adapter(root / "big", size_bytes=size_bytes, seed=1)
    before = [one.cost() for one in up]
    with watched(receiver.process) as peak:
        publish(sender.peer, root / "big", "big")
        for one in up[1:]:
            wait_accepted(one.peer, "big")
    used = [
        Cost(new.own_s - old.own_s, new.workers_s - old.workers_s, new.wire_bytes - old.wire_bytes, 0)
        for old, new in zip(before, [one.cost() for one in up], strict=True)
    ]
    what, gib = f"{size_bytes // MIB} MiB in transit", size_bytes / (1 << 30)
    received = used[1:]
    return [
        _row(f"{what}: CPU of who receives", sum(one.own_s for one in received) / len(received) / gib, "s/GiB"),
        _row(f"{what}: CPU of who publishes and serves two", used[0].own_s / gib, "s/GiB"),
        _row(f"{what}: bytes on the wire", sum(one.wire_bytes for one in used) / 2 / 2 / size_bytes, "x its size"),
        _row(f"gate, {size_bytes // MIB} MiB: CPU", sum(one.workers_s for one in received) / len(received), "s"),
        _row(f"gate, {size_bytes // MIB} MiB: memory of the worker at its peak", max(peak) / 1e6, "MB"),
    ]


@contextlib.contextmanager
def watched(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Resident bytes of its largest child, looked at often while the block runs."""
    seen, ended = [0], threading.Event()

    def look() -> None:
        root = psutil.Process(process.pid)
        while not ended.wait(LOOK_S):
            for child in root.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    seen.append(int(child.memory_info().rss))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _row(metric: str, value: float, unit: str, *, goal: str = "") -> Row:
    return Row.of(metric, value, unit, goal=goal, peer="a limit of this project" if goal else "", command=COMMAND)


def main() -> int:
    """Run it; the exit code is 1 when a goal doesn't hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to look at idle peers")
    parser.add_argument("--mib", type=int, default=64, help="size of the adapter")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plora-bench-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        with swarm(root) as up:
            rows = idle_rows(up, options.seconds)
            rows += transit_rows(root, up, options.mib * MIB)
    return finish("sizing", rows)


if __name__ == "__main__":
    sys.exit(main())
