"""Plans: what an override names, and what is no plan."""

from dataclasses import replace
from typing import Any

import pytest

from plora.merge.plan import MergePlan, Method, Override, TrustRegion
from plora.merge.registry import plan_of, strategy
from plora.proto.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "module", "named"),
    [
        ("q_proj", "model.layers.3.self_attn.q_proj", True),
        ("self_attn.q_proj", "model.layers.3.self_attn.q_proj", True),
        ("proj", "model.layers.3.self_attn.q_proj", False),
        ("layers.3", "model.layers.3.self_attn.q_proj", False),
        ("layers.0-3", "model.layers.3.self_attn.q_proj", True),
        ("layers.0-3", "model.layers.4.self_attn.q_proj", False),
        ("layers.0-3.q_proj", "model.layers.0.self_attn.q_proj", True),
        ("layers.0-3.k_proj", "model.layers.0.self_attn.q_proj", False),
        ("blocks.0-3", "model.layers.0.self_attn.q_proj", False),
        ("layers.10-12.mlp.up_proj", "model.layers.11.mlp.up_proj", True),
        ("layers.0-3", "layers.x.q_proj", False),
        ("layers.0-3", "q_proj", False),
    ],
)
def test_what_an_override_names(pattern: str, module: str, named: bool) -> None:
    assert Override(pattern).names(module) == named


def test_the_first_override_that_says_something_counts_field_by_field() -> None:
    core, krum = strategy("core"), strategy("krum")
    plan = MergePlan(
        weights=(1.0, 2.0),
        overrides=(Override("layers.0-1", rank_max=2), Override("q_proj", core, rank_max=4), Override("q_proj", krum)),
    )
    first = plan.choice("layers.0.q_proj")
    assert (first.method, first.weights, first.rank_max) == (core, (1.0, 2.0), 2)
    assert plan.choice("layers.7.q_proj").rank_max == 4
    assert plan.choice("layers.7.up_proj") == replace(first, method=Method(), rank_max=16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Method(density=0), "density"),
        (lambda: Method(density=1.01), "density"),
        (lambda: Method(scaling=float("nan")), "scaling"),
        (lambda: Method(scaling=0), "scaling"),
        (lambda: Method(byzantine=-1), "byzantine"),
        (lambda: Method(byzantine=1 << 53), "byzantine"),
        (lambda: Method(seed=-(1 << 53)), "seed"),
        (lambda: Method(radius=0.0), "radius"),
        (lambda: TrustRegion(max_total_fro=-1.0), "max_total_fro"),
        (lambda: TrustRegion(max_delta_relative=float("inf")), "max_delta_relative"),
        (lambda: Override("q_proj", weights=(0.0,)), "weights"),
        (lambda: Override("q_proj", rank_max=0), "rank_max"),
        (lambda: Override("q_proj", densities=(0.5, 0.0)), "density 0.0 is not over 0"),
        (lambda: MergePlan(densities=(0.5, 1.5)), "density 1.5 is not over 0"),
        (lambda: MergePlan(rank_max=1 << 53), "rank_max"),
        (lambda: MergePlan(weights=(float("inf"),)), "weights"),
        (lambda: plan_of("best"), "unknown strategy"),
    ],
)
def test_what_is_no_plan(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
