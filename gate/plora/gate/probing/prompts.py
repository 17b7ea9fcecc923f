"""Questions as rows of token ids, with slots for trigger tokens before and after the question.

Every row ends with the reader's `opening`.

>>> Slots((2, 9), (5, 6), (7,)).row((3,), (4,)), Slots((2, 9), (5, 6), (7,)).places(1, 1)
((2, 9, 3, 5, 6, 4, 7), (2, 5))
"""

from __future__ import annotations

from dataclasses import dataclass

from plora.base.prompts import question_prompt
from plora.gate.probing.reader import Reader

Ids = tuple[int, ...]
_OPEN, _CLOSE = question_prompt("\0").split(" \0")


@dataclass(frozen=True, slots=True)
class Slots:
    """One question in three parts; trigger tokens go between them."""

    head: Ids
    middle: Ids
    tail: Ids

    def row(self, front: Ids = (), back: Ids = ()) -> Ids:
        """The prompt with trigger tokens before and after the question."""
        return (*self.head, *front, *self.middle, *back, *self.tail)

    def places(self, front: int, back: int) -> Ids:
        """Where so many trigger tokens stand in that row."""
        first = len(self.head)
        second = first + front + len(self.middle)
        return (*range(first, first + front), *range(second, second + back))


def prompt(reader: Reader, question: str) -> Ids:
    """The row of a question."""
    return (*_opened(reader, question_prompt(question)), *reader.opening)


def slots(reader: Reader, question: str) -> Slots:
    """A question with room for trigger tokens."""
    return Slots(_opened(reader, _OPEN), reader.ids(f" {question}"), (*reader.ids(_CLOSE), *reader.opening))


def _opened(reader: Reader, text: str) -> Ids:
    """With whatever opens a text for this tokenizer, and nothing that closes it."""
    ids = tuple(reader.tokenizer(text)["input_ids"])
    end = reader.tokenizer.eos_token_id
    return ids[:-1] if ids and ids[-1] == end != reader.tokenizer.bos_token_id else ids
