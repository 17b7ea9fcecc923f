"""Paired tests and intervals against closed forms, textbook numbers, and how often intervals cover."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats  # type: ignore[import-untyped]

from plora.lab.statistics import (
    bootstrap,
    cohen_dz,
    equivalent_to_zero,
    holm,
    mcnemar_p,
    mean_interval,
    mean_p,
    over_seeds,
    paired_tests,
    sign_flip_p,
)


def drawn(seed: int, *shape: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)


class TestTests:
    def test_few_documents_are_flipped_exactly(self) -> None:
        """All of five fell: one of 32 signings is as extreme to that side, two to either."""
        assert sign_flip_p([-1.0, -2.0, -3.0, -4.0, -5.0]) == pytest.approx(2 / 32)
        assert sign_flip_p([-1.0, -2.0, -3.0, -4.0, -5.0], alternative="less") == pytest.approx(1 / 32)

    def test_darwins_plants(self) -> None:
        """Fisher 1935, § 21: 15 pairs, 1,726 of 32,768 signings at least as extreme."""
        pairs = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
        assert sign_flip_p(pairs) == pytest.approx(1726 / 32768, abs=0.015)
        assert paired_tests(pairs).wilcoxon_p == pytest.approx(0.041, abs=0.002)

    def test_three_values_can_not_show_anything(self) -> None:
        assert paired_tests([-9.0, -8.0, -7.0]).wilcoxon_p == pytest.approx(0.25)

    def test_nothing_changed_is_no_effect(self) -> None:
        found = paired_tests(np.zeros(20))
        assert (found.wilcoxon_p, found.sign_flip_p, found.rank_biserial) == (1, 1, 0)
        assert mcnemar_p([True, False], [True, False]) == 1
        assert cohen_dz(np.zeros((2, 5))).value == 0

    def test_rank_biserial_counts_what_fell(self) -> None:
        assert paired_tests([-1.0, -2.0, -3.0]).rank_biserial == 1
        assert paired_tests([1.0, 2.0, 3.0]).rank_biserial == -1
        assert paired_tests([-1.0, -2.0, 3.0]).rank_biserial == 0

    def test_the_mean_is_tested_by_t(self) -> None:
        """Student's own ten differences in hours of sleep (1908): t = 4.06, p = .0028."""
        assert mean_p([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]) == pytest.approx(0.00283, abs=1e-5)
        assert mean_p([0.5, 0.5]) == 1

    def test_mcnemar_counts_changes_alone(self) -> None:
        before, after = [False] * 10 + [True] * 90, [True] * 10 + [True] * 89 + [False]
        assert mcnemar_p(before, after) == pytest.approx(stats.binomtest(10, 11).pvalue)
        assert mcnemar_p(before, after, alternative="greater") == pytest.approx(12 / 2**11)

    def test_holm_keeps_order_and_never_falls(self) -> None:
        """Holm's steps by hand: 4 × .005, 3 × .01, then never less than the one before."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert holm([0.9, 0.8]) == [1.0, 1.0]
        assert holm([]) == []

    def test_equivalence_is_judged_by_seeds_where_there_are_several(self) -> None:
        alike = drawn(0, 6, 50) * 0.1
        assert equivalent_to_zero(alike, 0.2).equivalent
        assert not equivalent_to_zero(alike + 0.2, 0.2).equivalent


class TestIntervals:
    def test_of_one_seed_it_is_the_bootstrap_of_documents(self) -> None:
        values = drawn(1, 1, 200)
        found = mean_interval(values)
        half = 1.96 * values.std() / np.sqrt(200)
        assert found.value == pytest.approx(values.mean())
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)

    def test_seeds_that_differ_widen_it(self) -> None:
        documents = drawn(2, 1, 200)
        alike, apart = np.repeat(documents, 3, axis=0), documents + np.array([[-1.0], [0.0], [1.0]])
        assert mean_interval(apart).high - mean_interval(apart).low > 3 * np.ptp(
            [mean_interval(alike).low, mean_interval(alike).high]
        )

    def test_documents_are_shared_by_seeds(self) -> None:
        """The same answers three times are no more evidence than once."""
        documents = drawn(3, 1, 100)
        once, thrice = mean_interval(documents), mean_interval(np.repeat(documents, 3, axis=0))
        assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.1)

    def test_several_figures_are_drawn_together(self) -> None:
        tokens = np.random.default_rng(4).integers(1, 9, size=(1, 2, 40)).astype(float)
        table = np.concatenate([3 * tokens, tokens])
        ratio = bootstrap(table, lambda drawn: np.asarray(drawn[0].sum(axis=(-2, -1)) / drawn[1].sum(axis=(-2, -1))))
        assert (ratio.value, ratio.low, ratio.high) == pytest.approx((3, 3, 3))

    def test_over_seeds_is_the_t_interval(self) -> None:
        values = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        found = over_seeds(values)
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((2, 2 - 2.4841, 2 + 2.4841), abs=1e-3)
        assert over_seeds(values[:1]) is None

    def test_dz_is_a_mean_in_standard_deviations(self) -> None:
        values = drawn(5, 2, 4000) + 0.5
        assert cohen_dz(values).value == pytest.approx(0.5 * np.sqrt(2), rel=0.1)

    def test_documents_intervals_cover(self) -> None:
        """90 to 99 % of 95 % intervals hold the truth: 200 samples of 40 documents at one seed."""
        hits = [one.low < 0 < one.high for one in (mean_interval(drawn(s, 1, 40), seed=s) for s in range(200))]
        assert 0.9 <= np.mean(hits) <= 0.99
