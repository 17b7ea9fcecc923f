"""A merge tuned on question and answer pairs: its scaling by a line search, its weights by a search without gradients.

Rules:

- What is measured is the very adapter that the plan makes, truncated and bounded, on the base in memory; the base keeps
  every bit (`plora.merge.injection`).
- `line_search` goes along the merged direction, ΔW(λ) = λ ΔW, by backtracking from steps of `FIRST_STEP`: a step t
  against the slope f′ is taken where the loss falls by at least 10⁻⁴ t |f′| (Armijo 1966), else it is halved. f′ is
  autograd's. λ stays over 0 and multiplies the scaling of the plan's method and of each override's.
- `learn_weights` searches the plan's weights in [0, `WEIGHT_MAX`] by Nelder and Mead's simplex (scipy). It is for few
  adapters: a trial is a merge and a pass over the pairs. Weights of overrides stay.
- Neither is ever worse on its pairs than the start: of all trials the best is taken, the start among them.
- The pairs are a development set: what was gained there is an optimistic figure. `held_out` measures start and end on
  other pairs, with an interval; a pair in both sets is refused.

Not handled: reading pairs (`plora.merge.pairs_file`), training. Needs the extra `lab`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plora.base.prompts import Pair
from plora.base.scoring import AnswerScores, Interval, answer_nll, perplexity_difference
from plora.merge.dev_set import DevSet
from plora.merge.engine import merge_sources
from plora.merge.injection import Budget, injected
from plora.merge.layout import default_weight
from plora.merge.plan import MergePlan
from plora.merge.source import Source
from plora.proto.errors import UsageError

ARMIJO = 1e-4
FIRST_STEP = 0.5
HALVINGS_MAX = 6
STEPS_MAX = 4
TRIALS_MAX = 40
WEIGHT_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One plan that was tried, its factor λ of the scaling, and the loss on the pairs in nats a token."""

    plan: MergePlan
    times: float
    loss: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """All trials in their order; the first is the start. `best` is the least loss, of equal ones the earliest."""

    history: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial to take."""
        return min(self.history, key=lambda trial: trial.loss)

    @property
    def plan(self) -> MergePlan:
        """The plan to take."""
        return self.best.plan


class Bench:
    """Plans tried on one model: each is merged, put on, measured, taken off, and remembered.

    `base_norms`: ‖W‖_F of the base by module, for plans with `max_delta_relative`.
    """

    def __init__(
        self,
        dev: DevSet,
        sources: Sequence[Source],
        base_name: str | None = None,
        budget: Budget | None = None,
        base_norms: Mapping[str, float] | None = None,
    ) -> None:
        self.dev, self.sources = dev, sources
        self.history: list[Trial] = []
        self._base_name, self._budget, self._base_norms = base_name, budget, base_norms

    def on(self, plan: MergePlan) -> Any:
        """A context in which the plan's adapter is on the model."""
        result = merge_sources(self.sources, plan, self._base_name, base_norms=self._base_norms)
        return injected(self.dev.model, result.adapter, self._budget)

    def loss(self, plan: MergePlan, times: float = 1.0) -> float:
        """The loss of a plan."""
        with self.on(plan):
            self.history.append(Trial(plan, times, self.dev.loss()))
        return self.history[-1].loss

    def slope(self, plan: MergePlan) -> float:
        """d loss / dλ of the plan's adapter at λ = 1."""
        import torch

        with self.on(plan) as injection:
            injection.times = torch.ones((), device=self.dev.model.device, requires_grad=True)
            return self.dev.slope(injection.times)


def line_search(bench: Bench, plan: MergePlan) -> Tuned:
    """Search the factor λ of the plan's scaling. Raises AdapterError, UsageError, LatencyError."""
    times, loss = 1.0, bench.loss(plan)
    for _ in range(STEPS_MAX):
        slope = bench.slope(_scaled(plan, times)) / times  # by λ, where the adapter on the model is at λ = times
        step = _backtracked(lambda at: bench.loss(_scaled(plan, at), at), times, loss, slope)
        if step is None:
            break
        times, loss = step
    return Tuned(tuple(bench.history))


def learn_weights(bench: Bench, plan: MergePlan, trials_max: int = TRIALS_MAX) -> Tuned:
    """Search the plan's weights, one a source, from the plan's own. Raises AdapterError, UsageError, LatencyError."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    count = len({source.digest for source in bench.sources})
    start = plan.weights or (default_weight(plan.method, count),) * len(bench.sources)

    def loss(weights: Sequence[float]) -> float:
        found = tuple(float(weight) for weight in weights)
        if not any(found):
            return math.inf
        try:
            return bench.loss(replace(plan, weights=found))
        except UsageError:
            if not bench.history:
                raise  # the plan itself can't be
            return math.inf  # a weight of 0 leaves a robust rule with too few adapters

    bounds = [(min(0.0, weight), max(WEIGHT_MAX, weight)) for weight in start]
    corners = [
        [weight + FIRST_STEP * (at == place) for at, weight in enumerate(start)] for place in range(-1, len(start))
    ]
    options = {"maxfev": trials_max, "xatol": 0.01, "fatol": 1e-4, "initial_simplex": corners}
    minimize(loss, start, method="Nelder-Mead", bounds=bounds, options=options)
    return Tuned(tuple(bench.history))


def held_out(bench: Bench, before: MergePlan, after: MergePlan, pairs: Sequence[Pair], seed: int = 0) -> Interval:
    """Perplexity on other pairs with the plan `after` minus that with `before`, 95 %, paired; negative is better.

    Raises UsageError where there is none, or one that the search saw.
    """
    check_unseen(pairs, bench.dev.pairs)

    def scores(plan: MergePlan) -> AnswerScores:
        with bench.on(plan):
            return answer_nll(bench.dev.model, bench.dev.tokenizer, pairs)

    return perplexity_difference(scores(before), scores(after), seed=seed)


def check_unseen(pairs: Sequence[Pair], seen: Sequence[Pair]) -> None:
    """UsageError where there are no held-out pairs, or one of them is among those that a search saw."""
    if not pairs:
        raise UsageError("no held-out pairs", mend="give some that the search didn't see")
    both = sorted(set(pairs) & set(seen))
    if both:
        raise UsageError(f"{len(both)} held-out pairs were tuned on, such as {both[0][0]!r}", mend="leave them out")


def _backtracked(
    loss: Callable[[float], float], times: float, before: float, slope: float
) -> tuple[float, float] | None:
    """λ and loss after the first step that Armijo's condition takes; None if none does."""
    direction = -math.copysign(1.0, slope)
    for halving in range(HALVINGS_MAX + 1):
        step = FIRST_STEP * 0.5**halving
        at = times + direction * step
        if at > 0:
            found = loss(at)
            if found < before - ARMIJO * step * abs(slope):
                return at, found
    return None


def _scaled(plan: MergePlan, times: float) -> MergePlan:
    """The plan with the scaling of every method multiplied; unchanged at 1."""
    overrides = tuple(
        replace(each, method=replace(each.method, scaling=each.method.scaling * times)) if each.method else each
        for each in plan.overrides
    )
    method = replace(plan.method, scaling=plan.method.scaling * times)
    return replace(plan, method=method, overrides=overrides)
