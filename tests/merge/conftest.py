"""Adapters and oracles shared by the tests of room merge."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter

MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj")
TARGETS = ("q_proj", "up_proj")

MakeAdapter = Callable[..., Adapter]


def _random_pair(seed: int, rank: int, out: int = 12, into: int = 10, scale: float = 2.0) -> FactorPair:
    """A float32 pair with a decaying spectrum, as training makes them."""
    draw = np.random.default_rng(seed)
    decay = 0.6 ** np.arange(rank)
    a = (draw.standard_normal((rank, into)) * decay[:, None]).astype(np.float32)
    return FactorPair(a, draw.standard_normal((out, rank)).astype(np.float32), scale)


def _dense_of(adapter: Adapter, module: str) -> NDArray[np.float64]:
    """ΔW of a module by the definition, in float64."""
    pair = adapter.pairs[module]
    product: NDArray[np.float64] = pair.B.astype(np.float64) @ pair.A.astype(np.float64)
    return product * adapter.spec.scale_of(module)


@pytest.fixture
def make_adapter() -> MakeAdapter:
    def make(
        seed: int,
        *,
        rank: int = 4,
        alpha: float = 8,
        modules: tuple[str, ...] = MODULES,
        targets: tuple[str, ...] = TARGETS,
        base: str | None = "mini",
        **spec: object,
    ) -> Adapter:
        meaning = LoraSpec.from_block(
            {"r": rank, "alpha": alpha, "target_modules": targets, **spec}, base_model_name=base
        )
        pairs = {
            module: _random_pair(seed * 100 + index, meaning.rank_of(module), scale=meaning.scale_of(module))
            for index, module in enumerate(modules)
        }
        return Adapter.of(pairs, meaning)

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def dense_of() -> Callable[[Adapter, str], NDArray[np.float64]]:
    return _dense_of
