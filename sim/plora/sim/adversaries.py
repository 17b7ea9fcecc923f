"""Members that break the rules: real cores whose frames are tampered with on their way out.

- `Withholder` answers every reconciliation as if nothing were missing, and passes nothing on, as in an eclipse.
- `Forger` passes on everything with a signature that isn't one. `Corrupter` serves false bytes.
- `Replayer` pushes whatever it ever got again with each heartbeat, however old it has become.
- `Slanderer` names others as the cause of its forgeries.
- `betrays_ns`: until then each behaves well. It is the class's, so that a test makes a subclass that waits.

    swarm.add(20, edges, trust=trust, kinds={17: Forger, 18: Corrupter})

What a member *signs* is not their matter: `offer` has any peer serve a plasmid against its own gate's word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from plora.node.core.effects import Send, ServeChunk
from plora.node.core.events import ChunkServed, Event, Received
from plora.node.core.messages import Carried, Cause, Chunk, Have, Heartbeat, IHave, Message, Push, Reconcile
from plora.proto.statement import Statement
from plora.sim.material import Plasmid
from plora.sim.peer import SimPeer

REPLAYED_MAX = 64


class Adversary(SimPeer):
    """Behaves well until `betrays_ns` of virtual time; then what it sends is what `tampered` makes of it."""

    betrays_ns: ClassVar[int] = 0

    @property
    def betraying(self) -> bool:
        """Whether it has begun."""
        return self._clock.mono_ns >= self.betrays_ns

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """The frames to send in place of one."""
        return (message,)

    def _send(self, effect: Send) -> None:
        for message in self.tampered(effect.message) if self.betraying else (effect.message,):
            self._network.send(self.id, effect.peer, message)


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
    """Says that its forgeries come from `victim`."""

    victim: ClassVar[str] = ""

    def forged(self, item: Carried) -> Carried:
        """With another's name on it."""
        return replace(super().forged(item), cause=Cause(self.victim, "00" * 16, 1))


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


def offer(peer: SimPeer, record: Statement, plasmid: Plasmid) -> None:
    """Publish a plasmid at a peer and serve its bytes to all its links, whatever its own gate says."""
    peer.publish((record, plasmid.statement), (plasmid.data,))
    artifacts = plasmid.manifest.artifacts
    peer.core.transfer.serve(artifacts.sha256, artifacts.size_bytes, artifacts.chunk_bytes)
    for link in peer.core.gossip.links.ready():
        peer.send(link.peer, IHave((plasmid.content_id,)))
