"""Makes a scenario that fails as small as it can, while it fails in the same way.

- Greedy: of all that is a step simpler the first that still fails is gone on with, until nothing simpler fails.
- What is left out or made smaller stays so: every step leads towards the scenario in which nothing is said, so it ends.
- A simpler scenario draws other numbers, so each is tried with a few seeds.
- It knows what a scenario means. A shrinker of drawn bytes, as property-based tests have, would know only what the
  drawing did with them, and couldn't begin with a scenario that somebody wrote.

>>> def fails(one): return one.agents >= 3 and one.links.loss > 0
>>> small = shrink(Scenario.parse({"agents": 40, "rounds": 30, "links": {"loss": 0.3, "reorder": 0.2}}), fails)
>>> small.agents, small.rounds, small.links.loss, small.links.reorder
(3, 1, 0.3, 0.0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from plora.proto.errors import UsageError
from plora.sim.scenario import Graph, Part, Publishing, Scenario

Fails = Callable[[Scenario], bool]

SEEDS = (0, 1)
"""Those that are tried beside the scenario's own."""

PLAIN = Scenario(agents=1, rounds=1, graph=Graph(kind="complete"), publish=Publishing(plasmids=1))
SMALLER = {"": ("rounds", "agents"), "publish": ("plasmids",)}
"""Numbers that are made smaller step by step; all others are left out at once or not at all."""

KEPT = frozenset({"name", "about", "engine", "seed", "invariants"})


def shrink(scenario: Scenario, fails: Fails, tries: int = 400, in_time: Callable[[], bool] = lambda: True) -> Scenario:
    """The simplest scenario found that `fails` as that one does, looking at `tries` others at most, while `in_time`.

    `fails` may raise `UsageError` for a scenario that makes no sense: that one is passed over.
    """
    seen = {_key(scenario)}
    while True:
        better = None
        for candidate in _with_seeds(simpler(scenario)):
            if _key(candidate) in seen:
                continue
            if not tries or not in_time():
                return scenario
            tries -= 1
            seen.add(_key(candidate))
            if _fails(candidate, fails):
                better = candidate
                break
        if better is None:
            return scenario
        scenario = better


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios that are a step simpler, the boldest steps first."""
    for table, names in SMALLER.items():
        part = getattr(scenario, table) if table else scenario
        for name in names:
            yield from (_with(scenario, table, name, value) for value in _smaller(getattr(part, name)))
    for name in ("happenings", "adversaries"):
        yield from (_with(scenario, "", name, fewer) for fewer in _fewer(getattr(scenario, name)))
    yield from _plainer(scenario)
    yield from (_with(scenario, "", "core", fewer) for fewer in _without(scenario.core))
    yield from (_with(scenario, "security", "policy", fewer) for fewer in _without(scenario.security.policy))


def _plainer(scenario: Scenario) -> Iterator[Scenario]:
    """The scenario with one table, or one field, as it is if nothing is said of it."""
    for name in Scenario.model_fields:
        value, plain = getattr(scenario, name), getattr(PLAIN, name)
        if name in KEPT or name in SMALLER[""] or value == plain:
            continue
        yield _with(scenario, "", name, plain)
        for field in type(value).model_fields if isinstance(value, Part) else ():
            if field not in SMALLER.get(name, ()) and getattr(value, field) != getattr(plain, field):
                yield _with(scenario, name, field, getattr(plain, field))


def _with_seeds(candidates: Iterator[Scenario]) -> Iterator[Scenario]:
    for candidate in candidates:
        yield candidate
        yield from (candidate.model_copy(update={"seed": seed}) for seed in SEEDS)


def _fails(scenario: Scenario, fails: Fails) -> bool:
    try:
        return fails(scenario)
    except UsageError:
        return False


def _smaller(value: int) -> Iterator[int]:
    """Smaller numbers of at least 1, the smallest first."""
    yield from sorted({1, value // 2, value - 1} - {0, value})


def _fewer(listed: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """None, either half, and all but one."""
    if len(listed) > 1:
        half = len(listed) // 2
        yield from ((), listed[:half], listed[half:])
    yield from (listed[:place] + listed[place + 1 :] for place in range(len(listed)))


def _without(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from ({key: value for key, value in table.items() if key != left} for left in table)


def _with(scenario: Scenario, table: str, name: str, value: Any) -> Scenario:
    if not table:
        return scenario.model_copy(update={name: value})
    return scenario.model_copy(update={table: getattr(scenario, table).model_copy(update={name: value})})


def _key(scenario: Scenario) -> str:
    return scenario.model_dump_json()
