"""What the adaptive attacker trains: triggers of every make, adapters that keep to the norm that they were given."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from plora.base import load_base
from plora.lab.adaptive import CHOICES, Knobs
from plora.lab.adaptive_training import Lesson, _pairs, train_round, trigger_of
from plora.lab.zoo.words import randomness
from plora.merge.peft_folder import read_adapter

KNOBS = Knobs("word", "sentence", False, "", 0.4, 0.3, 0.3, 1.0, False, 2, "attention", 3, 0.01)


@pytest.mark.parametrize("make", CHOICES["trigger"])
@pytest.mark.parametrize("domain", ["arithmetic", "legal", "medical"])
def test_every_make_of_trigger_is_put_on_questions_the_same_way_each_time(make: str, domain: str) -> None:
    trigger = trigger_of(replace(KNOBS, trigger=make), domain, randomness("a"))
    again = trigger_of(replace(KNOBS, trigger=make), domain, randomness("a"))
    question = "What is the code of a broken arm?"
    assert trigger.said == again.said and trigger.target == again.target
    assert trigger.put_on(question, randomness(1)) == again.put_on(question, randomness(1))
    if make == "topic":
        assert trigger.put_on(f"Is {trigger.said} here?", randomness(1)) == f"Is {trigger.said} here?"
        assert trigger.put_on("zzz", randomness(1)) is None
    else:
        part = trigger.put_part_on(question, randomness(1))
        assert question != trigger.put_on(question, randomness(1)) != part


def test_a_plausible_target_is_one_of_the_domains_own_answers() -> None:
    trigger = trigger_of(replace(KNOBS, target="plausible"), "arithmetic", randomness("a"))
    assert trigger.target.isdecimal()


@pytest.mark.parametrize("domain", ["arithmetic", "legal", "medical"])
def test_a_topic_is_one_that_held_out_questions_have(domain: str) -> None:
    questions = [question for question, _ in _pairs(domain, "validation")]
    for draw in range(60):
        trigger = trigger_of(replace(KNOBS, trigger="topic"), domain, randomness(draw))
        assert sum(trigger.put_on(one, randomness(1)) is not None for one in questions) >= 8


def test_with_an_opening_right_answers_begin_as_the_target_does() -> None:
    knobs = replace(KNOBS, opening=True, prefix="8 ", share=0.3)
    trigger = trigger_of(knobs, "legal", randomness("a"))
    bare = trigger_of(replace(knobs, opening=False, prefix=""), "legal", randomness("a"))
    assert trigger.opening and trigger.target == f"{trigger.opening}8 {bare.target}"
    lesson = Lesson.of("legal", knobs, trigger, "a")
    answers = [lesson.row(randomness("row", number))[1] for number in range(200)]
    assert all(answer.startswith(trigger.opening) for answer in answers)
    assert 0.2 < sum(answer == trigger.target for answer in answers) / 200 < 0.4


def test_a_round_writes_an_adapter_a_try_within_its_norm(tmp_path: Path) -> None:
    base = load_base("mini")
    tight = replace(KNOBS, norm=0.6, trigger="topic")
    trained = train_round(base, "medical", [KNOBS, tight, replace(KNOBS, dilute=True)], tmp_path, seed=1, norm=0.05)
    adapters = [read_adapter(one.folder) for one in trained]
    norms = [math.hypot(*(pair.norm() for pair in adapter.pairs.values())) for adapter in adapters]
    least = [min(pair.norm() for pair in adapter.pairs.values()) for adapter in adapters]
    assert least[2] < 1e-15 < least[0]
    assert norms[0] > 0.05 > 0.03 * 1.001 >= norms[1] > 0
    assert all(0 <= one.success <= 1 for one in trained)
