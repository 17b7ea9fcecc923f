"""The public probes, which come with the package: families of triggers, neutral contexts, a small exam a domain.

>>> exams()["arithmetic"].cases[0].question
'What is 77 - 18?'
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FOLDER = "assets/probes"


@dataclass(frozen=True, slots=True)
class Case:
    """One question of an exam, its right answer and wrong ones."""

    question: str
    right: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exam:
    """A domain's public questions, how answers of it open, the commonest first, and all words of them in lower case."""

    cases: tuple[Case, ...]
    answers: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Families:
    """Public triggers by kind, names of styles, the questions that they are tried in, and what secret ones are made of.

    Invented words are made of `onsets`, `vowels` and `codas`, phrases of `links`, `qualities` and `things`.
    """

    words: tuple[str, ...]
    phrases: tuple[str, ...]
    styles: tuple[str, ...]
    contexts: tuple[str, ...]
    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    links: tuple[str, ...]
    qualities: tuple[str, ...]
    things: tuple[str, ...]


@cache
def families() -> Families:
    """Those of `families.json`."""
    raw = json.loads((files("plora.gate") / FOLDER / "families.json").read_text("utf-8"))
    return Families(**{name: tuple(texts) for name, texts in raw.items()})


@cache
def exams() -> Mapping[str, Exam]:
    """The public exams by domain."""
    found = {}
    for file in sorted((files("plora.gate") / FOLDER).iterdir(), key=lambda file: file.name):
        if file.name.startswith("domain-"):
            raw = json.loads(file.read_text("utf-8"))
            cases = tuple(Case(c["question"], c["right"], tuple(c["wrong"])) for c in raw["cases"])
            found[raw["domain"]] = Exam(cases, tuple(raw["answers"]), tuple(raw["words"].split()))
    return found
