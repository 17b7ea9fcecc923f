"""Members that break the rules of the protocol: real cores whose frames are tampered with on their way out.

- `Withholder` answers every reconciliation as if nothing were missing, and passes nothing on. Around somebody, it is
  an eclipse.
- `Forger` passes on everything with a signature that isn't one; `Slanderer` names others as the cause of its forgeries.
- `Corrupter` serves false bytes, `ListForger` lists of chunks that aren't what was signed.
- `Staller` takes every request and sends nothing, `Trickler` sends a chunk just before patience with it ends.
- `Replayer` pushes whatever it ever got again with each heartbeat, however old it has become.
- `Turncoat` forges and corrupts at once: several of them that wait are a covert flash.

    swarm.add(20, edges, trust=trust, kinds={17: Forger, 18: dormant(Corrupter)})

What a member *signs* is not their matter: `offer` has any peer serve a plasmid against its own gate's word.

Not handled here: floods (`floods`), many names (`masks`), owners who cheat (`crooks`), lies about the consensus
(`liars`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from plora.node.core.effects import LIST_INDEX, ServeChunk, ServeList
from plora.node.core.events import ChunkServed, Event, Received
from plora.node.core.messages import Carried, Cause, Chunk, ChunkList, Have, Heartbeat, IHave, Message, Push, Reconcile
from plora.proto.statement import Statement
from plora.sim.adversary import Adversary
from plora.sim.clock import MS
from plora.sim.material import Plasmid
from plora.sim.peer import SimPeer

REPLAYED_MAX = 64


class Withholder(Adversary):
    """Takes everything and gives nothing."""

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """Nothing that tells of a statement."""
        if isinstance(message, Have | Push | IHave):
            return ()
        return (Reconcile(message.session, ()),) if isinstance(message, Reconcile) else (message,)


class Forger(Adversary):
    """Passes everything on with false signatures."""

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """The same statements, signed by nobody."""
        if not isinstance(message, Have | Push):
            return (message,)
        return (replace(message, items=tuple(map(self.forged, message.items))),)

    def forged(self, item: Carried) -> Carried:
        """One statement under a false signature."""
        signature = bytes(byte ^ 0xFF for byte in item.statement.signature)
        return replace(item, statement=replace(item.statement, signature=signature))


class Slanderer(Forger):
    """Says that its forgeries come from `victim`; from the first of its neighbours where that is nobody."""

    victim: ClassVar[str] = ""

    def forged(self, item: Carried) -> Carried:
        """With another's name on it."""
        near = (neighbour.peer for neighbour in self.config.neighbours)
        return replace(super().forged(item), cause=Cause(self.victim or next(near, self.id), "00" * 16, 1))


class Corrupter(Adversary):
    """Serves chunks with one bit turned."""

    def _serve_chunk(self, effect: ServeChunk) -> None:
        if not self.betraying:
            super()._serve_chunk(effect)
            return
        data = bytearray(self.store.read_chunk(effect.digest, effect.offset, effect.size_bytes))
        data[0] ^= 1
        self._network.send(self.id, effect.peer, Chunk(effect.digest, effect.index, bytes(data)))
        self._later(0, lambda: ChunkServed(effect.peer, effect.digest, effect.index, len(data)))


class ListForger(Adversary):
    """Serves lists of chunk hashes that the manifest's root doesn't cover."""

    def _serve_list(self, effect: ServeList) -> None:
        if not self.betraying:
            super()._serve_list(effect)
            return
        hashes = tuple(bytes(32) for _ in self.store.chunk_hashes(effect.digest))
        self._network.send(self.id, effect.peer, ChunkList(effect.digest, hashes))
        self._later(0, lambda: ChunkServed(effect.peer, effect.digest, LIST_INDEX, 32 * len(hashes)))


class Staller(Adversary):
    """Takes requests for chunks, and never sends one."""

    def _serve_chunk(self, effect: ServeChunk) -> None:
        if not self.betraying:
            super()._serve_chunk(effect)
            return
        self._later(0, lambda: ChunkServed(effect.peer, effect.digest, effect.index, effect.size_bytes))


class Trickler(Adversary):
    """Sends each chunk when patience with it is nearly at its end."""

    def _serve_chunk(self, effect: ServeChunk) -> None:
        late_ns = int(0.9 * self.config.stall_ms * MS) if self.betraying else 0
        self._clock.after(late_ns, lambda: super(Trickler, self)._serve_chunk(effect) if self.up else None)


class Replayer(Adversary):
    """Pushes again what it got, the oldest first."""

    def handle(self, event: Event) -> None:
        """Remember, and go on as a peer does."""
        if isinstance(event, Received) and isinstance(event.message, Have | Push):
            self._got.update({item.statement.id: item for item in event.message.items})
        super().handle(event)

    def boot(self) -> None:
        """Start with what it remembers from before."""
        self._got: dict[bytes, Carried] = getattr(self, "_got", {})
        super().boot()

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """With each sign of life everything old."""
        if not isinstance(message, Heartbeat) or not self._got:
            return (message,)
        return (message, Push(tuple(self._got.values())[:REPLAYED_MAX]))


class Turncoat(Forger, Corrupter):
    """False signatures and false bytes from one and the same peer."""


def offer(peer: SimPeer, record: Statement, plasmid: Plasmid) -> None:
    """Publish a plasmid at a peer and serve its bytes to all its links, whatever its own gate says."""
    peer.publish((record, plasmid.statement), (plasmid.data,))
    artifacts = plasmid.manifest.artifacts
    peer.core.transfer.serve(artifacts.sha256, artifacts.size_bytes, artifacts.chunk_bytes)
    for link in peer.core.gossip.links.ready():
        peer.send(link.peer, IHave((plasmid.content_id,)))
