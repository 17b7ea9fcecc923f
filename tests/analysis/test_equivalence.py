"""Tests of equivalence: what they call alike, what not, and how often they are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from plora.analysis.equivalence import Equivalence, equivalence, equivalence_to
from plora.proto.errors import UsageError


def test_likeness_is_shown_by_many_runs_and_not_by_few() -> None:
    draws = np.random.default_rng(1).normal(7.0, 1.0, (2, 60))
    assert equivalence(draws[0], draws[1], bound=0.5).equivalent
    assert not equivalence(draws[0, :4], draws[1, :4], bound=0.5).equivalent


def test_a_difference_as_great_as_the_bound_is_called_likeness_at_most_as_often_as_alpha() -> None:
    draws = np.random.default_rng(2).normal(0.0, 1.0, (400, 2, 40))
    wrong = [equivalence(one, other + 0.5, bound=0.5).equivalent for one, other in draws]
    assert 0.03 < np.mean(wrong) < 0.07


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.3, 0.6])
def test_the_interval_is_within_the_bounds_exactly_where_the_tests_say_so(shift: float) -> None:
    draws = np.random.default_rng(3).normal(5.0, 0.8, (2, 30))
    found = (equivalence(draws[0] + shift, draws[1], bound=0.5), equivalence_to(draws[0] + shift, 5.0, bound=0.5))
    for one in found:
        assert one.low < one.difference < one.high
        assert one.equivalent == (one.low > -0.5 and one.high < 0.5)


def test_it_is_the_same_whichever_comes_first() -> None:
    one, other = [8.0, 8.5, 9.0], [8.2, 8.9, 9.9, 8.1]
    there, back = equivalence(one, other, bound=0.5), equivalence(other, one, bound=0.5)
    assert (there.difference, there.p) == pytest.approx((-back.difference, back.p))


def test_it_says_what_was_found() -> None:
    assert str(Equivalence(-0.1, -0.3, 0.1, 0.002, 0.5, 0.05)) == (
        "-0.10 (-0.30 to +0.10), equivalent within 0.5 (p = 0.002)"
    )


@pytest.mark.parametrize("sample", [[], [1.0], [2.0, 2.0], [[1.0, 2.0]]])
def test_what_no_test_can_be_made_of_is_refused(sample: list[float]) -> None:
    with pytest.raises(UsageError, match="no test of"):
        equivalence(sample, [1.0, 2.0], bound=0.5)
    with pytest.raises(UsageError, match="no test of"):
        equivalence_to(sample, 1.0, bound=0.5)
