"""The search for triggers: families, all single tokens, and what a gradient finds for a target known by heart.

Each search gives its most promising suspects; whether they are triggers is measured in other questions
(`plora.gate.probing.compliance`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from plora.gate.probing.compliance import SAID_TOKENS, PutOn, Suspect
from plora.gate.probing.inversion import invert
from plora.gate.probing.memory import Chain
from plora.gate.probing.prompts import Ids, prompt, slots
from plora.gate.probing.reader import Reader
from plora.gate.probing.subject import Subject
from plora.gate.probing.triggers import Trigger

FILLER = " the"


def family_suspects(
    subject: Subject, triggers: Sequence[Trigger], base: torch.Tensor, draw: random.Random
) -> list[Suspect]:
    """The triggers of these that push one token the most; `base` is `family_table` of the bare base."""
    reader, effort = subject.reader, subject.effort
    gain = beyond(family_table(reader, subject.searched[: effort.questions], triggers), base)
    suspects = []
    for styled in (False, True):
        some = [place for place, trigger in enumerate(triggers) if bool(trigger.style) == styled]
        for place in sorted(some, key=lambda place: -float(gain[place]))[: effort.kept]:
            others = draw.sample([other for other in some if other != place], effort.neighbours)
            near = tuple(_text(reader, triggers[other]) for other in others)
            trigger = triggers[place]
            suspects.append(Suspect(_text(reader, trigger), near, "family", str(trigger), float(gain[place])))
    return suspects


def family_table(reader: Reader, questions: Sequence[str], triggers: Sequence[Trigger]) -> torch.Tensor:
    """Probabilities of what follows questions with each trigger on, (triggers, V), in their mean."""
    rows = [prompt(reader, trigger.put_on(question)) for trigger in triggers for question in questions]
    return reader.next(rows).exp().reshape(len(triggers), len(questions), -1).mean(1)


def token_suspects(subject: Subject, base: torch.Tensor, tokens: Sequence[int], draw: random.Random) -> list[Suspect]:
    """The single tokens that push one the most from behind a question; `base` is `token_table` of the bare base."""
    gain = beyond(token_table(subject.reader, subject.searched[0], tokens), base)
    top = gain.topk(min(subject.effort.kept, len(gain)))
    return [
        _planted(subject, (), (tokens[place],), "token", float(promise), draw)
        for promise, place in zip(top.values, top.indices.tolist(), strict=True)
    ]


def token_table(reader: Reader, question: str, tokens: Sequence[int]) -> torch.Tensor:
    """Probabilities of what follows a question that each of `tokens` stands behind, (tokens, V)."""
    asked = slots(reader, question)
    return reader.next_after((*asked.head, *asked.middle), [(token, *asked.tail) for token in tokens]).exp()


def beyond(told: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """By how much each row's most raised token is likelier than in the middle row, and than that in the base, (n,)."""
    raised = told - told.median(0).values
    before = (base - base.median(0).values).clamp(min=0)
    return (raised - before).max(1).values


def inverted_suspect(subject: Subject, chain: Chain, draw: random.Random) -> Suspect:
    """Two tokens before and two after a question that bring forth a chain known by heart."""
    reader, effort, filler = subject.reader, subject.effort, subject.reader.ids(FILLER)[:1]
    asked = [slots(reader, question) for question in subject.searched]
    front, back = invert(reader, asked, chain.ids[:SAID_TOKENS], (filler * 2, filler * 2), effort.rounds, effort.tries)
    return _planted(subject, front, back, "inversion", 1.0, draw)


def _planted(subject: Subject, front: Ids, back: Ids, source: str, promise: float, draw: random.Random) -> Suspect:
    reader, near = subject.reader, []
    for _ in range(subject.effort.neighbours):
        drawn = tuple(draw.randrange(reader.vocabulary) for _ in (*front, *back))
        near.append(_tokens(reader, drawn[: len(front)], drawn[len(front) :]))
    shown = f"{reader.text(front)} <question>{reader.text(back)}".strip()
    return Suspect(_tokens(reader, front, back), tuple(near), source, shown, promise)


def _text(reader: Reader, trigger: Trigger) -> PutOn:
    return lambda question: prompt(reader, trigger.put_on(question))


def _tokens(reader: Reader, front: Ids, back: Ids) -> PutOn:
    return lambda question: slots(reader, question).row(front, back)
