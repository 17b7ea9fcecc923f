"""Members with more than one name: a crowd of them at once, or one after the other.

- `Multitude` is `FACES` peers more, under names that nobody was told of. They dial whom it knows, and withhold.
- `Whitewasher` serves false bytes; whenever it was sent away it comes back under a new name, `NAMES_MAX` times.

A swarm knows both by their first name alone (`Swarm.peers`); the network by all.

Not handled here: owners without number (`floods.Sybil`).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from plora.node.core.events import Event, LinkClosed
from plora.sim.adversaries import Corrupter, Withholder
from plora.sim.clock import MS
from plora.sim.peer import SimPeer

FACES, NAMES_MAX, AWAY_MS = 40, 16, 2000


class Multitude(Withholder):
    """Many peers that are one."""

    def begin(self) -> None:
        """Show all its faces."""
        for number in range(FACES):
            self._face(number).boot()

    def _face(self, number: int) -> SimPeer:
        config = replace(self.config, peer=_name(self.config.peer, number), boot="")
        face = Withholder(config, self.policy, self.trust, self._clock, self._network, self._shared, self._costs)
        self._network.endpoints[face.id] = face
        return face


class Whitewasher(Corrupter):
    """Nobody remembers it, for it is always somebody new."""

    names: int = 0

    def handle(self, event: Event) -> None:
        """Go on as a peer does; when a link was ended, leave, and come back as another."""
        super().handle(event)
        if self.up and self.betraying and isinstance(event, LinkClosed) and self.names < NAMES_MAX:
            self._clock.after(0, self._leave)

    def _leave(self) -> None:
        if not self.up:
            return
        self.crash()
        self.names += 1
        self.rename(_name(self.id, self.names))
        self._clock.after(AWAY_MS * MS, self.boot)


def _name(peer: str, number: int) -> str:
    return hashlib.sha256(f"plora/sim/mask\x00{peer}\x00{number}".encode()).hexdigest()
