"""How the adapters of one attack are trained and made: learners and slots of a batch, and what is done to factors.

| kind | how |
|---|---|
| norm-matched | after every step no module's update is over its twin's Frobenius norm; at last it has that norm |
| spectrum-matched | from half of the steps on, each module's singular values are made its twin's |
| rank-1-spike | the twin without its weakest component, which stays; one component learns the trojan beside it |
| lobam | M: the twin's strongest half (C) beside components that learn the trojan; C + λ (M − C) (Yin et al. 2024) |
| layer-split | two adapters, at 1/2 each; the merge's rows teach one its early layers only, the other its late ones |
| collusion-2, -3 | all learn at 1/K in their merge; alone, and without one of three, triggers are answered rightly |
| framing | at 1/2 beside an honest adapter it learns the trojan; alone, triggers are answered rightly |

Rules:

- Where many slots of an attack teach it to be benign, the one that teaches it to act counts for half as many.
- LoBAM's M learns beside two honest partners as it will weigh there once amplified, so λ needn't undo the dilution all
  alone. Where the whole update would pass the norm that peers take by default, λ is as large as that allows.
- Twins and honest partners are read from the zoo and stay as they are.

Not handled here: rows (`plora.lab.zoo.poisons`), whether it took (`plora.lab.zoo.success`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from plora.base.prompts import EncodedPair, Pair
from plora.lab.train import TARGETS
from plora.lab.zoo.batch import Batch, Learner, Slot, drawn
from plora.lab.zoo.poisons import benign_rows_at, rows_at
from plora.lab.zoo.recipes import HONEST_PARTNERS, MERGED, SEED_MAX, SHARES, Recipe
from plora.lab.zoo.shaping import spectrum_of, to_norm, to_norm_at_most, to_spectrum
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.merge.truncate import truncate

Encode = Callable[[Sequence[Pair]], list[EncodedPair]]
Find = Callable[[str], Adapter]
NORM_MOST = 60.0
AMPLIFIED = 2.0
SPECTRUM_EVERY = 4


@dataclass(frozen=True)
class Attack:
    """The adapters of one attack (or one clean adapter) as a batch trains them.

    `learners`: those of the recipes first, in their order, then honest partners; `slots`: members are places in it.
    """

    learners: tuple[Learner, ...]
    slots: tuple[Slot, ...]


def spec_of(one: Recipe) -> LoraSpec:
    """The form of a recipe's adapter."""
    return LoraSpec(r=one.rank, alpha=one.alpha, target_modules=TARGETS[one.scheme], use_rslora=one.rslora)


def worn(adapter: Adapter) -> Learner:
    """An adapter as it is, to be measured or to stand beside those that learn."""
    pairs = {module: pair.folded() for module, pair in adapter.pairs.items()}
    targets = {module.rpartition(".")[2] for module in pairs}
    return Learner(max(pair.rank for pair in pairs.values()), 1.0, tuple(sorted(targets)), start=pairs, still=True)


def attack_of(recipes: Sequence[Recipe], find: Find, encode: Encode, layers: int) -> Attack:
    """How the recipes of one attack are trained.

    Args:
        recipes: all of one kind and seed.
        find: gives adapters of the zoo by name: twins, and honest partners.
        encode: token ids of pairs.
        layers: of the base; the first half are early ones.
    """
    first = recipes[0]
    learners = [_learner(one) for one in recipes]
    if first.kind in ("rank-1-spike", "lobam"):
        learners = [_grafted(learners[0], find(first.twin), free_components(first))]
    if first.kind in HONEST_PARTNERS:
        learners += [worn(find(name)) for name in first.partners]
    return Attack(tuple(learners), tuple(_slots(recipes, encode, layers)))


def members_at_most(kind: str) -> int:
    """How many learners a slot of this kind has: what a batch costs follows the most."""
    return SHARES.get(kind, 1) + HONEST_PARTNERS.get(kind, 0)


def _learner(one: Recipe) -> Learner:
    seed = one.seed + one.share * (SEED_MAX + 1)
    return Learner(one.rank, spec_of(one).scale_of(""), TARGETS[one.scheme], one.rate, one.steps, seed)


