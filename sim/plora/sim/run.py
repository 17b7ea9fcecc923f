"""Runs a scenario, on the swarm by default: real cores on a virtual clock, looked at after each round.

- The peers boot and find their neighbours first; then round 1 begins, and times of the scenario count from there.
- What a round's figures are made of is what the peers' event logs say (`plora.sim.tally`); what was clean stands beside
  it in `Simulation.truth` and in no log.
- Owners have valid keys and are trusted by everybody: that an adapter is a trojan only its detectors can tell.

Not handled here: the fleet (`plora.sim.fleet.runs`), the report (`plora.sim.report`), files and the terminal
(`plora sim`).

>>> outcome = run(Scenario.parse({"agents": 4, "rounds": 6, "graph": {"kind": "complete"}, "publish": {"plasmids": 1}}))
>>> outcome.rounds[-1].coverage
{'arithmetic': 1.0}
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from plora.node.core.effects import Emit
from plora.node.transport.traffic import Traffic
from plora.proto.errors import StoreError
from plora.sim.adversary import Adversary
from plora.sim.build import Published, adapters, build, edges_of, voters
from plora.sim.checks import Checks
from plora.sim.clock import MS
from plora.sim.expectations import failures
from plora.sim.faults import late, plan
from plora.sim.kinds import line_up
from plora.sim.material import Plasmid
from plora.sim.peer import SimPeer
from plora.sim.reach import Reach
from plora.sim.report import measured, report_of
from plora.sim.rounds import Round
from plora.sim.scenario import Scenario
from plora.sim.tally import Tally
from plora.sim.topology import components, neighbours
from plora.sim.truth import Truth

WARM_UP_S = 5
PATIENCE_S = 60
"""So long peers have to find their neighbours; with half of all frames lost it takes several tries."""

Watch = Callable[[Round], None]


class Simulation:
    """A scenario under way. `ids` are those of the peers by number; `truth` and `plasmids` go by content id in hex.
    `line_up` says which peers break rules, or are of another release.

    What is sent before round 1 is in `warm_up`, and from then on in `traffic`."""

    def __init__(self, scenario: Scenario, kinds: Mapping[int, type[SimPeer]] | None = None) -> None:
        self.scenario = scenario
        self.edges = edges_of(scenario)
        published = adapters(scenario)
        self.truth: dict[str, Truth] = {truth.content: truth for truth, _, _ in published}
        self.plasmids: dict[str, Plasmid] = {truth.content: plasmid for truth, _, plasmid in published}
        near = neighbours(scenario.agents, self.edges)
        self.line_up = line_up(scenario.adversaries, near, seed=scenario.seed, members=voters(scenario))
        kinds = {**(kinds or {}), **self.line_up.kinds}
        self.swarm, self.ids = build(scenario, self.edges, published, kinds, self.line_up.owners)
        parts = components(scenario.agents, self.edges)
        self.reach = Reach(parts, tuple(self.truth.values()), self.line_up.breaking)
        self.tally = Tally(self.ids, tuple(self.truth.values()))
        self.round_ns = self.swarm.peer(self.ids[0]).config.round_ms * MS
        self.begin_ns = 0
        self.number = 0
        self.warm_up, self.traffic = Traffic(), Traffic()
        self.swarm.network.traffic = self.warm_up
        self._published = published
        self._late = late(scenario)
        for peer in self.swarm.peers.values():
            peer.listen = self._listen

    def begin(self) -> None:
        """Boot the peers, let them find their neighbours, and plan what the scenario tells; `step` sees to it."""
        self.swarm.boot(peer for number, peer in enumerate(self.ids) if number not in self._late)
        self.swarm.run(WARM_UP_S)
        self.swarm.run_until(self._all_linked, PATIENCE_S)
        self.begin_ns = -(-self.swarm.clock.mono_ns // self.round_ns) * self.round_ns
        self.swarm.clock.at(self.begin_ns, partial(setattr, self.swarm.network, "traffic", self.traffic))
        plan(self)
        for published in self._published:
            self.swarm.clock.at(self.at(published[0].round), partial(self._publish, published))
        for number, round_ in sorted(self.line_up.rounds.items()):
            peer = self.swarm.peer(self.ids[number])
            if isinstance(peer, Adversary):
                self.swarm.clock.at(self.at(round_), peer.betray)

    def at(self, round_: float) -> int:
        """The virtual time of a round, in monotonic nanoseconds; 0.0 is the beginning of round 1."""
        return self.begin_ns + int(round_ * self.round_ns)

    def step(self) -> Round:
        """Let one round pass and look."""
        self.pass_round()
        return self.look()

    def pass_round(self) -> None:
        """Let one round pass."""
        if not self.begin_ns:
            self.begin()
        self.number += 1
        self.swarm.clock.run_until(self.at(self.number))

    def look(self) -> Round:
        """The figures of the round under way, which is the first one until it has begun."""
        return measured(max(1, self.number), self.tally, self.reach, self.traffic, self._state())

    def _publish(self, published: Published) -> None:
        truth, owner, plasmid = published
        peer = self.swarm.peer(self.ids[truth.peer])
        try:
            if peer.up:
                peer.publish((owner.record, plasmid.statement), (plasmid.data,))
                return
        except StoreError:
            pass
        self.swarm.clock.after(self.round_ns, partial(self._publish, published))  # when the machine is well again

    def _all_linked(self) -> bool:
        linked, late = self.swarm.network.linked, self._late
        return all(linked(self.ids[a], self.ids[b]) for a, b in self.edges if a not in late and b not in late)

    def _listen(self, peer: SimPeer, seq: int, effect: Emit) -> None:
        self.tally.see((peer.id, peer.config.boot, seq), effect.body, effect.cause, peer.first_id)

    def _state(self) -> str:
        whole = hashlib.sha256(self.tally.verdicts.tobytes())
        for peer in self.swarm.peers.values():
            whole.update(peer.core.live_root if peer.up else b"-")
        whole.update(f"{self.traffic.sent_bytes.total()} {self.tally.heard} {self.tally.useless}".encode())
        return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A simulation that has ended. `simulation` is None where another engine ran it."""

    scenario: Scenario
    rounds: tuple[Round, ...]
    report: Mapping[str, Any]
    truth: tuple[Truth, ...]
    simulation: Simulation | None = None


