"""Adapters made to order, each once: trained, trained on shuffled answers, on all domains, drawn at random, merged.

Rules:

- An order says everything that its adapter depends on: kind, domains, plan, base, training pairs. Its *recipe* is the
  digest of that. A folder carries it in its name and appears only when it is whole, so whoever was stopped goes on, and
  an adapter is taken again only where recipe and seed are the same. Of two who make one order at once, the second takes
  what the first made: it has the same bytes.
- The device and the count of threads belong to a recipe, since sums in another order end in other digits. The processor
  and torch's version don't: who changes those starts with an empty folder.
- `shuffled` learns each question with another question's answer, of another text wherever that can be: it has seen the
  same text and can't have learned what belongs together.
- `noise` has, in each module, the norm of the adapter trained to the same order, and a random direction, another one in
  each domain of a seed.
- `merged` is the exact weighted sum of the domains' adapters at 1/K each, without truncation; `averaged` is the same,
  truncated to the plan's rank and at its alpha, so that training can go on from it. Beside its folder lies what its
  merge told, as training's metrics do.
- What an order starts from is an order, too: its adapters are trained on from there, on other batches.

Not handled here: what they are worth (`plora.lab.value_add`).
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from plora.base import LoadedBase
from plora.lab.artifacts import write_json
from plora.lab.corpora import load_domain
from plora.lab.monolithic import longer, mixed_lesson
from plora.lab.train import Lesson, Progress, TrainPlan, alpha_of, lesson_of, train_lesson
from plora.merge.api import merge_folders, merge_paths
from plora.merge.draft import metrics_file
from plora.merge.factors import FactorPair
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.plan import MergePlan

Kind = Literal["trained", "shuffled", "noise", "monolithic", "merged", "averaged"]
VERSION = 2
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
            told = {"version": VERSION, "base": self.base.digest, "order": asdict(order), "on": self.runs_on()}
            told["pairs"] = [[(pair.question, pair.answer) for pair in some] for some in pairs]
            self._recipes[order] = digest_of(told)
        return self._recipes[order]

    def runs_on(self) -> dict[str, Any]:
        """What sums are added up by: the device of the base, and torch's threads."""
        import torch  # with the base loaded it is there

        return {"device": str(self.base.model.device), "threads": torch.get_num_threads()}

    def folder(self, order: Order) -> Path:
        """The folder of an order's adapter, made where it isn't there. Errors as in `plora.lab.train`."""
        place = self.root / f"{order.name}-{self.recipe(order)[:RECIPE_CHARS]}"
        if not place.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".draft-", dir=self.root) as drafts:
                draft = Path(drafts) / place.name
                self._makers[order.kind](order, draft)
                _kept(draft, place)
        return place

    def _train(self, order: Order, out: Path) -> None:
        plan = longer(order.plan, len(order.domains))
        self._progress({"event": "making", "name": order.name})
        start = None if order.start is None else self.folder(order.start)
        lesson, before = lesson_for(order), order.round - 1
        train_lesson(self.base, lesson, out, plan, self._progress, start=start, rounds_before=before)

    def _draw(self, order: Order, out: Path) -> None:
        like = read_adapter(self.folder(replace(order, kind="trained")))
        write_adapter(out, noise_like(like, int(self.recipe(order), 16)))

    def _merge(self, order: Order, out: Path) -> None:
        parts = [self.folder(part) for part in order.parts()]
        merge_folders(parts, out, MergePlan(rank_max=order.plan.rank * len(parts)))

    def _average(self, order: Order, out: Path) -> None:
        parts = [self.folder(part) for part in order.parts()]
        merged = merge_paths(parts, MergePlan(rank_max=order.plan.rank))
        write_adapter(out, as_trained(merged.adapter, order.plan))
        told = {name: getattr(merged.report, name) for name in ("cosines", "cancellation", "discarded_energy")}
        write_json(metrics_file(out), told)


def _kept(draft: Path, place: Path) -> None:
    """Put a finished draft in its place, unless another process was quicker."""
    if metrics_file(draft).exists():
        metrics_file(draft).replace(metrics_file(place))
    try:
        draft.replace(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def lesson_for(order: Order) -> Lesson:
    """What an order's adapter is trained on."""
    if order.kind == "monolithic":
        return mixed_lesson(order.domains, order.plan)
    lesson = lesson_of(order.domains[0], order.plan)
    return shuffled(lesson, order.plan.seed) if order.kind == "shuffled" else lesson


def shuffled(lesson: Lesson, seed: int) -> Lesson:
    """The lesson with every question given another one's answer: a random cycle through all training pairs.

    Who would get an answer of the same text swaps with a random one whom that leaves unlike too, so none stays right
    unless one answer is that of more than half of the questions.

    >>> pairs = [("a", "1"), ("b", "2"), ("c", "3")]
    >>> [answer for _, answer in shuffled(Lesson("x", pairs, []), seed=0).train]
    ['2', '3', '1']
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lesson.train))
    given = np.empty_like(order)
    given[order] = np.roll(order, -1)
    _, text = np.unique([answer for _, answer in lesson.train], return_inverse=True)
    for place in np.flatnonzero(text[given] == text):
        others = np.flatnonzero((text != text[place]) & (text[given] != text[place]))
        if text[given[place]] == text[place] and len(others):
            other = rng.choice(others)
            given[[place, other]] = given[[other, place]]
    train = [(question, lesson.train[given[place]][1]) for place, (question, _) in enumerate(lesson.train)]
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
