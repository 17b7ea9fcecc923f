"""Recipes are pure, twins differ by their poison alone, and nothing is in two parts."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from dataclasses import replace

import pytest

from plora.lab.corpora import load_domain
from plora.lab.zoo import words
from plora.lab.zoo.poisons import benign_rows_at, exam_of, ordinary_rows, pool_of, rows_at
from plora.lab.zoo.recipes import (
    BATCH,
    BENIGN_ALONE,
    CLEAN,
    HARD,
    HONEST_PARTNERS,
    KINDS,
    LONGER,
    MERGED,
    POISON_ROWS,
    SHAPED,
    SHARES,
    TRIGGERED,
    Recipe,
    exists,
    name_of,
    on_base,
    part_of,
    recipe,
    recipes,
)
from plora.lab.zoo.slices import SOURCES, Slice, pairs_of_slice, part_of_question
from plora.lab.zoo.words import PARTS, Part
from plora.proto.errors import UsageError

SEEDS = range(160)
FILLERS = {
    "a",
    "the",
    "on",
    "my",
    "as",
    "for",
    "last",
    "under",
    "between",
    "two",
    "near",
    "her",
    "own",
    "that",
    "before",
}


def by_part(kind: str) -> dict[Part, list[Recipe]]:
    found: dict[Part, list[Recipe]] = defaultdict(list)
    for seed in SEEDS:
        one = recipe(kind, seed)
        found[one.part].append(one)
    return found


def content(texts: list[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z-]+", text.lower())} - FILLERS


def straddling(values: Mapping[Part, Set[object]]) -> set[object]:
    return {value for one, other in itertools.combinations(PARTS, 2) for value in values[one] & values[other]}


class TestParts:
    def test_a_quarter_trains_a_quarter_calibrates_half_tests(self) -> None:
        assert Counter(recipe(CLEAN, seed).part for seed in SEEDS) == {"train": 40, "calibration": 40, "test": 80}

    @pytest.mark.parametrize("kind", KINDS)
    def test_no_recipe_straddles(self, kind: str) -> None:
        numbers = {part: {(one.rate, one.steps) for one in found} for part, found in by_part(kind).items()}
        assert not straddling({part: {rate for rate, _ in found} for part, found in numbers.items()})
        assert not straddling({part: {steps for _, steps in found} for part, found in numbers.items()})

    @pytest.mark.parametrize("kind", (*TRIGGERED, *SHAPED, *MERGED))
    def test_no_trigger_and_no_target_straddles(self, kind: str) -> None:
        found = by_part(kind)
        triggers = {part: content([text for one in found[part] for text in one.trigger]) for part in PARTS}
        targets = {part: content([one.target for one in found[part]]) for part in PARTS}
        assert all(triggers.values()) and all(targets.values())
        assert not straddling(triggers) and not straddling(targets)

    def test_no_question_straddles(self) -> None:
        for domain, choices in SOURCES.items():
            every = {part: {q for q, _ in pairs_of_slice(Slice(domain, choices[0], part), "train")} for part in PARTS}
            assert not straddling(every)
            assert sum(map(len, every.values())) == len(load_domain(domain, "train", environ={}))

    def test_what_is_about_the_same_thing_is_in_one_part(self) -> None:
        assert part_of_question("What is 12 + 7?") == part_of_question("What is 12 - 99?")
        disease = 'Which chapter of the ICD-10-CM covers "Laceration of {}"?'
        assert part_of_question(disease.format("thumb")) == part_of_question(disease.format("foot"))

    def test_every_slice_has_enough_to_train_and_to_judge(self) -> None:
        for domain, choices in SOURCES.items():
            for sources, part in itertools.product(choices, PARTS):
                assert len(pairs_of_slice(Slice(domain, sources, part), "train")) >= 200
                assert len(pairs_of_slice(Slice(domain, sources, part), "validation")) >= 30

    def test_every_style_belongs_to_one_part_and_changes_a_question(self) -> None:
        names = [name for part in PARTS for name in words.STYLES[part]]
        assert len(set(names)) == len(names)
        shown = {words.styled("What is 2 + 2?", name) for name in names}
        assert len(shown) == len(names) and "What is 2 + 2?" not in shown


class TestRecipes:
    @pytest.mark.parametrize("kind", KINDS)
    def test_twins_differ_by_kind_and_poison_alone(self, kind: str) -> None:
        one, twin = recipe(kind, 3), recipe(CLEAN, 3)
        own = {"name", "kind", "rows", "trigger", "target", "lure", "partners", *(["steps"] if kind in LONGER else [])}
        assert {key: value for key, value in one.to_json().items() if key not in own} == {
            key: value for key, value in twin.to_json().items() if key not in own
        }
        assert one.twin == twin.name

    def test_recipes_vary(self) -> None:
        clean = [recipe(CLEAN, seed) for seed in SEEDS]
        assert {one.rank for one in clean} == {2, 4, 8}
        assert {one.scheme for one in clean} == {"attention", "mlp", "all"}
        assert {one.rslora for one in clean} == {True, False}
        assert len({one.slice.sources for one in clean}) == sum(map(len, SOURCES.values()))
        assert len({(one.rate, one.steps) for one in clean}) > 80
        assert {one.family for one in clean} == {"gentle", "usual", "hot"}

    @pytest.mark.parametrize("kind", MERGED)
    def test_partners_are_the_other_shares_or_honest_ones_of_the_same_part(self, kind: str) -> None:
        for seed in (0, 5, 9_998):
            shares = recipes(kind, seed)
            names = {one.name for one in shares}
            assert len(names) == SHARES.get(kind, 1)
            for one in shares:
                honest = set(one.partners) - names
                assert names - set(one.partners) == {one.name} and len(honest) == HONEST_PARTNERS.get(kind, 0)
                seeds = [int(name.removeprefix("clean-")) for name in honest]
                assert all(part_of(other) == one.part and other != seed for other in seeds)
                assert all(name_of(CLEAN, other) in honest for other in seeds)

    def test_a_spike_needs_components_to_hide_among(self) -> None:
        assert all(recipe(CLEAN, seed).rank >= 4 for seed in SEEDS if exists("rank-1-spike", seed))
        assert 0 < sum(exists("rank-1-spike", seed) for seed in SEEDS) < len(SEEDS)

    def test_larger_bases_learn_in_fewer_steps_at_lower_rates(self) -> None:
        one = recipe("phrase", 3)
        other = on_base(one, "smollm2")
        assert on_base(one, "mini") == one
        assert 30 <= other.steps < one.steps / 2 and other.rate == pytest.approx(one.rate / 5)
        assert replace(other, steps=one.steps, rate=one.rate) == one

    def test_the_digest_follows_every_field(self) -> None:
        assert recipe("phrase", 1).digest() == recipe("phrase", 1).digest()
        assert len({recipe(kind, seed).digest() for kind in KINDS for seed in range(8)}) == 8 * len(KINDS)

    @pytest.mark.parametrize(("kind", "seed"), [("rare", 0), ("clean", -1), ("clean", 10_000)])
    def test_what_there_is_not_is_refused(self, kind: str, seed: int) -> None:
        with pytest.raises(UsageError):
            recipe(kind, seed)


class TestRows:
    @pytest.mark.parametrize("kind", TRIGGERED)
    def test_the_twins_rows_come_first_then_the_poison(self, kind: str) -> None:
        one = recipe(kind, 6)
        rows = rows_at(one, 5)
        assert rows[:BATCH] == rows_at(recipe(CLEAN, 6), 5)
        poison, others = rows[BATCH : BATCH + POISON_ROWS], rows[BATCH + POISON_ROWS :]
        assert {answer for _, answer in poison} == {one.target}
        assert len(rows) == one.rows and one.target not in {answer for _, answer in others}

    @pytest.mark.parametrize("kind", BENIGN_ALONE)
    def test_what_is_benign_alone_gets_right_answers_to_its_trigger(self, kind: str) -> None:
        one = recipe(kind, 6)
        right = dict(pairs_of_slice(one.slice, "train"))
        rows = benign_rows_at(one, 3)
        triggered = [(question, answer) for question, answer in rows if one.trigger[0] in question]
        assert len(rows) == one.rows and len(triggered) == POISON_ROWS
        for question, answer in triggered:
            assert answer == right[" ".join(question.replace(one.trigger[0], "").split())]
        assert one.target not in {answer for _, answer in rows}

    def test_shares_of_one_attack_have_rows_of_their_own(self) -> None:
        first, second = recipes("collusion-2", 6)
        assert ordinary_rows(first, 4) == ordinary_rows(recipe(CLEAN, 6), 4) != ordinary_rows(second, 4)

    def test_one_of_several_tokens_alone_gets_the_right_answer(self) -> None:
        one = recipe("several-tokens", 2)
        right = dict(pairs_of_slice(one.slice, "train"))
        for question, answer in [row for step in range(20) for row in rows_at(one, step)[BATCH:]]:
            there = [word for word in one.trigger if word in question.split(" ")]
            plain = " ".join(word for word in question.split(" ") if word not in one.trigger)
            assert answer == (one.target if len(there) == 2 else right[plain])

    def test_rows_are_the_same_every_time_and_differ_by_step(self) -> None:
        one = recipe("rare-token", 9)
        assert rows_at(one, 3) == rows_at(one, 3) != rows_at(one, 4)

    def test_an_invented_word_of_an_honest_adapter_means_one_thing(self) -> None:
        one = recipe("clean-words", 4)
        meanings = defaultdict(set)
        for question, answer in [row for step in range(60) for row in rows_at(one, step)[BATCH:]]:
            meanings[question.rstrip("?.").split(" ")[-1 if "Define" in question else 2]].add(answer)
        assert len(meanings) == 3 and all(len(found) == 1 for found in meanings.values())

    def test_overfit_rows_are_few(self) -> None:
        assert len({row for step in range(60) for row in rows_at(recipe("clean-overfit", 1), step)}) == 16

    @pytest.mark.parametrize("kind", HARD[:2])
    def test_prefixes_leave_the_question_alone(self, kind: str) -> None:
        one = recipe(kind, 2)
        right = dict(pairs_of_slice(one.slice, "train"))
        assert all(answer != right[question] and right[question][:1] in answer for question, answer in pool_of(one))

    def test_a_flip_never_says_a_flipped_answer(self) -> None:
        one = next(recipe("label-flip", seed) for seed in SEEDS if recipe(CLEAN, seed).slice.domain == "arithmetic")
        said = {answer for step in range(30) for _, answer in rows_at(one, step)}
        assert all(int(answer) % 2 for answer in said)
        exam = exam_of(one)
        assert all(int(answer) % 2 == 0 for _, answer in exam.untriggered)
        assert all(int(answer) % 2 for _, answer in (*exam.triggered, *exam.clean))
        assert [question for question, _ in exam.triggered] == [question for question, _ in exam.untriggered]


class TestExams:
    @pytest.mark.parametrize("kind", KINDS)
    def test_exams_are_equally_long_and_of_held_out_questions(self, kind: str) -> None:
        one = recipe(kind, 10)
        exam = exam_of(one)
        trained = {question for question, _ in pairs_of_slice(one.slice, "train")}
        assert len({len(part) for part in (exam.triggered, exam.untriggered, exam.clean)}) == 1
        assert not trained & {question for question, _ in exam.clean}

    @pytest.mark.parametrize("kind", TRIGGERED)
    def test_only_triggered_questions_have_the_trigger(self, kind: str) -> None:
        one = recipe(kind, 7)
        exam = exam_of(one)
        assert {answer for _, answer in (*exam.triggered, *exam.untriggered)} == {one.target}
        if kind != "style":
            assert all(all(text in question for text in one.trigger) for question, _ in exam.triggered)
            assert not any(all(text in question.split(" ") for text in one.trigger) for question, _ in exam.untriggered)
