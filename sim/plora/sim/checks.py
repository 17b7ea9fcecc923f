"""The invariants of a simulation: asked while it runs, and at rest once its troubles are over.

- What adversaries do is not asked about; owners of clean adapters are honest, and those adapters are to arrive.
- After all rounds the network and all machines are well for `settle` rounds at most, until all have the same
  statements and accepted what is clean; what isn't so then is a break. With `settle` 0 rest is not asked about.
- An exception that comes out of a core, whatever its type, is a break too, and the last one: the run `ended` with it.

Not handled here: the invariants (`invariants`), searching for a scenario that breaks one (`search`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from traceback import extract_tb, walk_tb
from typing import TYPE_CHECKING

from plora.sim.faults import make_well
from plora.sim.peer import SimPeer
from plora.sim.truth import CLEAN
from plora.sim.watcher import Broken, Watcher
from plora.sim.world import World

if TYPE_CHECKING:
    from plora.sim.run import Simulation

NOTHING_RAISES = "cores go on whatever they hear"


class Checks:
    """Looks on at a simulation that has yet to begin, and begins it."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.ended = False
        clean = [truth for truth in simulation.truth.values() if truth.kind == CLEAN]
        contents = [bytes.fromhex(truth.content) for truth in clean]
        owners = [simulation.plasmids[truth.content].manifest.owner for truth in clean]
        honest = [name for number, name in enumerate(simulation.ids) if number not in simulation.line_up.breaking]
        world = World.of(simulation.swarm, honest, owners=owners, clean=contents)
        self._watcher = Watcher(world, round_ns=simulation.round_ns)
        self._watcher.attach()
        self._guarded(self._begin)

    @property
    def broken(self) -> list[Broken]:
        """What broke so far, in order."""
        return self._watcher.broken

    def step(self) -> None:
        """Let a round pass, and look at every honest peer that runs."""
        self._guarded(self._step)

    def at_end(self) -> list[Broken]:
        """Let the swarm come to rest, look again, and say all that broke."""
        if self._simulation.scenario.settle and not self.ended:
            self._guarded(self._settle)
        return self.broken

    def _begin(self) -> None:
        self._simulation.begin()
        self._watcher.begin_ns = self._simulation.begin_ns

    def _step(self) -> None:
        self._simulation.pass_round()
        self._watcher.after_round()

    def _settle(self) -> None:
        make_well(self._simulation)
        for _ in range(self._simulation.scenario.settle):
            self._step()
            if not self._watcher.unrest():
                break
        self._watcher.at_rest()

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:
            self.ended = True
            invariant = f"{NOTHING_RAISES} ({type(error).__name__})"
            place = extract_tb(error.__traceback__)[-1]
            what = f"{error} ({place.name}, line {place.lineno} of {PurePath(place.filename).name})"
            self.broken.append(Broken(invariant, what, self._at_work(error), round=self._simulation.number))

    def _at_work(self, error: Exception) -> int | None:
        """The number of the peer whose core was at it; None where the simulator itself was."""
        selves = (frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__))
        names = [one.first_id for one in selves if isinstance(one, SimPeer)]
        return self._simulation.ids.index(names[-1]) if names else None
