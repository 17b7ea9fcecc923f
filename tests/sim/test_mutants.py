"""Every invariant can break: a core that lacks a guard breaks it, where one that has the guard breaks none.

What the search is told of a mutant (`TOLD`) brings about the situation sooner, and nothing fails of itself; every night
some are found by what people search: with faults, churn and dropout, told nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.sim.mutants import BREAKS, MUTANTS, TOLD

from plora.gate import Trust
from plora.sim import invariants
from plora.sim.drawn import draw
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.search import breaks, first_break
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import complete
from plora.sim.watcher import watch

SEED, TRIES = 1, 20
NO_FAULTS = {"happenings": (), "churn": {"percent": 0.0}, "graph": {"dropout": 0.0}}
SERIES = frozenset({"rollback"})
"""Mutants that break only where a series has two versions."""

LONG = frozenset({"signatures", "asking", "fetching", "chunk-hashes", "quorum", "certificates"})
UNTOLD = sorted(
    {"asking", "ballot", "blame", "commits", "durability", "facts", "fetching", "floors", "reading", "showing"}
    | {"signatures", "telling", "verdicts"}
)
"""Mutants that a search finds which is told nothing; the others take it too long."""

PAIRS = [(guard, one) for guard, found in sorted(BREAKS.items()) for one in found if guard not in SERIES]


def words(name: str) -> str:
    return name.replace("_", " ")


def found(guard: str, invariant: str, told: Mapping[str, Any]) -> bool:
    """Whether the search meets a break of the invariant, and of none by peers that have the guard."""
    for number in range(TRIES):
        scenario = draw(SEED, number, told)
        broken = breaks(scenario, MUTANTS[guard], lambda broken: invariant in {one.invariant for one in broken})
        if invariant in {one.invariant for one in broken}:
            return first_break(scenario) is None
    return False


def test_every_invariant_has_a_mutant_that_breaks_it() -> None:
    of_events = [
        check for checks in (invariants.EVENTS, invariants.EFFECTS) for found in checks.values() for check in found
    ]
    names = {check.__name__ for check in (*of_events, *invariants.ROUNDS, *invariants.REST)}
    assert names == {one for found in BREAKS.values() for one in found}


@pytest.mark.parametrize(
    ("guard", "invariant"),
    [pytest.param(*pair, marks=[pytest.mark.nightly] if pair[0] in LONG else []) for pair in PAIRS],
)
def test_a_core_without_a_guard_is_found_out_and_one_with_it_is_not(guard: str, invariant: str) -> None:
    assert found(guard, words(invariant), {**NO_FAULTS, **TOLD.get(guard, {})})


@pytest.mark.nightly
@pytest.mark.parametrize("guard", UNTOLD)
def test_a_core_without_a_guard_is_found_out_by_the_search_that_people_run(guard: str) -> None:
    assert found(guard, words(BREAKS[guard][0]), {})


@pytest.mark.parametrize("guard", sorted(SERIES))
def test_a_core_that_shows_an_old_version_again_is_found_out(guard: str) -> None:
    ada = make_owner("ada", SWARM_ID)
    old, new = (make_plasmid(ada, "legal", tiny_adapter(version), version=version) for version in (1, 2))
    broken = {}
    for kind in (SimPeer, MUTANTS[guard]):
        swarm = Swarm(1)
        ids = swarm.add(3, complete(3), trust=Trust((ada.trusted,)), kinds=dict.fromkeys(range(3), kind))
        watcher = watch(swarm)
        swarm.boot()
        swarm.run(3)
        for plasmid in (old, new):
            swarm.peer(ids[0]).publish((ada.record, plasmid.statement), (plasmid.data,))
            swarm.run(3)
        watcher.after_round()
        broken[kind] = {one.invariant for one in watcher.broken}
    assert broken[SimPeer] == set()
    assert {words(one) for one in BREAKS[guard]} <= broken[MUTANTS[guard]]
