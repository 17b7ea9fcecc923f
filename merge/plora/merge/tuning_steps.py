"""A plan tuned on a base in memory, step by step, and what each step brought.

Rules:

- The steps, as far as pairs are given for them: weights by module from Fisher information (`plora.merge.fisher`) or one
  learned weight an adapter, then the scaling by a line search (`plora.merge.tuning`). Fisher weights are overrides,
  which a search of weights would leave as they are: both together are refused.
- The losses of a step are on its own pairs, in nats a token. A search is never worse than its start there; Fisher
  weights, which look at no loss, may be, and are taken all the same.
- Held-out pairs judge plan against plan, with a 95 % interval of the change of perplexity. One that a step saw is
  refused, before anything is computed.
- Nothing but the plan's weights and scaling changes. While trying, sign conflicts aren't measured.
- Adapters go on without a budget of time: the model is the caller's own, and answers nobody.

Not handled: reading pairs (`plora.merge.pairs_file`). Needs the extra `lab`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from plora.base import Interval, LoadedBase
from plora.base.prompts import Pair
from plora.merge.dev_set import DevSet
from plora.merge.fisher import fisher_weighted
from plora.merge.plan import MergePlan
from plora.merge.source import Source
from plora.merge.tuning import Bench, Tuned, check_unseen, held_out, learn_weights, line_search
from plora.proto.errors import UsageError

Pairs = Sequence[Pair]


@dataclass(frozen=True, slots=True)
class TuningPairs:
    """Pairs (question, answer) for each step; None: the step isn't asked for.

    `fisher`: one list for all sources, or one for each. Raises UsageError where steps or pairs exclude each other.
    """

    fisher: Sequence[Pairs] | None = None
    learn_weights: Pairs | None = None
    line_search: Pairs | None = None
    held_out: Pairs | None = None

    def __post_init__(self) -> None:
        if self.fisher is not None and self.learn_weights is not None:
            mend = "take one of them, and compare both on held-out pairs"
            raise UsageError("Fisher weights of modules leave nothing to learned weights", mend=mend)
        if self.held_out is not None:
            if not self.seen:
                raise UsageError("held-out pairs judge a tuning, and none is asked for", mend="tune on other pairs")
            check_unseen(self.held_out, self.seen)

    @property
    def seen(self) -> list[Pair]:
        """All that some step sees."""
        return _all_of([*(self.fisher or ()), self.learn_weights or (), self.line_search or ()])


@dataclass(frozen=True, slots=True)
class TuningStep:
    """What one step did: `fisher`, `learn_weights` or `line_search`.

    `pairs`, `trials`: how many; losses in nats a token; `scaling`: what the line search multiplied the plan's by;
    `weights`: learned ones, in the order of the sources.
    """

    step: str
    pairs: int
    trials: int
    loss_before: float
    loss_after: float
    scaling: float | None = None
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Perplexity on `pairs` held-out pairs by the tuned plan minus that by the plan as it was: negative is better."""

    pairs: int
    change: Interval


@dataclass(frozen=True, slots=True)
class Tuning:
    """The tuned plan, and how it came about."""

    plan: MergePlan
    steps: tuple[TuningStep, ...]
    held_out: HeldOut | None = None

    def document(self) -> dict[str, Any]:
        """Steps and judgement as JSON values."""
        return {
            "steps": [asdict(step) for step in self.steps],
            "held_out": None if self.held_out is None else asdict(self.held_out),
        }


def tune(
    base: LoadedBase,
    sources: Sequence[Source],
    plan: MergePlan,
    pairs: TuningPairs,
    base_model_name: str | None = None,
    base_norms: Mapping[str, float] | None = None,
) -> Tuning:
    """Tune a plan; `base_model_name` and `base_norms` as in `merge_into`.

    Raises UsageError for a plan or pairs that don't fit, AdapterError where the adapters don't fit the base.
    """

    def bench(seen: Pairs) -> Bench:
        dev = DevSet(base.model, base.tokenizer, seen)
        return Bench(dev, sources, base_model_name, base_norms=base_norms)

    start = replace(plan, signs=False)
    found, steps = start, []
    if pairs.fisher is not None:
        found, step = _fisher(base, bench(_all_of(pairs.fisher)), found, pairs.fisher)
        steps.append(step)
    if pairs.learn_weights is not None:
        tuned = learn_weights(bench(pairs.learn_weights), found)
        found = tuned.plan
        steps.append(_searched("learn_weights", pairs.learn_weights, tuned, weights=found.weights))
    if pairs.line_search is not None:
        tuned = line_search(bench(pairs.line_search), found)
        found = tuned.plan
        steps.append(_searched("line_search", pairs.line_search, tuned, scaling=tuned.best.times))
    judged = None
    if pairs.held_out is not None:
        judged = HeldOut(len(pairs.held_out), held_out(bench(pairs.seen), start, found, pairs.held_out))
    return Tuning(replace(found, signs=plan.signs), tuple(steps), judged)


def _all_of(given: Sequence[Pairs]) -> list[Pair]:
    return [pair for pairs in given for pair in pairs]


def _fisher(base: LoadedBase, bench: Bench, plan: MergePlan, given: Sequence[Pairs]) -> tuple[MergePlan, TuningStep]:
    for_each = list(given) * len(bench.sources) if len(given) == 1 else given
    found = fisher_weighted(base.model, base.tokenizer, bench.sources, for_each, plan)
    return found, TuningStep("fisher", len(bench.dev.pairs), 2, bench.loss(plan), bench.loss(found))


def _searched(step: str, pairs: Pairs, tuned: Tuned, **found: Any) -> TuningStep:
    return TuningStep(step, len(pairs), len(tuned.history), tuned.history[0].loss, tuned.best.loss, **found)
