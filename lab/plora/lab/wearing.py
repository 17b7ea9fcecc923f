"""A base model wearing a LoRA adapter for a while, and given back as it was.

Rules:

- Whatever happens in between, the adapter's layers, peft's marks on the model and the frozen weights are undone.
- peft's deprecation warnings about transformers are its own business and silenced; all other warnings are kept.
- Folders are read by `plora.merge` as a merge reads them: whatever is merged can be worn, and what is refused there is
  refused here. peft gets the factors alone, and never a tensor of the base.
- Global random state is left as it was; a fresh adapter is drawn from the seed that is given.
- `wearing` wraps the model by peft, embeddings included, as whoever loads the folder elsewhere does. It keeps no budget
  of time: it is for measuring, on a model that answers nobody.
- `worn_hot` doesn't wrap the model and keeps `PLORA_LATENCY_BUDGET_MS`; see `plora.merge.injection`.

Not handled here: several adapters at once.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plora.merge.folder_source import FolderSource
from plora.merge.injection import Budget, Injection, injected
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, name_of, read_adapter
from plora.proto.errors import AdapterError


@contextmanager
def wearing_new(model: Any, config: Any, seed: int) -> Iterator[Any]:
    """`model` with a fresh adapter of a peft `LoraConfig`, its A matrices drawn from `seed`, B zero."""
    import torch

    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    wrapped = None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            wrapped = _wrap(model, config)
        yield wrapped
    finally:
        if wrapped is not None:
            wrapped.unload()
        vars(model).pop("peft_config", None)
        for weight in trainable:
            weight.requires_grad_(True)


@contextmanager
def wearing(model: Any, folder: Path, base: Path | None = None) -> Iterator[Any]:
    """`model` with the PEFT adapter of `folder`.

    Args:
        model: a transformers model.
        folder: any folder that `plora merge` takes.
        base: the base's own folder, with which copies of its weights in the adapter's file are compared.

    Raises:
        AdapterError: a file is missing or broken, or the adapter is of another base.
    """
    adapter = read_adapter(folder, base=base)
    with wearing_new(model, _config(adapter.spec), seed=0) as wrapped:
        _load(wrapped, adapter, str(folder))
        yield wrapped


@contextmanager
def worn_hot(model: Any, folder: Path, environ: Mapping[str, str] = os.environ) -> Iterator[Injection]:
    """`model` itself with the adapter of `folder` on it, put on and taken off within the budget.

    Raises:
        AdapterError: a file is missing or broken, or the adapter is of another base.
        LatencyError: it took too long; the base is as it was.
    """
    with injected(model, FolderSource(folder), Budget.of(environ, time.perf_counter)) as injection:
        yield injection


def _config(spec: LoraSpec) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # peft divides it and takes fractions
        target_modules=list(spec.target_modules),
        use_rslora=spec.use_rslora,
        rank_pattern=dict(spec.rank_pattern),
        alpha_pattern=dict(spec.alpha_pattern),
        fan_in_fan_out=spec.fan_in_fan_out,
        task_type="CAUSAL_LM",
    )


def _wrap(model: Any, config: Any) -> Any:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return get_peft_model(model, config)
        except (ValueError, TypeError) as error:
            raise _unfit("adapter", error) from error


def _load(wrapped: Any, adapter: Adapter, where: str) -> None:
    import torch
    from peft import set_peft_model_state_dict

    tensors = {
        name_of(module, side, adapter.spec): torch.tensor(values)
        for module, pair in adapter.pairs.items()
        for side, values in (("A", pair.A), ("B", pair.B))
    }
    try:
        outcome: Any = set_peft_model_state_dict(wrapped, tensors)
    except (RuntimeError, ValueError, KeyError) as error:
        raise _unfit(where, error) from error
    absent = [name for name in outcome.missing_keys if "lora_" in name]
    strange = [*outcome.unexpected_keys, *absent]
    if strange:
        raise _unfit(where, ValueError(f"{len(strange)} tensors too many or too few, such as {strange[0]}"))


def _unfit(where: str, error: Exception) -> AdapterError:
    reason = " ".join(str(error).split())[:200]
    return AdapterError(f"can't be put on this base ({reason})", where=where, mend="name the base it was made for")
