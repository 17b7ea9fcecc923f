"""`make bench-node`: what a peer costs and how fast it moves bytes.

- transfer: an adapter of 64 MiB between two daemons, as a ratio to a bare stream (`bench/bare_stream.py`) that does the
  same work. Both take turns in one run, either going first by turns; the median of the ratios of neighbours counts. A
  first turn warms both up.
- idle: memory of a peer without links (all its processes), and the time from exec to the admin socket's answer.
- help: `plora --help`, which must not import what it doesn't need.
- reconciliation: see `bench/reconciliation.py`.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.daemons import (
    BIN,
    Peer,
    fetch_seconds,
    init_peer,
    publish,
    resident_bytes,
    running,
    wait_accepted,
    wait_for,
    wait_up,
)
from bench.fixture import make_adapter
from bench.reconciliation import worst_cost
from bench.report import Row, finish, show

MIB = 1 << 20
COMMAND = "make bench-node"
STARTS = 5
IDLE_S = 3.0
ROOT = Path(__file__).resolve().parents[1]
LIMIT = "a limit of this project"


@dataclass(frozen=True, slots=True)
class BareStream:
    """A client of the bare stream that waits for orders."""

    client: subprocess.Popen[str]

    def seconds(self, source: Path, target: Path) -> tuple[float, str]:
        """Move one file; how long it took, and the digest of what arrived."""
        assert self.client.stdin and self.client.stdout
        self.client.stdin.write(f"{source} {target}\n")
        self.client.stdin.flush()
        seconds, digest = self.client.stdout.readline().split()
        return float(seconds), digest


@contextlib.contextmanager
def bare_stream() -> Iterator[BareStream]:
    """Both processes of the bare stream, connected."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_bare_process("serve"))
        assert server.stdout
        address = server.stdout.readline().split()
        yield BareStream(stack.enter_context(_bare_process("fetch", *address)))


@contextlib.contextmanager
def _bare_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.bare_stream", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait()


def transfer_rows(root: Path, size_bytes: int, turns: int) -> list[Row]:
    """Two daemons against the bare stream."""
    sender, receiver = init_peer(root, "sender"), init_peer(root, "receiver")
    receiver.trust(sender)
    receiver.configure(neighbours=[{"peer": sender.peer_id, "address": f"127.0.0.1:{sender.port}"}])
    pairs: list[tuple[float, float]] = []
    with running(sender) as one, running(receiver) as other, bare_stream() as bare:
        wait_up(sender, one)
        wait_up(receiver, other)
        wait_for(lambda: any(record["kind"] == "link_up" for record in receiver.records()), "a link")
        for turn in range(turns + 1):
            folder = root / f"turn-{turn}"
            path = make_adapter(folder, size_bytes=size_bytes, seed=turn)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            sides = (
                partial(_bare_seconds, bare, path, digest),
                partial(_peer_seconds, sender, receiver, folder, digest),
            )
            pairs.append(_in_turn(sides, first=turn % 2))
            print(f"turn {turn}: bare {pairs[-1][0]:.3f} s, peer {pairs[-1][1]:.3f} s", file=sys.stderr, flush=True)
    return _transfer_rows(pairs[1:], size_bytes)


def _in_turn(sides: Sequence[Callable[[], float]], first: int) -> tuple[float, float]:
    """What both sides take, in their own order, whichever goes first."""
    taken = {side: sides[side]() for side in (first, 1 - first)}
    return taken[0], taken[1]


def _bare_seconds(bare: BareStream, path: Path, digest: str) -> float:
    target = path.with_suffix(".received")
    seconds, received = bare.seconds(path, target)
    target.unlink()
    if received != digest:
        raise RuntimeError("the bare stream brought other bytes")
    return seconds


def _peer_seconds(sender: Peer, receiver: Peer, folder: Path, digest: str) -> float:
    publish(sender, folder, folder.name)
    wait_accepted(receiver, folder.name)
    return fetch_seconds(receiver, digest)


def _transfer_rows(pairs: list[tuple[float, float]], size_bytes: int) -> list[Row]:
    ratio = statistics.median(bare / peer for bare, peer in pairs)
    rates = [statistics.median(size_bytes / MIB / each for each in side) for side in zip(*pairs, strict=True)]
    what = f"{size_bytes // MIB} MiB between two peers"
    peer = "a bare grpc.aio TLS 1.3 stream that reads, hashes, writes and syncs the same bytes"
    return [
        Row.of(f"{what}, speed as a ratio", ratio, "x", goal=">= 0.7", peer=peer, command=COMMAND),
        Row.of(what, rates[1], "MiB/s", command=COMMAND),
        Row.of("the bare stream", rates[0], "MiB/s", command=COMMAND),
    ]


def idle_rows(root: Path) -> list[Row]:
    """Start and memory of a peer that nobody talks to."""
    peer = init_peer(root, "idle")
    starts = [_start(peer)[0] for _ in range(STARTS)]
    megabytes = _start(peer, idle_s=IDLE_S)[1] / 1e6
    return [
        Row.of("idle peer, resident memory", megabytes, "MB", goal="< 90", peer=LIMIT, command=COMMAND),
        Row.of("peer up, from exec", statistics.median(starts), "s", goal="< 1", peer=LIMIT, command=COMMAND),
    ]


def _start(peer: Peer, idle_s: float = 0.0) -> tuple[float, int]:
    """Seconds until the peer answered, and its memory `idle_s` later."""
    started = time.perf_counter()
    with running(peer) as process:
        wait_up(peer, process)
        seconds = time.perf_counter() - started
        time.sleep(idle_s)
        return seconds, resident_bytes(process)


def help_rows() -> list[Row]:
    """How long people wait for `plora --help`."""
    seconds = [_timed(_show_help) for _ in range(STARTS + 1)][1:]
    median = statistics.median(seconds)
    return [Row.of("plora --help", median, "s", goal="< 0.5", peer=LIMIT, command=COMMAND)]


def _show_help() -> None:
    subprocess.run([BIN / "plora", "--help"], stdout=subprocess.DEVNULL, check=True)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def reconciliation_rows(statements: int = 100_000, differences: int = 10, draws: int = 20) -> list[Row]:
    """The worst of several draws of what differs."""
    cost = worst_cost(statements, differences, draws, seed=1)
    what = f"reconciling {statements:,} statements, {differences} differ"
    return [
        Row.of(f"{what}: bytes", cost.wire_bytes, "bytes", goal="< 16384", peer=LIMIT, command=COMMAND),
        Row.of(f"{what}: round trips", cost.round_trips, "", goal="<= 4", peer=LIMIT, command=COMMAND),
    ]


PARTS = ("transfer", "idle", "help", "reconciliation")


def main() -> int:
    """Run the parts; the exit code is 1 when a goal doesn't hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only some, and keep nothing")
    parser.add_argument("--turns", type=int, default=7, help="transfers of either kind")
    parser.add_argument("--mib", type=int, default=64, help="size of the adapter")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plora-bench-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        parts: dict[str, Callable[[], list[Row]]] = {
            "transfer": lambda: transfer_rows(root, options.mib * MIB, options.turns),
            "idle": lambda: idle_rows(root),
            "help": help_rows,
            "reconciliation": reconciliation_rows,
        }
        rows = [row for name in PARTS if name in options.parts for row in parts[name]()]
    return finish("node", rows) if set(options.parts) == set(PARTS) else show(rows)


if __name__ == "__main__":
    sys.exit(main())
