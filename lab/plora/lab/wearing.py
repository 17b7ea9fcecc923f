"""A base model wearing a LoRA adapter for a while, and given back as it was.

Rules:

- Whatever happens in between, the adapter's layers, peft's marks on the model and the frozen weights are undone.
- peft's deprecation warnings about transformers are its own business and silenced; all other warnings are kept.
- Configurations are read by `plora.merge`, which takes plain LoRA only.
- Global random state is left as it was; a fresh adapter is drawn from the seed that is given.
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
from plora.merge.peft_folder import TENSORS_NAME, read_spec
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
def wearing(model: Any, folder: Path) -> Iterator[Any]:
    """`model` with the PEFT adapter of `folder`.

    Raises:
        AdapterError: a file is missing or broken, or the adapter is of another base.
    """
    from peft import LoraConfig

    spec = read_spec(folder)
    if not (folder / TENSORS_NAME).is_file():
        raise AdapterError(f"no {TENSORS_NAME} here", where=str(folder), mend="give a folder that holds an adapter")
    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]  # peft divides it and takes fractions
        target_modules=list(spec.target_modules),
        use_rslora=spec.use_rslora,
        rank_pattern=dict(spec.rank_pattern),
        alpha_pattern=dict(spec.alpha_pattern),
        task_type="CAUSAL_LM",
    )
    with wearing_new(model, config, seed=0) as wrapped:
        _load(wrapped, folder)
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


def _wrap(model: Any, config: Any) -> Any:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return get_peft_model(model, config)
        except (ValueError, TypeError) as error:
            raise _unfit("adapter", error) from error


def _load(wrapped: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        outcome: Any = set_peft_model_state_dict(wrapped, load_file(folder / TENSORS_NAME))
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise _unfit(str(folder), error) from error
    absent = [name for name in outcome.missing_keys if "lora_" in name]
    strange = [*outcome.unexpected_keys, *absent]
    if strange:
        raise _unfit(str(folder), ValueError(f"{len(strange)} tensors too many or too few, such as {strange[0]}"))


def _unfit(where: str, error: Exception) -> AdapterError:
    reason = " ".join(str(error).split())[:200]
    return AdapterError(f"can't be put on this base ({reason})", where=where, mend="name the base it was made for")
