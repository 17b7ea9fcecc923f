"""The engines agree at n = 1,000: rounds to 50, 90 and 100 %, by two one-sided tests of equivalence, +-0.5 round.

- The unit is a run, the mean over its publications: at other ends of one graph at once, and nearly independent.
- Both engines get the same scenarios, so that seeds in common have graph and publishers in common.
- What takes time in a swarm and none in the fleet is kept small: links are quick, and gates look at signatures and
  bytes alone.

Not handled here: daemons (`tests/swarm/test_agreement`), what is exact or known (`test_fleet_agreement`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from plora.analysis.equivalence import equivalence
from plora.sim.run import run
from plora.sim.scenario import Scenario

BOUND = 0.5
AGENTS, MEAN_DEGREE, PLASMIDS = 1000, 8, 8
RUNS = {"swarm": 12, "fleet": 60}
LINKS: dict[str, dict[str, Any]] = {"swarm": {"delay_ms": [0.0, 1.0]}, "fleet": {}}
MARKS = ("50%", "90%", "100%")

Rounds = np.ndarray[Any, np.dtype[np.float64]]


def rounds_of(engine: Literal["swarm", "fleet"], *, synchronous: bool) -> Rounds:
    """A row for each run: its mean rounds to each mark."""
    told = {
        "engine": engine,
        "synchronous": synchronous,
        "agents": AGENTS,
        "rounds": 20,
        "links": LINKS[engine],
        "graph": {"kind": "er", "p": MEAN_DEGREE / (AGENTS - 1)},
        "publish": {"plasmids": PLASMIDS},
        "security": {"detectors": False},
    }
    reports = (run(Scenario.parse(told | {"seed": seed})).report for seed in range(RUNS[engine]))
    found = [[[one["rounds_to"][mark] for mark in MARKS] for one in report["adapters"]] for report in reports]
    return np.array([np.mean(adapters, axis=0) for adapters in found])


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("synchronous", [True, False])
def test_swarm_and_fleet_take_equally_many_rounds(
    synchronous: bool, record_property: Callable[[str, object], None]
) -> None:
    swarm = rounds_of("swarm", synchronous=synchronous)
    fleet = rounds_of("fleet", synchronous=synchronous)
    found = [equivalence(swarm[:, mark], fleet[:, mark], BOUND) for mark in range(len(MARKS))]
    for mark, one in zip(MARKS, found, strict=True):
        record_property(f"swarm less fleet, rounds to {mark}:", one)
    assert all(one.equivalent for one in found), "\n".join(map(str, found))
