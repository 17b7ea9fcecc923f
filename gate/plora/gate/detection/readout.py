"""Read-outs: which tokens an update writes, and which it reads, seen through the base's own embeddings.

(nostalgebraist 2020, "interpreting GPT: the logit lens"; Geva et al. 2021, "Transformer feed-forward layers are
key-value memories".)

Rules:

- What o and down projections write is seen through the final norm and the unembedding: tokens that the adapter brings
  forth, also the target of a trojan. What q, k, v and up projections read is seen on normalised embeddings: tokens that
  it attends to, also triggers.
- A module sees of a token t, measured from the mean of the vocabulary and at norm 1, tᵀ (ΔW ΔWᵀ)^¼ t: directions
  count by the root of their singular value (tried: 1/4 to 3/2), and no vector of a degenerate pair matters by itself.
  Modules are brought to the same mean over the vocabulary, then count by the root of their relative size ‖ΔW‖/‖W‖, as
  directions do: small ones can't drown what large ones write.
- All modules' matrices are added into one of the stream's width. Of it as many leading directions are used as
  `PRODUCTS_MAX` multiplications with the vocabulary allow: all 160 of `mini`, 353 of 576 of `smollm2`.
- Energies are logarithms, standardised over the vocabulary (median, median absolute deviation). The `KEPT` highest of a
  side are figures of their own, "w.736" for token 736 that is written, so that novelty can be measured later.
- A `Profile` says what clean adapters read and write. Novelty is how far a token's energy lies above theirs, in their
  deviations. A token that an adapter did not keep counts, for its share in the profile, as the lowest that it kept.

Not handled: what a token is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from plora.gate.detection.layout import WRITERS
from plora.gate.detection.sketch import READ, WRITTEN, BaseSketch, ModuleSketch, Tokens
from plora.gate.detection.spectra import Spectrum, relative_sizes
from plora.merge.factors import Array
from plora.proto.payload import StrictModel

PRODUCTS_MAX = 1e10
POWER = 0.25
"""Of singular values, and of modules' sizes, in the factors of the matrix that tokens are measured by."""
READING = ("k_proj", "q_proj", "up_proj", "v_proj")
CANDIDATES = 32
KEPT: Mapping[str, int] = {READ: 64, WRITTEN: 256}
PREFIX: Mapping[str, str] = {READ: "r.", WRITTEN: "w."}
FEW = 4
DECIMALS = 2
MAD = 1.4826
"""Times the median absolute deviation: the standard deviation of a normal distribution."""
TINY = 1e-30

Positive = Annotated[float, Field(gt=0)]


class Side(StrictModel):
    """What clean adapters do on one side: mean and deviation of the energies of these tokens, and of any other."""

    tokens: tuple[int, ...]
    mean: tuple[float, ...]
    deviation: tuple[Positive, ...]
    mean_elsewhere: float
    deviation_elsewhere: Positive

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if not len(self.tokens) == len(self.mean) == len(self.deviation):
            raise ValueError("tokens, mean and deviation must have one entry a token")
        return self

    @cached_property
    def _known(self) -> Mapping[int, tuple[float, float]]:
        pairs = zip(self.mean, self.deviation, strict=True)
        return dict(zip(self.tokens, pairs, strict=True))

    def novelty(self, energies: Mapping[int, float]) -> dict[int, float]:
        """How far each token's energy lies above that of clean adapters, in their deviations."""
        elsewhere = (self.mean_elsewhere, self.deviation_elsewhere)
        known = {token: self._known.get(token, elsewhere) for token in energies}
        return {token: (energies[token] - mean) / deviation for token, (mean, deviation) in known.items()}


class Profile(StrictModel):
    """What clean adapters of a base read and write."""

    read: Side
    written: Side

    def figures(self, statistics: Mapping[str, float]) -> dict[str, float]:
        """Novelty of the most novel token, and the mean of the first few, on each side that the statistics have."""
        found: dict[str, float] = {}
        for kind, side in ((READ, self.read), (WRITTEN, self.written)):
            energies = kept_tokens(statistics, kind)
            if energies:
                first = sorted(side.novelty(energies).values(), reverse=True)[:FEW]
                found |= {f"{kind}_novelty": first[0], f"{kind}_novelty_few": sum(first) / len(first)}
        return found


