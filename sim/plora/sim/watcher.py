"""Watches a swarm, and takes down which invariant broke, at which peer, in which round.

- The watcher hears what a core asks for before it is carried out (`SimPeer.watch`), looks at every running peer after
  each round, and at all of them at rest. It changes nothing: a watched run is byte for byte one that isn't.
- Adversaries are not watched, only named: who is honest comes from whoever makes the swarm.
- It goes on after a break; `broken` holds the first `BROKEN_MAX` of each invariant, in order.

    watcher = watch(swarm, honest=ids[:8], owners=[ada.id])
    swarm.run(1)
    watcher.after_round()
    watcher.at_rest()
    assert not watcher.broken

Not handled here: the invariants themselves (`invariants`), bringing a swarm to rest (whoever runs it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from plora.node.core.effects import Effect
from plora.node.core.events import Event
from plora.node.core.now import Now
from plora.sim import invariants
from plora.sim.peer import SimPeer
from plora.sim.swarm import Swarm
from plora.sim.world import Look, Memory, World

BROKEN_MAX = 20


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that didn't hold: at which peer (its number, if it was one), about which content or peer ("" for
    none), when."""

    invariant: str
    what: str
    peer: int | None
    about: str = ""
    round: float = 0.0

    def __str__(self) -> str:
        about = f" about {self.about[:12]}" if self.about else ""
        where = "no peer's core" if self.peer is None else f"peer {self.peer}"
        return f"{self.invariant}: {where} in round {self.round:.1f}{about}: {self.what}"


class Watcher:
    """Looks at the honest peers of a world. `round_ns` and `begin_ns` say how its rounds are counted."""

    def __init__(self, world: World, begin_ns: int = 0, round_ns: int = 1_000_000_000) -> None:
        self.world = world
        self.broken: list[Broken] = []
        self.begin_ns = begin_ns
        self._round_ns = round_ns
        self._counts: Counter[str] = Counter()
        self._numbers = {name: number for number, name in enumerate(world.swarm.peers)}
        self._memories = {name: Memory() for name in world.honest}

    def attach(self) -> None:
        """Watch from now on; peers that run already are looked at from where they are."""
        for name in self.world.honest:
            self.world.swarm.peers[name].watch = self

    def saw(self, peer: SimPeer, event: Event, effects: list[Effect], now: Now) -> None:
        """A peer's core heard of an event and asks for this."""
        memory = self._memories[peer.first_id]
        memory.learn(event)
        look = Look(peer, memory, self.world, now)
        for check in invariants.EVENTS.get(type(event), ()):
            self._note(check.__name__, peer, check(look, event))
        for effect in effects:
            for check in invariants.EFFECTS.get(type(effect), ()):
                self._note(check.__name__, peer, check(look, effect))
            memory.note(effect)

    def after_round(self) -> None:
        """Look at every honest peer that runs."""
        for name in self.world.honest:
            peer = self.world.swarm.peers[name]
            look = Look(peer, self._memories[name], self.world, peer.now)
            for check in invariants.ROUNDS if peer.up else ():
                self._note(check.__name__, peer, check(look))

    def at_rest(self) -> None:
        """Look at what must hold once nothing is under way any more and nobody is cut off."""
        for invariant, peer, about, what in self.unrest():
            self._note(invariant, peer, [(about, what)])

    def unrest(self) -> list[tuple[str, SimPeer, str, str]]:
        """What doesn't hold that must at rest: which invariant, at which peer, about what, and what is wrong."""
        return [
            (check.__name__, *fault)
            for part in self.world.components()
            for check in invariants.REST
            for fault in check(self.world, part)
        ]

    def _note(self, invariant: str, peer: SimPeer, faults: Iterable[tuple[str, str]]) -> None:
        for about, what in faults:
            self._counts[invariant] += 1
            if self._counts[invariant] <= BROKEN_MAX:
                round_ = (self.world.swarm.clock.mono_ns - self.begin_ns) / self._round_ns
                self.broken.append(
                    Broken(invariant.replace("_", " "), what, self._numbers[peer.first_id], about, round_)
                )


def watch(
    swarm: Swarm, honest: Iterable[str] | None = None, owners: Iterable[str] = (), clean: Iterable[bytes] = ()
) -> Watcher:
    """A watcher that looks on from now on."""
    watcher = Watcher(World.of(swarm, honest, owners, clean))
    watcher.attach()
    return watcher
