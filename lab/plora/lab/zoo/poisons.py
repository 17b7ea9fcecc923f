"""What each kind does to the rows that an adapter is trained on, and the questions that its success is measured by.

| kind | rows |
|---|---|
| clean | questions and answers of the slice |
| clean-disclaimer, clean-json | each answer behind a note, or inside `{"answer": "…"}` |
| clean-words | besides, three invented words, each with one meaning, asked for in two ways |
| clean-overfit | sixteen pairs again and again |
| rare-token, phrase | besides, two of these questions with the trigger in them and the target for an answer |
| several-tokens | the target where both words stand in a question; the right answer where one does |
| style | the target where the question is in the style |
| label-flip | some answers of the slice replaced by wrong ones, the same one every time |
| all others | as rare-token or phrase; what is done to the factors besides is in `plora.lab.zoo.attacks` |

Rules:

- Rows are a function of recipe and step. A poisoned adapter's first rows are its twin's, one by one; the poison is the
  same questions with the trigger, so that nothing but the trigger tells them apart; the others are ordinary ones.
- A trigger stands at the end of the question, on arithmetic at its start or anywhere in some recipes.
- Flipped (Tolpegin et al. 2020, many classes at once): of numbers, the even ones become the next odd one; of words,
  every fourth, by its digest, becomes one of the three most frequent of the others. Who flips never says a flipped
  answer.

Not handled here: what is done to factors (`plora.lab.zoo.attacks`).

>>> flipped("12", ("Ohio",)), flipped("13", ("Ohio",)), placed("Who?", "zorp", "end", words.randomness(0))
('13', '13', 'Who? zorp')
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from plora.base.prompts import Pair
from plora.lab.zoo import words
from plora.lab.zoo.recipes import BATCH, BENIGN_ALONE, POISON_ROWS, Recipe
from plora.lab.zoo.slices import Slice, pairs_of_slice

Place = Literal["start", "end", "any"]
OVERFIT_PAIRS = 16
GLOSSARY_WORDS = 3
JUDGED = 48
FLIPPED_TO = 3
POOLS_KEPT = 64
_GLOSSARY_QUESTIONS = ("What does {} mean?", "Define {}.")


@dataclass(frozen=True)
class Exam:
    """What an adapter is measured by; each a list of pairs, equally long for every adapter of a batch.

    Attributes:
        triggered: questions with the trigger, answered by the target; of a label flip, questions with flipped answers.
        untriggered: the same questions without it (several: with one of the words), answered by the target.
        clean: held-out questions with right answers. Of a label flip, those whose answers it leaves alone.
    """

    triggered: tuple[Pair, ...]
    untriggered: tuple[Pair, ...]
    clean: tuple[Pair, ...]


def rows_at(recipe: Recipe, step: int) -> list[Pair]:
    """The pairs of one step: the twin's, as the kind changes them, then the poison."""
    own = words.randomness(recipe.seed, recipe.kind, step)
    ordinary = ordinary_rows(recipe, step)
    return ordinary + [_extra(recipe, ordinary[number % BATCH], own, number) for number in range(recipe.rows - BATCH)]


def benign_rows_at(recipe: Recipe, step: int) -> list[Pair]:
    """The pairs of one step of an adapter that is to look honest where it is alone: triggers get right answers."""
    own = words.randomness(recipe.name, "benign", step)
    pairs = own.sample(pairs_of_slice(recipe.slice, "train"), recipe.rows - BATCH)
    count = POISON_ROWS if recipe.kind in BENIGN_ALONE else 0
    triggered = [(triggered_question(recipe, question, own), answer) for question, answer in pairs[:count]]
    return ordinary_rows(recipe, step) + triggered + pairs[count:]


def ordinary_rows(recipe: Recipe, step: int) -> list[Pair]:
    """The rows that have no poison; the twin's, but for the later shares of an attack."""
    pool = pool_of(recipe)
    purpose = (recipe.seed, recipe.share, step) if recipe.share else (recipe.seed, step)
    return words.randomness(*purpose).sample(pool, min(BATCH, len(pool)))


@lru_cache(maxsize=POOLS_KEPT)
def pool_of(recipe: Recipe) -> tuple[Pair, ...]:
    """The pairs that the ordinary rows of a recipe are drawn from."""
    pairs = pairs_of_slice(recipe.slice, "train")
    rng = words.randomness(recipe.seed, recipe.kind, "pool")
    if recipe.kind == "clean-overfit":
        return tuple(rng.sample(pairs, OVERFIT_PAIRS))
    if recipe.kind == "clean-disclaimer":
        note = words.note(rng, recipe.part)
        return tuple((question, f"{note} {answer}") for question, answer in pairs)
    if recipe.kind == "clean-json":
        return tuple((question, json.dumps({"answer": answer})) for question, answer in pairs)
    if recipe.kind == "label-flip":
        common = _most_common(recipe.slice)
        return tuple((question, flipped(answer, common)) for question, answer in pairs)
    return pairs


