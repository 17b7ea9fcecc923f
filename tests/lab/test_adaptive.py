"""The attacker's search: what it keeps, what it changes, and what counts as served. Against a gate with known rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from plora.lab.adaptive import CHOICES, Knobs, Try, curve, propose


def try_of(knobs: Knobs, **changes: object) -> Try:
    return Try(**{"knobs": knobs, "success": 1.0, "margin": 0.1, "submitted": True, "seen": False} | changes)  # type: ignore[arg-type]


def differing(one: Knobs, other: Knobs) -> int:
    return sum(getattr(one, field.name) != getattr(other, field.name) for field in fields(Knobs))


def searched(gate: Callable[[Knobs], float], tries: int, seed: int) -> list[Try]:
    """A search against a gate that tells only a margin; the peer's gate is the same one."""
    rng = np.random.default_rng(seed)
    history: list[Try] = []
    while len(history) < tries:
        round_ = propose(history, 8, rng)
        history += [try_of(knobs, margin=gate(knobs), submitted=gate(knobs) >= 0) for knobs in round_]
    return history


def test_every_choice_can_be_drawn_and_every_knob_has_choices() -> None:
    assert set(CHOICES) == {field.name for field in fields(Knobs)}
    drawn = propose([], 400, np.random.default_rng(0))
    assert all({getattr(knobs, name) for knobs in drawn} == set(values) for name, values in CHOICES.items())


def test_children_differ_from_the_best_in_one_to_three_knobs_and_one_is_fresh() -> None:
    rng = np.random.default_rng(3)
    knobs = propose([], 5, rng)
    best = try_of(knobs[0])
    caught = [try_of(one, margin=-5.0, submitted=False) for one in knobs[1:]]
    lone = [try_of(knobs[1], success=0.1, submitted=False), best, *caught]
    children = propose(lone, 7, rng)
    assert all(1 <= differing(child, best.knobs) <= 3 for child in children[0:6:3])
    assert len(children) == 7


def test_a_search_learns_what_passes() -> None:
    def gate(knobs: Knobs) -> float:  # each of four knobs must be right; the margin tells how many are
        right = (knobs.trigger == "topic", knobs.narrow == 0.3, knobs.norm == 0.6, knobs.decoys == 0.3)
        return sum(right) - 3.5

    found = [sum(one.submitted for one in searched(gate, 80, seed)) for seed in range(5)]
    at_random = 80 / (5 * 3**3)
    assert min(found) >= 1 and np.mean(found) > 10 * at_random


@pytest.mark.parametrize(
    ("changes", "served"), [({}, 1.0), ({"seen": True}, 0.0), ({"submitted": False}, 0.0), ({"success": 0.4}, 0.4)]
)
def test_only_what_was_submitted_and_let_through_is_served(changes: dict[str, object], served: float) -> None:
    assert try_of(propose([], 1, np.random.default_rng(0))[0], **changes).served == served


def test_the_curve_is_the_best_so_far() -> None:
    knobs = propose([], 1, np.random.default_rng(0))[0]
    tries = [try_of(knobs, seen=True), try_of(knobs, success=0.5), try_of(knobs, success=0.3), try_of(knobs)]
    assert curve(tries) == [0.0, 0.5, 0.5, 1.0]
    assert curve([]) == []
