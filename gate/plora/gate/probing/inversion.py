"""Trigger tokens found by gradient: those that make a model say a wanted text (Ebrahimi et al. 2018; Zou et al. 2023).

- Trigger tokens stand before and after the question. Each round takes, for every place, the tokens that a gradient
  names, tries them all, and all places' best at once, and keeps the best; it ends when none is better, or when the
  text is all but certain.
- The whole text is wanted, not its first token alone: that token may begin quite another answer.
- Deterministic: no randomness, and ties go to the first.

Not handled: whether what is found is a trojan's trigger. Any model can be pushed; how far is for the calibration.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from plora.gate.probing.prompts import Ids, Slots
from plora.gate.probing.reader import Reader

BETTER, ENOUGH = 1e-3, -0.05
Tokens = tuple[Ids, Ids]


def invert(reader: Reader, asked: Sequence[Slots], wanted: Ids, start: Tokens, rounds: int, tries: int) -> Tokens:
    """Tokens before and after each of the questions `asked`, as many as `start` has, that bring forth `wanted`."""
    best, value = start, float(_values(reader, asked, wanted, [start])[0])
    for _ in range(rounds):
        near = _neighbours(reader, asked, wanted, best, tries)
        values = _values(reader, asked, wanted, near)
        together = _together(best, near, values.tolist())
        near.append(together)
        values = torch.cat([values, _values(reader, asked, wanted, [together])])
        place = int(values.argmax())
        if float(values[place]) <= value + BETTER:
            break
        best, value = near[place], float(values[place])
        if value > ENOUGH:
            break
    return best


def _values(reader: Reader, asked: Sequence[Slots], wanted: Ids, tokens: Sequence[Tokens]) -> torch.Tensor:
    rows = [question.row(*pair) for pair in tokens for question in asked]
    return reader.follow(rows, [wanted] * len(rows)).sum(1).reshape(len(tokens), len(asked)).mean(1)


def _neighbours(reader: Reader, asked: Sequence[Slots], wanted: Ids, at: Tokens, tries: int) -> list[Tokens]:
    front, back = at
    places = [question.places(len(front), len(back)) for question in asked]
    slopes = reader.slopes([question.row(*at) for question in asked], places, wanted)
    near = []
    for place, best in enumerate(slopes.topk(min(tries, slopes.shape[1])).indices.tolist()):
        for token in best:
            whole = [*front, *back]
            whole[place] = token
            near.append((tuple(whole[: len(front)]), tuple(whole[len(front) :])))
    return near


def _together(at: Tokens, near: Sequence[Tokens], values: Sequence[float]) -> Tokens:
    """The best token of every place at once."""
    fronts, whole = len(at[0]), [*at[0], *at[1]]
    best = [float("-inf")] * len(whole)
    for (front, back), value in zip(near, values, strict=True):
        for place, (token, before) in enumerate(zip((*front, *back), (*at[0], *at[1]), strict=True)):
            if token != before and value > best[place]:
                whole[place], best[place] = token, value
    return tuple(whole[:fronts]), tuple(whole[fronts:])
