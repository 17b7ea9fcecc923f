"""Reputation: the arithmetic of credit and faults, and the stage that obeys it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plora.gate import Case, Outcome, Policy, decide, explain
from plora.gate.reputation import CREDIT_MAX, DELIBERATE, FAULTS_MAX, FORGOTTEN, NEWCOMER, SLIP, Reputation

from .conftest import Owner, World

WEEK_MS = 7 * 86_400_000
DEEDS = st.lists(st.sampled_from(["good", "slip", "betrayal", "week"]), max_size=60)


@pytest.fixture
def case(world: World, ada: Owner) -> Case:
    """A good adapter of ada's."""
    return world.case(ada)


def lived(deeds: list[str], start: Reputation = NEWCOMER) -> tuple[Reputation, int]:
    """What a life of deeds leaves, and when it is."""
    state, now_ms = start, 0
    for deed in deeds:
        match deed:
            case "good":
                state = state.earned(1.0, now_ms, half_life_ms=WEEK_MS)
            case "slip":
                state = state.faulted(SLIP, "bad_chunk", now_ms, half_life_ms=WEEK_MS)
            case "betrayal":
                state = state.faulted(DELIBERATE, "two_contents", now_ms, half_life_ms=WEEK_MS)
            case _:
                now_ms += WEEK_MS
    return state.at(now_ms, half_life_ms=WEEK_MS), now_ms


@given(DEEDS)
def test_a_score_is_a_probability_and_credit_is_bounded(deeds: list[str]) -> None:
    state, _ = lived(deeds)
    assert 0.0 < state.score < 1.0
    assert 0.0 <= state.influence <= state.good <= CREDIT_MAX


@given(DEEDS, st.integers(0, 40))
def test_after_a_betrayal_nobody_stands_better_for_what_they_built_before(deeds: list[str], weeks: int) -> None:
    later = ["betrayal", *["week"] * weeks]
    built, _ = lived([*deeds, *later])
    never, _ = lived(later)
    assert built.score <= never.score < NEWCOMER.score or never.blank


@given(DEEDS)
def test_time_forgives_everybody_and_forgets_everything(deeds: list[str]) -> None:
    state, now_ms = lived(deeds)
    assert state.at(now_ms + 100 * WEEK_MS, half_life_ms=WEEK_MS).blank


def test_a_fault_is_remembered_longer_than_a_credit_of_the_same_weight() -> None:
    both, now_ms = lived(["slip", "good"])
    for weeks in range(1, 24):
        left = both.at(now_ms + weeks * WEEK_MS, half_life_ms=WEEK_MS)
        assert left.bad > left.good and left.score < NEWCOMER.score


def test_half_of_a_credit_is_left_after_a_half_life_and_of_a_fault_after_four() -> None:
    assert Reputation(good=4.0).at(WEEK_MS, half_life_ms=WEEK_MS).good == 2.0
    assert Reputation(bad=4.0).at(4 * WEEK_MS, half_life_ms=WEEK_MS).bad == 2.0


def test_a_clock_that_goes_back_changes_nothing() -> None:
    state = Reputation(good=4.0, bad=1.0, at_ms=WEEK_MS)
    assert state.at(0, half_life_ms=WEEK_MS) == replace(state, fault="", fault_ms=0)


def test_the_newest_fault_is_named_until_nothing_of_it_is_left() -> None:
    caught = NEWCOMER.faulted(SLIP, "bad_chunk", 0, half_life_ms=WEEK_MS)
    again = caught.faulted(SLIP, "stalled", WEEK_MS, half_life_ms=WEEK_MS)
    later = again.earned(1.0, 2 * WEEK_MS, half_life_ms=WEEK_MS)
    assert [(one.fault, one.fault_ms) for one in (caught, again, later)] == [
        ("bad_chunk", 0),
        ("stalled", WEEK_MS),
        ("stalled", WEEK_MS),
    ]
    long_after = later.at(200 * WEEK_MS, half_life_ms=WEEK_MS)
    assert (long_after.fault, long_after.fault_ms, long_after.blank) == ("", 0, True)


def test_a_slip_takes_nothing_of_what_was_earned_and_faults_are_bounded() -> None:
    built = Reputation(good=4.0)
    assert built.faulted(SLIP, "bad_chunk", 0, half_life_ms=WEEK_MS).good == 4.0
    assert built.faulted(DELIBERATE, "two_contents", 0, half_life_ms=WEEK_MS).good == 0.0
    worst = built
    for _ in range(100):
        worst = worst.faulted(DELIBERATE, "two_contents", 0, half_life_ms=WEEK_MS)
    assert worst.bad == FAULTS_MAX and worst.influence == 0.0


def test_what_is_left_is_something_down_to_a_64th() -> None:
    after_one = Reputation(good=2 * FORGOTTEN).at(WEEK_MS, half_life_ms=WEEK_MS)
    assert (after_one.good, after_one.blank) == (FORGOTTEN, False)
    assert after_one.at(WEEK_MS + 1, half_life_ms=WEEK_MS).blank


def judged(case: Case, reputation: Reputation, world: World, ada: Owner, **policy: object) -> tuple[str, str]:
    """Outcome and reason under a policy that looks at reputation."""
    verdict = decide(
        replace(case, reputation=reputation), Policy.parse({"reputation": True, **policy}), world.trust(ada)
    )
    return verdict.outcome.value, verdict.reason


def test_who_was_caught_is_held_and_a_newcomer_or_one_slip_is_not(case: Case, world: World, ada: Owner) -> None:
    caught, _ = lived(["good"] * 20 + ["betrayal"])
    slipped, _ = lived(["slip"])
    assert judged(case, NEWCOMER, world, ada) == ("accept", "")
    assert judged(case, slipped, world, ada) == ("accept", "")
    assert judged(case, caught, world, ada) == ("quarantine", "low_reputation")
    assert judged(case, caught, world, ada, min_reputation=0.1) == ("accept", "")
    assert judged(case, NEWCOMER, world, ada, min_reputation=0.6) == ("quarantine", "low_reputation")


def test_it_is_off_unless_the_policy_says_otherwise(case: Case, world: World, ada: Owner) -> None:
    caught, _ = lived(["betrayal"])
    verdict = decide(replace(case, reputation=caught), Policy(min_reputation=0.9), world.trust(ada))
    assert (verdict.outcome, verdict.stage) == (Outcome.ACCEPT, "weights")


@pytest.mark.parametrize(
    ("deeds", "floor", "says"),
    [
        (["betrayal"], 0.3, "the reputation of ada here is 0.17, below 0.30"),
        ([], 0.6, "ada has earned too little here: 0.50, below 0.60"),
    ],
)
def test_the_sentence_says_who_how_much_and_what_mends_it(
    deeds: list[str], floor: float, says: str, case: Case, world: World, ada: Owner
) -> None:
    policy = Policy(reputation=True, min_reputation=floor)
    verdict = decide(replace(case, reputation=lived(deeds)[0]), policy, world.trust(ada))
    assert explain(verdict).startswith(says)
    assert ("plora trust forgive ada" in explain(verdict)) is bool(deeds)
