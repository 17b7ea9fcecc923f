"""Measures of diffusion and what theory expects, against closed forms, other libraries and enumeration."""

from __future__ import annotations

from math import log2
from random import Random

import networkx as nx
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score  # type: ignore[import-untyped]

from plora.analysis import diffusion


def test_coverage_is_the_share_of_agents_by_domain() -> None:
    assert diffusion.coverage([[1, 0], [1, 1], [0, 0], [0, 0]]).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_information_of_equal_blocks(blocks: int) -> None:
    knowledge = np.kron(np.eye(blocks), np.ones((3, 2)))
    assert diffusion.mutual_information(knowledge) == pytest.approx(log2(blocks))


def test_information_when_all_or_none_know() -> None:
    assert diffusion.mutual_information(np.ones((5, 3))) == diffusion.mutual_information(np.zeros((5, 3))) == 0.0


def test_information_agrees_with_scikit_learn() -> None:
    counts = np.random.default_rng(1).integers(0, 4, (6, 5))
    agents, domains = (place.repeat(counts.ravel()) for place in map(np.ravel, np.indices(counts.shape)))
    in_bits = mutual_info_score(agents, domains) / np.log(2)
    assert diffusion.mutual_information(counts) == pytest.approx(in_bits, rel=1e-12)


@pytest.mark.parametrize("wrong", [[1, 2], [[1, -1]]])
def test_knowledge_of_another_shape_is_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="agents × domains"):
        diffusion.mutual_information(wrong)


def test_series() -> None:
    assert diffusion.deltas([0.25, 1.0, 0.5]) == [0.25, 0.75, -0.5] and diffusion.deltas([]) == []
    assert [diffusion.rounds_to([0.1, 0.5, 0.5], share) for share in (0.5, 0.9)] == [2, None]
    assert diffusion.rounds_to([sum([0.1] * 3) + 0.6], 0.9) == 1
    assert diffusion.redundancy(10, 4) == 0.4 and diffusion.redundancy(0, 0) == 0.0
    with pytest.raises(ValueError, match="11 of 10"):
        diffusion.redundancy(10, 11)


@pytest.mark.parametrize(("n", "rounds"), [(1, 0.0), (2, 1.0), (4, 2.01667), (8, 3.12096), (20, 4.46509)])
def test_exact_rounds_of_push_pull(n: int, rounds: float) -> None:
    assert diffusion.push_pull_rounds_exact(n) == pytest.approx(rounds, abs=5e-6)


def test_exact_rounds_come_near_their_approximation() -> None:
    assert diffusion.push_pull_rounds_exact(64) == pytest.approx(diffusion.push_pull_rounds(64), abs=0.15)
    with pytest.raises(ValueError, match="n = 2"):
        diffusion.push_pull_rounds(2)


def spread(n: int, draws: Random) -> int:
    """Rounds of one run of push-pull in which each answers one of its callers."""
    knows, rounds = {0}, 0
    while len(knows) < n:
        callers: dict[int, list[int]] = {}
        for peer in range(n):
            callers.setdefault(draws.choice([other for other in range(n) if other != peer]), []).append(peer)
        met = [(draws.choice(those), called) for called, those in callers.items()]
        knows |= {one for pair in met for one in pair if knows & set(pair)}
        rounds += 1
    return rounds


def test_one_answer_a_round_against_runs() -> None:
    draws = Random(5)
    runs = [spread(5, draws) for _ in range(4000)]
    standard_error = float(np.std(runs)) / len(runs) ** 0.5
    exact = diffusion.push_pull_rounds_exact(5, "one")
    assert abs(float(np.mean(runs)) - exact) < 4 * standard_error < 0.1
    assert exact > diffusion.push_pull_rounds_exact(5)
    with pytest.raises(ValueError, match="n = 8"):
        diffusion.push_pull_rounds_exact(8, "one")


def test_one_answer_among_three_by_hand() -> None:
    """By the ways to call: of one who knows learn 0, 1, 2 others with 1/8, 1/2, 3/8; of two the third with 7/8."""
    assert diffusion.push_pull_rounds_exact(3, "one") == pytest.approx((1 + 1 / 2 * 8 / 7) / (7 / 8))


def test_asynchronous_rounds_are_the_sum_of_their_waits() -> None:
    """In 1/n of time comes a call; it is news with 2 k (n-k) of the n (n-1) ordered pairs."""
    waits = [1 / 10 * (10 * 9) / (2 * k * (10 - k)) for k in range(1, 10)]
    assert diffusion.asynchronous_rounds(10) == pytest.approx(sum(waits))
    assert diffusion.asynchronous_rounds(1) == 0.0


def test_a_star_by_playing_it() -> None:
    def rounds(start: int) -> int:
        knows, count = {start}, 0
        while len(knows) < 9:
            met = [{leaf, 0} for leaf in range(1, 9)]
            knows |= set().union(*[pair for pair in met if pair & knows])
            count += 1
        return count

    assert (rounds(0), rounds(3)) == (diffusion.star_rounds(True), diffusion.star_rounds(False))


def test_percolation_of_random_graphs() -> None:
    n, c, q = 40_000, 4.75, 0.5
    graph = nx.fast_gnp_random_graph(n, c / n, seed=2)
    passing = np.random.default_rng(3).random(n) < q
    sizes = diffusion.component_sizes([list(graph[peer]) for peer in range(n)], passing)
    assert sum(sizes) == passing.sum() and sizes == sorted(sizes, reverse=True)
    assert sizes[0] / n == pytest.approx(diffusion.percolation_share(c, q), rel=0.02)


def test_the_threshold_of_percolation() -> None:
    assert diffusion.detection_needed(4.75) == pytest.approx(0.79, abs=0.001)
    passing = 1 - diffusion.detection_needed(4.75)
    assert diffusion.percolation_share(4.75, passing * 0.999) == 0.0 < diffusion.percolation_share(4.75, passing * 1.01)
    assert diffusion.detection_needed(0.5) == diffusion.detection_needed(0.0) == 0.0


def test_component_sizes() -> None:
    assert diffusion.component_sizes([[1], [0], [], [4], [3, 5], [4]]) == [3, 2, 1]
    assert diffusion.component_sizes([[1], [0, 2], [1]], [True, False, True]) == [1, 1]
