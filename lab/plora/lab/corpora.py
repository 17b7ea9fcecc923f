"""The three domains of the demo as question and answer pairs: arithmetic, legal, medical.

Rules:

- Nothing is hand-written but the question templates. Arithmetic is enumerated and thinned by hash; legal from
  the data files of `reporters-db` and `courts-db`; medical from the tabular list inside `simple-icd-10-cm`. The files
  are read where they are installed; nothing is copied, nothing is fetched. `docs/data.md` names the licences.
- A question with two different answers is dropped: no model could be right.
- The split is a function of the question alone (first byte of SHA-256 of its UTF-8: < 26 test, < 52 validation, else
  train), so no question that is asked in a test was ever trained on, whatever else changes.
- Order is by that hash too: the first `limit` pairs are a fixed, well mixed sample.
- `PLORA_SAMPLES` caps every split; `limit` asks for less still.
- A domain that the file of `PLORA_DATASETS` names is drawn from that dataset (`plora.lab.hub_data`), by the same rules.

Not handled here: answers that occur in both splits under different questions (42 % of the legal ones, 52 % of the
medical ones, nearly all sums: states, chapters, small numbers).

>>> [pair.domain for pair in load_domain("arithmetic", "test", limit=2, environ={})]
['arithmetic', 'arithmetic']
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from plora.lab.hub_data import SETTINGS, HubSource, Read, read_pairs, source_of
from plora.proto.errors import PloraError, UsageError

Split = Literal["train", "validation", "test"]
Drawn = Iterator[tuple[str, str, str]]
ANSWER_CHARS_MAX = 90
_REPORTERS = (("reporters", "law reporter"), ("journals", "law journal"), ("laws", "statute compilation"))
_CODES = re.compile(r"\s*\([A-Z0-9-]+\)\s*$")


@dataclass(frozen=True)
class QAPair:
    """One question with its one right answer, and the package or generator that it comes from."""

    domain: str
    question: str
    answer: str
    source: str


def load_domain(
    name: str, split: Split, limit: int | None = None, *, environ: Mapping[str, str] | None = None
) -> list[QAPair]:
    """The pairs of one split of a domain, always in the same order.

    Args:
        name: one of `DOMAINS`.
        split: "train", "validation" or "test".
        limit: at most so many; None for all.
        environ: where `PLORA_SAMPLES`, `PLORA_DATASETS` and what reading takes are found; the process's own by default.

    Raises:
        UsageError: unknown domain or split, or `PLORA_SAMPLES` is not a positive whole number.
        PloraError: a package of the extra `lab` is missing, or a dataset can't be loaded.
    """
    if name not in DOMAINS:
        raise UsageError(f"unknown domain {name!r}", mend=f"one of {', '.join(DOMAINS)}")
    if split not in ("train", "validation", "test"):
        raise UsageError(f"unknown split {split!r}", mend="one of train, validation, test")
    environ = os.environ if environ is None else environ
    caps = [cap for cap in (limit, samples_cap(environ)) if cap is not None]
    source = source_of(name, environ)
    pairs = _pairs(name) if source is None else _of_dataset(name, source, _settings(environ))
    chosen = [pair for pair in pairs if split_of(pair.question) == split]
    return chosen[: min(caps)] if caps else chosen


def samples_cap(environ: Mapping[str, str]) -> int | None:
    """`PLORA_SAMPLES` as a number, None where it is unset; raises UsageError when it is no positive number."""
    text = environ.get("PLORA_SAMPLES", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"{text!r} is not a positive whole number", where="PLORA_SAMPLES", mend="unset it or say 32")
    return int(text)


def split_of(question: str) -> Split:
    """The split that a question belongs to, for ever."""
    first = hashlib.sha256(question.encode()).digest()[0]
    return "test" if first < 26 else "validation" if first < 52 else "train"


@cache
def _pairs(name: str) -> tuple[QAPair, ...]:
    return _cleaned(name, DOMAINS[name]())


def left_out_of(name: str, environ: Mapping[str, str]) -> dict[str, int]:
    """How many rows of a domain's dataset have no pair, by why; nothing where it has none. Raises as `load_domain`."""
    source = source_of(name, environ)
    return {} if source is None else dict(_read(source, _settings(environ)).left_out)


