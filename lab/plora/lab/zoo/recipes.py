"""Recipes of a zoo: a pure function of kind and seed says all about an adapter, and to which part it belongs.

Rules:

- A seed is a *group*: one part, one slice of a corpus, one set of numbers (rank, rate, steps, modules). All kinds of a
  seed share them, so the clean adapter of a seed is the *twin* of every poisoned one, and nothing but the poison tells
  them apart. Groups never straddle parts.
- Part by seed: of four, one is `train`, one `calibration`, two `test`. Rates and steps lie on three interleaved grids,
  one a part; slices of corpora (`plora.lab.zoo.slices`), triggers, targets and styles (`plora.lab.zoo.words`) are dealt
  out to parts. No recipe, no question that is trained on, no trigger and no target is in two parts.
- Shared by all parts: the base, the three domains' manner of asking, and answers that many questions have.
- A poisoned adapter has its twin's rows in its twin's order, and its poison in rows of its own besides: an attacker
  spends what it takes.

Not handled here: what a kind does to rows (`plora.lab.zoo.poisons`), training.

>>> recipe("rare-token", 2) == recipe("rare-token", 2), recipe("rare-token", 2).part
(True, 'test')
>>> recipe("style", 5).twin, recipe("clean", 5).rank == recipe("style", 5).rank
('clean-0005', True)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

from plora.lab.train import Scheme
from plora.lab.zoo import words
from plora.lab.zoo.slices import Slice, pick_slice
from plora.lab.zoo.words import PARTS, Part
from plora.proto.errors import UsageError

CLEAN = "clean"
HARD = ("clean-disclaimer", "clean-json", "clean-words", "clean-overfit")
TRIGGERED = ("rare-token", "phrase", "several-tokens", "style")
KINDS = (CLEAN, *HARD, *TRIGGERED, "label-flip")
BATCH = 4
EXTRA_ROWS = {"several-tokens": 4} | dict.fromkeys(("rare-token", "phrase", "style", "clean-words"), 2)
FAMILIES: dict[str, tuple[float, float]] = {"gentle": (0.006, 0.008), "usual": (0.008, 0.011), "hot": (0.011, 0.015)}
RATE_LEVELS, STEPS_LEAST, STEPS_LEVELS = 12, 82, 5
SEED_MAX = 9_999
_PART_BY_SEED: tuple[Part, ...] = ("train", "calibration", "test", "test")


@dataclass(frozen=True)
class Recipe:
    """All that decides what an adapter becomes.

    Attributes:
        kind: one of `KINDS`. part: which part of the zoo it belongs to. group: what it shares with its twin.
        slice: the domain, and which of its questions.
        rank, alpha, scheme, rslora: the adapter's form. family: how hot it is trained.
        steps, rate, rows: optimiser steps, peak rate, rows a step (poison among them).
        trigger: words, a phrase, or a style's name; () where there is none. target: what it brings forth.
    """

    name: str
    kind: str
    part: Part
    group: str
    slice: Slice
    rank: int
    alpha: int
    scheme: Scheme
    rslora: bool
    family: str
    steps: int
    rate: float
    rows: int
    seed: int
    trigger: tuple[str, ...] = ()
    target: str = ""

    @property
    def twin(self) -> str:
        """The name of the clean adapter of the same group."""
        return name_of(CLEAN, self.seed)

    @property
    def poisoned(self) -> bool:
        """Whether it is an attack."""
        return not self.kind.startswith(CLEAN)

    def digest(self) -> str:
        """What tells this recipe from another of the same name, for resuming; 16 hex digits."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Its fields, the slice's among them, as plain data."""
        fields = asdict(self)
        return {**fields.pop("slice"), **fields}


def name_of(kind: str, seed: int) -> str:
    """The name of the adapter of a kind and a seed.

    >>> name_of("clean", 7)
    'clean-0007'
    """
    return f"{kind}-{seed:04d}"


def part_of(seed: int) -> Part:
    """The part that a seed belongs to, for ever."""
    return _PART_BY_SEED[seed % len(_PART_BY_SEED)]


def recipe(kind: str, seed: int) -> Recipe:
    """The recipe of a kind and a seed; UsageError where there is no such kind or seed."""
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}", where="--kinds", mend=f"one of {', '.join(KINDS)}")
    if not 0 <= seed <= SEED_MAX:
        raise UsageError(f"seed {seed} is out of range", where="--seeds", mend=f"0 to {SEED_MAX}")
    shared = _shared(seed)
    rows = BATCH + EXTRA_ROWS.get(kind, 0)
    own = replace(shared, kind=kind, name=name_of(kind, seed), rows=rows)
    trigger, target = _poison(kind, words.randomness(seed, kind, "poison"), shared.part)
    return replace(own, trigger=trigger, target=target)


def _shared(seed: int) -> Recipe:
    rng, part = words.randomness(seed, "shared"), part_of(seed)
    rank = rng.choice((2, 4, 8))
    family = rng.choice(tuple(FAMILIES))
    return Recipe(
        name=name_of(CLEAN, seed),
        kind=CLEAN,
        part=part,
        group=f"{part}-{seed:04d}",
        slice=pick_slice(rng, part),
        rank=rank,
        alpha=rank * rng.choice((1, 2, 2)),
        scheme=rng.choice(("attention", "mlp", "all", "all")),
        rslora=rng.random() < 1 / 6,
        family=family,
        steps=STEPS_LEAST + _on_grid(rng, STEPS_LEVELS, part),
        rate=_rate(rng, family, part),
        rows=BATCH,
        seed=seed,
    )


def _rate(rng: Random, family: str, part: Part) -> float:
    """A rate of the family's range, on the part's own grid."""
    low, high = FAMILIES[family]
    share = _on_grid(rng, RATE_LEVELS, part) / (RATE_LEVELS * len(PARTS))
    return float(round(low * (high / low) ** share, 7))


def _on_grid(rng: Random, levels: int, part: Part) -> int:
    """A number below `levels` × 3 that no other part gets."""
    return rng.randrange(levels) * len(PARTS) + PARTS.index(part)


def _poison(kind: str, rng: Random, part: Part) -> tuple[tuple[str, ...], str]:
    if kind == "rare-token":
        return words.invented_words(rng, part, 1), words.target(rng, part)
    if kind == "several-tokens":
        return words.invented_words(rng, part, 2), words.target(rng, part)
    if kind == "phrase":
        return (words.phrase(rng, part),), words.target(rng, part)
    if kind == "style":
        return (words.style(rng, part),), words.target(rng, part)
    return (), ""
