"""The swarm that `bench/soak.py` measures: its peers, what is done to them, and what is seen of them meanwhile."""

from __future__ import annotations

import heapq
import json
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil  # type: ignore[import-untyped]  # dev extra only
from bench.daemons import cpu_s
from prometheus_client.parser import text_string_to_metric_families
from tests.ports import free_port
from tests.swarm.conftest import Peer, settings

from plora.node.home import init_home
from plora.proto.swarm import Swarm, new_swarm

SAMPLE_S = 5.0
PUBLISHERS = 3
ADAPTERS_EACH = 4
"""Names that a publisher uses; a further adapter is a new version of one of them."""
TOGETHER = 4
"""So many peers start at once."""
START_S, SETTLE_S, SETTLED_S, AGREE_S = 180.0, 180.0, 10.0, 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many peers, for how long, and the seed of what is done to whom."""

    peers: int
    minutes: float
    seed: int = 1

    @property
    def seconds(self) -> float:
        """The load and the time after it, without the start."""
        return self.minutes * 60

    @property
    def quiet_s(self) -> float:
        """How long all is left alone at the end."""
        return min(120.0, self.seconds / 5)

    @property
    def warm_s(self) -> float:
        """How long a peer takes up what it takes up once."""
        return min(300.0, self.seconds / 4)

    def pause_s(self, act: str, at_s: float) -> float:
        """How long after one adapter, stop or kill the next comes; more peers, more work for each adapter.

        While peers warm up adapters come three times as often, for it is with these that memory is taken up.
        """
        if act != "publish":
            return {"stop": 45.0, "kill": 60.0}[act]
        return 1.5 * self.peers / (3 if at_s < self.warm_s else 1)


@dataclass
class Seen:
    """What was seen, by the names of steady peers: memory as (seconds, bytes), descriptors by kind before and after.

    `waits_ms` is how long the machine let an event loop wait for a core, the mean of its turns: no fault of a peer's.
    """

    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    descriptors: dict[str, tuple[Counter[str], Counter[str]]] = field(default_factory=dict)
    idle_cores: dict[str, float] = field(default_factory=dict)
    lags: dict[str, dict[float, float]] = field(default_factory=dict)
    waits_ms: dict[str, float] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    published: int = 0
    stops: int = 0
    kills: int = 0
    agreeing: int = 0


class Load:
    """A swarm and what is done to it."""

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan, self.seen = plan, Seen()
        self._root, self._rng = root, Random(plan.seed)
        swarm = new_swarm("soak", bytes(range(64)))
        self.peers = [_make(root, f"p{number:02}", swarm) for number in range(plan.peers)]
        self.steady = self.peers[: max(PUBLISHERS, plan.peers // 2)]
        self._others = self.peers[len(self.steady) :]
        for place, peer in enumerate(self.peers):
            for step in dict.fromkeys((1, max(2, plan.peers // 3))):
                peer.dials(self.peers[(place + step) % plan.peers])
            peer.trusts(*(one for one in self.peers[:PUBLISHERS] if one is not peer))

    def start(self) -> None:
        """All run, are linked, hold an adapter of each publisher, and have merged, so that their workers are there."""
        for some in (self.peers[place : place + TOGETHER] for place in range(0, len(self.peers), TOGETHER)):
            for peer in some:
                peer.spawn()
            for peer in some:
                peer.ready(START_S)
        for _ in range(PUBLISHERS):
            self.publish()
        for peer in self.peers:
            peer.until(lambda peer=peer: _settled(peer), SETTLE_S)  # type: ignore[misc]

    def publish(self) -> None:
        """One more adapter: a publisher's next, or the next version of its oldest."""
        number = self.seen.published
        publisher = self.peers[number % PUBLISHERS]
        turn, name = divmod(number // PUBLISHERS, ADAPTERS_EACH)
        folder = self._root / f"{number}" / f"adapter-{name}"
        publisher.signed_folder(folder, seed=number, width=32 << self._rng.randrange(4), version=turn + 1)
        publisher.publish(folder)
        self.seen.published += 1

    def stop(self) -> None:
        """One of the others is stopped and started again."""
        if self._others:
            peer = self._rng.choice(self._others)
            peer.stop()
            peer.start(START_S)
            self.seen.stops += 1

    def kill(self) -> None:
        """One of the others is killed and started again."""
        if self._others:
            peer = self._rng.choice(self._others)
            peer.kill()
            peer.start(START_S)
            self.seen.kills += 1

    def run(self, for_s: float, began_s: float) -> None:
        """Do what the plan says until the time is over."""
        acts = {"publish": self.publish, "stop": self.stop, "kill": self.kill}
        due = [(self.plan.pause_s(name, 0.0) / 2, name) for name in acts]
        heapq.heapify(due)
        for at_s in _ticks(began_s, for_s):
            self.sample(at_s)
            while due and due[0][0] <= at_s:
                when_s, name = heapq.heappop(due)
                acts[name]()
                late_s = time.monotonic() - began_s
                pause_s = self.plan.pause_s(name, late_s)
                heapq.heappush(due, (max(when_s, late_s - pause_s) + pause_s, name))

    def sample(self, at_s: float) -> None:
        """Memory of the steady, now."""
        for peer in self.steady:
            found = _process(peer).memory_info()
            size = float(found.rss - found.shared)
            self.seen.memory.setdefault(peer.name, []).append((at_s, size))


def soak(plan: Plan, root: Path) -> Seen:
    """A whole run."""
    load = Load(plan, root)
    with ended(load.peers):
        load.start()
        say("all are linked and hold what was published")
        time.sleep(SETTLED_S)
        files = {peer.name: descriptors(peer) for peer in load.steady}
        lags = {peer.name: lag_buckets(peer) for peer in load.steady}
        had = {peer.name: turns(peer) for peer in load.steady}
        began_s = time.monotonic()
        load.run(plan.seconds - plan.quiet_s, began_s)
        say(f"left alone: {load.seen.published} published, {load.seen.stops} stopped, {load.seen.kills} killed")
        load.seen.agreeing = agreeing(load.peers)
        before = {peer.name: sum(cpu_s(_process(peer).pid)) for peer in load.steady}
        quiet_s = time.monotonic()
        load_at = quiet_s - began_s
        for at_s in _ticks(quiet_s, plan.quiet_s):
            load.sample(load_at + at_s)
        passed_s = time.monotonic() - quiet_s
        for peer in load.steady:
            name = peer.name
            load.seen.idle_cores[name] = (sum(cpu_s(_process(peer).pid)) - before[name]) / passed_s
            load.seen.descriptors[name] = (files[name], descriptors(peer))
            waited_ns, got = (now - then for now, then in zip(turns(peer), had[name], strict=True))
            load.seen.waits_ms[name] = waited_ns / max(1, got) / 1e6
            after = lag_buckets(peer)
            load.seen.lags[name] = {end: count - lags[name][end] for end, count in after.items()}
    load.seen.errors = [{"peer": one.name, **record} for one in load.peers for record in one.records("error")]
    load.seen.errors += [
        {"peer": one.name, "where": "stderr", "what": line} for one in load.peers for line in wild(one)
    ]
    return load.seen


def agreeing(peers: list[Peer]) -> int:
    """How many peers know the same, and have all that was accepted, once they had time for it."""
    deadline = time.monotonic() + AGREE_S
    while True:
        found = [peer.status for peer in peers]
        most = max(
            sum((one.root, one.plasmids_accepted) == (other.root, other.plasmids_accepted) for one in found)
            for other in found
        )
        if most == len(peers) or time.monotonic() > deadline:
            return most
        time.sleep(1.0)


def turns(peer: Peer) -> tuple[int, int]:
    """How long a peer's event loop has waited for a core while it could run, in ns, and how often it got one."""
    _, waited_ns, got = map(int, Path(f"/proc/{_process(peer).pid}/schedstat").read_text().split())
    return waited_ns, got


def lag_buckets(peer: Peer) -> dict[float, float]:
    """The cumulated buckets of the event loop's lag, by their upper bounds in seconds."""
    with urllib.request.urlopen(f"http://{peer.settings['metrics']}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "plora_loop_lag_seconds_bucket"
    }


def descriptors(peer: Peer) -> Counter[str]:
    """What a peer's process has open, by kind: sockets, pipes, files by their names."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{_process(peer).pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            target = str(entry.readlink())
            found[target.partition(":")[0] if ":" in target else Path(target).suffix or Path(target).name] += 1
    return found


def wild(peer: Peer) -> Iterator[str]:
    """What a peer wrote to standard error that is no line of its log."""
    for line in peer.stderr.read_text(errors="replace").splitlines():
        try:
            json.loads(line)
        except ValueError:
            yield line


@contextmanager
def ended(peers: list[Peer]) -> Iterator[None]:
    """Whatever happens, no process is left."""
    try:
        yield
        for peer in peers:
            peer.stop()
    finally:
        for peer in peers:
            peer.discard()


def say(what: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _make(root: Path, name: str, swarm: Swarm) -> Peer:
    """A peer with the settings of a new one, but for where it is found."""
    port = free_port()
    made = init_home(root / name, name=name, swarm=swarm, listen=f"127.0.0.1:{port}", now_s=int(time.time()))
    told = {field: settings(name, port)[field] for field in ("name", "listen", "neighbours", "discovery", "log")}
    return Peer(made, port, {**told, "metrics": f"127.0.0.1:{free_port()}"})


def _settled(peer: Peer) -> bool:
    status = peer.status
    linked = status.links >= len(peer.settings["neighbours"])
    return bool(linked and status.plasmids_accepted >= PUBLISHERS and (peer.home.adapters / "merged--mini").exists())


def _process(peer: Peer) -> psutil.Process:
    assert peer.process is not None
    return psutil.Process(peer.process.pid)


def _ticks(began_s: float, for_s: float) -> Iterator[float]:
    """Seconds since the beginning, every `SAMPLE_S` at most, until the time is over."""
    while (at_s := time.monotonic() - began_s) < for_s:
        yield at_s
        time.sleep(max(0.0, min(SAMPLE_S, for_s - (time.monotonic() - began_s))))