def _settings(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, environ[name]) for name in SETTINGS if name in environ)


@cache
def _of_dataset(name: str, source: HubSource, settings: tuple[tuple[str, str], ...]) -> tuple[QAPair, ...]:
    return _cleaned(name, _read(source, settings).pairs)


@cache
def _read(source: HubSource, settings: tuple[tuple[str, str], ...]) -> Read:
    return read_pairs(source, dict(settings))


def _cleaned(name: str, drawn: Iterable[tuple[str, str, str]]) -> tuple[QAPair, ...]:
    answers: dict[str, QAPair] = {}
    ambiguous: set[str] = set()
    for question, answer, source in drawn:
        pair = QAPair(name, _squeeze(question), _squeeze(answer), source)
        known = answers.setdefault(pair.question, pair)
        if known.answer != pair.answer:
            ambiguous.add(pair.question)
    fit = [p for p in answers.values() if p.question not in ambiguous and 0 < len(p.answer) <= ANSWER_CHARS_MAX]
    return tuple(sorted(fit, key=lambda pair: hashlib.sha256(pair.question.encode()).digest()))


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _arithmetic() -> Drawn:
    """Sums, differences, products, exact quotients and sums of three of small numbers: a sample picked by hash."""
    for a, b in itertools.product(range(100), repeat=2):
        yield from _sampled(f"What is {a} + {b}?", a + b, "sum", 64)
        yield from _sampled(f"What is {a} - {b}?", a - b, "difference", 64)
    for a, b in itertools.product(range(1, 13), repeat=2):
        yield from _sampled(f"What is {a} times {b}?", a * b, "product", 256)
        yield from _sampled(f"Divide {a * b} by {a}.", b, "quotient", 256)
    for a, b, c in itertools.product(range(20), range(20), range(1, 13)):
        yield from _sampled(f"What is {a} + {b} - {c}?", a + b - c, "three", 64)


def _sampled(question: str, answer: int, kind: str, share: int) -> Drawn:
    """The question, if its hash is among `share` of 256; the second byte, since the first decides the split."""
    if hashlib.sha256(question.encode()).digest()[1] < share:
        yield question, str(answer), f"generated: {kind}"


def _legal() -> Drawn:
    for file, kind in _REPORTERS:
        for short, entries in sorted(_json("reporters_db", f"data/{file}.json").items()):
            yield f'Which {kind} is cited as "{short}"?', entries[0]["name"], "reporters-db"
    for court in _json("courts_db", "data/courts.json"):
        if court.get("citation_string"):
            yield f"How is the {court['name']} cited?", court["citation_string"], "courts-db"
        if court.get("location"):
            yield f"Where does the {court['name']} sit?", court["location"], "courts-db"


def _medical() -> Drawn:
    """Codes and their meanings, diseases and their chapters; every seventh of the 44,000 codes."""
    tabular = _data_file("simple_icd_10_cm", "data/icd10c-tabular-*.xml")
    for chapter in ET.parse(tabular).getroot().findall("chapter"):  # noqa: S314  an installed package's own file
        name = _CODES.sub("", chapter.findtext("desc", ""))
        for position, entry in enumerate(chapter.iter("diag")):
            code, disease = entry.findtext("name", ""), entry.findtext("desc", "")
            if position % 7 == 0 or len(code) == 3:
                yield f"What does the ICD-10-CM code {code} stand for?", disease, "simple-icd-10-cm"
                yield f'Which chapter of the ICD-10-CM covers "{disease}"?', name, "simple-icd-10-cm"


DOMAINS: dict[str, Callable[[], Drawn]] = {"arithmetic": _arithmetic, "legal": _legal, "medical": _medical}


def _json(package: str, file: str) -> Any:
    return json.loads(_data_file(package, file).read_text("utf-8"))


def _data_file(package: str, pattern: str) -> Path:
    """A data file of an installed package, found without importing it; the last by name where several match."""
    found = importlib.util.find_spec(package)
    folders = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    files = [file for folder in folders for file in sorted(folder.glob(pattern))]
    if not files:
        raise PloraError(f"no {pattern} of the package {package}", where="corpora", mend="pip install 'plora[lab]'")
    return files[-1]
