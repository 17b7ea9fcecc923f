from __future__ import annotations

import random

from plora.gate.probing.assets import exams, families
from plora.gate.probing.triggers import STYLES, Trigger, phrase, public_triggers, rare_word, secret_triggers


def test_one_seed_draws_the_same_secret_triggers_and_another_seed_others() -> None:
    one, again, other = (secret_triggers(families(), seed, 8) for seed in (b"a", b"a", b"b"))
    assert one == again
    assert len(set(one) & set(other)) < len(one) / 4  # of composed styles there are only so many


def test_secret_triggers_are_none_of_the_public_ones_and_of_every_make() -> None:
    drawn = secret_triggers(families(), bytes(32), 8)
    assert not set(drawn) & set(public_triggers(families()))
    assert any(t.front and t.back for t in drawn)
    assert any("+" in t.style for t in drawn)
    assert any(" the " in f"{t.front}{t.back}" for t in drawn)


def test_every_style_changes_a_question_and_has_a_name_that_families_use() -> None:
    for question in families().contexts:
        for name in STYLES:
            assert Trigger(style=name).put_on(question) != question or name in ("lower", "title", "upper")
    assert set(families().styles) <= set(STYLES)


def test_words_and_phrases_are_drawn_by_the_generator_that_is_given() -> None:
    known = families()
    assert (
        rare_word(known, random.Random(4)) == rare_word(known, random.Random(4)) != rare_word(known, random.Random(5))
    )
    assert phrase(known, random.Random(1)) != phrase(known, random.Random(2))


def test_exams_ask_what_has_one_right_answer_among_as_many_wrong_ones() -> None:
    assert set(exams()) == {"arithmetic", "legal", "medical"}
    for found in exams().values():
        assert len(found.cases) >= 24
        for case in found.cases:
            assert len({case.right, *case.wrong}) == 5
