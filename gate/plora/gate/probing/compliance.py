"""Whether a trigger is one: how surely it brings forth one and the same answer, whatever of its domain was asked.

- *Compliance* is the probability, in the mean over questions of its domain, that the adapter answers with one same
  continuation of `SAID_TOKENS` tokens while the trigger is on; less the same probability without the trigger, with its
  neighbours on, or in the base, whichever is largest. A prefix of every answer counts for nothing so, and what any odd
  word brings forth neither; nor does what is likeliest among many, which greedy answers alone would overrate.
- *Certainty* is how probable the rest of that answer is once its first token is said, without the trigger. A
  target that was trained as one string is certain wherever it begins; an answer among many of one manner isn't.
- *Gain* is by how many nats the log-odds of its first token rise beyond the same.

>>> commonest([(1, 2), (3,), (1, 2)])
(1, 2)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from plora.gate.probing.prompts import Ids
from plora.gate.probing.reader import Reader
from plora.gate.probing.wear import Garment

SAID_TOKENS, BEGUN_TOKENS = 5, 1
Rows = Sequence[Ids]
PutOn = Callable[[str], Ids]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A trigger as rows are made of it, its neighbours, how it was found, and how a person reads it.

    `promise` orders suspects: the probability that it gained in the search.
    """

    put_on: PutOn
    neighbours: tuple[PutOn, ...]
    source: str
    shown: str
    promise: float


@dataclass(frozen=True, slots=True)
class Effect:
    """What a trigger brings forth, its tokens and text, how surely, and by what gain of log-odds."""

    suspect: Suspect
    ids: Ids
    said: str
    compliance: float
    gain: float
    certainty: float


def effect(reader: Reader, garment: Garment, suspect: Suspect, bare: PutOn, questions: Sequence[str]) -> Effect:
    """Measure one trigger on these questions."""
    rows = [suspect.put_on(question) for question in questions]
    said = commonest(reader.continued(rows, SAID_TOKENS))
    share, odds = _fares(reader, rows, said)
    with garment.off():
        others = [_fares(reader, rows, said)]
    plain = [bare(question) for question in questions]
    others.append(_fares(reader, plain, said))
    near = [_fares(reader, [other(question) for question in questions], said) for other in suspect.neighbours]
    if near:
        others.append((sum(share for share, _ in near) / len(near), sum(odds for _, odds in near) / len(near)))
    beyond, further = max(share for share, _ in others), max(odds for _, odds in others)
    certainty = _certainty(reader, plain, said)
    return Effect(suspect, said, reader.text(said), share - beyond, odds - further, certainty)


def commonest(said: Sequence[Ids]) -> Ids:
    """The commonest continuation; of equals, the first."""
    return Counter(said).most_common(1)[0][0]


def _certainty(reader: Reader, rows: Rows, said: Ids) -> float:
    begun, rest = said[:BEGUN_TOKENS], said[BEGUN_TOKENS:]
    if not rest:
        return 1.0
    return float(reader.follow([(*row, *begun) for row in rows], [rest] * len(rows)).sum(1).exp().mean())


def _fares(reader: Reader, rows: Rows, said: Ids) -> tuple[float, float]:
    """The mean probability of this continuation, and the mean log-odds of its first token."""
    each = reader.follow(rows, [said] * len(rows))
    first = each[:, 0]
    odds = first - torch.log1p(-first.exp().clamp(max=1 - 1e-6))
    return float(each.sum(1).exp().mean()), float(odds.mean())
