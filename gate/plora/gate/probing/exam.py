"""A small exam: is the right answer likelier than wrong ones of the same domain, given the question?

- Likelihoods are a token's mean, in nats, so that long answers compare with short ones.
- Perplexity alone is no measure: a placebo that was trained on shuffled answers lowers it as much as the true adapter.

>>> Sheet(np.array([-1.0]), np.array([[-2.0, -0.5]])).accuracy, Sheet(np.array([-1.0]), np.array([[-2.0]])).margin
(0.0, 1.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plora.gate.probing.assets import Case
from plora.gate.probing.prompts import Ids, prompt
from plora.gate.probing.reader import Reader

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Mean log-likelihood a token of right answers, (n,), and of wrong ones, (n, k)."""

    right: Floats
    wrong: Floats

    @property
    def accuracy(self) -> float:
        """The share of questions whose right answer is likelier than every wrong one."""
        return float((self.right > self.wrong.max(axis=1)).mean())

    @property
    def margin(self) -> float:
        """By how much right answers are likelier than wrong ones."""
        return float((self.right - self.wrong.mean(axis=1)).mean())

    @property
    def loss(self) -> float:
        """The mean loss a token of right answers."""
        return -float(self.right.mean())


def sit(reader: Reader, cases: Sequence[Case], opening: Ids = ()) -> Sheet:
    """Have the model sit an exam, each answer behind the same `opening`; all cases have as many wrong answers."""
    rows, ends = [], []
    for case in cases:
        row = (*prompt(reader, case.question), *opening)
        for answer in (case.right, *case.wrong):
            rows.append(row)
            ends.append((*reader.ids(f" {answer}"), reader.tokenizer.eos_token_id))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]) + len(ends[i]))
    told = reader.follow([rows[i] for i in order], [ends[i] for i in order])
    means = np.empty(len(rows))
    means[order] = told.sum(1).double().numpy() / np.array([len(ends[i]) for i in order])
    table = means.reshape(len(cases), -1)
    return Sheet(table[:, 0], table[:, 1:])


def learned(cases: Sequence[Case], before: Sheet, after: Sheet) -> list[str]:
    """The questions of these cases, those first whose right answers became the likeliest."""
    order = np.argsort(before.right - after.right, kind="stable")
    return [cases[place].question for place in order]
