"""Owners whom everybody trusts and who cheat, each at a peer of their own; their keys are valid.

- `Equivocator` signs two contents of one version, and shows each half of its neighbours another one.
- `Rollback` publishes a version, then the next, and then shows the old one for ever.
- `ClockLiar` signs for tomorrow, and says in greetings and signs of life that it is tomorrow already.
- `JunkDealer` signs adapters that aren't what their manifests say.

`owner_of` gives the owner of a peer: whoever makes a swarm has it trusted, or not.

Not handled here: adapters that only detectors tell apart (a scenario's trojans).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

from plora.node.core.effects import Send
from plora.node.core.messages import Heartbeat, Hello, IHave, Message
from plora.proto.errors import StoreError
from plora.sim.adversary import Speaker
from plora.sim.clock import MS
from plora.sim.material import Owner, Plasmid, make_owner, make_plasmid, tiny_adapter

DAY_S, ROUND_MS = 86_400, 1000
ROUND_NS = ROUND_MS * MS
VERSION_ROUNDS = 8


def owner_of(peer: str, swarm: str) -> Owner:
    """The owner who cheats at a peer."""
    return make_owner(f"crook-{peer[:16]}", swarm)


class Crook(Speaker):
    """An owner and the peer that shows what they sign, past its own gate."""

    def boot(self) -> None:
        """Start with nothing shown."""
        self._shown: list[tuple[Plasmid, int | None]] = []
        super().boot()

    @property
    def owner(self) -> Owner:
        """Who signs here."""
        return owner_of(self.id, self.config.swarm)

    def show(self, plasmid: Plasmid, half: int | None = None) -> None:
        """Tell of a plasmid, and serve its bytes, from now on or from when its disk takes them."""
        if not self.up:
            return
        try:
            self.store.import_blob(io.BytesIO(plasmid.data), plasmid.manifest.artifacts.chunk_bytes)
        except StoreError:
            self._later(ROUND_MS, partial(self.show, plasmid, half))
            return
        artifacts = plasmid.manifest.artifacts
        self.core.transfer.serve(artifacts.sha256, artifacts.size_bytes, artifacts.chunk_bytes)
        self.say(self.owner.record, plasmid.statement, half=half)
        self._shown.append((plasmid, half))

    def hide(self) -> None:
        """Tell of nothing any more."""
        self._words.clear()
        self._shown.clear()

    def _send(self, effect: Send) -> None:
        super()._send(effect)
        if isinstance(effect.message, Heartbeat):
            for content_id in self._served_to(effect.peer):
                self.send(effect.peer, IHave((content_id,)))

    def _served_to(self, peer: str) -> Iterator[bytes]:
        half = self._half_of(peer)
        return (plasmid.content_id for plasmid, meant in self._shown if meant in (None, half))


class Equivocator(Crook):
    """Two contents of one version."""

    def begin(self) -> None:
        """One for each half."""
        for half in (0, 1):
            self.show(make_plasmid(self.owner, "twin", tiny_adapter(half, scale=0.01)), half)


class Rollback(Crook):
    """First the old, then the new, then the old again."""

    def begin(self) -> None:
        """Version 1; the others follow."""
        old, new = (make_plasmid(self.owner, "series", tiny_adapter(one), version=one) for one in (1, 2))
        self.show(old)
        self._clock.after(VERSION_ROUNDS * ROUND_NS, partial(self._only, new))
        self._clock.after(2 * VERSION_ROUNDS * ROUND_NS, partial(self._only, old))

    def _only(self, plasmid: Plasmid) -> None:
        self.hide()
        self.show(plasmid)


class ClockLiar(Crook):
    """Lives a day ahead."""

    def begin(self) -> None:
        """A manifest of tomorrow."""
        tomorrow_s = self._clock.now.wall_ms // 1000 + DAY_S
        self.show(make_plasmid(self.owner, "tomorrow", tiny_adapter(1), issued_s=tomorrow_s))

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """With the time of tomorrow."""
        if isinstance(message, Hello):
            return (replace(message, epoch_day=message.epoch_day + 1),)
        if isinstance(message, Heartbeat):
            return (replace(message, wall_ms=message.wall_ms + 1000 * DAY_S),)
        return (message,)


class JunkDealer(Crook):
    """What it signs is of another rank than it says; a new one every `VERSION_ROUNDS`."""

    ITEMS: ClassVar[int] = 3

    def begin(self) -> None:
        """The first piece; the others follow."""
        for number in range(self.ITEMS):
            junk = make_plasmid(self.owner, f"junk{number}", tiny_adapter(number, rank=2))
            self._clock.after(number * VERSION_ROUNDS * ROUND_NS, partial(self.show, junk))
