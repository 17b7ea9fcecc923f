"""What an onlooker knows of a swarm: what each honest peer did so far, and what is true whatever its core believes.

- `Memory` is one peer's, `World` is everybody's, `Look` is one look at one peer with both.
- What is known comes from statements, effects, disks and logs. Signatures are checked anew, by keys that the world
  learns from records that proved to be signed: no memo that the cores share is trusted.

Not handled here: what must hold (`invariants`), who calls (`watcher`).

>>> from plora.node.store.disk import Put
>>> memory = Memory(pending={1: (Put("verdicts", b"k", b"v"),)})
>>> memory.learn(Persisted(1))
>>> memory.durable
{('verdicts', b'k'): b'v'}
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from plora.gate import Features
from plora.node.core.effects import Effect, Expose, Merge, Persist, StoreChunk
from plora.node.core.events import Event, Persisted, PersistFailed, Start
from plora.node.core.now import Now
from plora.node.gossip.entries import Entry
from plora.node.store.disk import Put, RowOp
from plora.proto.keys import PublicKey
from plora.proto.payloads import OwnerRecord
from plora.proto.statement import verify_statement
from plora.sim.peer import SimPeer
from plora.sim.shared import Shared
from plora.sim.swarm import Swarm
from plora.sim.topology import components

Place = tuple[str, bytes]
"""A table and a key in it."""


@dataclass
class Memory:
    """What one peer did so far.

    `durable` are the rows that were acknowledged (None: removed), `unsure` the places of transactions that a crash
    met, `told` its newest verdict records, `floors` and `shown` the newest versions by series, `wrong_chunks` those
    that it may not keep.
    """

    durable: dict[Place, bytes | None] = field(default_factory=dict)
    unsure: set[Place] = field(default_factory=set)
    pending: dict[int, tuple[RowOp, ...]] = field(default_factory=dict)
    told: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    read_records: int = 0
    floors: dict[bytes, int] = field(default_factory=dict)
    shown: dict[tuple[str, ...], int] = field(default_factory=dict)
    exposed: set[bytes] = field(default_factory=set)
    merges: dict[tuple[str, int], tuple[bytes, ...]] = field(default_factory=dict)
    wrong_chunks: set[tuple[str, int]] = field(default_factory=set)

    def note(self, effect: Effect) -> None:
        """What a core asks for."""
        match effect:
            case Persist(token, rows):
                self.pending[token] = rows
            case Expose(content_id=content_id):
                self.exposed.add(content_id)
            case Merge(base, generation, inputs):
                self.merges[base, generation] = tuple(item.content_id for item in inputs)
            case StoreChunk(digest=digest, index=index):
                good = hashlib.sha256(effect.data).digest() == effect.sha256
                (self.wrong_chunks.discard if good else self.wrong_chunks.add)((digest, index))

    def learn(self, event: Event) -> None:
        """What became of transactions."""
        match event:
            case Persisted(token):
                rows = self.pending.pop(token, ())
                for row in rows:
                    self.durable[row.table, row.key] = row.value if isinstance(row, Put) else None
                self.unsure -= {(row.table, row.key) for row in rows}
            case PersistFailed(token):
                self.pending.pop(token, None)
            case Start():
                self.unsure |= self.under_way()
                self.pending.clear()

    def under_way(self) -> set[Place]:
        """The places of transactions that are yet to be answered."""
        return {(row.table, row.key) for rows in self.pending.values() for row in rows}


@dataclass
class World:
    """What is true of a swarm, and what its peers have in common.

    `honest` are first ids of peers, `owners` of owners who keep the rules, `clean` the content ids of what nobody has
    reason to refuse; `liars` is how many members of the consensus don't. `slots` and `contents` are what was agreed on.
    """

    swarm: Swarm
    honest: tuple[str, ...]
    owners: frozenset[str] = frozenset()
    clean: frozenset[bytes] = frozenset()
    liars: int = 0
    slots: dict[bytes, str] = field(default_factory=dict)
    contents: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    _keys: dict[str, dict[str, PublicKey]] = field(default_factory=lambda: defaultdict(dict))
    _verified: set[tuple[bytes, bytes]] = field(default_factory=set)
    _shared: Shared = field(default_factory=Shared)

    @classmethod
    def of(
        cls,
        swarm: Swarm,
        honest: Iterable[str] | None = None,
        owners: Iterable[str] = (),
        clean: Iterable[bytes] = (),
    ) -> World:
        """The world of a swarm, whose peers are all honest unless it is said which are."""
        names = tuple(swarm.peers if honest is None else honest)
        voting = (name for name, peer in swarm.peers.items() if peer.vote_key is not None)
        liars = sum(name not in names for name in voting)
        return cls(swarm, names, frozenset(owners), frozenset(clean), liars)

    def is_honest(self, peer: str) -> bool:
        """Whether that is an id of an honest peer, its own now or one that it had before."""
        return any(peer in self.swarm.peers[name].called for name in self.honest)

    def signed(self, entry: Entry, peer: SimPeer) -> bool:
        """Whether a key that may speak here signed it; the keys of a record that did are known from then on."""
        name = (entry.id, entry.statement.signature)
        if name in self._verified:
            return True
        if not any(verify_statement(entry.statement, key) for key in self._speakers(entry, peer)):
            return False
        self._verified.add(name)
        if isinstance(entry.payload, OwnerRecord) and entry.owner:
            self._keys[entry.owner].update({key.key_id: key for key in entry.keys})
        return True

    def _speakers(self, entry: Entry, peer: SimPeer) -> Iterator[PublicKey]:
        """The keys of that id that may sign such a statement."""
        key_id = entry.statement.key_id
        if entry.word:
            member = peer.config.members.member(key_id) if peer.config.members else None
            yield from [member.key] if member else []
        elif entry.owner == entry.id.hex():
            yield from (key for key in entry.keys if key.key_id == key_id)
        else:
            owners = self._keys.values() if entry.owner is None else [self._keys.get(entry.owner, {})]
            yield from (keys[key_id] for keys in owners if key_id in keys)

    def features(self, peer: SimPeer, digest: str) -> Features:
        """What a gate sees in the bytes that a peer holds under a digest."""
        return self._shared.examine(peer.store, digest)

    def components(self) -> list[list[SimPeer]]:
        """The running honest peers, parted into those who reach each other over honest neighbours."""
        running = [peer for name in self.honest if (peer := self.swarm.peers[name]).up]
        number = {peer.id: place for place, peer in enumerate(running)}
        known = [(peer.id, other.peer) for peer in running for other in peer.config.neighbours]
        edges = [(number[near], number[far]) for near, far in known if far in number]
        found: dict[int, list[SimPeer]] = defaultdict(list)
        for peer, part in zip(running, components(len(running), edges), strict=True):
            found[part].append(peer)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one peer: what it did before, what is true, and the time."""

    peer: SimPeer
    memory: Memory
    world: World
    now: Now

    def row(self, table: str, key: bytes) -> bytes | None:
        """What lies on its disk."""
        return self.peer.disk.get(table, key)