class Readout(NamedTuple):
    """Standardised log energies of all tokens, as read and as written; None where no such module was changed."""

    read: Array | None
    written: Array | None


class Candidates(NamedTuple):
    """Token ids, the most striking first: likely targets (written), likely triggers (read)."""

    targets: tuple[int, ...]
    triggers: tuple[int, ...]


def readout_of(spectra: Mapping[str, Spectrum], sketch: BaseSketch) -> Readout:
    """What these updates read and write of the base's vocabulary."""
    found = [(sketch.modules[name], spectra[name], size) for name, size in relative_sizes(spectra, sketch).items()]
    reading = [one for one in found if one[0].place.leaf in READING]
    writing = [one for one in found if one[0].place.leaf in WRITERS]
    return Readout(_energy(reading, sketch.tokens(READ)), _energy(writing, sketch.tokens(WRITTEN)))


def candidates(readout: Readout, profile: Profile | None = None, count: int = CANDIDATES) -> Candidates:
    """The tokens that stand out most, against the profile where there is one."""
    written = _ranked(readout.written, KEPT[WRITTEN], profile.written if profile else None)
    read = _ranked(readout.read, KEPT[READ], profile.read if profile else None)
    return Candidates(written[:count], read[:count])


def token_figures(readout: Readout) -> dict[str, float]:
    """The energies of the tokens that are kept, by "r.ID" and "w.ID"."""
    sides = ((READ, readout.read), (WRITTEN, readout.written))
    return {
        f"{PREFIX[kind]}{token}": round(float(energies[token]), DECIMALS)
        for kind, energies in sides
        if energies is not None
        for token in _top(energies, KEPT[kind])
    }


def kept_tokens(statistics: Mapping[str, float], kind: str) -> dict[int, float]:
    """The tokens and energies of one side among these figures, the inverse of `token_figures`."""
    begin = PREFIX[kind]
    return {int(name.removeprefix(begin)): value for name, value in statistics.items() if name.startswith(begin)}


def standardised(values: Array) -> Array:
    """In robust deviations from the median: (values - median) / (1.4826 MAD)."""
    off = values - np.median(values)
    return np.asarray(off / max(MAD * float(np.median(np.abs(off))), TINY))


def _energy(modules: list[tuple[ModuleSketch, Spectrum, float]], tokens: Tokens) -> Array | None:
    if not modules:
        return None
    largest = max(size for _, _, size in modules)
    factors = np.concatenate(
        [_seen_by(module, spectrum, tokens) * (size / largest) ** POWER for module, spectrum, size in modules], axis=1
    )
    energy = tokens.energy(_leading_factor(factors @ factors.T, len(tokens.table))).astype(np.float64) / tokens.squares
    return standardised(np.log(energy + TINY))


def _seen_by(module: ModuleSketch, spectrum: Spectrum, tokens: Tokens) -> Array:
    """(width, r): a token's energy in these directions is 1 on the average over the vocabulary."""
    vectors = spectrum.left if module.place.writes else spectrum.right
    factor = module.gain[:, None] * vectors * spectrum.values**POWER
    mean = float(np.sum(factor * (tokens.covariance @ factor.astype(np.float32))))
    return np.asarray(factor / np.sqrt(max(mean, TINY)))


def _leading_factor(matrix: Array, vocabulary: int) -> Array:
    """(width, k) with factor @ factorᵀ near the matrix: the best that the vocabulary leaves time for."""
    count = max(1, min(len(matrix), int(PRODUCTS_MAX / vocabulary / len(matrix))))
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors[:, -count:] * np.sqrt(np.maximum(values[-count:], 0))).astype(np.float32))


def _ranked(energies: Array | None, count: int, side: Side | None) -> tuple[int, ...]:
    if energies is None:
        return ()
    kept = {token: float(energies[token]) for token in _top(energies, count)}
    scores = kept if side is None else side.novelty(kept)
    return tuple(sorted(scores, key=lambda token: (-scores[token], token)))


def _top(energies: Array, count: int) -> list[int]:
    return [int(token) for token in np.argsort(-energies, kind="stable")[:count]]
