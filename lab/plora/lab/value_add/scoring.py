"""What a cell's model answers: one loaded base, adapters put on and taken off, every cell asked once.

Rules:

- Scores are kept under the digest of everything that they depend on: the adapter's recipe, λ, the base, the documents,
  the device and the count of threads.
  A kept file appears whole or not at all; what can't be read counts as absent.
- Documents are the first of the domain's test split, which no training saw and nothing is chosen by.
- The first `close` documents of the plan are looked at closely too: chrF of what is written, divergence from the base.
  Merges at another λ than 1, and routed cells, are not.
- Before an adapter counts it is put on and taken off `LATENCY_TRIES` times. If even the quickest is over the budget,
  LatencyError is raised and nothing is kept: what makes a try slower than the quickest is the machine, not the adapter.

Not handled here: comparing (`plora.lab.value_add.rows`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from plora.base.prompts import Pair
from plora.lab.artifacts import write_text
from plora.lab.corpora import load_domain
from plora.lab.metrics import (
    chrf,
    divergences,
    question_information,
    read_answers,
    with_strange_questions,
    write_answers,
)
from plora.lab.router import Router
from plora.lab.value_add.cells import Cell, ValueAddPlan
from plora.lab.workshop import Order, Workshop, digest_of
from plora.merge.folder_source import FolderSource
from plora.merge.injection import BUDGET_VARIABLE, Budget, Injection, inject, injected
from plora.proto.errors import LatencyError

Floats = npt.NDArray[np.float64]
VERSION = 3
"""Counts up when the same cell would be scored otherwise."""
SCORES = "scores"
"""The folder of kept scores, beside the adapters."""
LATENCY_TRIES = 5


@dataclass(frozen=True)
class Scores:
    """Of a cell's n documents, (n,) each: nats of the answer, its tokens, whether exact, nats the question tells of it.

    Attributes:
        strange: whether another question would get the same answer: what is answered often is right often.
        figures: of the cell as a whole, by name: `ece`, and `chrf`, `kl`, `js` of what was looked at closely.
        times: milliseconds of putting on and taking off; they are no result.
    """

    nll: Floats
    tokens: Floats
    exact: Floats
    information: Floats
    strange: Floats
    figures: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, arrays: Iterable[npt.ArrayLike], figures: Mapping[str, float], times: Mapping[str, float] | None = None
    ) -> Self:
        """The scores of arrays in the order of `ARRAYS`."""
        nll, tokens, exact, information, strange = (np.asarray(one, dtype=np.float64) for one in arrays)
        return cls(nll, tokens, exact, information, strange, figures, times or {})

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The scores of a file; None where there are none."""
        try:
            found = json.loads(path.read_bytes())
            return cls.of([found[name] for name in ARRAYS], found["figures"], found["times"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, path: Path) -> None:
        """Write them, whole or not at all."""
        told = {name: value.tolist() if name in ARRAYS else dict(value) for name, value in vars(self).items()}
        write_text(path, json.dumps(told, allow_nan=False))  # figures keep their order


ARRAYS = ("nll", "tokens", "exact", "information", "strange")


class Scorer:
    """Scores of cells, from where they are kept, else from the workshop's base with adapters on it."""

    def __init__(self, workshop: Workshop, plan: ValueAddPlan, budget: Budget) -> None:
        self._workshop, self._base, self._plan, self._budget = workshop, workshop.base, plan, budget
        self._folder = workshop.root / SCORES
        self._documents: dict[str, list[Pair]] = {}
        self._routers: dict[tuple[tuple[str, ...], int], Router] = {}

    def recipe(self, cell: Cell) -> str:
        """The digest of everything that a cell's scores depend on."""
        orders = [] if cell.plan is None else [self._workshop.recipe(order) for order in orders_of(cell)]
        told = {"version": VERSION, "kind": cell.kind, "orders": orders, "times": cell.times, "close": self._plan.close}
        on = {"base": self._base.digest, "on": self._workshop.runs_on()}
        return digest_of(told | on | {"documents": self.documents(cell.domain)})

    def scores(self, cell: Cell) -> Scores:
        """The scores of a cell. Raises LatencyError, and what training and merging raise."""
        path = self._folder / f"{self.recipe(cell)}.json"
        kept = Scores.read(path)
        if kept is not None and all(ms <= self._budget.limit_ms for ms in kept.times.values()):
            return kept
        found = self._routed(cell) if cell.kind == "routed" else self._scored(cell)
        found.write(path)
        return found

    def documents(self, domain: str) -> list[Pair]:
        """The pairs (question, answer) that are asked."""
        if domain not in self._documents:
            pairs = load_domain(domain, "test", self._plan.dev_size)
            self._documents[domain] = [(pair.question, pair.answer) for pair in pairs]
        return self._documents[domain]

    def _scored(self, cell: Cell) -> Scores:
        pairs = self.documents(cell.domain)
        if cell.plan is None:
            return self._asked(pairs)
        source = FolderSource(self._workshop.folder(cell.order()))
        times = latency(self._base.model, source, self._budget)
        with injected(self._base.model, source) as injection:
            injection.times = cell.times
            found = self._asked(pairs, injection, close=cell.times == 1.0)
        return replace(found, times=times)

    def _asked(self, pairs: Sequence[Pair], injection: Injection | None = None, *, close: bool = True) -> Scores:
        arrays, calibration_error = self._read(pairs, with_strange_questions(pairs))
        figures = {"ece": calibration_error}
        if close and self._plan.close:
            figures |= self._close(pairs[: self._plan.close], injection)
        return Scores.of(arrays, figures)

    def _read(self, pairs: Sequence[Pair], strange_pairs: Sequence[Pair]) -> tuple[Floats, float]:
        """`ARRAYS` of the model as it is, (5, n), and its calibration error."""
        own, strange = (read_answers(self._base.model, self._base.tokenizer, some) for some in (pairs, strange_pairs))
        information = question_information(own.scores, strange.scores)
        arrays = [own.scores.nll, own.scores.tokens, own.exact, information, strange.exact]
        return np.array(arrays, dtype=np.float64), own.calibration_error

    def _close(self, pairs: Sequence[Pair], injection: Injection | None) -> dict[str, float]:
        model, tokenizer = self._base.model, self._base.tokenizer
        written = write_answers(model, tokenizer, [question for question, _ in pairs])
        found = {"chrf": chrf(written, [answer for _, answer in pairs])}
        if injection is None:
            return found
        moved = divergences(model, tokenizer, pairs, injection)
        return found | {"kl": float(moved.kl.mean()), "js": float(moved.js.mean())}

    def _routed(self, cell: Cell) -> Scores:
        """Each document by the adapter that its question goes to."""
        pairs = self.documents(cell.domain)
        routes = np.array(self._router(cell).routes([question for question, _ in pairs]))
        whole = np.zeros((len(ARRAYS), len(pairs)))
        for order in orders_of(cell):
            places = np.flatnonzero(routes == order.domains[0])
            if len(places):
                whole[:, places] = self._of_route(order, pairs, places)
        share = float((routes == cell.domain).mean())
        return Scores.of(whole, {"routed_right": share})

    def _of_route(self, order: Order, pairs: Sequence[Pair], places: npt.NDArray[np.int64]) -> Floats:
        """The arrays of the documents at `places`, whose strange questions are those of the whole lot."""
        own, strange = ([some[place] for place in places] for some in (pairs, with_strange_questions(pairs)))
        with injected(self._base.model, FolderSource(self._workshop.folder(order))):
            arrays, _ = self._read(own, strange)
        return arrays

    def _router(self, cell: Cell) -> Router:
        samples = cell.plan.samples if cell.plan else 0
        if (cell.of, samples) not in self._routers:
            some = {domain: load_domain(domain, "train", samples or None) for domain in cell.of}
            learned = Router.learned({domain: [pair.question for pair in pairs] for domain, pairs in some.items()})
            self._routers[cell.of, samples] = learned
        return self._routers[cell.of, samples]


def orders_of(cell: Cell) -> list[Order]:
    """The adapters that a cell's model wears, one after the other where it is routed; none for the base."""
    if cell.plan is None:
        return []
    if cell.kind == "routed":
        return [Order("trained", (domain,), cell.plan) for domain in cell.of]
    return [cell.order()]


def latency(model: Any, source: FolderSource, budget: Budget) -> dict[str, float]:
    """Milliseconds of putting an adapter on and taking it off, at best. Raises LatencyError over the budget."""
    tries = [_one_try(model, source, budget) for _ in range(LATENCY_TRIES)]
    found = dict(zip(("put_on_ms", "take_off_ms"), map(min, zip(*tries, strict=True)), strict=True))
    slow = max(found, key=lambda name: found[name])
    if found[slow] > budget.limit_ms:
        raise LatencyError(
            f"{slow.removesuffix('_ms').replace('_', ' ')} takes {found[slow]:.3g} ms of {budget.limit_ms:g} ms",
            where=BUDGET_VARIABLE,
            mend="take a lower rank or fewer modules, or allow more",
        )
    return found


def _one_try(model: Any, source: FolderSource, budget: Budget) -> tuple[float, float]:
    began = budget.clock()
    injection = inject(model, source)
    on = budget.clock()
    injection.remove()
    return 1000 * (on - began), 1000 * (budget.clock() - on)
