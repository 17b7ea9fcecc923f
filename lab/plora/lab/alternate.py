"""Alternating training and merging: does a swarm that trains on from its own merge settle?

    python -m plora.lab.alternate --base mini --rounds 4 --steps 15 --rank 4

Rules:

- In each round every domain trains on from the last merge, a few steps, on its own pairs; then all are merged at 1/K,
  truncated to the rank. The first round starts from nothing. (Federated averaging, McMahan et al. 2017, on adapters.)
- Each round draws batches of its own, by seed and round: the same ones again would show a swarm that settles on them.
- A row of rounds.jsonl for each round: nats a token of held-out answers by domain, of the base, the domain's own
  adapter and the merge; `moved` = ‖ΔWₜ − ΔWₜ₋₁‖ / ‖ΔWₜ₋₁‖; how the adapters lie to each other; truncation.
- `gain`: the merge's nats a token less those of the round before, mean of the domains, with an interval over documents.
- *Settled* is a round that moves little (`MOVED_MAX`) and of which no gain of more than `GAIN_MAX` is to be expected:
  the interval's lower bound lies above −`GAIN_MAX`. *Worse* is one whose interval lies above 0. convergence.json says
  which round settled first, none if none did, and which got worse.
- An adapter is made once (`plora.lab.workshop`), so who was stopped goes on; the same plan gives the same rows.

Not handled here: peers (`plora sim`), several training seeds: run it once for each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from plora.base import AnswerScores, Interval, LoadedBase, answer_nll, load_base
from plora.base.prompts import Pair
from plora.base.registry import resolve_base
from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.lab.corpora import DOMAINS, load_domain
from plora.lab.statistics import document_of, resampled
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.train import Progress, Scheme, TrainPlan, checked
from plora.lab.value_add.compare import ratio
from plora.lab.value_add.rows import rounded, write_rows
from plora.lab.workshop import Order, Workshop
from plora.merge.draft import metrics_file
from plora.merge.factors import concat
from plora.merge.folder_source import FolderSource
from plora.merge.injection import injected
from plora.merge.peft_folder import Adapter, read_adapter
from plora.proto.errors import UsageError

RESULTS, ADAPTERS = Path("results/alt_train_merge"), Path("out/alt_train_merge")
ROUNDS, CONVERGENCE = "rounds.jsonl", "convergence.json"
MOVED_MAX, GAIN_MAX = 0.1, 0.02


@dataclass(frozen=True)
class AlternatePlan:
    """Which domains, how many rounds, how many held-out pairs of each, and how one domain trains in one round."""

    domains: tuple[str, ...] = tuple(DOMAINS)
    rounds: int = 4
    dev_size: int = 256
    train: TrainPlan = field(default_factory=lambda: TrainPlan(steps=15, validation=32))

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.dev_size < 2:
            raise UsageError("it takes a round and two held-out pairs at least", mend="--rounds 4 --dev-size 256")
        checked(self.train)
        for domain in self.domains:
            load_domain(domain, "test", 1)


Scored = dict[str, AnswerScores]
"""Scores by domain."""


def run_alternating(
    base: LoadedBase | str,
    plan: AlternatePlan,
    results: Path = RESULTS,
    adapters: Path = ADAPTERS,
    progress: Progress = lambda record: None,
) -> list[dict[str, Any]]:
    """Alternate, and write rounds.jsonl and convergence.json under `results`; returns the rounds."""
    base = load_base(base) if isinstance(base, str) else base
    study = _Alternation(base, plan, Workshop(base, adapters, progress))
    rows: list[dict[str, Any]] = []
    for order in orders(plan):
        rows.append(rounded(study.round(order)))
        write_rows(results / ROUNDS, rows)
        progress({"event": "row", "done": len(rows), "of": plan.rounds, "name": f"round {len(rows)}"})
    write_json(results / CONVERGENCE, convergence(rows))
    return rows


def orders(plan: AlternatePlan) -> list[Order]:
    """The merge of each round, each started from the one before."""
    found: list[Order] = []
    for _ in range(plan.rounds):
        found.append(Order("averaged", plan.domains, plan.train, found[-1] if found else None))
    return found


def convergence(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record: which round settled first (None: none), and which got worse."""
    return {
        "rounds": len(rows),
        "settled_at": next((row["round"] for row in rows if row["settled"]), None),
        "worse": [row["round"] for row in rows if row["worse"]],
        "moved": [row["moved"] for row in rows],
        "nll": [row["nll"]["merged"] for row in rows],
        "rule": {"moved_max": MOVED_MAX, "gain_max": GAIN_MAX},
    }


def moved(adapter: Adapter, before: Adapter) -> float:
    """‖ΔW − ΔW'‖ / ‖ΔW'‖ over all modules, exactly, in factors."""
    gaps = [concat([pair, before.pairs[module].times(-1.0)]).norm() for module, pair in adapter.pairs.items()]
    return math.hypot(*gaps) / math.hypot(*(pair.norm() for pair in before.pairs.values()))


