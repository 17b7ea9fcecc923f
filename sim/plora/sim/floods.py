"""Members that send too much: frames, bytes that are no frames, statements of owners nobody knows.

- `Flooder` sends with each heartbeat a hundred more, asks for whatever it heard of again and again, announces what
  nobody has, and opens reconciliations that take long to answer.
- `Babbler` sends what the codec refuses: frames that are too long, lists that are too long, bytes that are no protobuf.
  Simulated links carry messages, not bytes; so the receiver hears what the daemon's link says of such bytes.
- `Sybil` makes up owners and pushes their records and manifests, validly signed, `PER_BEAT` with each heartbeat and
  `OWNERS_MAX` in all.

Not handled here: what the transport bounds below frames (HTTP/2, calls), which simulated links don't have.
"""

from __future__ import annotations

import hashlib
from itertools import islice

from plora.node.core.effects import Send
from plora.node.core.events import Event, Misbehaved, Received
from plora.node.core.messages import (
    FRAME_BYTES_MAX,
    IHAVE_MAX,
    IWANT_MAX,
    Carried,
    Have,
    Heartbeat,
    IHave,
    IWant,
    Message,
    Push,
    Range,
    Reconcile,
    Want,
)
from plora.node.transport.codec import RANGES_MAX, decode_session, encode
from plora.proto.errors import ProtocolError
from plora.proto.manifest import Manifest
from plora.proto.statement import Statement, open_statement
from plora.sim.adversary import Adversary
from plora.sim.clock import MS
from plora.sim.material import make_owner, make_plasmid

BEATS, WANTS, RECONCILES = 100, 16, 24
PER_BEAT, OWNERS_MAX = 4, 1200
DELAY_MS = 5


class Flooder(Adversary):
    """Whatever may be sent, far too often."""

    def boot(self) -> None:
        """Start without having heard of anything."""
        self._digests: dict[str, None] = {}
        self._flood = 0
        super().boot()

    def handle(self, event: Event) -> None:
        """Remember what there is to ask for."""
        if isinstance(event, Received) and isinstance(event.message, Have | Push):
            opened = (open_statement(item.statement) for item in event.message.items)
            found = (one.artifacts.sha256 for one in opened if isinstance(one, Manifest))
            self._digests.update(dict.fromkeys(found))
        super().handle(event)

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """With each sign of life a flood."""
        if not isinstance(message, Heartbeat):
            return (message,)
        self._flood += 1
        strange = tuple(self._nonsense(number) for number in range(IHAVE_MAX))
        wants = [Want(digest, (0,), want_list=True) for digest in self._digests]
        reconciles = [Reconcile(self._session(number), self._ranges(number)) for number in range(RECONCILES)]
        return (*[message] * BEATS, *wants * WANTS, IHave(strange), IWant(strange[:IWANT_MAX]), *reconciles)

    def _nonsense(self, number: int) -> bytes:
        return hashlib.sha256(f"{self.id}\x00{self._flood}\x00{number}".encode()).digest()

    def _session(self, number: int) -> int:
        return int.from_bytes(self._nonsense(number)[:4], "big")

    def _ranges(self, number: int) -> tuple[Range, ...]:
        uppers = [*(place.to_bytes(4, "big") for place in range(1, RANGES_MAX)), b""]
        return tuple(Range(upper, fingerprint=self._nonsense(number)[:16]) for upper in uppers)


class Babbler(Adversary):
    """Bytes that are no frames."""

    def boot(self) -> None:
        """Start with the first kind of nonsense."""
        self._said = 0
        super().boot()

    def _send(self, effect: Send) -> None:
        super()._send(effect)
        if self.betraying and isinstance(effect.message, Heartbeat):
            self._said += 1
            self._babble(effect.peer, _NONSENSE[self._said % len(_NONSENSE)])

    def _babble(self, peer: str, data: bytes) -> None:
        """The other end refuses these bytes as its link would, and its core hears why."""
        try:
            decode_session(data)
        except ProtocolError as error:
            reason = error.what
            there = self._network.endpoints.get(peer)
            if there is not None and there.up and self._network.linked(self.id, peer):
                self._clock.after(DELAY_MS * MS, lambda: there.handle(Misbehaved(self.id, reason)))


class Sybil(Adversary):
    """Owners upon owners, of one plasmid each."""

    def boot(self) -> None:
        """Start with owners of its own, the same after each start."""
        self._pushed: dict[str, int] = {}
        self._made: list[tuple[Statement, Statement]] = []
        super().boot()

    def _send(self, effect: Send) -> None:
        super()._send(effect)
        if self.betraying and isinstance(effect.message, Heartbeat):
            start = self._pushed.get(effect.peer, 0)
            made = list(islice(map(self._owner, range(OWNERS_MAX)), start, start + PER_BEAT))
            self._pushed[effect.peer] = start + len(made)
            if made:
                self.send(effect.peer, Push(tuple(Carried(each) for pair in made for each in pair)))

    def _owner(self, number: int) -> tuple[Statement, Statement]:
        """A record and a manifest of the owner of that number."""
        while len(self._made) <= number:
            owner = make_owner(f"sybil-{self.id[:16]}-{len(self._made)}", self.config.swarm)
            manifest = make_plasmid(owner, "flood", owner.record.payload).statement
            self._made.append((owner.record, manifest))
        return self._made[number]


_NONSENSE = (
    bytes(FRAME_BYTES_MAX + 1),
    b"\xff" * 64,
    encode(IHave(tuple(bytes([number % 256]) * 32 for number in range(IHAVE_MAX + 1)))),
)
