"""What counts as a mutant, and that a sample is drawn from places."""

from __future__ import annotations

import pytest

pytest.importorskip("cosmic_ray")

from bench.mutants import Mutant, mutants_of
from bench.mutate import Trial, rows_of, sample, survivors

SOURCE = '''\
"""A docstring with 1 < 2."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    ONE = 1
Alias = int | str

@dataclass(frozen=True, slots=True)
class Thing:
    size: int | None = 3

def f(a: int | None, *, b: bool | None = None) -> int | None:
    if a < 4:
        raise ValueError(f"{a + 5}", a + 6)
    return a
'''


def test_what_is_counted() -> None:
    places = {(mutant.place[0], mutant.place[2]) for mutant in mutants_of("a.py", SOURCE)}
    assert places == {(9, "NumberReplacer"), (12, "ReplaceComparisonOperator"), (12, "NumberReplacer"), (12, "AddNot")}


def test_a_mutant_changes_one_place_and_compiles() -> None:
    for mutant in mutants_of("a.py", SOURCE):
        code = mutant.code()
        assert code is not None and code != SOURCE
        assert len(code.splitlines()) == len(SOURCE.splitlines())
        assert mutant.diff().count("\n") == 1


def test_what_is_no_python_or_no_change_is_no_mutant() -> None:
    lone_star = Mutant("a.py", "def f(a, *, b): ...\n", "core/ReplaceBinaryOperator_Mul_Add", 0, (1, 9, ""))
    beyond = Mutant("a.py", "x = 1\n", "core/NumberReplacer", 2, (1, 4, ""))
    assert lone_star.code() is None and beyond.code() is None
    assert Mutant("a.py", "x = 1\n", "core/NumberReplacer", 1, (1, 4, "")).code() == "x = 0\n"


def test_samples_repeat_and_have_different_places() -> None:
    first, again, other = sample(["proto"], 12, 1), sample(["proto"], 12, 1), sample(["proto"], 12, 2)
    assert first == again != other
    assert len({(mutant.path, mutant.place) for _, mutant in first}) == 12
    assert all(mutant.path.startswith("proto/plora/proto/") for _, mutant in first)


def test_rows_count_the_killed_and_survivors_are_named() -> None:
    mutants = list(mutants_of("a.py", SOURCE))[:4]
    outcomes = [("proto", "killed"), ("proto", "survived"), ("gate", "timeout"), ("gate", "killed")]
    trials = [Trial(room, mutant, outcome) for (room, outcome), mutant in zip(outcomes, mutants, strict=True)]
    rows = rows_of(trials, "make mutate")
    assert [(row.value, row.peer) for row in rows] == [
        (75.0, "3 of 4 mutants"),
        (100.0, "2 of 2 mutants"),
        (50.0, "1 of 2 mutants"),
    ]
    assert not rows[0].holds
    assert survivors(trials).startswith(f"a.py:{mutants[1].place[0]}  ")
