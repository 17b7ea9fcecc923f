"""Runs a scenario on the fleet: what the scenario means for it, and the series of figures that reports are made from.

- An adapter is published at the nearest whole round, and the truth names that one.
- A frame is a question or an answer: `links.loss` is the chance of each to be lost, and without its question there is
  no answer. Those that are lost, or go over an edge that is down, were sent. Links take no time.
- Verdicts are given at once, and stick. What a peer's detectors find something in it holds, and doesn't pass on;
  whoever publishes an adapter finds nothing in it.
- Calls carry what the other side lacks; a statement is useless where several calls of a round bring the same.
- What it can't do of a scenario it refuses by name.

Not handled here: the rounds themselves (`engine`), the report (`plora.sim.report`).

>>> told = Scenario.parse({"engine": "fleet", "agents": 64, "graph": {"kind": "ring"}, "rounds": 50})
>>> outcome = run_fleet(told)
>>> outcome.rounds[0].holders[0] in (2, 3), outcome.rounds[-1].holders[:3]
(True, (64, 64, 64))
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plora.analysis.outcomes import OUTCOMES
from plora.proto.errors import UsageError
from plora.sim import compiled, topology
from plora.sim.build import truths
from plora.sim.fleet.counts import Knowing, digest, frames, has_any, heard, holders
from plora.sim.fleet.engine import Calls, Crowds, Fleet, Graph, Losses, Rule
from plora.sim.fleet.gates import Chance, accepts_of
from plora.sim.fleet.regard import Regarding
from plora.sim.reach import Reach
from plora.sim.report import report_of
from plora.sim.rounds import Round
from plora.sim.scenario import Expect, Links, Scenario
from plora.sim.truth import Truth
from plora.sim.verdicts import model_of

if TYPE_CHECKING:
    from plora.sim.run import Outcome

Watch = Callable[[Round], None]
PEERS_MAX = 2**31 - 1


class FleetRun:
    """A scenario under way: `step` lets a round pass and looks. `threads` changes nothing that is seen."""

    def __init__(self, scenario: Scenario, threads: int) -> None:
        refuse_unknown(scenario)
        self.scenario = scenario
        self.truth = tuple(replace(one, round=float(int(one.round + 0.5))) for one in truths(scenario))
        graph, self.edges, components = _graph(scenario)
        self.reach = Reach(components, self.truth)
        self.fleet = Fleet(
            graph,
            len(self.truth),
            scenario.seed,
            _rule(scenario),
            _losses(scenario),
            _accepts(scenario, self.truth),
            threads,
        )
        self.all_pairs = _all_pairs(graph) if self.fleet.rule.call == "flood" else None
        self._deceivable = self.reach.deceivable
        self._trojans = [number for number, one in enumerate(self.truth) if one.trojan]
        self._domains = [self.reach.domains.index(one.domain) for one in self.truth]
        self._reached = [int(self.reach.of_domain(domain).sum()) for domain in self.reach.domains]
        self._messages = self._heard = self._new = 0

    def step(self) -> Round:
        """Let one round pass and look."""
        for number, one in enumerate(self.truth):
            if one.round == self.fleet.round:
                self.fleet.publish(number, one.peer)
        known = self.fleet.known.copy()
        refused = None if self.fleet.refused is None else self.fleet.refused.copy()
        before = self._had()
        self.fleet.step()
        self._count_traffic(known, refused, self._had() - before)
        return self._measured()

    def _had(self) -> int:
        planes = [self.fleet.known] + ([self.fleet.refused] if self.fleet.refused is not None else [])
        return sum(int(np.bitwise_count(each).sum(dtype=np.int64)) for each in planes)

    def _count_traffic(self, known: Any, refused: Any, new: int) -> None:
        rule, calls = self.fleet.rule, self.all_pairs or self.fleet.latest
        self._messages += frames(calls, rule.call)
        self._new += new
        if rule.clock == "together" and rule.beta >= 1:
            self._heard += heard(known, refused, calls)
        else:  # one after the other, each asks for what is still lacking; what chance passes on is passed on once
            self._heard += new

    def _measured(self) -> Round:
        fleet, domains = self.fleet, self.reach.domains
        knowing = Knowing.of(fleet.known, self._domains, len(domains))
        accepted = holders(fleet.known, len(self.truth))
        none = np.zeros_like(accepted)
        held = none if fleet.refused is None else holders(fleet.refused, len(self.truth))
        counts = {"accepted": accepted, "held": held}
        of = np.asarray(self._domains)
        return Round(
            fleet.round,
            holders=tuple(accepted.tolist()),
            coverage={
                name: count / reached
                for name, count, reached in zip(domains, knowing.by_domain.tolist(), self._reached, strict=True)
            },
            accepted={name: int(accepted[of == number].sum()) for number, name in enumerate(domains)},
            mutual_information=knowing.mutual_information(),
            verdicts={name: self._by_kind(counts.get(name, none)) for name in OUTCOMES},
            deceived=int(has_any(fleet.known, self._trojans)[self._deceivable].sum()),
            messages=self._messages,
            heard=self._heard,
            useless=self._heard - self._new,
            digest=digest(fleet.known, *(() if fleet.refused is None else (fleet.refused,))),
        )

    def _by_kind(self, counts: NDArray[np.int64]) -> dict[str, int]:
        trojan = np.array([one.trojan for one in self.truth], dtype=bool)
        return {"clean": int(counts[~trojan].sum()), "trojan": int(counts[trojan].sum())}


def run_fleet(scenario: Scenario, watch: Watch = lambda _: None, threads: int = 0) -> Outcome:
    """Run all rounds of a scenario; 0 threads are as many as numba would use. Raises `UsageError`."""
    from plora.sim.run import Outcome

    run = FleetRun(scenario, threads or compiled.threads())
    rounds = []
    for _ in range(scenario.rounds):
        rounds.append(run.step())
        watch(rounds[-1])
    return Outcome(scenario, tuple(rounds), report_of(scenario, run.edges, run.reach, rounds), run.truth)


def _graph(scenario: Scenario) -> tuple[Graph | Crowds, Sized, NDArray[np.int32]]:
    """The graph, its edges, and the component of each peer. A complete one isn't written down unless it must be."""
    agents = scenario.agents
    may_be_huge = scenario.graph.kind == "complete" and scenario.fleet.call != "flood"
    if may_be_huge and scenario.fleet.regard and agents * (agents - 1) // 2 > topology.EDGES_MAX:
        mend = "fleet.regard = false, by which it needn't be written down"
        raise UsageError(f"a complete graph of {agents} peers is too large", where="agents", mend=mend)
    if may_be_huge and not scenario.fleet.regard:
        return Crowds(agents, agents), range(agents * (agents - 1) // 2), np.zeros(agents, dtype=np.int32)
    made = topology.of(scenario.graph, agents, scenario.seed)
    kind = Regarding if scenario.fleet.regard else Graph
    return kind(*made.csr()), made.edges, made.components()


def _all_pairs(graph: Graph | Crowds) -> Calls:
    """Everybody asks all of their neighbours, and tells nobody."""
    starts, neighbours = graph.rows()
    callers = np.repeat(np.arange(graph.peers, dtype=np.int32), np.diff(starts))
    return replace(Calls.of(callers, neighbours[:-1]), told=callers)


def _rule(scenario: Scenario) -> Rule:
    told = scenario.fleet
    if scenario.synchronous or told.call == "flood":
        return Rule(told.call, told.answers, "together", told.beta)
    return Rule(told.call, told.answers, "poisson" if told.poisson else "phased")


def _losses(scenario: Scenario) -> Losses:
    loss = scenario.links.loss
    return Losses(scenario.graph.dropout, told=loss, asked=1 - (1 - loss) ** 2)


def _accepts(scenario: Scenario, truth: tuple[Truth, ...]) -> NDArray[np.uint64] | None:
    model = model_of(scenario)
    if model is None:
        return None
    rates = [model.rate_of(one.kind) for one in truth]
    return accepts_of([Chance(rate.accept, rate.correlation) for rate in rates], scenario.agents, scenario.seed)


def refuse_unknown(scenario: Scenario) -> None:
    """What this engine would leave out it refuses."""
    told, fleet = scenario, scenario.fleet
    wrong = {
        "links": told.links.model_copy(update={"loss": 0.0}) != Links(),
        "security.consensus": told.security.consensus,
        "security.policy": told.security.policy,
        "core": told.core,
        "churn.percent": told.churn.percent,
        "happenings": told.happenings,
        "adversaries": told.adversaries,
        "expect": told.expect != Expect(),
        "invariants": told.invariants,
        "fleet.poisson": fleet.poisson and (told.synchronous or fleet.call == "flood"),
        "fleet.call": fleet.call == "flood" and (told.links.loss or told.graph.dropout),
        "fleet.beta": fleet.call != "flood" and fleet.beta != 1,
        "agents": told.agents > PEERS_MAX,
    }
    named = next((name for name, value in wrong.items() if value), "")
    if named:
        raise UsageError("the fleet can't do that", where=named, mend="leave it out, or use the engine swarm")
