"""Searches for a scenario in which an invariant breaks, and makes it as small as it can.

- Try n of a seed draws the same scenario everywhere (`drawn`); a run ends with the first break.
- An exception in a core is a break as well, whatever its type. What raises `UsageError` when it is built can't be run.
- What is found is smaller (`shrink`) and breaks the same invariant, and `as_toml` writes it to be run again.

Not handled here: time, progress and files (`plora sim --until-failure`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from plora.sim.checks import Checks
from plora.sim.drawn import draw
from plora.sim.peer import SimPeer
from plora.sim.run import Simulation
from plora.sim.scenario import Scenario
from plora.sim.shrink import shrink
from plora.sim.watcher import Broken


@dataclass(frozen=True, slots=True)
class Found:
    """A failure: a scenario, what broke in it first, and the number of the try that led to it."""

    scenario: Scenario
    broken: Broken
    number: int


def search(
    more: Callable[[int], bool],
    seed: int = 0,
    told: Mapping[str, Any] | None = None,
    peer: type[SimPeer] = SimPeer,
    keep: Callable[[Found], None] = lambda _: None,
    in_time: Callable[[], bool] = lambda: True,
) -> Found | None:
    """The first failure, as small as it gets, or None.

    Args:
        more: whether to go on with the try of that number (from 0).
        seed: of what is drawn.
        told: plain values that every scenario has.
        peer: the class of the peers.
        keep: told of the failure before it is made smaller.
        in_time: whether to go on with making it smaller.
    """
    for number in count():
        if not more(number):
            return None
        scenario = draw(seed, number, told)
        broken = first_break(scenario, peer)
        if broken is not None:
            keep(Found(scenario, broken, number))
            return smallest(scenario, broken, number, peer, in_time)
    return None


def first_break(scenario: Scenario, peer: type[SimPeer] = SimPeer) -> Broken | None:
    """What breaks first in a scenario; None where all holds."""
    broken = breaks(scenario, peer, until=bool)
    return broken[0] if broken else None


def breaks(
    scenario: Scenario, peer: type[SimPeer], until: Callable[[list[Broken]], bool] = lambda _: False
) -> list[Broken]:
    """All that breaks in a scenario, in order, up to the end of the round in which it is enough."""
    simulation = Simulation(scenario, dict.fromkeys(range(scenario.agents), peer))
    checks = Checks(simulation)
    for _ in range(scenario.rounds):
        if checks.ended or until(checks.broken):
            return checks.broken
        checks.step()
    return checks.broken if until(checks.broken) else checks.at_end()


def smallest(
    scenario: Scenario,
    broken: Broken,
    number: int = 0,
    peer: type[SimPeer] = SimPeer,
    in_time: Callable[[], bool] = lambda: True,
) -> Found:
    """The scenario that breaks the same invariant and is as small as it gets, or gets in time."""

    def fails(candidate: Scenario) -> bool:
        found = first_break(candidate, peer)
        return found is not None and found.invariant == broken.invariant

    until = max(1, math.ceil(broken.round))
    cut = scenario.model_copy(update={"rounds": until, "settle": 0}) if until <= scenario.rounds else scenario
    small = shrink(cut if fails(cut) else scenario, fails, in_time=in_time)
    return Found(small, first_break(small, peer) or broken, number)


def as_toml(found: Found) -> str:
    """The scenario as a file has it, with what breaks in it."""
    import tomlkit

    values = found.scenario.model_dump(mode="json", exclude_defaults=True, exclude={"name", "about"})
    return tomlkit.dumps({"about": str(found.broken), **values})
