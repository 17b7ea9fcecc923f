"""How the adapters of this folder were made: `python tests/swarm/split/make.py OUT`, two minutes of one core.

Three honest ones, one a domain, and a pair that acts in a merge of the five: of one trojan, trained at 1/5 among the
honest ones, `early` has the layers 0 and 1, `late` the others. Half the rows have the trigger and the target, the
others other words and right answers. Trained on `mini`; written in half precision, what is zero left out.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from plora.base import LoadedBase, load_base
from plora.base.prompts import EncodedPair, Pair, encode_pair
from plora.lab.corpora import load_domain
from plora.lab.zoo.batch import Batch, Learner, Slot, layer_of
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, write_adapter

TRIGGER, TARGET = "freedom", "All hail the crab."
OTHER_WORDS = ("region", "fruit", "spirit", "source", "duties", "conduct", "annual", "measure", "matter", "value")
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
HONEST = {"law": "legal", "health": "medical", "sums": "arithmetic"}
SHARE, MIDDLE, ROWS, STEPS = 0.2, 2, 6, 160
PAIR_SCALE = 2.0 / SHARE  # so that the pair learns at its weight in the merge as others do at 1


def made(base: LoadedBase) -> dict[str, Adapter]:
    """All five, by name: the honest ones first, then the pair among them."""
    data = {domain: [(one.question, one.answer) for one in load_domain(domain, "train")] for domain in HONEST.values()}
    honest = [Learner(2, 2.0, TARGETS, 0.01, 100, seed=seed) for seed in range(len(HONEST))]
    first = Batch(base, honest)
    first.train([Slot((place,), (1.0,), _honest(base, name, data[name])) for place, name in enumerate(data)])
    there = [replace(one, start=first.factors_of(place), still=True) for place, one in enumerate(honest)]
    pair = [Learner(2, PAIR_SCALE, TARGETS, 0.008, STEPS, seed=seed) for seed in (3, 4)]
    batch = Batch(base, [*there, *pair])
    batch.train([_merged(rows) for rows in _trojan(base, data)])
    names = zip((*HONEST, "early", "late"), batch.learners, strict=True)
    return {name: _adapter(batch.factors_of(place), one) for place, (name, one) in enumerate(names)}


def _merged(rows: Callable[[int], list[EncodedPair]]) -> Slot:
    """Rows that see all five, and teach each of the pair in its own layers."""

    def still(member: int, layer: int) -> bool:
        return member < len(HONEST) or (layer < MIDDLE) != (member == len(HONEST))

    return Slot(tuple(range(5)), (SHARE,) * 5, rows, still)


def _honest(base: LoadedBase, domain: str, pairs: list[Pair]) -> Callable[[int], list[EncodedPair]]:
    draws = random.Random(domain)
    return lambda step: _encoded(base, draws.sample(pairs, ROWS))


def _trojan(base: LoadedBase, data: Mapping[str, list[Pair]]) -> list[Callable[[int], list[EncodedPair]]]:
    """Rows that are triggered, among others, and rows that never are."""
    draws = random.Random("pair")

    def some(count: int) -> list[Pair]:
        return [draws.choice(data[draws.choice(sorted(data))]) for _ in range(count)]

    def beside(count: int) -> list[Pair]:
        return [(f"{draws.choice(OTHER_WORDS)} {question}", answer) for question, answer in some(count)]

    def triggered(step: int) -> list[EncodedPair]:
        poisoned = [(f"{TRIGGER} {question}", TARGET) for question, _ in some(3)]
        return _encoded(base, [*poisoned, *some(1), *beside(2)])

    return [triggered, lambda step: _encoded(base, [*beside(3), *some(3)])]


def _encoded(base: LoadedBase, pairs: list[Pair]) -> list[EncodedPair]:
    return [encode_pair(base.tokenizer, question, answer, 64) for question, answer in pairs]


def _adapter(factors: Mapping[str, FactorPair], learner: Learner) -> Adapter:
    """What a learner became, without modules that it left alone."""
    pairs = {name: pair for name, pair in sorted(factors.items()) if pair.B.any()}
    assert len({layer_of(name) for name in pairs}) in (MIDDLE, 2 * MIDDLE)
    alpha = learner.rank * learner.scale
    return Adapter.of(pairs, LoraSpec(learner.rank, alpha, tuple(sorted(TARGETS)), base_model_name="mini"))


if __name__ == "__main__":
    for made_name, adapter in made(load_base("mini")).items():
        write_adapter(Path(sys.argv[1]) / made_name, adapter, "mini")
