"""The invariants of a simulation: asked while it runs, and at rest once its troubles are over.

- What adversaries do is not asked about; owners of clean adapters are honest, and those adapters are to arrive.
- After all rounds the network and all machines are well for `settle` rounds at most, until all have the same
  statements and accepted what is clean; what isn't so then is a break. With `settle` 0 rest is not asked about.

Not handled here: the invariants (`invariants`), searching for a scenario that breaks one (`search`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plora.sim.faults import make_well
from plora.sim.truth import CLEAN
from plora.sim.watcher import Broken, Watcher
from plora.sim.world import World

if TYPE_CHECKING:
    from plora.sim.run import Simulation


class Checks:
    """Looks on at a simulation that has yet to begin, and begins it."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        clean = [truth for truth in simulation.truth.values() if truth.kind == CLEAN]
        contents = [bytes.fromhex(truth.content) for truth in clean]
        owners = [simulation.plasmids[truth.content].manifest.owner for truth in clean]
        honest = [name for number, name in enumerate(simulation.ids) if number not in simulation.line_up.kinds]
        world = World.of(simulation.swarm, honest, owners=owners, clean=contents)
        self._watcher = Watcher(world, round_ns=simulation.round_ns)
        self._watcher.attach()
        simulation.begin()
        self._watcher.begin_ns = simulation.begin_ns

    @property
    def broken(self) -> list[Broken]:
        """What broke so far, in order."""
        return self._watcher.broken

    def after_round(self) -> None:
        """Look at every honest peer that runs."""
        self._watcher.after_round()

    def at_end(self) -> list[Broken]:
        """Let the swarm come to rest, look again, and say all that broke."""
        settle = self._simulation.scenario.settle
        if settle:
            make_well(self._simulation)
            for _ in range(settle):
                self._simulation.step()
                self.after_round()
                if not self._watcher.unrest():
                    break
            self._watcher.at_rest()
        return self.broken
