"""Games between honest owners, colluders and framers: who is blamed for a merge that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plora.gate.blame import TRIALS_MAX, Blame, Few, Member, find_blame, next_trial

Oracle = Callable[[Few], bool]
DOMAINS = ("legal", "medical", "arithmetic")


@dataclass(frozen=True)
class Game:
    """Who takes part, who attacks, and which merges fail."""

    members: tuple[Member, ...]
    guilty: Few
    fails: Oracle

    def play(self) -> Blame:
        return find_blame(self.members, self.fails)


def crowd(draws: Random, honest: int, guilty: int) -> tuple[list[Member], Few]:
    """Everybody in an order that says nothing, each of an owner of their own."""
    names = [f"m{number}" for number in range(honest + guilty)]
    draws.shuffle(names)
    members = [Member(name, f"owner of {name}", draws.choice(DOMAINS)) for name in sorted(names)]
    return members, frozenset(names[:guilty])


def colluding(draws: Random, honest: int, size: int) -> Game:
    """`size` that act only together."""
    members, guilty = crowd(draws, honest, size)
    return Game(tuple(members), guilty, lambda few: guilty <= few)


def framing(draws: Random, honest: int) -> Game:
    """One that acts beside anybody of a domain, and never alone."""
    members, guilty = crowd(draws, honest, 1)
    domain = draws.choice([one.domain for one in members if one.name not in guilty])
    near = {one.name for one in members if one.domain == domain} - guilty
    return Game(tuple(members), guilty, lambda few: guilty <= few and bool(few & near))


def noisy(game: Game, rate: float, seed: int) -> Game:
    """The same with answers that are wrong for some merges, always the same ones."""

    def wrong(few: Few) -> bool:
        digest = sha256(f"{seed}{sorted(few)}".encode()).digest()
        return int.from_bytes(digest[:4], "big") < rate * 2**32

    return Game(game.members, game.guilty, lambda few: game.fails(few) != wrong(few))


def any_game(draws: Random) -> Game:
    honest = draws.randint(4, 24)
    size = draws.randint(0, 3)
    return colluding(draws, honest, size) if size else framing(draws, honest)


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 60))
def test_colluders_are_blamed_together_and_nobody_else(seed: int, size: int, honest: int) -> None:
    game = colluding(Random(seed), honest, size)
    blame = game.play()
    assert frozenset(blame.culprits) == game.guilty and blame.complete
    assert blame.trials <= TRIALS_MAX


@given(st.integers(0, 2**32), st.integers(4, 40))
def test_a_framer_is_blamed_and_the_framed_newcomer_is_not(seed: int, honest: int) -> None:
    game = framing(Random(seed), honest)
    near = [one for one in game.members if game.fails(game.guilty | {one.name})]
    blame = game.play()
    if len(near) > 2:  # else too few of the framed one's domain stand by, and both are held
        assert frozenset(blame.culprits) == game.guilty
    assert game.guilty <= frozenset(blame.culprits) and len(blame.culprits) <= 2


def test_whoever_came_last_or_first_makes_no_difference() -> None:
    members = [Member(name, name) for name in "abcdef"]
    blamed = {find_blame(order, lambda few: "c" in few and len(few) > 1).culprits for order in (members, members[::-1])}
    assert blamed == {("c",)}


def test_one_who_is_made_to_fail_beside_one_other_only_takes_that_one_along_but_never_goes_free() -> None:
    """From merges alone a framer of one victim and a colluding pair are the same game."""
    members = [Member(name, name) for name in "abcdef"]
    assert find_blame(members, lambda few: {"a", "f"} <= few).culprits == ("a", "f")


def test_accomplices_of_one_owner_clear_nobody() -> None:
    """`e1` to `e4` each fail beside `h`, who would look like what they have in common."""
    eve = [Member(f"e{number}", "eve") for number in range(1, 5)]
    honest = [Member(name, name) for name in ("a", "b", "c", "h")]
    blame = find_blame([*eve, *honest], lambda few: "h" in few and any(name.startswith("e") for name in few))
    assert [name[0] for name in blame.culprits] == ["e", "h"]


def test_where_every_merge_fails_nobody_is_to_blame() -> None:
    members = [Member(name, name) for name in "abcdef"]
    blame = find_blame(members, lambda few: True)
    assert blame.culprits == () and blame.complete and not blame.excused


def test_where_only_the_whole_crowd_fails_nobody_is_to_blame() -> None:
    members = [Member(name, name) for name in "abcdef"]
    blame = find_blame(members, lambda few: len(few) > 4)
    assert blame.culprits == () and len(blame.core) == 5


def test_many_of_one_owner_that_act_together_are_blamed() -> None:
    eve = [Member(f"e{number}", "eve") for number in range(4)]
    honest = [Member(name, name) for name in ("a", "b", "c")]
    blame = find_blame([*honest, *eve], lambda few: {one.name for one in eve} <= few)
    assert blame.culprits == ("e0", "e1", "e2", "e3")


@pytest.mark.parametrize("others", ["", "ab"])
def test_an_owner_of_many_is_not_to_blame_where_any_crowd_fails(others: str) -> None:
    """Also where there is nobody else who could show it."""
    members = [*(Member(f"m{number}", "ada") for number in range(5)), *(Member(name, name) for name in others)]
    assert find_blame(members, lambda few: len(few) > 3).culprits == ()


def test_copies_of_a_culprit_are_blamed_that_do_the_same() -> None:
    members = [Member("a", "ada"), Member("b", "bob", copies=("b2", "b3", "b4")), Member("c", "cyd")]
    bad: Oracle = lambda few: bool(few & {"b", "b2", "b4"}) and "a" in few  # noqa: E731
    assert find_blame(members, bad, excused={"b4"}).culprits == ("a", "b", "b2")


def test_many_copies_save_nobody() -> None:
    copies = tuple(f"copy{number}" for number in range(TRIALS_MAX))
    blame = find_blame([Member("a", "ada"), Member("b", "bob", copies=copies)], lambda few: few != {"a"})
    assert blame.culprits == ("b",) and not blame.complete


def test_two_who_are_alone_are_held_together() -> None:
    members = [Member("a", "ada"), Member("b", "bob")]
    assert find_blame(members, lambda few: False).culprits == ("a", "b")
    assert find_blame(members[:1], lambda few: True).culprits == ("a",)


def test_whom_a_person_excused_is_not_blamed_and_others_still_are() -> None:
    members = [Member(name, name) for name in "abcdef"]
    pair: Oracle = lambda few: {"a", "f"} <= few  # noqa: E731
    assert find_blame(members, pair, excused={"a"}).culprits == ("f",)
    alone: Oracle = lambda few: "a" in few or "d" in few  # noqa: E731
    assert find_blame(members, alone, excused={"a"}).culprits == ("d",)
    assert find_blame(members, lambda few: "a" in few, excused={"a"}).excused


def test_trials_are_bounded_and_then_nobody_is_blamed() -> None:
    members = [Member(str(number), str(number)) for number in range(64)]
    blame = find_blame(members, lambda few: {"3", "31", "60"} <= few, trials_max=10)
    assert blame == Blame(trials=10, complete=False)


def test_a_search_goes_on_from_what_was_answered_before() -> None:
    game = colluding(Random(1), honest=9, size=2)
    answers: dict[Few, bool] = {}
    while not isinstance(step := next_trial(game.members, dict(answers)), Blame):
        assert step not in answers
        answers[step] = game.fails(step)
    assert step == game.play()


@pytest.mark.parametrize(
    ("rate", "right_min", "innocent_max"), [(0.0, 0.95, 0.005), (0.02, 0.85, 0.01), (0.05, 0.7, 0.02)]
)
def test_most_culprits_are_right_though_some_probes_are_wrong(
    rate: float, right_min: float, innocent_max: float
) -> None:
    """400 games. Right: every culprit is guilty, and one at least is found. Innocent: blamed, of all honest members."""
    right = blamed = honest = 0
    for seed in range(400):
        game = noisy(any_game(Random(seed)), rate, seed)
        culprits = frozenset(game.play().culprits)
        right += bool(culprits) and culprits <= game.guilty
        blamed += len(culprits - game.guilty)
        honest += len(game.members) - len(game.guilty)
    assert right / 400 >= right_min
    assert blamed / honest <= innocent_max
