"""A base that wears an adapter while it is probed, and takes it off in between to be asked the same.

- In float32 the update is added to copies of the weights, which stand in for the base's own meanwhile: twice as fast as
  hooks. The base's own weights are never written to. In half precision that sum would lose the update, so there
  `plora.merge.injection` puts it on.
- An error on the way leaves the base as it was.

Not handled: embeddings and layers other than `Linear`; AdapterError names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from plora.merge.injection import Injection, inject
from plora.merge.source import Source


class Garment:
    """An adapter on a model: a hook a layer, or weights that stand in for the layers' own."""

    def __init__(self, injection: Injection) -> None:
        self._injection = injection
        self._weights: list[tuple[Any, Any, Any]] = []

    def fold(self, layer: Any, update: Any) -> None:
        """Have `layer` use its weight with an update added, instead of a hook."""
        changed = torch.nn.Parameter(layer.weight + update, requires_grad=False)
        self._weights.append((layer, layer.weight, changed))
        layer.weight = changed

    @contextmanager
    def off(self) -> Iterator[None]:
        """The bare base for a while."""
        self.take_off()
        try:
            yield
        finally:
            self._injection.times = 1.0
            for layer, _, changed in self._weights:
                layer.weight = changed

    def take_off(self) -> None:
        """The bare base from now on."""
        self._injection.times = 0.0
        for layer, own, _ in self._weights:
            layer.weight = own


@contextmanager
def worn(model: Any, source: Source) -> Iterator[Garment]:
    """`model` with an adapter on it. Raises AdapterError where it doesn't fit."""
    injection = inject(model, source)  # which checks every layer
    garment = Garment(injection)
    try:
        if next(model.parameters()).dtype == torch.float32:
            injection.remove()
            for module in source.modules():
                pair = source.pair(module)
                left, right = (torch.tensor(factor, dtype=torch.float32) for factor in (pair.B, pair.A))
                with torch.no_grad():
                    garment.fold(model.get_submodule(module), left @ right * float(pair.scale))
        yield garment
    finally:
        garment.take_off()
        injection.remove()
