"""What clean adapters read and write of the vocabulary, as mean and deviation of each token's energy.

Rules:

- A token that an adapter did not keep counts as the lowest energy that it kept.
- Tokens that fewer than `SEEN_MIN` adapters kept share one mean and deviation.
- `DEVIATION_MIN` is added to each deviation in squares: few adapters that agree by chance make no token novel.
- Each member's own novelty is measured against the others, exactly: sums less its own part.

Not handled here: reading adapters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from plora.gate.detection.readout import FEW, Profile, Side, kept_tokens
from plora.gate.detection.sketch import READ, WRITTEN
from plora.merge.factors import Array

SEEN_MIN = 2
DEVIATION_MIN = 0.2
DECIMALS = 4


def fit_profile(clean: Sequence[Mapping[str, float]]) -> tuple[Profile, list[dict[str, float]]]:
    """The profile of these clean adapters' statistics, and the novelty of each against the others."""
    novelty: list[dict[str, float]] = [{} for _ in clean]
    sides = {kind: _fit_side(clean, kind, novelty) for kind in (READ, WRITTEN)}
    return Profile(read=sides[READ], written=sides[WRITTEN]), novelty


def _fit_side(clean: Sequence[Mapping[str, float]], kind: str, novelty: list[dict[str, float]]) -> Side:
    all_kept = [kept_tokens(one, kind) for one in clean]
    kept = {index: found for index, found in enumerate(all_kept) if found}
    if len(kept) < SEEN_MIN:
        return Side(tokens=(), mean=(), deviation=(), mean_elsewhere=0.0, deviation_elsewhere=1.0)
    tokens = sorted({token for found in kept.values() for token in found})
    place = {token: index for index, token in enumerate(tokens)}
    lowest = np.array([min(found.values()) for found in kept.values()])
    energies = np.repeat(lowest[:, None], len(tokens), axis=1)
    seen = np.zeros_like(energies, dtype=bool)
    for row, found in enumerate(kept.values()):
        columns = [place[token] for token in found]
        energies[row, columns], seen[row, columns] = list(found.values()), True
    for index, first in zip(kept, _left_out(energies, seen), strict=True):
        novelty[index] |= {f"{kind}_novelty": float(first[0]), f"{kind}_novelty_few": float(first.mean())}
    often = np.flatnonzero(seen.sum(axis=0) >= SEEN_MIN).tolist()
    return Side(
        tokens=tuple(tokens[column] for column in often),
        mean=_rounded(energies[:, often].mean(axis=0)),
        deviation=_rounded(_deviation(energies[:, often].var(axis=0))),
        mean_elsewhere=round(float(lowest.mean()), DECIMALS),
        deviation_elsewhere=round(float(_deviation(lowest.var())), DECIMALS),
    )


def _left_out(energies: Array, seen: Array) -> Array:
    """The few highest novelties of each row against all other rows, falling: (rows, FEW)."""
    others = len(energies) - 1
    mean = (energies.sum(axis=0) - energies) / others
    variance = (np.square(energies).sum(axis=0) - np.square(energies)) / others - np.square(mean)
    found = (energies - mean) / _deviation(np.maximum(variance, 0.0))
    return np.asarray(np.sort(np.where(seen, found, -np.inf), axis=1)[:, ::-1][:, :FEW])


def _deviation(variance: Array) -> Array:
    return np.asarray(np.sqrt(variance + DEVIATION_MIN**2))


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(value, DECIMALS) for value in values.tolist())
