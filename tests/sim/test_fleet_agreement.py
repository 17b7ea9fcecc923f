"""The fleet agrees with what is exact and with theory: two one-sided t-tests of equivalence, in rounds.

Not handled here: that its rounds follow their rule (`test_fleet`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from plora.analysis.diffusion import (
    asynchronous_rounds,
    percolation_share,
    push_pull_rounds,
    push_pull_rounds_exact,
    star_rounds,
)
from plora.analysis.equivalence import equivalence_to
from plora.sim import topology
from plora.sim.fleet.counts import holders
from plora.sim.fleet.engine import Crowds, Fleet, Graph, Rule
from plora.sim.fleet.gates import Chance, accepts_of

BOUND = 0.5


def rounds_of_crowds(crowd: int, crowds: int, rule: Rule, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rounds from one peer to all, of as many complete graphs."""
    fleet = Fleet(Crowds(crowds * crowd, crowd), 1, seed, rule)
    fleet.known[0, ::crowd] = 1
    taken, going = np.zeros(crowds, dtype=np.int64), np.ones(crowds, dtype=bool)
    while going.any():
        taken += going
        fleet.step()
        going = ~fleet.known[0].reshape(crowds, crowd).all(axis=1)
    return taken


@pytest.mark.parametrize(("crowd", "answers"), [(4, "all"), (8, "all"), (20, "all"), (4, "one"), (7, "one")])
def test_complete_graphs_against_the_exact_chain(crowd: int, answers: Literal["all", "one"]) -> None:
    taken = rounds_of_crowds(crowd, 4000, Rule(answers=answers))
    assert equivalence_to(taken, push_pull_rounds_exact(crowd, answers), bound=0.1).equivalent


@pytest.mark.parametrize("power", [8, 10, 12])
def test_complete_graphs_against_the_formula(power: int) -> None:
    taken = rounds_of_crowds(1 << power, 1 << 16 - power, Rule())
    assert equivalence_to(taken, push_pull_rounds(1 << power), BOUND).equivalent


@pytest.mark.nightly
@pytest.mark.parametrize("power", [14, 16, 18, 20])
def test_large_complete_graphs_against_the_formula(power: int) -> None:
    taken = np.concatenate([rounds_of_crowds(1 << power, 1, Rule(), seed) for seed in range(12)])
    assert equivalence_to(taken, push_pull_rounds(1 << power), BOUND).equivalent


@pytest.mark.parametrize("crowd", [8, 64])
def test_clocks_of_their_own_against_the_exact_expectation(crowd: int) -> None:
    """Of a time whose whole round is counted, half a round too much is counted on average."""
    taken = rounds_of_crowds(crowd, 2000, Rule(clock="poisson"))
    assert equivalence_to(taken - 0.5, asynchronous_rounds(crowd), bound=0.15).equivalent


@pytest.mark.parametrize(("peer", "from_hub"), [(0, True), (7, False)])
def test_a_star_takes_two_rounds_from_a_leaf_and_one_from_its_hub(peer: int, from_hub: bool) -> None:
    fleet = Fleet(Graph(*topology.star(500).csr()), 1)
    fleet.publish(0, peer)
    for _ in range(star_rounds(from_hub)):
        assert not fleet.known[0].all()
        fleet.step()
    assert fleet.known[0].all()


@pytest.mark.parametrize("share", [1.0, 0.6, 0.4])
def test_what_most_refuse_percolates_as_theory_says(share: float) -> None:
    """Sizes of outbreaks on random graphs of mean degree 4.75 are within 2 % of P = q (1 - exp(-cP))."""
    peers, degree, plasmids = 20_000, 4.75, 64
    graph = Graph(*topology.erdos_renyi_graph(peers, degree / peers, 5).csr())
    accepts = accepts_of([Chance(share)] * plasmids, peers, seed=2)
    fleet = Fleet(graph, plasmids, 3, Rule("flood"), accepts=accepts)
    for plasmid in range(plasmids):
        fleet.publish(plasmid, plasmid * 311)
    before = np.zeros(plasmids, dtype=np.int64)
    while (now := holders(fleet.known, plasmids)).tolist() != before.tolist():
        before = now
        fleet.step()
    outbreaks = now[now > peers / 100] / peers
    assert len(outbreaks) > plasmids / 3
    assert outbreaks.mean() == pytest.approx(percolation_share(degree, share), rel=0.02)
