"""The merges that `bench/merge.py` compares with: peft's `svd`, and the dense sum with `torch.svd_lowrank`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model

from plora.merge.factors import FactorPair

torch.set_num_threads(1)


class OneLayer(torch.nn.Module):
    """A model of one linear layer, so that peft merges one module."""

    def __init__(self, out: int, into: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(into, out, bias=False)


class PeftMerge:
    """Adapters of one module in peft, merged as a user would: `add_weighted_adapter(..., combination_type="svd")`."""

    def __init__(self, pairs: Sequence[FactorPair], rank: int) -> None:
        self._rank = rank
        self._names = [f"a{place}" for place in range(len(pairs))]
        config = LoraConfig(r=pairs[0].rank, lora_alpha=pairs[0].rank, target_modules=["layer"])
        self._model: Any = get_peft_model(OneLayer(pairs[0].out_features, pairs[0].in_features), config, "a0")
        for name in self._names[1:]:
            self._model.add_adapter(name, config)
        self._layer = cast(Any, self._model.base_model.model).layer
        for name, pair in zip(self._names, pairs, strict=True):
            self._layer.lora_A[name].weight.data = torch.from_numpy(pair.A.copy())
            self._layer.lora_B[name].weight.data = torch.from_numpy(pair.B.copy())

    def merge(self, weights: Sequence[float], *, full_matrices: bool) -> None:
        """One merge."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model.add_weighted_adapter(
                self._names, list(weights), "merged", "svd", svd_rank=self._rank, svd_full_matrices=full_matrices
            )

    def forget(self) -> None:
        """Take the merge away."""
        self._model.delete_adapter("merged")


def form_and_sketch(pairs: Sequence[FactorPair], weights: Sequence[float], rank: int) -> FactorPair:
    """Σ wᵢBᵢAᵢ by one product of stacked factors, then `torch.svd_lowrank` with its own two power iterations."""
    b = torch.cat(
        [torch.from_numpy(pair.B.copy()) * weight for pair, weight in zip(pairs, weights, strict=True)], dim=1
    )
    a = torch.cat([torch.from_numpy(pair.A.copy()) for pair in pairs])
    u, s, v = torch.svd_lowrank(b @ a, q=rank)
    root = s.sqrt()
    return FactorPair((v * root).T.numpy(), (u * root).numpy())
