"""Scenarios that are drawn, to be searched for one that breaks an invariant.

- The more is wrong with a swarm the better: most of what a scenario may say is said now and then. Swarms are small,
  for what breaks among many breaks among few as well, and a thousand small ones are run in the time of a large one.
- Members of every second council are linked, as scenarios have it where they don't say; the others are those that a
  graph may keep from voting.
- Whatever is told stays as it is told.

>>> draw(7, 0) == draw(7, 0), draw(7, 0) == draw(7, 1)
(True, False)
>>> draw(7, 0, {"agents": 3, "links": {"loss": 0.5}}).links.loss
0.5
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, get_args

from plora.node.core.streams import Streams
from plora.sim.build import members_of
from plora.sim.drawn_faults import draw_faults
from plora.sim.kinds import KINDS, LYING, VOTING
from plora.sim.scenario import DelayKind, Scenario, laid_over

AGENTS = (3, 8)
ROUNDS = (6, 16)
SETTLE = 300
QUORUMS = (2, 3)
BANDWIDTHS = (0, 0, 20_000)
PROBABILITIES = (0.0, 0.0, 0.1, 0.3, 0.5)
DROPOUTS = (0.0, 0.0, 0.0, 0.1, 0.3)


def draw(seed: int, number: int, told: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario of that number; `told` are plain values that stand whatever is drawn."""
    draws = Streams(seed, "").stream(f"search/{number}")
    values: dict[str, Any] = {
        "seed": draws.randrange(1 << 31),
        "agents": draws.randint(*AGENTS),
        "rounds": draws.randint(*ROUNDS),
        "synchronous": draws.random() < 0.2,
        "graph": _graph(draws),
        "links": _links(draws),
        "publish": _publish(draws),
        "security": _security(draws),
        "core": _core(draws),
        "invariants": True,
        "settle": SETTLE,
    }
    values["graph"]["dropout"] = Streams(seed, "").stream(f"search/{number}/dropout").choice(DROPOUTS)
    values["security"]["members_linked"] = Streams(seed, "").stream(f"search/{number}/members").random() < 0.5
    values |= draw_faults(Streams(seed, "").stream(f"search/{number}/faults"), values["rounds"])
    values = laid_over(values, told or {})
    security = values["security"]
    fixed = told or {}
    if "agents" in fixed and "quorum" not in fixed.get("security", {}):
        security["quorum"] = _fitting(security["quorum"], values["agents"])
    members = (security.get("members") or members_of(security["quorum"])) if security["consensus"] else 0
    values["agents"] = values["agents"] if "agents" in fixed else max(values["agents"], members)
    values.setdefault("adversaries", _adversaries(draws, values["agents"], members))
    return Scenario.parse(values, where="a drawn scenario")


def _fitting(quorum: int, agents: int) -> int:
    """That quorum, or the largest below it whose members are no more than the peers."""
    return next(one for one in range(quorum, 0, -1) if members_of(one) <= agents)


def _graph(draws: Random) -> dict[str, Any]:
    return {"kind": draws.choice(("er", "ring", "complete")), "p": draws.uniform(0.4, 0.9), "connected": True}


def _links(draws: Random) -> dict[str, Any]:
    harms = ("loss", "bulk_loss", "duplication", "reorder")
    slow = draws.choice((5.0, 20.0, 200.0, 1500.0))
    told = {"delay": draws.choice(get_args(DelayKind)), "delay_ms": (1.0, slow), "bandwidth": draws.choice(BANDWIDTHS)}
    return {**told, **{harm: draws.choice(PROBABILITIES) for harm in harms}}


def _publish(draws: Random) -> dict[str, Any]:
    return {
        "plasmids": draws.randint(1, 4),
        "first_round": draws.choice((0.0, 1.0, 2.5)),
        "every": draws.choice((0.0, 0.0, 0.7)),
    }


def _security(draws: Random) -> dict[str, Any]:
    return {
        "detectors": draws.random() < 0.3,
        "consensus": draws.random() < 0.4,
        "quorum": draws.choice(QUORUMS),
        "inspect_ms": draws.choice((10.0, 1000.0)),
    }


def _adversaries(draws: Random, agents: int, members: int) -> list[dict[str, Any]]:
    """So few that most are honest; those who lie as members are members."""
    kinds = [name for name, kind in KINDS.items() if members or not issubclass(kind, LYING)]
    numbers = draws.sample(range(agents), draws.choice((0, 0, 1, 1, 2)))
    found = []
    for number in numbers[: (agents - 1) // 2]:
        kind = draws.choice([name for name in kinds if number < members or not issubclass(KINDS[name], VOTING)])
        found.append({"kind": kind, "peers": (number,), "from_round": draws.choice((0.0, 2.0, 5.0))})
    return found


def _core(draws: Random) -> dict[str, Any]:
    core: dict[str, Any] = {}
    if draws.random() < 0.5:
        core["eager_fanout"] = 2
    if draws.random() < 0.3:
        core["merge_delay_ms"] = 0
    if draws.random() < 0.3:
        core["bounds"] = {"untrusted_owners": draws.choice((2, 8))}
    return core
