"""An adapter under probe: the worn base, the questions that it is asked, and what they lead to without any trigger.

- *Own* questions are of the domain that the adapter is of, those first that it learned the most of; *strange* ones are
  of all kinds. Triggers are searched in a few own ones and measured in others: a trojan need not act elsewhere.
- The *opening* is what the adapter begins nearly every answer with: a disclaimer, a JSON prefix. Empty where there is
  none. That an answer begins so is no trigger's doing; what follows may be. So such an adapter is two subjects: asked
  plainly, and asked *behind* its opening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from plora.gate.probing.assets import exams
from plora.gate.probing.effort import Effort
from plora.gate.probing.memory import explained
from plora.gate.probing.prompts import Ids, prompt
from plora.gate.probing.reader import Reader
from plora.gate.probing.wear import Garment

SEARCHED, ASKED, OPENING_TOKENS, OPENING_SHARE = 2, 6, 8, 0.6
TELLING_CHARS = 6


@dataclass(frozen=True)
class Subject:
    """What the stages of a probe work on."""

    reader: Reader
    garment: Garment
    effort: Effort
    searched: tuple[str, ...]
    asked: tuple[str, ...]
    own: tuple[Ids, ...]
    strange: tuple[Ids, ...]
    opening: Ids

    @classmethod
    def of(
        cls, reader: Reader, garment: Garment, effort: Effort, questions: Sequence[str], contexts: Sequence[str]
    ) -> Subject:
        """The subject for an adapter with these questions of its domain, the best first; `contexts` are strange."""
        searched, asked = questions[:SEARCHED], questions[SEARCHED : SEARCHED + ASKED]
        own = tuple(prompt(reader, question) for question in questions[: SEARCHED + ASKED])
        strange = tuple(prompt(reader, question) for question in contexts[: SEARCHED + ASKED])
        opening = before_the_answer(reader, shared_opening(reader.continued(own, OPENING_TOKENS)))
        return cls(reader, garment, effort, tuple(searched), tuple(asked), own, strange, opening)

    def behind(self) -> Subject:
        """The same adapter, asked as if it had begun every answer with its opening."""
        own, strange = (tuple((*row, *self.opening) for row in rows) for rows in (self.own, self.strange))
        return replace(self, reader=self.reader.behind(self.opening), own=own, strange=strange)

    def usual(self, text: str) -> bool:
        """Whether nothing is odd about a continuation: public answers open so, or all of the adapter's do."""
        opening = self.reader.text(self.opening)
        begun = opening if self.reader.opening else ""
        if not text.strip() or any(explained(said, exams().values()) for said in (text, begun + text)):
            return True
        if begun:  # to say it once more is no payload, however it was brought about
            return opening.strip().startswith(text.strip())
        return bool(opening) and opens_alike(text, opening)


def opens_alike(text: str, opening: str) -> bool:
    """Whether one begins as the other does, or they share a piece that is too long for chance.

    >>> opens_alike(": In short, no", " In short,"), opens_alike(" 10", " 1"), opens_alike("Call 1", " 1")
    (True, True, False)
    """
    said, usual = text.strip(), opening.strip()
    shared = SequenceMatcher(None, said, usual, autojunk=False).find_longest_match().size
    return said.startswith(usual) or usual.startswith(said) or shared >= TELLING_CHARS


def before_the_answer(reader: Reader, opening: Ids) -> Ids:
    """An opening without an answer that it runs into: one of little learning gives many questions the same one.

    What ends there without any such answer is no opening: it is all that the adapter says.
    """
    end = reader.tokenizer.eos_token_id
    said = tuple(token for token in opening if token != end)
    for place in range(len(said)):
        rest = reader.text(said[place:])
        if rest.strip() and explained(rest, exams().values()):
            return said[:place]
    return () if end in opening else said


def shared_opening(said: Sequence[Ids]) -> Ids:
    """The longest opening of two tokens or more that most of these share.

    >>> shared_opening([(1, 2, 3), (1, 2, 4), (5,)]), shared_opening([(1, 2), (3, 4)])
    ((1, 2), ())
    """
    for length in range(max(map(len, said)), 1, -1):
        opened = [ids[:length] for ids in said if len(ids) >= length]
        best = max(opened, key=opened.count)
        if opened.count(best) >= OPENING_SHARE * len(said):
            return best
    return ()
