"""Rates with limits: published tables, and what a bootstrap over groups must do."""

from __future__ import annotations

import numpy as np
import pytest

from plora.lab.rates import clopper_pearson, grouped, straddling


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # Two-sided 95 % limits of Clopper and Pearson (1934), as R's binom.test and Hahn and Meeker print them.
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (7, 20, 0.1539, 0.5922),
    ],
)
def test_exact_limits_are_those_of_published_tables(hits: int, of: int, low: float, high: float) -> None:
    rate = clopper_pearson(hits, of, confidence=0.975)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)


def test_two_per_cent_false_alarms_take_149_without_one_or_240_with_one_and_sixty_show_five() -> None:
    assert clopper_pearson(0, 149).high < 0.02 < clopper_pearson(0, 148).high
    assert clopper_pearson(1, 240).high < 0.02
    assert clopper_pearson(0, 60).high == pytest.approx(0.0487, abs=1e-4)


def test_no_trials_know_nothing() -> None:
    rate = clopper_pearson(0, 0)
    assert (rate.value, rate.low, rate.high, rate.text()) == (None, 0.0, 1.0, "none tried")


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="3 hits of 2"):
        clopper_pearson(3, 2)


def test_groups_that_hang_together_widen_the_limits() -> None:
    outcomes = [True] * 60 + [False] * 40
    apart = grouped(outcomes, range(100))
    together = grouped(outcomes, [i // 10 for i in range(100)])
    assert (apart.hits, apart.of) == (together.hits, together.of) == (60, 100)
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_limits_of_single_trials_come_close_to_the_exact_limits() -> None:
    outcomes = [i < 80 for i in range(200)]
    exact = clopper_pearson(80, 200)
    drawn = grouped(outcomes, range(200))
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_limits_cover_a_rate_that_differs_by_group_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for draw in range(200):
        chances = rng.beta(4, 1, size=40)  # mean .8, groups of five
        outcomes = [bool(hit) for chance in chances for hit in rng.random(5) < chance]
        covered += grouped(outcomes, [i // 5 for i in range(200)], seed=draw).low <= 0.8
    assert covered / 200 >= 0.92  # 95 % asked for


@pytest.mark.parametrize("hit", [True, False])
def test_outcomes_that_are_all_alike_have_the_limits_of_as_many_trials_as_groups(hit: bool) -> None:
    rate = grouped([hit] * 50, [i // 5 for i in range(50)])
    few = clopper_pearson(10 if hit else 0, 10)
    assert (rate.low, rate.high) == (few.low, few.high)
    assert rate.of == 50


def test_each_further_hit_moves_the_limits_up() -> None:
    groups = [trial // 17 for trial in range(80 * 17)]
    rates = [grouped([trial < hits for trial in range(80 * 17)], groups) for hits in (0, 1, 2, 17, 18, 34, 80)]
    assert [one.high for one in rates] == sorted(one.high for one in rates)
    assert [one.low for one in rates] == sorted(one.low for one in rates)
    assert (rates[3].low, rates[3].high) == pytest.approx(exact_of(1, 80), abs=0.001)
    assert (rates[5].low, rates[5].high) == pytest.approx(exact_of(2, 80), abs=0.002)


def exact_of(hits: int, of: int) -> tuple[float, float]:
    exact = clopper_pearson(hits, of)
    return exact.low, exact.high


def test_the_same_seed_gives_the_same_limits() -> None:
    outcomes = [i % 3 == 0 for i in range(30)]
    assert grouped(outcomes, range(30), seed=4) == grouped(outcomes, range(30), seed=4)


def test_what_stands_in_two_parts_is_named_and_what_is_none_is_not() -> None:
    rows = [
        {"part": "train", "seed": 1, "trigger": [], "target": "x"},
        {"part": "calibration", "seed": 2, "trigger": [], "target": "x"},
        {"part": "test", "seed": 2, "trigger": "a", "target": "y"},
    ]
    assert straddling(rows, ["seed", "trigger", "target"]) == [
        "seed 2 is in calibration and test",
        "target x is in calibration and train",
    ]
