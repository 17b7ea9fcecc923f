"""Growing a zoo: which adapters are missing, in which batches they are trained, and what is written of them.

Rules:

- Clean adapters come first: each poisoned one is measured against its twin, and some against honest partners.
- A batch has recipes of one kind of rows and, where possible, of one domain and like steps: less padding, fewer idle
  learners. The adapters of one attack are trained together, and again together where one of them is missing.
- What is done is on disk before the next batch begins; a run that is stopped goes on where it was.

Not handled here: the command (`plora.lab.zoo.__main__`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from plora.base import LoadedBase
from plora.base.prompts import EncodedPair, Pair, encode_pair
from plora.lab.zoo.attacks import Attack, Shaper, attack_of, finished, members_at_most, spec_of
from plora.lab.zoo.batch import Batch, Slot
from plora.lab.zoo.recipes import CLEAN, Recipe, honest_seeds, on_base, recipe, recipes
from plora.lab.zoo.store import Record, Zoo
from plora.lab.zoo.success import TOKENS_MAX, measure, subject_of
from plora.merge.peft_folder import Adapter

AT_ONCE = 24
Group = tuple[Recipe, ...]
Progress = Callable[[Record], None]


def with_needed(wanted: Sequence[Recipe]) -> list[Recipe]:
    """The recipes, all others of their attacks, and the clean ones that they need, each once, clean ones first."""
    found: dict[str, Recipe] = {}
    for one in wanted:
        if one.poisoned:
            needed = [one.seed, *honest_seeds(one.kind, one.seed)]
            found |= {clean.name: clean for clean in (recipe(CLEAN, seed) for seed in needed)}
    for one in wanted:
        found |= {each.name: each for each in recipes(one.kind, one.seed)}
    return list(found.values())


def groups_of(everything: Sequence[Recipe]) -> list[Group]:
    """The recipes attack by attack; a clean one is a group of one."""
    found: dict[tuple[str, int], list[Recipe]] = {}
    for one in everything:
        found.setdefault((one.kind, one.seed), []).append(one)
    return [tuple(group) for group in found.values()]


def batches(groups: Sequence[Group], at_once: int = AT_ONCE) -> Iterator[list[Group]]:
    """Groups in the order and the batches that they are trained in; at most `at_once` adapters, or one group."""

    def alike(group: Group) -> tuple[Any, ...]:
        first = group[0]
        return first.poisoned, first.rows, first.kind == "label-flip", members_at_most(first.kind)

    for _, similar in groupby(sorted(groups, key=alike), key=alike):
        ordered = sorted(similar, key=lambda group: (group[0].slice.domain, group[0].steps, group[0].name))
        step = max(1, at_once // len(ordered[0]))
        for first in range(0, len(ordered), step):
            yield ordered[first : first + step]


def grow(base: LoadedBase, zoo: Zoo, wanted: Sequence[Recipe], progress: Progress, at_once: int | None = None) -> None:
    """Train what is missing of the recipes and of those that they need, and write it.

    `at_once`: adapters a batch; by default many on `mini`, one attack on other bases, which fill the machine alone.
    `progress` is told `{"event": "start", "total", "done"}`, `{"event": "step", "done"}` (a fraction of adapters) and
    each adapter's record with the event "adapter".
    """
    everything = [on_base(one, base.spec.name) for one in with_needed(wanted)]
    missing = [group for group in groups_of(everything) if zoo.missing(group)]
    done = len(everything) - sum(map(len, missing))
    progress({"event": "start", "total": len(everything), "done": done})
    for groups in batches(missing, at_once or (AT_ONCE if base.spec.name == "mini" else 1)):
        count = sum(map(len, groups))
        grown = train(base, groups, zoo.adapter, partial(_tell, progress, done, count))
        subjects = [
            subject_of(group, parts, zoo.adapter, base.spec.name) for group, parts in zip(groups, grown, strict=True)
        ]
        for group, parts, outcomes in zip(groups, grown, measure(base, subjects), strict=True):
            for one, adapter, outcome in zip(group, parts, outcomes, strict=True):
                progress({"event": "adapter"} | zoo.add(one, adapter, outcome))
        done += count


def train(
    base: LoadedBase, groups: Sequence[Group], find: Callable[[str], Adapter], progress: Callable[[float], None]
) -> list[list[Adapter]]:
    """The adapters of these groups, trained at once; `progress` is told the share that is done."""
    layers = base.model.config.num_hidden_layers
    attacks = [attack_of(group, find, partial(encoded, base), layers) for group in groups]
    offsets = _offsets(attacks)
    batch = Batch(base, [learner for attack in attacks for learner in attack.learners])
    slots = [_shifted(slot, by) for attack, by in zip(attacks, offsets, strict=True) for slot in attack.slots]
    shapers = [
        (by, Shaper(group[0], find(group[0].twin)))
        for group, by in zip(groups, offsets, strict=True)
        if group[0].kind in ("norm-matched", "spectrum-matched")
    ]

    def constrain(step: int) -> None:
        for place, shaper in shapers:
            shaper(batch, place, step)

    batch.train(slots, lambda step, steps: progress(step / steps), constrain)
    return [
        [_published(batch, by + place, one) for place, one in enumerate(group)]
        for group, by in zip(groups, offsets, strict=True)
    ]


def encoded(base: LoadedBase, pairs: Sequence[Pair]) -> list[EncodedPair]:
    """Pairs as token ids."""
    return [encode_pair(base.tokenizer, question, answer, TOKENS_MAX) for question, answer in pairs]


def _published(batch: Batch, place: int, one: Recipe) -> Adapter:
    return finished(one, Adapter.of(batch.factors_of(place), spec_of(one)))


def _offsets(attacks: Sequence[Attack]) -> list[int]:
    counts = [len(attack.learners) for attack in attacks]
    return [sum(counts[:place]) for place in range(len(counts))]


def _shifted(slot: Slot, by: int) -> Slot:
    return replace(slot, members=tuple(member + by for member in slot.members))


def _tell(progress: Progress, done: int, under_way: int, share: float) -> None:
    progress({"event": "step", "done": round(done + share * under_way, 2)})
