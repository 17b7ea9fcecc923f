"""Weights by Fisher information, a scalar a module, from real gradients (after Matena and Raffel 2022).

Rules:

- The scalar of adapter k in module m is the trace of the *empirical* Fisher information there, at the base with the
  adapter on it: the mean over pairs of ‖∂ log p(answer | question) / ∂W_m‖²_F, in nats² a squared unit of W, answers as
  the data has them. It is one number a module since the paper's elementwise mean on A and B would depend on how an
  update is factored; the gradient by W doesn't.
- An adapter that fits its pairs badly has large gradients everywhere. So that this counts for nothing, the scalars of
  an adapter are divided by their root mean square over its modules: they say where it is sensitive, not how much.
- The weight of k in m is W · wₖ fₖₘ / Σⱼ wⱼ fⱼₘ with wₖ the plan's weights and W their sum, so that the weights of a
  module sum to what they did. Adapters that lack the module have a scalar, too, and draw the result towards the base.
- ‖∂W‖² of one pair comes from inner products over its tokens, Σₜₛ ⟨gₜ, gₛ⟩⟨xₜ, xₛ⟩; no gradient of W's size is formed.
- Weights become overrides of the plan, one a module, after the plan's own, so that those go first.

Not handled: embeddings, negative weights, a prior for modules without any gradient (there the plan's weights stay).
Needs the extra `lab`.

>>> plan = fisher_plan(MergePlan(weights=(0.5, 0.5)), 2, [{"up": 3.0, "down": 1.0}, {"up": 1.0, "down": 3.0}])
>>> [(each.modules, each.weights) for each in plan.overrides]
[('down', (0.25, 0.75)), ('up', (0.75, 0.25))]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from plora.base.prompts import Pair
from plora.merge.dev_set import DevSet, summed_nll
from plora.merge.injection import Budget, injected
from plora.merge.layout import check_counts, default_weight
from plora.merge.plan import MergePlan, Override, one_a_module
from plora.merge.source import Source
from plora.proto.errors import UsageError

Scalars = Mapping[str, float]


def fisher_weighted(
    model: Any,
    tokenizer: Any,
    sources: Sequence[Source],
    pairs: Sequence[Sequence[Pair]],
    plan: MergePlan,
    budget: Budget | None = None,
) -> MergePlan:
    """The plan with each module's weights by Fisher information; `pairs`: for each source, of its own domain.

    Raises UsageError for pairs that don't fit the sources and for negative weights, AdapterError, LatencyError.
    """
    if len(pairs) != len(sources):
        raise UsageError(f"pairs for {len(pairs)} of {len(sources)} adapters", mend="give some for each")
    modules = sorted({module for source in sources for module in source.modules()})
    scalars = []
    for source, own in zip(sources, pairs, strict=True):
        with injected(model, source, budget):
            scalars.append(fisher_scalars(DevSet(model, tokenizer, own), modules))
    return fisher_plan(plan, len({source.digest for source in sources}), scalars)


def fisher_scalars(dev: DevSet, modules: Sequence[str]) -> dict[str, float]:
    """The trace of the empirical Fisher information by module, of the model as it is, adapters on it included."""
    import torch

    totals = dict.fromkeys(modules, 0.0)
    dev.model.eval()
    for inputs, labels in dev.batches():
        with _probed(dev.model, modules) as (seen, probes):
            loss = summed_nll(dev.model, inputs, labels)
            gradients = torch.autograd.grad(loss, [probes[module] for module in modules])
        for module, gradient in zip(modules, gradients, strict=True):
            totals[module] += _squared_norms(seen[module], gradient)
    return {module: total / len(dev.pairs) for module, total in totals.items()}


def fisher_plan(plan: MergePlan, distinct: int, scalars: Sequence[Scalars]) -> MergePlan:
    """The plan with weights a module; `scalars`: one mapping an input, of which `distinct` differ in content."""
    check_counts(plan, len(scalars))
    weights = plan.weights or (default_weight(plan.method, distinct),) * len(scalars)
    if min(weights) < 0:
        raise UsageError("Fisher information can't weigh an adapter that is subtracted", mend="give weights over 0")
    shares = [_relative(each) for each in scalars]
    found = {module: _weights(weights, [each[module] for each in shares]) for module in sorted(scalars[0])}
    overrides = one_a_module(Override(module, weights=each or tuple(weights)) for module, each in found.items())
    return replace(plan, weights=tuple(weights), overrides=(*plan.overrides, *overrides))


def _weights(weights: Sequence[float], shares: Sequence[float]) -> tuple[float, ...] | None:
    products = [weight * share for weight, share in zip(weights, shares, strict=True)]
    total = math.fsum(products)
    return tuple(math.fsum(weights) * product / total for product in products) if total > 0 else None


def _relative(scalars: Scalars) -> Scalars:
    size = math.sqrt(math.fsum(value**2 for value in scalars.values()) / len(scalars))
    return {module: value / size if size else 0.0 for module, value in scalars.items()}


@contextmanager
def _probed(model: Any, modules: Sequence[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What goes into each layer, and a zero added to what comes out, whose gradient is the output's; by module."""
    import torch

    seen: dict[str, Any] = {}
    probes: dict[str, Any] = {}

    def hook_of(module: str) -> Any:
        def hook(_layer: Any, inputs: tuple[Any, ...], output: Any) -> Any:
            seen[module] = inputs[0].detach()
            probes[module] = torch.zeros_like(output, requires_grad=True)
            return output + probes[module]

        return hook

    hooks = [model.get_submodule(module).register_forward_hook(hook_of(module)) for module in modules]
    try:
        yield seen, probes
    finally:
        for hook in hooks:
            hook.remove()


def _squared_norms(inputs: Any, gradients: Any) -> float:
    """Σ over the batch of ‖Σₜ gₜ xₜᵀ‖²_F; (batch, tokens, in) and (batch, tokens, out)."""
    x, g = inputs.double(), gradients.double()
    return float(((g @ g.mT) * (x @ x.mT)).sum())