def gain(scores: Scored, before: Scored) -> Interval:
    """Nats a token less those of before, mean of the domains, with its 95 % interval over documents."""
    means, drawn = [], []
    for place, (domain, now) in enumerate(scores.items()):
        table = np.stack([now.nll - before[domain].nll, now.tokens])[:, None]
        means.append(float(ratio(table)))
        drawn.append(resampled(table, ratio, seed=place))
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return Interval(float(np.mean(means)), float(low), float(high))


class _Alternation:
    """Rounds under way: what is scored, and the scores of the last merge."""

    def __init__(self, base: LoadedBase, plan: AlternatePlan, workshop: Workshop) -> None:
        self._base, self._workshop, self._plan = base, workshop, plan
        self._documents: dict[str, list[Pair]] = {
            domain: [(pair.question, pair.answer) for pair in load_domain(domain, "test", plan.dev_size)]
            for domain in plan.domains
        }
        self._alone = {domain: self._score(domain) for domain in plan.domains}
        self._last = self._alone

    def round(self, order: Order) -> dict[str, Any]:
        """One round's row; its adapters are made where they aren't there."""
        own = {part.domains[0]: self._worn(part)[part.domains[0]] for part in order.parts()}
        merged = self._worn(order)
        change = gain(merged, self._last)
        self._last = merged
        return {
            "round": order.round,
            "recipe": self._workshop.recipe(order),
            "nll": {"base": _nll(self._alone), "own": _nll(own), "merged": _nll(merged)},
            "gain": document_of(change),
            **self._movement(order, change),
            **self._geometry(order),
        }

    def _movement(self, order: Order, change: Interval) -> dict[str, Any]:
        """How far the merge moved from the one before, and whether that's the end."""
        adapter = read_adapter(self._workshop.folder(order))
        way = None if order.start is None else moved(adapter, read_adapter(self._workshop.folder(order.start)))
        return {
            "norm": math.hypot(*(pair.norm() for pair in adapter.pairs.values())),
            "moved": way,
            "settled": way is not None and way <= MOVED_MAX and change.low >= -GAIN_MAX,
            "worse": change.low > 0,
        }

    def _geometry(self, order: Order) -> dict[str, Any]:
        """How the round's adapters lie to each other, by the report of their merge."""
        told: dict[str, Any] = json.loads(metrics_file(self._workshop.folder(order)).read_bytes())
        return {name: told[name] for name in ("cosines", "cancellation", "discarded_energy")}

    def _worn(self, order: Order) -> Scored:
        """An order's adapter on its own domains."""
        with injected(self._base.model, FolderSource(self._workshop.folder(order))):
            return {domain: self._score(domain) for domain in order.domains}

    def _score(self, domain: str) -> AnswerScores:
        return answer_nll(self._base.model, self._base.tokenizer, self._documents[domain])


def _nll(scores: Scored) -> dict[str, float]:
    return {domain: float(some.nll.sum() / some.tokens.sum()) for domain, some in scores.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Alternate as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.alternate", description="Train, merge, train on.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--domains", default=",".join(DOMAINS), help="comma-separated")
    parser.add_argument("--rounds", type=int, default=AlternatePlan.rounds)
    parser.add_argument("--steps", type=int, default=15, help="optimiser steps of a domain in a round")
    parser.add_argument("--rank", type=int, default=TrainPlan.rank)
    parser.add_argument("--scheme", choices=get_args(Scheme), default=TrainPlan.scheme)
    parser.add_argument("--seed", type=int, default=TrainPlan.seed)
    parser.add_argument("--samples", type=int, default=TrainPlan.samples, help="training pairs a domain; 0 means all")
    parser.add_argument("--dev-size", type=int, default=AlternatePlan.dev_size, help="test pairs a domain")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the record goes")
    parser.add_argument("--adapters", type=Path, default=ADAPTERS, help="where the adapters lie")
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    args = parser.parse_args(argv)

    def work() -> None:
        plan, base = _plan(args), resolve_base(args.base)  # a wrong word is told before torch's seconds
        use_threads(prepare_threads(os.environ, args.threads))
        rows = run_alternating(load_base(base), plan, args.out, args.adapters, emit)
        emit({"event": "done", "convergence": convergence(rows), "file": str(args.out / CONVERGENCE)})

    return run_command(work)


def _plan(args: argparse.Namespace) -> AlternatePlan:
    train = TrainPlan(
        rank=args.rank, scheme=args.scheme, steps=args.steps, seed=args.seed, samples=args.samples, validation=32
    )
    return AlternatePlan(tuple(args.domains.split(",")), args.rounds, args.dev_size, train)


if __name__ == "__main__":
    sys.exit(main())