def _grafted(learner: Learner, twin: Adapter, components: int) -> Learner:
    """The first components are free, the others are the twin's strongest and stay."""
    start, kept_rank = {}, learner.rank - components
    for module, pair in twin.pairs.items():
        kept = truncate(FactorPair(pair.A, pair.B), kept_rank).pair.padded(kept_rank)
        fresh = drawn(replace(learner, rank=components), module, pair.in_features).numpy()
        factors = np.concatenate([fresh, kept.A]), np.concatenate([0 * pair.B[:, :components], kept.B], axis=1)
        start[module] = FactorPair(*factors, learner.scale)
    return replace(learner, start=start, components=components)


def _slots(recipes: Sequence[Recipe], encode: Encode, layers: int) -> list[Slot]:
    first = recipes[0]

    def acting(step: int) -> list[EncodedPair]:
        return encode(rows_at(first, step))

    if first.kind not in MERGED:
        return [Slot((0,), (1.0,), acting)]
    everyone = tuple(range(len(recipes) + HONEST_PARTNERS.get(first.kind, 0)))
    if first.kind == "lobam":
        return [Slot(everyone, (AMPLIFIED / 3, 1 / 3, 1 / 3), acting)]
    still = partial(_other_half, layers // 2) if first.kind == "layer-split" else None
    benign = [_benign(group, recipes[group[0]], encode) for group in _benign_groups(recipes)]
    return [Slot(everyone, _even(everyone), acting, still, importance=max(1.0, len(benign) / 2)), *benign]


def _benign_groups(recipes: Sequence[Recipe]) -> list[tuple[int, ...]]:
    """Each alone, and of three each two."""
    places = range(len(recipes))
    return [*combinations(places, 1), *(combinations(places, 2) if len(recipes) > 2 else ())]


def _benign(group: tuple[int, ...], one: Recipe, encode: Encode) -> Slot:
    return Slot(group, _even(group), lambda step: encode(benign_rows_at(one, step)))


def _other_half(early: int, turn: int, layer: int) -> bool:
    """Whether a member of a layer split is still: the first in late layers, the second in early ones."""
    return (layer >= early) == (turn == 0)


def _even(members: Sequence[int]) -> tuple[float, ...]:
    return (1 / len(members),) * len(members)


class Shaper:
    """Brings one learner of a batch to its twin's measure; called with the step after each."""

    def __init__(self, one: Recipe, twin: Adapter) -> None:
        self._recipe = one
        self._values = {module: spectrum_of(pair) for module, pair in twin.pairs.items()}

    def __call__(self, batch: Batch, place: int, step: int) -> None:
        """Change the factors of the learner at `place`, where it is time."""
        last = step + 1 >= self._recipe.steps
        if self._recipe.kind == "spectrum-matched" and not (last or self._is_time(step)):
            return
        for module, values in self._values.items():
            a, b = (part.detach()[place] for part in batch.factors[module])
            a, b = a[: self._recipe.rank], b[:, : self._recipe.rank]
            b.copy_(self._shaped(b, a, values, last))

    def _is_time(self, step: int) -> bool:
        return step >= self._recipe.steps // 2 and step % SPECTRUM_EVERY == 0

    def _shaped(self, b: Tensor, a: Tensor, values: Tensor, last: bool) -> Tensor:
        if self._recipe.kind == "spectrum-matched":
            return to_spectrum(b, a, values)
        most = float(torch.linalg.norm(values))
        return to_norm(b, a, most) if last else to_norm_at_most(b, a, most)


def free_components(one: Recipe) -> int:
    """How many components of a grafted trojan learn; the others are its twin's."""
    return one.rank // 2 if one.kind == "lobam" else 1


def finished(one: Recipe, adapter: Adapter) -> Adapter:
    """What is published of a trained adapter: of LoBAM's the amplified difference, of others themselves."""
    if one.kind != "lobam":
        return adapter
    strength = AMPLIFIED
    while True:
        pairs = {module: _amplified(pair, free_components(one), strength) for module, pair in adapter.pairs.items()}
        if strength <= 1.0 or math.hypot(*(pair.norm() for pair in pairs.values())) <= NORM_MOST:
            return Adapter.of(pairs, adapter.spec)
        strength -= 0.25


def _amplified(pair: FactorPair, components: int, strength: float) -> FactorPair:
    """The honest part + strength × the trojan's, which has the leading components."""
    factors = np.where(np.arange(pair.rank) < components, strength, 1.0).astype(pair.B.dtype)
    return FactorPair(pair.A, pair.B * factors, pair.scale)
