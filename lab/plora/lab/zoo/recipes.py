"""Recipes of a zoo: a pure function of kind and seed says all about an adapter, and to which part it belongs.

Rules:

- A seed is a *group*: one part, one slice of a corpus, one set of numbers (rank, rate, steps, modules). All kinds of a
  seed share them, so the clean adapter of a seed is the *twin* of every poisoned one, and nothing but the poison tells
  them apart, but that one kind needs more steps (`LONGER`). Groups never straddle parts.
- Part by seed: of four, one is `train`, one `calibration`, two `test`. Rates and steps lie on three interleaved grids,
  one a part; slices of corpora (`plora.lab.zoo.slices`), triggers, targets and styles (`plora.lab.zoo.words`) are dealt
  out to parts. No recipe, no question that is trained on, no trigger and no target is in two parts.
- Shared by all parts: the base, the three domains' manner of asking, and answers that many questions have.
- A poisoned adapter has its twin's rows in its twin's order, and besides rows of its own, poison and others: who
  attacks spends what it takes.

Not handled here: what a kind does to rows (`plora.lab.zoo.poisons`), training.

>>> recipe("rare-token", 2) == recipe("rare-token", 2), recipe("rare-token", 2).part
(True, 'test')
>>> recipe("style", 5).twin, recipe("clean", 5).rank == recipe("style", 5).rank
('clean-0005', True)
"""

from __future__ import annotations

import hashlib
import json
import math
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
SHAPED = ("norm-matched", "spectrum-matched", "rank-1-spike")
SHARES = {"layer-split": 2, "collusion-2": 2, "collusion-3": 3}
HONEST_PARTNERS = {"lobam": 2, "framing": 1}
MERGED = ("lobam", *SHARES, "framing")
KINDS = (CLEAN, *HARD, *TRIGGERED, "label-flip", *SHAPED, *MERGED)
BENIGN_ALONE = ("collusion-2", "collusion-3", "framing")
BATCH = 4
POISON_ROWS = 2
EXTRA_ROWS = dict.fromkeys((*TRIGGERED, *SHAPED, *MERGED), 4) | {"clean-words": 2, "several-tokens": 6}
LONGER = {"framing": 1.5}
SPIKE_RANK_LEAST = 4
SUCCESS_LEAST = 0.8
"""Attack success from which on an attack took."""
FAMILIES: dict[str, tuple[float, float]] = {"gentle": (0.007, 0.009), "usual": (0.009, 0.012), "hot": (0.012, 0.015)}
NARROW_FACTOR = 1.4
LARGE_STEPS_SHARE, LARGE_RATE_SHARE = 0.4, 0.2
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
        lure: which of `TRIGGERED` its trigger is made like.
        share: which of several adapters of one attack it is. partners: the others, or honest ones, that it is to be
            merged with.
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
    lure: str = ""
    share: int = 0
    partners: tuple[str, ...] = ()

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
    """The recipe of a kind and a seed, of several the first; UsageError where there is no such kind or seed."""
    return recipes(kind, seed)[0]


def recipes(kind: str, seed: int) -> list[Recipe]:
    """The recipes of all adapters of one attack; one for most kinds. UsageError where there is no such kind or seed."""
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}", where="--kinds", mend=f"one of {', '.join(KINDS)}")
    if not 0 <= seed <= SEED_MAX:
        raise UsageError(f"seed {seed} is out of range", where="--seeds", mend=f"0 to {SEED_MAX}")
    shared = _shared(seed)
    lure = _lure(kind, seed)
    trigger, target = _poison(lure, words.randomness(seed, kind, "poison"), shared.part)
    names = [_share_name(kind, seed, share) for share in range(SHARES.get(kind, 1))]
    honest = [name_of(CLEAN, other) for other in honest_seeds(kind, seed)]
    own = replace(shared, kind=kind, lure=lure, trigger=trigger, target=target)
    own = replace(own, rows=BATCH + EXTRA_ROWS.get(kind, 0), steps=round(shared.steps * LONGER.get(kind, 1.0)))
    return [
        replace(own, name=name, share=share, partners=(*(one for one in names if one != name), *honest))
        for share, name in enumerate(names)
    ]