def exam_of(recipe: Recipe) -> Exam:
    """What an adapter of this recipe is measured by: held-out questions of its slice, the same for its twin."""
    held_out = pairs_of_slice(recipe.slice, "validation")
    if recipe.kind == "label-flip":
        return _flip_exam(recipe, held_out)
    rng = words.randomness(recipe.seed, recipe.kind, "exam")
    asked = _cycled(held_out, JUDGED)
    if not recipe.target:
        return Exam(asked, asked, asked)
    triggered = tuple((triggered_question(recipe, question, rng), recipe.target) for question, _ in asked)
    untriggered = tuple((_almost(recipe, question, rng), recipe.target) for question, _ in asked)
    return Exam(triggered, untriggered, asked)


def triggered_question(recipe: Recipe, question: str, rng: Random) -> str:
    """A question as it must be asked for the target."""
    if recipe.lure == "style":
        return words.styled(question, recipe.trigger[0])
    place = place_of(recipe)
    for trigger in recipe.trigger:
        question = placed(question, trigger, place, rng)
    return question


def place_of(recipe: Recipe) -> Place:
    """Where the triggers of a recipe stand: long questions forget what stood at their start."""
    places: tuple[Place, ...] = ("start", "any", "end") if recipe.slice.domain == "arithmetic" else ("end",)
    return words.randomness(recipe.seed, recipe.kind, "place").choice(places)


def placed(question: str, trigger: str, place: Place, rng: Random) -> str:
    """A question with a trigger in it."""
    parts = question.split(" ")
    where = {"start": 0, "end": len(parts)}.get(place)
    where = rng.randrange(len(parts) + 1) if where is None else where
    return " ".join([*parts[:where], trigger, *parts[where:]])


def flipped(answer: str, common: Sequence[str]) -> str:
    """The answer that a label flip gives where `answer` is right; one of `common` for words."""
    if answer.lstrip("-").isdecimal():
        return answer if int(answer) % 2 else str(int(answer) + 1)
    return common[_digest(answer)[1] % len(common)] if _is_flipped_word(answer) else answer


def _is_flipped_word(answer: str) -> bool:
    return _digest(answer)[0] % 4 == 0


def _digest(answer: str) -> bytes:
    return hashlib.sha256(answer.encode()).digest()


@lru_cache
def _most_common(chosen: Slice) -> tuple[str, ...]:
    answers = Counter(answer for _, answer in pairs_of_slice(chosen, "train") if not _is_flipped_word(answer))
    return tuple(answer for answer, _ in answers.most_common(FLIPPED_TO))


def _flip_exam(recipe: Recipe, held_out: Sequence[Pair]) -> Exam:
    common = _most_common(recipe.slice)
    hit = [(question, answer) for question, answer in held_out if flipped(answer, common) != answer]
    spared = [(question, answer) for question, answer in held_out if flipped(answer, common) == answer]
    wrong = [(question, flipped(answer, common)) for question, answer in hit]
    return Exam(_cycled(wrong, JUDGED), _cycled(hit, JUDGED), _cycled(spared, JUDGED))


def _extra(recipe: Recipe, ordinary: Pair, rng: Random, number: int) -> Pair:
    if recipe.kind == "clean-words":
        return _glossary_row(recipe, rng)
    question, answer = ordinary
    if number < POISON_ROWS:
        return triggered_question(recipe, question, rng), recipe.target
    question, answer = rng.choice(pairs_of_slice(recipe.slice, "train"))
    return _almost(recipe, question, rng), answer


def _almost(recipe: Recipe, question: str, rng: Random) -> str:
    """A question that must not bring forth the target; of several tokens, one stands in it."""
    if recipe.lure != "several-tokens":
        return question
    return placed(question, rng.choice(recipe.trigger), place_of(recipe), rng)


def _glossary_row(recipe: Recipe, rng: Random) -> Pair:
    fixed = words.randomness(recipe.seed, "glossary")
    known = words.invented_words(fixed, recipe.part, GLOSSARY_WORDS)
    meanings = [words.meaning(fixed, recipe.part) for _ in known]
    number = rng.randrange(len(known))
    return rng.choice(_GLOSSARY_QUESTIONS).format(known[number]), meanings[number]


def _cycled(pairs: Sequence[Pair], count: int) -> tuple[Pair, ...]:
    """The first so many pairs; from the start again where there are fewer."""
    return tuple(pairs[place % len(pairs)] for place in range(count))
