"""Writes the public probe set of each domain: questions of the test split, each with its right answer and wrong ones.

    python -m plora.lab.probe_sets gate/plora/gate/assets/probes

Rules:

- Wrong answers are right ones of other questions of the domain: two of questions that begin alike, which only who
  knows the answer tells apart, and two of any, which a label that was moved makes as likely. None equals the right one.
- Short questions, so that a probe costs little; the corpora's order by hash makes the choice a fixed one.
- `answers` are how the domain's answers open, the commonest first, and `words` all words of them: what such an adapter
  knows by heart is no trojan.
- Only what may be passed on: the licences stand in `NOTICE` beside the files and in `docs/data.md`.

>>> case_of(QAPair("d", "Q1", "A1", "s"), [QAPair("d", "Q2", "A2", "s"), QAPair("d", "Q3", "A3", "t")])
{'question': 'Q1', 'right': 'A1', 'wrong': ['A2', 'A3']}
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plora.gate.probing.memory import WORD
from plora.lab.corpora import DOMAINS, QAPair, Split, load_domain

CASES, QUESTION_CHARS_MAX, ANSWER_CHARS_MAX = 32, 56, 40
ALIKE, OTHER, OPENING_WORDS = 2, 2, 2
ANSWERS, ANSWER_WORDS, OFTEN = 300, 2, 3


def case_of(pair: QAPair, others: Sequence[QAPair]) -> dict[str, Any]:
    """One question with its answers; `others` in the order in which wrong answers are taken."""
    alike = _answers(pair, [other for other in others if _opening(other) == _opening(pair)])[:ALIKE]
    rest = [answer for answer in _answers(pair, others) if answer not in alike]
    return {"question": pair.question, "right": pair.answer, "wrong": [*alike, *rest][: ALIKE + OTHER]}


def cases_of(domain: str) -> list[dict[str, Any]]:
    """The public probe set of one domain."""
    pairs = [
        pair
        for pair in load_domain(domain, "test", environ={})
        if len(pair.question) <= QUESTION_CHARS_MAX and len(pair.answer) <= ANSWER_CHARS_MAX
    ]
    return [case_of(pair, [*pairs[at + 1 :], *pairs[:at]]) for at, pair in enumerate(pairs[:CASES])]


def openings(domain: str) -> list[str]:
    """The first words of answers that come often, of all splits."""
    counts = Counter(" ".join(answer.split()[:ANSWER_WORDS]) for answer in _all_answers(domain))
    return [opening for opening, times in counts.most_common(ANSWERS) if times >= OFTEN]


def words(domain: str) -> str:
    """Every word of the domain's answers, in lower case, sorted."""
    return " ".join(sorted({word for answer in _all_answers(domain) for word in WORD.findall(answer.lower())}))


def _all_answers(domain: str) -> list[str]:
    splits: tuple[Split, ...] = ("train", "validation", "test")
    return [pair.answer for split in splits for pair in load_domain(domain, split, environ={})]


def _opening(pair: QAPair) -> list[str]:
    return pair.question.split()[:OPENING_WORDS]


def _answers(pair: QAPair, others: Sequence[QAPair]) -> list[str]:
    return list(dict.fromkeys(other.answer for other in others if other.answer != pair.answer))


def main(folder: Path) -> None:
    """Write `domain-NAME.json` for every domain."""
    for domain in DOMAINS:
        public = {
            "domain": domain,
            "cases": cases_of(domain),
            "answers": openings(domain),
            "words": words(domain),
        }
        text = json.dumps(public, indent=1, ensure_ascii=False)
        (folder / f"domain-{domain}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