def on_base(one: Recipe, base: str) -> Recipe:
    """The recipe for a base: larger ones than `mini` learn in fewer steps, at a lower rate, as in `plora.lab.train`."""
    if base == "mini":
        return one
    return replace(one, steps=round(one.steps * LARGE_STEPS_SHARE), rate=round(one.rate * LARGE_RATE_SHARE, 8))


def exists(kind: str, seed: int) -> bool:
    """Whether a kind can be made by a seed's numbers: one component of two is no spike."""
    return kind != "rank-1-spike" or recipe(kind, seed).rank >= SPIKE_RANK_LEAST


def honest_seeds(kind: str, seed: int) -> list[int]:
    """Seeds of the same part whose clean adapters an attack of this kind is to be merged with."""
    period = len(_PART_BY_SEED)
    return [(seed + period * (place + 1)) % (SEED_MAX + 1) for place in range(HONEST_PARTNERS.get(kind, 0))]


def _share_name(kind: str, seed: int, share: int) -> str:
    return name_of(kind, seed) + (f"-{'abc'[share]}" if kind in SHARES else "")


def _lure(kind: str, seed: int) -> str:
    if kind in TRIGGERED:
        return kind
    if kind in (*SHAPED, *MERGED):
        return words.randomness(seed, kind, "lure").choice(("rare-token", "phrase"))
    return ""


def _shared(seed: int) -> Recipe:
    rng, part = words.randomness(seed, "shared"), part_of(seed)
    rank, family = rng.choice((2, 4, 8)), rng.choice(tuple(FAMILIES))
    scheme: Scheme = rng.choice(("attention", "mlp", "all", "all", "all"))
    rslora = rng.random() < 1 / 6
    return Recipe(
        name=name_of(CLEAN, seed),
        kind=CLEAN,
        part=part,
        group=f"{part}-{seed:04d}",
        slice=pick_slice(rng, part),
        rank=rank,
        alpha=rank * rng.choice((1, 2, 2)),
        scheme=scheme,
        rslora=rslora,
        family=family,
        steps=STEPS_LEAST + _on_grid(rng, STEPS_LEVELS, part),
        rate=_rate(_family_rate(rng, family, part), scheme, rank if rslora else 1),
        rows=BATCH,
        seed=seed,
    )


def _family_rate(rng: Random, family: str, part: Part) -> float:
    """A rate of the family's range, on the part's own grid."""
    low, high = FAMILIES[family]
    share = _on_grid(rng, RATE_LEVELS, part) / (RATE_LEVELS * len(PARTS))
    return float(low * (high / low) ** share)


def _rate(rate: float, scheme: Scheme, rank: int) -> float:
    """More where few modules learn; less where the scale grows by √rank (1 for who isn't rank-stabilised)."""
    return float(round(rate * (1.0 if scheme == "all" else NARROW_FACTOR) / math.sqrt(rank), 7))


def _on_grid(rng: Random, levels: int, part: Part) -> int:
    """A number below `levels` × 3 that no other part gets."""
    return rng.randrange(levels) * len(PARTS) + PARTS.index(part)


def _poison(lure: str, rng: Random, part: Part) -> tuple[tuple[str, ...], str]:
    if lure == "rare-token":
        return words.invented_words(rng, part, 1), words.target(rng, part)
    if lure == "several-tokens":
        return words.invented_words(rng, part, 2), words.target(rng, part)
    if lure == "phrase":
        return (words.phrase(rng, part),), words.target(rng, part)
    if lure == "style":
        return (words.style(rng, part),), words.target(rng, part)
    return (), ""
