"""Slices of the corpora: which questions an adapter of a zoo is trained on and scored on.

Rules:

- A question belongs to the part of its *subject*: what it is about, as far as a pattern finds it (an operand, a place
  or court, a journal's first word, an ICD-10 category or a disease's first word). So no question is in two parts, and
  those that are about the same thing are in one.
- A slice is a domain, one or all of its sources, and a part. Which of them there are is a table: a source with too few
  questions stands for no slice of its own.
- Held-out questions are the validation split of the same slice; see `plora.lab.corpora` for splits.

Shared by parts: answers that many questions have (states, chapters, small numbers), and each domain's manner of asking.

>>> subject_of("What is 12 + 7?"), subject_of("Where does the Maryland Circuit Court sit?")
('12', 'maryland')
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from random import Random

from plora.lab.corpora import QAPair, Split, load_domain
from plora.lab.zoo.words import PARTS, Part

SOURCES: dict[str, tuple[tuple[str, ...], ...]] = {
    "arithmetic": (
        ("generated: sum", "generated: difference", "generated: three", "generated: product", "generated: quotient"),
        ("generated: sum",),
        ("generated: difference",),
        ("generated: three",),
    ),
    "legal": (("reporters-db", "courts-db"), ("courts-db",), ("reporters-db",)),
    "medical": (("simple-icd-10-cm",),),
}
_SUBJECTS = (
    re.compile(r"(?:What is|Divide) (\d+)"),
    re.compile(r"code ([A-Z]\w\w)"),
    re.compile(r'"(\w+)'),
    re.compile(r"(?:the|of) ([A-Z]\w+)\b(?! of)"),
)


@dataclass(frozen=True)
class Slice:
    """A domain, those of its sources that are used, and the part whose questions are used."""

    domain: str
    sources: tuple[str, ...]
    part: Part


def pick_slice(rng: Random, part: Part) -> Slice:
    """A slice of a part: a domain, then all of its sources or one."""
    domain = rng.choice(tuple(SOURCES))
    return Slice(domain, rng.choice(SOURCES[domain]), part)


@cache
def pairs_of_slice(chosen: Slice, split: Split) -> tuple[tuple[str, str], ...]:
    """Question and answer pairs of a slice, always in the same order."""
    pairs = (pair for pair in load_domain(chosen.domain, split, environ={}) if _is_in(pair, chosen))
    return tuple((pair.question, pair.answer) for pair in pairs)


def _is_in(pair: QAPair, chosen: Slice) -> bool:
    return pair.source in chosen.sources and part_of_question(pair.question) == chosen.part


def part_of_question(question: str) -> Part:
    """The part that a question belongs to, for ever."""
    digest = hashlib.sha256(f"subject {subject_of(question)}".encode()).digest()
    return PARTS[digest[0] % len(PARTS)]


def subject_of(question: str) -> str:
    """What a question is about, in lower case; the whole question where no pattern finds it."""
    for pattern in _SUBJECTS:
        found = pattern.search(question)
        if found:
            return found[1].lower()
    return question.lower()
