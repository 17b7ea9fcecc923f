"""A swarm of real cores on one virtual clock: deterministic by its seed, also under another PYTHONHASHSEED.

    swarm = Swarm(seed=7, links=Links(loss=0.1))
    ids = swarm.add(10, erdos_renyi_graph(10, 0.4, seed=7, connected=True))
    swarm.boot()
    swarm.peer(ids[0]).publish((ada.record, plasmid.statement), (plasmid.data,))
    swarm.run_until(swarm.agree, limit_s=60)

Peers have ids that their number determines. Phases of rounds, delays and luck come from streams named by the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from plora.gate import Policy, Trust
from plora.node.core.config import CoreConfig
from plora.node.core.messages import PeerAddress
from plora.node.core.streams import Streams
from plora.proto.keys import PrivateKey
from plora.sim.clock import MS, WALL_START_MS, VirtualClock
from plora.sim.event_log import log_file
from plora.sim.links import Network
from plora.sim.peer import Costs, SimPeer
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.topology import Edges, Graph, neighbours

SWARM_ID = hashlib.sha256(b"plora/sim/swarm").hexdigest()
STEP_MS = 250


def peer_id(number: int) -> str:
    """The id of the peer of that number."""
    return hashlib.sha256(f"plora/sim/peer\x00{number}".encode()).hexdigest()


def address_of(number: int) -> str:
    """Where the peer of that number is dialed, in a swarm whose peers exchange addresses."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:4700"


class Swarm:
    """The peers, their network and their clock."""

    def __init__(
        self,
        seed: int = 0,
        links: Links | None = None,
        *,
        shared: Shared | None = None,
        costs: Costs | None = None,
        wall_start_ms: int = WALL_START_MS,
    ) -> None:
        self.seed = seed
        self.clock = VirtualClock(wall_start_ms)
        self.network = Network(self.clock, links or Links(), Streams(seed, "").stream("network"))
        self.peers: dict[str, SimPeer] = {}
        self._shared = shared or Shared()
        self._costs = costs

    def add(
        self,
        count: int,
        edges: Graph | Edges,
        *,
        policy: Policy | None = None,
        trust: Trust | None = None,
        template: CoreConfig | None = None,
        vote_keys: Mapping[int, PrivateKey] | None = None,
        kinds: Mapping[int, type[SimPeer]] | None = None,
    ) -> list[str]:
        """Make peers 0 … count-1, neighbours along the edges; their ids in order. They are not started.

        `vote_keys` says which of them vote, `kinds` which are no plain peers (see `adversaries` and `liars`).
        """
        ids = [peer_id(number) for number in range(count)]
        policy, trust = policy or Policy(), trust or Trust()  # the very same for all, so that verdicts are shared
        base = template or CoreConfig(peer="", swarm=SWARM_ID, boot="")
        pairs = edges.pairs() if isinstance(edges, Graph) else edges
        for number, near in enumerate(neighbours(count, pairs)):
            known = tuple(
                PeerAddress(ids[other], (address_of(other) if base.exchange else f"sim:{other}",)) for other in near
            )
            config = replace(base, peer=ids[number], seed=self.seed, neighbours=known)
            if base.exchange:
                config = replace(config, addresses=(address_of(number),))
                self.network.addresses[config.peer] = address_of(number)
            kind, key = (kinds or {}).get(number, SimPeer), (vote_keys or {}).get(number)
            self._add(config, policy, trust, key, kind)
        return ids

    def peer(self, name: str) -> SimPeer:
        """One peer by its id."""
        return self.peers[name]

    def boot(self, names: Iterable[str] | None = None) -> None:
        """Start peers, all of them if none are named."""
        for name in self.peers if names is None else names:
            self.peers[name].boot()

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.clock.run_until(self.clock.mono_ns + int(seconds * 1000) * MS)

    def run_until(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until `done`, looked at every `STEP_MS`; False if the limit came first."""
        end_ns = self.clock.mono_ns + int(limit_s * 1000) * MS
        while not done():
            if self.clock.mono_ns >= end_ns:
                return False
            self.clock.run_until(min(self.clock.mono_ns + STEP_MS * MS, end_ns))
        return True

    def partition(self, *groups: Iterable[str]) -> None:
        """Cut every path between peers of different groups."""
        self.network.part(*groups)

    def running(self) -> list[SimPeer]:
        """The peers that are up."""
        return [peer for peer in self.peers.values() if peer.up]

    def agree(self, count: int = 0) -> bool:
        """Whether all running peers have the same live set, of at least `count` statements."""
        peers = self.running()
        roots = {peer.core.live_root: None for peer in peers}
        return len(roots) == 1 and all(peer.core.live_count >= count for peer in peers)

    def holding(self, digest: str) -> int:
        """How many running peers hold an artifact."""
        return sum(digest in peer.core.desk.larder.held for peer in self.running())

    def usable(self, content_id: bytes) -> int:
        """How many running peers accepted a content and have its bytes."""
        found = (peer.core.desk.book.live.get(content_id) for peer in self.running())
        return sum(plasmid is not None and plasmid.usable for plasmid in found)

    def digest(self) -> str:
        """SHA-256 over all event logs, in the order of the peers: equal runs, equal digests."""
        whole = hashlib.sha256()
        for peer in self.peers.values():
            for line in peer.log:
                whole.update(line.encode())
        return whole.hexdigest()

    def write_logs(self, folder: Path) -> list[Path]:
        """One JSONL file a peer, as daemons write them."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [log_file(folder, number) for number in range(len(self.peers))]
        for path, peer in zip(paths, self.peers.values(), strict=True):
            path.write_text("".join(peer.log), encoding="utf-8")
        return paths

    def _add(
        self, config: CoreConfig, policy: Policy, trust: Trust, key: PrivateKey | None, kind: type[SimPeer]
    ) -> None:
        config = replace(config, vote_key=key.public.key_id if key else "")
        peer = kind(config, policy, trust, self.clock, self.network, self._shared, self._costs, key)
        self.peers[config.peer] = self.network.endpoints[config.peer] = peer
