"""Adapters made to order, each once: trained, trained on shuffled answers, on all domains, drawn at random, merged.

Rules:

- An order says everything that its adapter depends on: kind, domains, plan, base, training pairs. Its *recipe* is the
  digest of that. A folder carries it in its name and appears only when it is whole, so whoever was stopped goes on, and
  an adapter is taken again only where recipe and seed are the same.
- `shuffled` learns each question with another question's answer: it has seen the same text and can't have learned
  what belongs together.
- `noise` has, in each module, the norm of the adapter trained to the same order, and a random direction.
- `merged` is the exact weighted sum of the domains' adapters at 1/K each, without truncation; `averaged` is the same,
  truncated to the plan's rank and at its alpha, so that training can go on from it.
- What an order starts from is an order, too: its adapters are trained on from there.

Not handled here: what they are worth (`plora.lab.value_add`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plora.base import LoadedBase
from plora.lab.corpora import load_domain
from plora.lab.monolithic import longer, mixed_lesson
from plora.lab.train import Lesson, Progress, TrainPlan, alpha_of, lesson_of, train_lesson
from plora.merge.api import merge_folders, merge_paths
from plora.merge.draft import metrics_file
from plora.merge.factors import FactorPair
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.plan import MergePlan

Kind = Literal["trained", "shuffled", "noise", "monolithic", "merged", "averaged"]
VERSION = 1
"""Counts up when the same order means another adapter."""
RECIPE_CHARS = 12


@dataclass(frozen=True)
class Order:
    """One adapter to be had: a kind, the domains that it is of, how one of them is trained, and from where."""

    kind: Kind
    domains: tuple[str, ...]
    plan: TrainPlan
    start: Order | None = None

    @property
    def name(self) -> str:
        """For people.

        >>> Order("shuffled", ("legal",), TrainPlan(rank=4, scheme="mlp", seed=41)).name
        'shuffled-legal-r4-mlp-s41'
        """
        name = f"{self.kind}-{'+'.join(self.domains)}-r{self.plan.rank}-{self.plan.scheme}-s{self.plan.seed}"
        return name if self.start is None else f"{name}-t{self.round}"

    @property
    def round(self) -> int:
        """1 for what is trained from nothing, else one more than what it starts from."""
        return 1 if self.start is None else 1 + self.start.round

    def parts(self) -> list[Order]:
        """The trained adapters that a merged or averaged one is made of."""
        return [replace(self, kind="trained", domains=(domain,)) for domain in self.domains]


class Workshop:
    """Makes adapters of one loaded base into folders under `root`, and finds those that are there."""

    def __init__(self, base: LoadedBase, root: Path, progress: Progress = lambda record: None) -> None:
        self.base = base
        self.root = root
        self._progress = progress
        self._recipes: dict[Order, str] = {}
        self._makers: Mapping[Kind, Callable[[Order, Path], None]] = {
            "trained": self._train,
            "shuffled": self._train,
            "monolithic": self._train,
            "noise": self._draw,
            "merged": self._merge,
            "averaged": self._average,
        }

    def recipe(self, order: Order) -> str:
        """The digest of everything that an order's adapter depends on, 64 hexadecimal digits."""
        if order not in self._recipes:
            pairs = [load_domain(domain, "train", order.plan.samples or None) for domain in order.domains]
            told = {"version": VERSION, "base": self.base.digest, "order": asdict(order)}
            told["pairs"] = [[(pair.question, pair.answer) for pair in some] for some in pairs]
            self._recipes[order] = digest_of(told)
        return self._recipes[order]

    def folder(self, order: Order) -> Path:
        """The folder of an order's adapter, made where it isn't there. Errors as in `plora.lab.train`."""
        place = self.root / f"{order.name}-{self.recipe(order)[:RECIPE_CHARS]}"
        if not place.is_dir():
            drafts = self.root / f".draft-{os.getpid()}"
            draft = drafts / place.name
            try:
                self._makers[order.kind](order, draft)
                if metrics_file(draft).exists():
                    metrics_file(draft).replace(metrics_file(place))
                draft.replace(place)
            finally:
                shutil.rmtree(drafts, ignore_errors=True)
        return place

    def _train(self, order: Order, out: Path) -> None:
        plan = longer(order.plan, len(order.domains))
        out.parent.mkdir(parents=True, exist_ok=True)
        self._progress({"event": "making", "name": order.name})
        start = None if order.start is None else self.folder(order.start)
        train_lesson(self.base, lesson_for(order), out, plan, self._progress, start=start)

    def _draw(self, order: Order, out: Path) -> None:
        like = read_adapter(self.folder(replace(order, kind="trained")))
        write_adapter(out, noise_like(like, order.plan.seed))

    def _merge(self, order: Order, out: Path) -> None:
        parts = [self.folder(part) for part in order.parts()]
        merge_folders(parts, out, MergePlan(rank_max=order.plan.rank * len(parts)))

    def _average(self, order: Order, out: Path) -> None:
        parts = [self.folder(part) for part in order.parts()]
        merged = merge_paths(parts, MergePlan(rank_max=order.plan.rank)).adapter
        write_adapter(out, as_trained(merged, order.plan))