def run(scenario: Scenario, watch: Watch = lambda _: None, peer: type[SimPeer] = SimPeer) -> Outcome:
    """Run all rounds of a scenario; `watch` is told of each. Raises `UsageError` for what the engine can't do.

    Where invariants are watched an exception in a core is one that broke, and the last round ends with it.

    `peer` is the class of its peers; others than the usual one show which invariants notice.
    """
    if scenario.engine == "fleet":
        from plora.sim.fleet.runs import run_fleet  # it takes a second to import, and needs the extra

        return run_fleet(scenario, watch)
    simulation = Simulation(scenario, dict.fromkeys(range(scenario.agents), peer))
    checks = Checks(simulation) if scenario.invariants else None
    rounds = []
    for _ in range(scenario.rounds):
        rounds.append(_round(simulation, checks))
        watch(rounds[-1])
        if checks is not None and checks.ended:
            break
    truth = tuple(simulation.truth.values())
    report = report_of(scenario, simulation.edges, simulation.reach, rounds, simulation.tally)
    report["traffic"] |= _frames(simulation)
    breaking = simulation.line_up.breaking
    report["adversaries"] = _named(simulation, breaking)
    report["other_releases"] = _named(simulation, simulation.line_up.kinds.keys() - breaking)
    report["clock"] = {"begin_ns": simulation.begin_ns, "round_ns": simulation.round_ns}
    report["broken"] = list(map(str, checks.at_end())) if checks is not None else []
    report["trace_sha256"] = simulation.swarm.digest()
    outcome = Outcome(scenario, tuple(rounds), report, truth, simulation)
    report["unexpected"] = failures(outcome)
    return outcome


def _round(simulation: Simulation, checks: Checks | None) -> Round:
    """The next round, or as far as it came."""
    if checks is None:
        return simulation.step()
    if not checks.ended:
        checks.step()
    return simulation.look()


def _named(simulation: Simulation, numbers: Iterable[int]) -> list[dict[str, Any]]:
    names, rounds = simulation.line_up.names, simulation.line_up.rounds
    return [{"peer": number, "kind": names[number], "from_round": rounds[number]} for number in sorted(numbers)]


def _frames(simulation: Simulation) -> dict[str, Any]:
    """What was sent by kind of frame, and apart from it what finding neighbours took."""
    warm_up, sent = simulation.warm_up, simulation.traffic
    return {
        "warm_up": {"messages": warm_up.sent_frames.total(), "wire_bytes": warm_up.sent_bytes.total()},
        "frames": {
            name: {"messages": count, "wire_bytes": sent.sent_bytes[name]}
            for name, count in sorted(sent.sent_frames.items())
        },
    }
