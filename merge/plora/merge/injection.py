"""An adapter put on a model that is in memory and taken off again, with the model's own numbers never written to.

Rules:

- Each layer of the adapter gets a forward hook that adds times · scale · B (A x) to what the layer gives. So the base
  is bit for bit what it was while the adapter is on, and after: there is nothing to round, nothing to undo but the
  hooks. That holds for half precision, for tied weights, and whatever is raised in between.
- All layers are checked before the first hook is put. What goes wrong later takes the hooks off that are there.
- The update is computed in float32 and added as PEFT does: the sum is rounded to the dtype of the layer's output.
- A `Budget` bounds the time of putting on and of taking off, each. Over it, the adapter comes off and LatencyError says
  how long it took. An error of the caller's own goes before one about taking off.

Not handled: embeddings, layers that are neither `Linear` nor `Conv1D`, models that PEFT has wrapped (their names are
others). Needs the extra `lab`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from plora.merge.source import Source
from plora.proto.errors import AdapterError, ConfigError, LatencyError

BUDGET_MS_DEFAULT = 250.0
BUDGET_VARIABLE = "PLORA_LATENCY_BUDGET_MS"


@dataclass(frozen=True, slots=True)
class Budget:
    """How long putting on or taking off may take, in milliseconds, by a clock that gives seconds."""

    limit_ms: float
    clock: Callable[[], float]

    @classmethod
    def of(cls, environ: Mapping[str, str], clock: Callable[[], float]) -> Budget:
        """What `PLORA_LATENCY_BUDGET_MS` says, 250 where it says nothing. Raises ConfigError for no positive number."""
        text = environ.get(BUDGET_VARIABLE) or str(BUDGET_MS_DEFAULT)
        try:
            limit_ms = float(text)
        except ValueError:
            limit_ms = math.nan
        if not limit_ms > 0:
            raise ConfigError(
                f"{text!r} is not a positive number", where=BUDGET_VARIABLE, mend="give milliseconds: 250"
            )
        return cls(limit_ms, clock)

    def check(self, what: str, began_s: float) -> None:
        """Raises LatencyError if more than the limit has passed since."""
        took_ms = 1000 * (self.clock() - began_s)
        if took_ms > self.limit_ms:
            raise LatencyError(
                f"{what} an adapter took {took_ms:.3g} ms of {self.limit_ms:g} ms; the base is as it was",
                where=BUDGET_VARIABLE,
                mend="merge to a lower rank, or allow more",
            )


class Injection:
    """An adapter that is on a model. `times`, a number or a torch scalar, multiplies its update; it may be set anew."""

    def __init__(self) -> None:
        self.times: Any = 1.0
        self._hooks: list[Any] = []

    def add(self, layer: Any, pair: Any) -> None:
        """Put the update of one layer on."""
        import torch
        from torch.utils.dlpack import from_dlpack

        device = layer.weight.device
        # Over the factors' own memory, which nobody writes to, unless torch can't read it as it lies.
        factors = map(np.ascontiguousarray, (pair.A, pair.B))
        right, left = (from_dlpack(factor).to(device, torch.float32).T for factor in factors)

        def hook(_layer: Any, inputs: tuple[Any, ...], output: Any) -> Any:
            update = inputs[0].to(torch.float32) @ right @ left
            return (output + update * (self.times * pair.scale)).to(output.dtype)

        self._hooks.append(layer.register_forward_hook(hook))

    def remove(self) -> None:
        """Take the adapter off; a second time does nothing."""
        while self._hooks:
            self._hooks.pop().remove()


def inject(model: Any, source: Source) -> Injection:
    """Put an adapter on a transformers model. Raises AdapterError, with the model untouched, where it doesn't fit."""
    layers = {module: _layer(model, module, source.shape(module)) for module in source.modules()}
    injection = Injection()
    try:
        for module, layer in layers.items():
            injection.add(layer, source.pair(module))
    except BaseException:
        injection.remove()
        raise
    return injection


@contextmanager
def injected(model: Any, source: Source, budget: Budget | None = None) -> Iterator[Injection]:
    """`model` with an adapter on it for a while. Raises AdapterError and, over the budget, LatencyError."""
    began_s = budget.clock() if budget else 0.0
    injection = inject(model, source)
    try:
        if budget:
            budget.check("putting on", began_s)
        yield injection
    except BaseException:
        injection.remove()
        raise
    began_s = budget.clock() if budget else 0.0
    injection.remove()
    if budget:
        budget.check("taking off", began_s)


def fingerprint(model: Any) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all that `state_dict` holds."""
    import torch

    seen = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        seen.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        seen.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return seen.hexdigest()


def _layer(model: Any, module: str, shape: tuple[int, int, int]) -> Any:
    try:
        layer = model.get_submodule(module)
    except AttributeError as error:
        raise AdapterError("this base has no such layer", where=module, mend="name the adapter's own base") from error
    kinds = {"Linear": shape[:2], "Conv1D": shape[1::-1]}  # Conv1D keeps its weight as (in, out).
    expected = kinds.get(type(layer).__name__)
    if expected is None:
        raise AdapterError(f"a {type(layer).__name__} can't wear an update here", where=module, mend="load it by PEFT")
    if tuple(layer.weight.shape) != expected:
        raise AdapterError(
            f"the layer's weight is {tuple(layer.weight.shape)}, the update's {expected}",
            where=module,
            mend="name the adapter's own base",
        )
    return layer