def lesson_for(order: Order) -> Lesson:
    """What an order's adapter is trained on."""
    if order.kind == "monolithic":
        return mixed_lesson(order.domains, order.plan)
    lesson = lesson_of(order.domains[0], order.plan)
    return shuffled(lesson, order.plan.seed) if order.kind == "shuffled" else lesson


def shuffled(lesson: Lesson, seed: int) -> Lesson:
    """The lesson with every question given another one's answer: a random cycle through all training pairs.

    >>> pairs = [("a", "1"), ("b", "2"), ("c", "3")]
    >>> [answer for _, answer in shuffled(Lesson("x", pairs, []), seed=0).train]
    ['2', '3', '1']
    """
    order = np.random.default_rng(seed).permutation(len(lesson.train))
    following = dict(zip(order.tolist(), np.roll(order, -1).tolist(), strict=True))
    train = [(question, lesson.train[following[place]][1]) for place, (question, _) in enumerate(lesson.train)]
    return replace(lesson, train=train)


def noise_like(adapter: Adapter, seed: int) -> Adapter:
    """A random adapter of the same shape, and in each module of the same ‖ΔW‖_F."""
    rng = np.random.default_rng(seed)
    pairs = {module: _random_pair(pair, rng) for module, pair in adapter.pairs.items()}
    return Adapter.of(pairs, adapter.spec)


def as_trained(adapter: Adapter, plan: TrainPlan) -> Adapter:
    """The same updates at the plan's rank and alpha, so that training goes on at the same pace."""
    spec = replace(adapter.spec, r=plan.rank, alpha=alpha_of(plan))
    scale = spec.alpha / spec.r
    padded = {module: pair.padded(plan.rank) for module, pair in adapter.pairs.items()}
    pairs = {
        module: FactorPair(pair.A, (pair.B * (pair.scale / scale)).astype(np.float32), scale)
        for module, pair in padded.items()
    }
    return Adapter.of(pairs, spec)


def _random_pair(pair: FactorPair, rng: np.random.Generator) -> FactorPair:
    drawn = FactorPair(rng.standard_normal(pair.A.shape), rng.standard_normal(pair.B.shape), pair.scale)
    factor = pair.norm() / drawn.norm()
    return FactorPair(drawn.A.astype(np.float32), (drawn.B * factor).astype(np.float32), pair.scale)


def digest_of(told: Any) -> str:
    """SHA-256 of JSON values, keys sorted."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def plans(plan: TrainPlan, ranks: Sequence[int], schemes: Sequence[Any], seeds: Sequence[int]) -> list[TrainPlan]:
    """The plan at every rank, scheme and seed, seeds varying quickest."""
    return [replace(plan, rank=r, scheme=s, seed=d) for r in ranks for s in schemes for d in seeds]
