"""What befalls a swarm: the happenings of its scenario, peers that come and go, and edges that are down for a round.

- All of it is planned on the virtual clock when round 1 begins, and drawn from streams of the scenario's seed. Nothing
  happens after the last round. What is said for 4.0 happens as round 4 ends, before it is looked at.
- Who is drawn for a happening is drawn before the run: down or up, honest or not.
- A peer that a `start` names or draws, and that nothing ended before, isn't there until then. A `start` for everybody
  starts whoever is down.
- What is asked of a peer that is down (a clock, a gate, a disk) holds when it starts again. One whose disk lets it not
  start tries again each round, as under a supervisor.
- An end holds until a `start`: churn brings nobody back, and no start is tried again, whom something ended meanwhile.
- Churn kills as many as its share asks for on average, each at a moment of its own in the round, of those that are up.
- Who whitewashes comes back under a new id, on the same disk, and knows what its neighbours are called by then. Members
  keep theirs, for it is theirs that their votes are known by.
- In each round the edges are down that the fleet drops in it (`plora.sim.counter`): links stay open, frames are
  swallowed.

Not handled here: what a link, a disk or a peer does then (`links`, `disk`, `peer`), adversaries.

>>> told = {"agents": 9, "happenings": [{"round": 4, "do": "start", "peers": [8]}, {"round": 5, "do": "start"}]}
>>> late(Scenario.parse(told))
frozenset({8})
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from plora.node.core.streams import Streams
from plora.proto.errors import StoreError
from plora.sim.choices import everybody, pick
from plora.sim.counter import edges_down
from plora.sim.peer import SimPeer
from plora.sim.scenario import Choice, Happening, Links, Scenario

if TYPE_CHECKING:
    from plora.sim.run import Simulation

ENDS = ("stop", "kill", "power_cut")


def late(scenario: Scenario) -> frozenset[int]:
    """The peers that are not there when the others begin."""
    first: dict[int, str] = {}
    for happening, peers in chosen(scenario):
        if happening.do in ENDS or (happening.do == "start" and not everybody(happening)):
            for number in peers:
                first.setdefault(number, happening.do)
    return frozenset(number for number, do in first.items() if do == "start")


def plan(simulation: Simulation) -> None:
    """Put all that is to happen on the clock; to be called once, when it is known when round 1 begins."""
    Faults(simulation).plan()


def make_well(simulation: Simulation) -> None:
    """End all that is wrong with network and machines: everybody is up, at the same time, on a sound disk."""
    network = simulation.swarm.network
    network.links = Links()
    network.heal_all()
    network.down.clear()
    for peer in simulation.swarm.peers.values():
        peer.disk.mend()
        peer.wall_ahead_ms, peer.gate_slowness = 0, 1.0
        if not peer.up:
            peer.boot()


class Faults:
    """The faults of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._scenario = simulation.scenario
        self._swarm = simulation.swarm
        self._streams = Streams(simulation.scenario.seed, "")
        self._churn = self._streams.stream("churn")
        self._ends: Counter[str] = Counter()
        self._called = {peer.id: peer for peer in simulation.swarm.peers.values()}
        self._edges = np.asarray(simulation.edges, dtype=np.int64).reshape(-1, 2)
        self._do: dict[str, Callable[[SimPeer, Happening], None]] = {
            "start": lambda peer, _: self._start(peer),
            "stop": lambda peer, _: peer.stop(),
            "kill": lambda peer, _: peer.crash(),
            "power_cut": lambda peer, _: peer.crash(self._streams.stream(f"power/{peer.id}/{peer.config.boot}")),
            "jump_clock": lambda peer, told: setattr(peer, "wall_ahead_ms", peer.wall_ahead_ms + round(told.by * 1000)),
            "slow_gate": lambda peer, told: setattr(peer, "gate_slowness", told.by),
            "disk_full": lambda peer, told: peer.disk.leave(int(told.by)),
            "disk_error": lambda peer, _: peer.disk.break_down(),
            "disk_free": lambda peer, _: peer.disk.mend(),
        }

    def plan(self) -> None:
        """Put it all on the clock."""
        for happening, peers in chosen(self._scenario):
            self._at(happening.round, partial(self._happen, happening, peers))
        for round_ in range(self._scenario.rounds):
            if self._scenario.graph.dropout:
                self._at(round_, partial(self._drop_edges, round_))
            if self._scenario.churn.percent:
                self._at(round_, partial(self._come_and_go, round_))
        if self._scenario.graph.dropout:
            self._swarm.clock.at(self._simulation.at(self._scenario.rounds), self._swarm.network.down.clear)

    def _at(self, round_: float, call: Callable[[], object]) -> None:
        if round_ < self._scenario.rounds:
            self._swarm.clock.at(self._simulation.at(round_), call)

    def _happen(self, told: Happening, numbers: list[int]) -> None:
        peers = [self._peer(number) for number in numbers]
        match told.do:
            case "cut":
                self._swarm.network.isolate(peer.id for peer in peers)
            case "heal":
                self._swarm.network.heal_all()
            case "links":
                self._swarm.network.links = told.links or self._scenario.links
            case _:
                for peer in peers:
                    self._befall(peer, told)

    def _befall(self, peer: SimPeer, told: Happening) -> None:
        if told.do in ENDS:
            self._ends[peer.first_id] += 1
        if peer.up or told.do not in ENDS:
            self._do[told.do](peer, told)

    def _peer(self, number: int) -> SimPeer:
        return self._swarm.peer(self._simulation.ids[number])

    def _start(self, peer: SimPeer) -> None:
        if peer.up:
            return
        try:
            peer.boot()
        except StoreError:
            again = self._unless_ended(peer, partial(self._start, peer))
            self._swarm.clock.after(self._simulation.round_ns, again)

    def _unless_ended(self, peer: SimPeer, call: Callable[[], None]) -> Callable[[], None]:
        """The call, which does nothing once the peer has been ended again."""
        ends = self._ends[peer.first_id]
        return lambda: call() if ends == self._ends[peer.first_id] else None

    def _drop_edges(self, round_: int) -> None:
        dropout = self._scenario.graph.dropout
        gone = self._edges[edges_down(self._scenario.seed, round_, self._edges, dropout)].tolist()
        pairs = [(self._peer(a).id, self._peer(b).id) for a, b in gone]
        self._swarm.network.down.clear()
        self._swarm.network.down.update(pairs, ((b, a) for a, b in pairs))

    def _come_and_go(self, round_: int) -> None:
        each_round = self._scenario.agents * self._scenario.churn.percent / 100
        up = [number for number in range(self._scenario.agents) if self._peer(number).up]
        count = int(each_round * (round_ + 1)) - int(each_round * round_)
        for number in self._churn.sample(up, min(count, len(up))):
            moment = round_ + self._churn.random()
            self._at(moment, partial(self._leave, number, moment + self._scenario.churn.away))

    def _leave(self, number: int, back: float) -> None:
        peer = self._peer(number)
        if peer.up:
            peer.crash()
            back_again = self._unless_ended(peer, partial(self._come_back, peer))
            self._swarm.clock.at(self._simulation.at(back), back_again)

    def _come_back(self, peer: SimPeer) -> None:
        if self._scenario.churn.whitewash and peer.vote_key is None and not peer.up:
            peer.rename(hashlib.sha256(f"plora/sim/whitewash\x00{peer.id}".encode()).hexdigest())
            self._called[peer.id] = peer
            known = (replace(near, peer=self._called[near.peer].id) for near in peer.config.neighbours)
            peer.config = replace(peer.config, neighbours=tuple(known))
        self._start(peer)


def chosen(scenario: Scenario) -> list[tuple[Happening, list[int]]]:
    """The happenings in the order of their rounds, with the numbers of the peers that they befall."""
    chosen = [(told, _peers(told, number, scenario)) for number, told in enumerate(scenario.happenings)]
    return sorted(chosen, key=lambda one: one[0].round)


def _peers(choice: Choice, number: int, scenario: Scenario) -> list[int]:
    draws = Streams(scenario.seed, "").stream(f"happening/{number}")
    return pick(choice, scenario.agents, range(scenario.agents), draws, f"happenings.{number}")
