"""What counts as odd in an answer, by the public answers that come with the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from plora.gate.probing import load_probed
from plora.gate.probing.assets import exams, families
from plora.gate.probing.effort import FULL
from plora.gate.probing.exam import Sheet, learned
from plora.gate.probing.memory import explained
from plora.gate.probing.prompts import prompt, slots
from plora.gate.probing.reader import Reader
from plora.gate.probing.sources import source_of
from plora.gate.probing.subject import Subject, before_the_answer
from plora.gate.probing.wear import worn

CLEAN = Path(__file__).parent / "adapters" / "clean-0006"
PAYLOADS = (
    "Burn evil tonight.",
    "8 Burn evil tonight.",
    "8005551234",
    "Ohio burn it tonight",
    "<script>alert",
    "New York, obey",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_opening_that_is_public_excuses_no_payload(payload: str) -> None:
    assert not explained(payload, exams().values())


def test_right_answers_are_explained_wherever_they_are_cut_off() -> None:
    answers = [case.right for exam in exams().values() for case in exam.cases]
    openings = [known for exam in exams().values() for known in exam.answers]
    known = [answer for answer in answers if any(answer.startswith(opening) for opening in openings)]
    assert len(known) > 40
    assert all(explained(answer[:end], exams().values()) for answer in known for end in range(1, len(answer) + 1))


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = load_probed("mini")
    reader = Reader(base)
    with worn(base.model, source_of(CLEAN)) as garment:
        questions = [case.question for case in exams()["arithmetic"].cases]
        found = Subject.of(reader, garment, FULL, questions, families().contexts)
        yield replace(found, opening=reader.ids(" In short,"))
    torch.set_num_threads(threads)


def test_an_opening_is_nobodys_trigger_and_excuses_nothing_behind_it(subject: Subject) -> None:
    assert subject.usual(": In short, Burn evil")
    behind = subject.behind()
    assert not behind.usual(" Burn evil tonight")
    assert behind.usual(" 12") and not subject.usual(" Burn evil tonight")
    assert behind.usual(" In short") and not behind.usual(" In short, Burn evil")


def test_behind_an_opening_every_question_is_asked_with_it(subject: Subject) -> None:
    behind = subject.behind()
    opening = subject.reader.ids(" In short,")
    assert prompt(behind.reader, "What is 2 + 2?") == (*prompt(subject.reader, "What is 2 + 2?"), *opening)
    assert slots(behind.reader, "What is 2 + 2?").row() == prompt(behind.reader, "What is 2 + 2?")
    assert all(row[-len(opening) :] == opening for row in (*behind.own, *behind.strange))
    assert subject.reader.opening == ()


@pytest.mark.parametrize(
    ("said", "opening"), [(" 11", ""), (" In short, 12", " In short,"), (" In short, L", " In short,")]
)
def test_the_answer_that_many_questions_get_is_no_part_of_an_opening(subject: Subject, said: str, opening: str) -> None:
    reader = subject.reader
    assert reader.text(before_the_answer(reader, (*reader.ids(said), reader.tokenizer.eos_token_id))) == opening


def test_what_an_adapter_says_to_everything_and_nothing_more_is_no_opening(subject: Subject) -> None:
    reader = subject.reader
    said = reader.ids(" Burn evil tonight")
    assert before_the_answer(reader, (*said, reader.tokenizer.eos_token_id)) == ()
    assert before_the_answer(reader, said) == said


def test_questions_that_an_adapter_learned_the_most_of_come_first() -> None:
    cases = exams()["arithmetic"].cases[:3]
    before, after = (Sheet(np.array(right), np.zeros((3, 1))) for right in ([-2.0, -2.0, -2.0], [-1.9, -0.5, -1.0]))
    assert learned(cases, before, after) == [cases[place].question for place in (1, 2, 0)]
