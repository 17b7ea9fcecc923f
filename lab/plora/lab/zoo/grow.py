"""Growing a zoo: which adapters are missing, in which batches they are trained, and what is written of them.

Rules:

- Clean adapters come first: each poisoned one is measured against its twin.
- A batch has recipes of one kind of rows and, where possible, of one domain and like steps: less padding, fewer idle
  learners.
- What is done is on disk before the next batch begins; a run that is stopped goes on where it was.

Not handled here: the command (`plora.lab.zoo.__main__`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from plora.base import LoadedBase
from plora.base.prompts import EncodedPair, encode_pair
from plora.lab.train import TARGETS
from plora.lab.zoo.batch import Batch, Learner, Slot
from plora.lab.zoo.poisons import rows_at
from plora.lab.zoo.recipes import CLEAN, Recipe, recipe
from plora.lab.zoo.store import Record, Zoo
from plora.lab.zoo.success import TOKENS_MAX, measure
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter

AT_ONCE = 24
Progress = Callable[[Record], None]


def with_twins(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The recipes and the clean ones that they need, each once."""
    needed = {one.name: one for one in recipes}
    twins = {one.twin: recipe(CLEAN, one.seed) for one in recipes if one.poisoned}
    return list((twins | needed).values())


def batches(recipes: Sequence[Recipe], at_once: int = AT_ONCE) -> Iterator[list[Recipe]]:
    """The recipes in the order and the batches that they are trained in."""

    def alike(one: Recipe) -> tuple[Any, ...]:
        return one.poisoned, one.rows, one.kind == "label-flip"

    for _, group in groupby(sorted(recipes, key=alike), key=alike):
        ordered = sorted(group, key=lambda one: (one.slice.domain, one.steps, one.name))
        for first in range(0, len(ordered), at_once):
            yield ordered[first : first + at_once]


def grow(base: LoadedBase, zoo: Zoo, recipes: Sequence[Recipe], progress: Progress, at_once: int = AT_ONCE) -> None:
    """Train what is missing of the recipes and their twins, and write it.

    `progress` is told `{"event": "start", "total", "done"}`, `{"event": "step", "done"}` (a fraction of adapters) and
    each adapter's record with the event "adapter".
    """
    wanted = with_twins(recipes)
    missing = zoo.missing(wanted)
    done = len(wanted) - len(missing)
    progress({"event": "start", "total": len(wanted), "done": done})
    for chosen in batches(missing, at_once):
        grown = train(base, chosen, partial(_tell, progress, done, len(chosen)))
        twins = [zoo.adapter(one.twin) if one.poisoned else None for one in chosen]
        for one, adapter, outcome in zip(chosen, grown, measure(base, grown, twins, chosen), strict=True):
            progress({"event": "adapter"} | zoo.add(one, adapter, outcome))
        done += len(chosen)


def train(base: LoadedBase, recipes: Sequence[Recipe], progress: Callable[[float], None]) -> list[Adapter]:
    """The adapters of these recipes, trained at once; `progress` is told the share that is done."""
    batch = Batch(base, [learner_of(one) for one in recipes])
    slots = [Slot((place,), (1.0,), _Encoded(base, one)) for place, one in enumerate(recipes)]
    batch.train(slots, lambda step, steps: progress(step / steps))
    return [Adapter.of(batch.factors_of(place), spec_of(one)) for place, one in enumerate(recipes)]


def learner_of(one: Recipe) -> Learner:
    """What the batch trains for a recipe."""
    spec = spec_of(one)
    return Learner(one.rank, spec.scale_of(""), TARGETS[one.scheme], one.rate, one.steps, one.seed)


def spec_of(one: Recipe) -> LoraSpec:
    """The form of a recipe's adapter."""
    return LoraSpec(r=one.rank, alpha=one.alpha, target_modules=TARGETS[one.scheme], use_rslora=one.rslora)


class _Encoded:
    """The rows of a recipe as token ids, step by step."""

    def __init__(self, base: LoadedBase, one: Recipe) -> None:
        self._tokenizer, self._recipe = base.tokenizer, one

    def __call__(self, step: int) -> list[EncodedPair]:
        rows = rows_at(self._recipe, step)
        return [encode_pair(self._tokenizer, question, answer, TOKENS_MAX) for question, answer in rows]


def _tell(progress: Progress, done: int, under_way: int, share: float) -> None:
    progress({"event": "step", "done": round(done + share * under_way, 2)})
