"""Fused layers beside their parts, and names of two kinds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from plora.merge.factors import FactorPair
from plora.merge.fused import check_layers, split
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.proto.errors import AdapterError, UsageError

Make = Callable[..., Adapter]


def layer(make_adapter: Make, *modules: str) -> Adapter:
    return make_adapter(1, modules=modules, targets=tuple(module.rpartition(".")[2] for module in modules))


def test_fused_merges_with_fused_and_parts_with_parts(make_adapter: Make) -> None:
    check_layers([layer(make_adapter, "0.qkv_proj"), layer(make_adapter, "0.qkv_proj", "1.qkv_proj")])
    check_layers([layer(make_adapter, "0.q_proj"), layer(make_adapter, "0.v_proj")])
    check_layers([layer(make_adapter, "0.qkv_proj"), layer(make_adapter, "1.q_proj")])


@pytest.mark.parametrize(
    ("fused", "part"),
    [("a.0.qkv_proj", "a.0.k_proj"), ("a.0.gate_up_proj", "a.0.up_proj"), ("0.query_key_value", "0.q_proj")],
)
def test_fused_beside_a_part_is_refused(make_adapter: Make, fused: str, part: str) -> None:
    for order in ([fused, part], [part, fused]):
        with pytest.raises(AdapterError, match=f"{fused}, another its part {part}"):
            check_layers([layer(make_adapter, name) for name in order])


def test_one_name_of_two_kinds_is_refused(make_adapter: Make) -> None:
    linear = layer(make_adapter, "embed_tokens")
    table = Adapter.of(linear.pairs, replace(linear.spec, embeddings=("embed_tokens",)))
    with pytest.raises(AdapterError, match="embed_tokens is an embedding in one adapter and a linear layer in another"):
        check_layers([linear, table])
    assert linear.digest != table.digest


def test_split_is_exact() -> None:
    draw = np.random.default_rng(1)
    pair = FactorPair(draw.standard_normal((3, 7)), draw.standard_normal((8, 3)), 1.5)
    parts = split("a.0.qkv_proj", pair, (4, 2, 2))
    assert list(parts) == ["a.0.q_proj", "a.0.k_proj", "a.0.v_proj"]
    assert np.array_equal(np.concatenate([part.dense() for part in parts.values()]), pair.dense())


@pytest.mark.parametrize(
    ("module", "rows"),
    [("0.qkv_proj", (4, 4)), ("0.qkv_proj", (4, 4, 4)), ("0.qkv_proj", (8, 0, 0)), ("0.q_proj", (8,))],
)
def test_what_cannot_be_split(module: str, rows: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        split(module, FactorPair(np.ones((1, 2)), np.ones((8, 1))), rows)
    with pytest.raises(UsageError, match="no fused layer whose rows"):
        split("0.query_key_value", FactorPair(np.ones((1, 2)), np.ones((8, 1))), (4, 2, 2))


def test_embeddings_are_kept_by_uniform_specs() -> None:
    one = LoraSpec(r=2, alpha=4, target_modules=("wte",), embeddings=("wte",))
    two = LoraSpec(r=3, alpha=4, target_modules=("c_attn",), fan_in_fan_out=True)
    merged = LoraSpec.uniform([one, two], 5, "base")
    assert (merged.r, merged.alpha, merged.target_modules) == (5, 5, ("c_attn", "wte"))
    assert merged.embeddings == ("wte",) and merged.fan_in_fan_out
