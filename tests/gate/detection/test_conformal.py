"""Conformal p-values: the bound that they promise, ties, and how small they can become."""

from __future__ import annotations

import numpy as np
import pytest

from plora.gate.detection.conformal import members_needed, outlier_threshold, p_value


@pytest.mark.parametrize("members", [9, 19, 57])
def test_the_share_of_false_alarms_stays_under_alpha_for_any_distribution(members: int) -> None:
    """Exchangeable scores with a heavy tail: the mean over many banks is at most alpha, and close to it."""
    stream = np.random.default_rng(7)
    scores = stream.standard_cauchy((4000, members + 1))
    alarms = [p_value(sorted(row[1:]), row[0]) <= 0.1 for row in scores]
    promised = np.floor(0.1 * (members + 1)) / (members + 1)
    assert np.mean(alarms) == pytest.approx(promised, abs=4 * np.sqrt(promised / len(scores)))


def test_ties_never_make_an_outlier() -> None:
    stream = np.random.default_rng(3)
    scores = stream.integers(0, 3, (3000, 20))
    assert np.mean([p_value(sorted(row[1:]), row[0]) <= 0.05 for row in scores]) <= 0.05
    assert p_value([1.0] * 99, 1.0) == 1.0


def test_the_least_p_is_one_in_n_plus_one() -> None:
    assert p_value([0.0] * 49, 1e9) == 1 / 50
    assert p_value([], 1e9) == 1.0
    assert members_needed(0.02) == 49 and members_needed(0.05) == 19 and members_needed(0.03) == 33


@pytest.mark.parametrize("alpha", [0.01, 0.02, 0.05, 0.3])
@pytest.mark.parametrize("members", [10, 49, 50, 99, 240])
def test_a_threshold_says_the_same_as_the_p_value(alpha: float, members: int) -> None:
    bank = sorted(np.random.default_rng(members).normal(size=members).round(1).tolist())
    threshold = outlier_threshold(bank, alpha)
    assert (threshold is None) == (members < members_needed(alpha))
    for score in (*bank, bank[-1] + 1):
        assert (p_value(bank, score) <= alpha) == (threshold is not None and score > threshold)
