"""The fleet: rounds against what their rule says, figures against sums, equal states from any number of threads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import pytest

from plora.analysis.diffusion import mutual_information
from plora.proto.errors import UsageError
from plora.sim import counter, topology
from plora.sim.fleet.counts import Knowing, frames, heard, holders
from plora.sim.fleet.engine import Crowds, Fleet, Graph, Losses, Rule
from plora.sim.fleet.gates import Chance, accepts_of
from plora.sim.fleet.regard import Regarding
from plora.sim.fleet.runs import FleetRun, run_fleet
from plora.sim.run import run
from plora.sim.scenario import Scenario

Call = Literal["push-pull", "push", "pull"]
Clock = Literal["together", "phased", "poisson"]
CALLS, CLOCKS = get_args(Call), get_args(Clock)
PEERS, PLASMIDS = 60, 70
TWO_THREADS = 1 << 15
"""So many peers are worth two threads."""


def _graph(peers: int = PEERS, degree: float = 5.0, seed: int = 1) -> Graph:
    return Graph(*topology.erdos_renyi_graph(peers, degree / peers, seed).csr())


def _fleet(
    rule: Rule, losses: Losses | None = None, rate: float = 1.0, threads: int = 1, graph: Graph | None = None
) -> Fleet:
    graph = graph or _graph()
    accepts = accepts_of([Chance(rate, 0.3)] * PLASMIDS, graph.peers, seed=7) if rate < 1 else None
    fleet = Fleet(graph, PLASMIDS, 7, rule, losses, accepts, threads)
    for plasmid in range(PLASMIDS):
        fleet.publish(plasmid, plasmid * 31 % graph.peers)
    return fleet


def _sets(planes: Any) -> list[set[int]]:
    assert planes is not None
    return [
        {p for p in range(64 * len(planes)) if int(planes[p // 64, peer]) >> (p % 64) & 1}
        for peer in range(planes.shape[1])
    ]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("call", CALLS)
def test_a_round_moves_what_its_calls_say(call: Call, clock: Clock) -> None:
    fleet = _fleet(Rule(call, clock=clock), Losses(told=0.2, asked=0.3), rate=0.6)
    for _ in range(4):
        known, accepts = _sets(fleet.known), _sets(fleet.accepts)
        fleet.step()
        calls, now = fleet.latest, [set(each) for each in known]
        for caller, asked, told in zip(calls.callers, calls.asked, calls.told, strict=True):
            there = known if clock == "together" else now
            theirs, mine = set(there[asked]), set(there[caller])
            now[caller] |= theirs & accepts[caller] if call != "push" else set()
            now[told] |= mine & accepts[told] if call != "pull" else set()
        assert _sets(fleet.known) == now
        assert not any(a & b for a, b in zip(now, _sets(fleet.refused), strict=True))


@pytest.mark.parametrize("clock", CLOCKS)
def test_calls_go_along_edges_that_are_up_and_one_is_answered(clock: Clock) -> None:
    graph = topology.erdos_renyi_graph(PEERS, 0.1, 1)
    fleet = _fleet(Rule(answers="one", clock=clock), Losses(edges=0.4), graph=Graph(*graph.csr()))
    for round_ in range(5):
        down = counter.edges_down(7, round_, graph.edges, 0.4)
        up = {tuple(edge) for edge in graph.edges[~down].tolist()}
        fleet.step()
        met = [(a, b) for a, b in zip(fleet.latest.callers.tolist(), fleet.latest.told.tolist(), strict=True) if a != b]
        assert met
        assert {(min(pair), max(pair)) for pair in met} <= up
        assert len({callee for _, callee in met}) == len(met)


def test_whom_a_peer_calls_is_drawn_evenly() -> None:
    fleet = Fleet(Graph([0, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0]), 1, seed=2)
    called = []
    for _ in range(3000):
        fleet.step()
        called.append(int(fleet.latest.told[0]))
    assert np.abs(np.bincount(called, minlength=4)[1:] - 1000).max() < 110  # more than four standard deviations


@pytest.mark.parametrize(("crowd", "rounds"), [(4, 2.01667), (8, 3.12096), (20, 4.46509)])
def test_rounds_to_all_are_those_of_the_exact_markov_chain(crowd: int, rounds: float) -> None:
    """Expected rounds of synchronous push-pull on a complete graph, from one peer to all."""
    crowds = 20_000
    fleet = Fleet(Crowds(crowds * crowd, crowd), 1, seed=11)
    fleet.known[0, ::crowd] = 1
    taken, going = np.zeros(crowds), np.ones(crowds, dtype=bool)
    while going.any():
        taken += going
        fleet.step()
        going = ~fleet.known[0].reshape(crowds, crowd).all(axis=1)
    assert taken.mean() == pytest.approx(rounds, abs=4 * taken.std() / crowds**0.5)


def test_a_flood_reaches_everybody_at_their_distance() -> None:
    graph = topology.ring(40)
    fleet = Fleet(Graph(*graph.csr()), 1, rule=Rule("flood"))
    fleet.publish(0, 0)
    reached = []
    for _ in range(20):
        fleet.step()
        reached.append(int(holders(fleet.known, 1)[0]))
    assert reached == [min(40, 1 + 2 * round_) for round_ in range(1, 21)]


def test_a_flood_by_chance_counts_the_neighbours_that_know() -> None:
    """A hub whose 2 of 3 neighbours know gets each of many plasmids with probability 2 beta."""
    graph, plasmids = Graph([0, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0]), 6400
    fleet = Fleet(graph, plasmids, 5, Rule("flood", beta=0.3))
    fleet.known[:, 1:3] = np.uint64(2**64 - 1)
    fleet.step()
    got = int(np.bitwise_count(fleet.known[:, 0]).sum())
    assert got == pytest.approx(0.6 * plasmids, abs=4 * (0.24 * plasmids) ** 0.5)


@pytest.mark.parametrize(
    "rule",
    [Rule(), Rule("push"), Rule("pull", answers="one"), Rule("flood"), Rule("flood", beta=0.4), Rule(clock="phased")],
)
def test_any_number_of_threads_gives_the_same_states(rule: Rule) -> None:
    graph = _graph(TWO_THREADS, degree=3.0)
    losses = Losses() if rule.call == "flood" else Losses(0.1, 0.2, 0.3)
    one, two = (_fleet(rule, losses, rate=0.8, threads=threads, graph=graph) for threads in (1, 2))
    assert two._threads.count == 2
    for _ in range(6):
        one.step()
        two.step()
        assert np.array_equal(one.known, two.known)
        assert one.refused is not None and two.refused is not None
        assert one.refused.any() and np.array_equal(one.refused, two.refused)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_verdicts_have_their_rate_and_their_correlation(correlation: float) -> None:
    plasmids, peers = 2000, 64
    planes = accepts_of([Chance(0.7, correlation)] * plasmids, peers, seed=3)
    bits = np.unpackbits(planes.view(np.uint8), bitorder="little").reshape(len(planes), peers, 64)
    verdicts = bits.transpose(0, 2, 1).reshape(-1, peers)[:plasmids].astype(float)
    assert verdicts.mean() == pytest.approx(0.7, abs=0.04)
    between = np.corrcoef(verdicts[:, :32].T, verdicts[:, 32:].T)[:32, 32:]
    assert between.mean() == pytest.approx(correlation, abs=0.05)


def test_figures_are_those_of_the_plain_table() -> None:
    fleet = _fleet(Rule())
    domains = [plasmid % 5 for plasmid in range(PLASMIDS)]
    for _ in range(3):
        before = _sets(fleet.known)
        known = fleet.known.copy()
        fleet.step()
        sets, calls = _sets(fleet.known), fleet.latest
        knows = np.array([[any(p % 5 == domain for p in one) for domain in range(5)] for one in sets])
        knowing = Knowing.of(fleet.known, domains, 5)
        assert knowing.by_domain.tolist() == knows.sum(axis=0).tolist()
        assert knowing.mutual_information() == pytest.approx(mutual_information(knows))
        assert holders(fleet.known, PLASMIDS).tolist() == [sum(p in one for one in sets) for p in range(PLASMIDS)]
        asked = zip(calls.asked, calls.callers, strict=True)
        told = zip(calls.callers, calls.told, strict=True)
        carried = sum(len(before[a] - before[b]) for a, b in [*asked, *told])
        assert heard(known, None, calls) == carried


def _shape(value: object) -> object:
    """The names in plain data, all the way down."""
    return {name: _shape(one) for name, one in value.items()} if isinstance(value, dict) else None


def _neighbours(graph: Any) -> list[tuple[int, int]]:
    """Who may be heard by whom: each edge both ways."""
    starts, neighbours = graph.rows()
    return [(int(b), a) for a in range(graph.peers) for b in neighbours[starts[a] : starts[a + 1]]]


def _scenario(**changes: object) -> Scenario:
    base = {"engine": "fleet", "agents": 300, "graph": {"p": 0.03, "connected": True}, "publish": {"plasmids": 6}}
    return Scenario.parse(base | changes)


def test_a_scenario_ends_in_the_report_that_the_swarm_has() -> None:
    fleet = run(_scenario()).report
    swarm = run(_scenario(engine="swarm", agents=12, graph={"kind": "complete"}, rounds=2)).report
    assert set(fleet) <= set(swarm)
    assert fleet["clean_arrived"] and fleet["rounds"][-1]["coverage"] == dict.fromkeys(swarm["rounds_to"], 1.0)
    assert _shape(fleet["rounds"][0]) == _shape(swarm["rounds"][0])


def test_equal_scenarios_give_equal_rounds_and_other_seeds_others() -> None:
    told = _scenario(rounds=5)
    one, again, two = run_fleet(told), run_fleet(told, threads=2), run_fleet(_scenario(rounds=5, seed=1))
    assert [asdict(each) for each in one.rounds] == [asdict(each) for each in again.rounds]
    assert [each.digest for each in one.rounds] != [each.digest for each in two.rounds]


def test_trojans_that_most_refuse_stay_few_and_late_ones_come_late() -> None:
    publish = {"plasmids": 10, "trojan_rate": 0.3, "every": 2.0}
    verdicts = {"accept_clean": 1.0, "accept_trojan": 0.05, "correlation": 0.0}
    told = _scenario(publish=publish, security={"verdicts": verdicts}, rounds=40)
    outcome = run_fleet(told)
    last = outcome.rounds[-1].verdicts
    assert last["accepted"]["clean"] == 7 * 300 and last["held"]["clean"] == 0
    assert 3 <= last["accepted"]["trojan"] < 60 and last["held"]["trojan"] > 0
    began = [next(each.number for each in outcome.rounds if each.holders[n]) for n in range(10)]
    assert began == [1 + 2 * number for number in range(10)]
    assert not outcome.report["notes"]
    assert run_fleet(
        told.model_copy(update={"security": told.security.model_copy(update={"detectors": False})})
    ).rounds[-1].verdicts["accepted"] == {"clean": 2100, "trojan": 900}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("links", {"links": {"duplication": 0.1}}),
        ("links", {"links": {"bandwidth": 1000}}),
        ("security.consensus", {"security": {"consensus": True}}),
        ("core", {"core": {"round_ms": 500}}),
        ("churn.percent", {"churn": {"percent": 1}}),
        ("happenings", {"happenings": [{"round": 1, "do": "heal"}]}),
        ("fleet.beta", {"fleet": {"beta": 0.5}}),
        ("fleet.poisson", {"fleet": {"poisson": True}, "synchronous": True}),
        ("fleet.call", {"fleet": {"call": "flood"}, "links": {"loss": 0.5}}),
        ("publish.at", {"publish": {"at": [300]}}),
    ],
)
def test_what_it_cannot_do_it_refuses_by_name(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"^{field}: "):
        run_fleet(_scenario(**changes))


def test_a_complete_graph_of_a_million_may_be_had_where_nobody_is_regarded() -> None:
    with pytest.raises(UsageError, match=r"^agents: .*fleet\.regard = false"):
        run_fleet(_scenario(agents=1_000_000, graph={"kind": "complete"}))


@pytest.mark.parametrize(
    "fleet", [{"call": "flood", "beta": 0.2}, {"call": "push", "regard": False}, {"answers": "one"}, {"poisson": True}]
)
def test_every_rule_brings_everything_to_everybody(fleet: dict[str, object]) -> None:
    outcome = run_fleet(_scenario(fleet=fleet, rounds=60))
    assert outcome.report["clean_arrived"]


@pytest.mark.parametrize("fleet", [{"call": "push"}, {"call": "pull"}, {"call": "push-pull"}, {"call": "flood"}])
def test_what_is_heard_is_what_calls_carried_of_what_was_lacking(fleet: dict[str, object]) -> None:
    run_ = FleetRun(_scenario(agents=60, graph={"p": 0.1, "connected": True}, synchronous=True, fleet=fleet), threads=1)
    for number, one in enumerate(run_.truth):
        run_.fleet.publish(number, one.peer)
    neighbours = _neighbours(run_.fleet.graph)
    carried = had = 0
    for _ in range(8):
        before = _sets(run_.fleet.known)
        seen = run_.step()
        calls = run_.fleet.latest
        asked = [(b, a) for a, b in zip(calls.callers, calls.asked, strict=True)]
        told = [(a, b) for a, b in zip(calls.callers, calls.told, strict=True)]
        pairs = neighbours if fleet["call"] == "flood" else asked + told
        carried += sum(len(before[speaker] - before[hearer]) for speaker, hearer in pairs)
        had += sum(map(len, _sets(run_.fleet.known))) - sum(map(len, before))
        assert (seen.heard, seen.heard - seen.useless) == (carried, had)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(("call", "each"), [("push-pull", 1.5), ("pull", 1.5), ("push", 1.0)])
def test_what_is_lost_was_sent(call: Call, each: float, clock: Clock) -> None:
    """Each asks once; half of the questions come, and are answered."""
    fleet = Fleet(Crowds(20_000, 20_000), 1, 4, Rule(call, clock=clock), Losses(told=0.5, asked=0.75))
    fleet.step()
    assert frames(fleet.latest, call) / 20_000 == pytest.approx(each, abs=0.02)


@pytest.mark.parametrize(("rule", "losses"), [(Rule(answers="one"), Losses()), (Rule(), Losses(edges=0.9))])
def test_a_question_that_nobody_answers_was_sent(rule: Rule, losses: Losses) -> None:
    fleet = _fleet(rule, losses, graph=Graph(*topology.ring(PEERS).csr()))
    fleet.step()
    answered = int((fleet.latest.told != fleet.latest.callers).sum())
    assert 0 < answered < PEERS and frames(fleet.latest, "push-pull") == PEERS + answered


def test_a_flood_by_chance_is_heard_as_often_as_it_is_passed_on() -> None:
    graph = {"kind": "complete"}
    outcome = run_fleet(_scenario(agents=40, graph=graph, rounds=3, fleet={"call": "flood", "beta": 1e-9}))
    assert (outcome.rounds[-1].heard, outcome.rounds[-1].messages) == (0, 3 * 2 * 40 * 39)


def test_rounds_count_from_the_one_of_the_publication() -> None:
    publish = {"plasmids": 1, "first_round": 2.4}
    outcome = run_fleet(_scenario(agents=2, graph={"kind": "complete"}, rounds=4, publish=publish))
    adapter = outcome.report["adapters"][0]
    assert (adapter["round"], adapter["rounds_to"]["100%"]) == (2.0, 1.0)


@pytest.mark.parametrize("clock", ["together", "phased"])
def test_who_brought_something_first_has_a_lot_of_their_own(clock: Clock) -> None:
    """Peer 0 knows 1, 2 and 3, of whom only 1 brought it something: it gets half of the calls."""
    graph = Regarding([0, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0])
    fleet = Fleet(graph, 1, 3, Rule("pull", clock=clock))
    fleet.publish(0, 1)
    while not fleet.known[0, 0]:
        fleet.step()
    assert graph.earned.tolist()[:3] == [1, 0, 0]
    called = []
    for _ in range(4000):
        fleet.step()
        called.append(int(fleet.latest.asked[fleet.latest.callers == 0][0]))
    assert np.abs(np.bincount(called, minlength=4)[1:] - [2000, 1000, 1000]).max() < 140
    assert graph.earned.tolist() == [1, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("clock", ["together", "phased"])
def test_who_gave_the_bytes_has_a_lot_of_their_own_too(clock: Clock) -> None:
    """Both 1 and 2 have what peer 0 hears from one of them, and 1 is the first of whom it asks the bytes."""
    earned = set()
    for seed in range(12):
        graph = Regarding([0, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0])
        fleet = Fleet(graph, 1, seed, Rule("pull", clock=clock))
        fleet.publish(0, 1)
        fleet.publish(0, 2)
        while not fleet.known[0, 0]:
            fleet.step()
        earned.add(tuple(graph.earned.tolist()[:3]))
    assert earned == {(1, 0, 0), (1, 1, 0)}
