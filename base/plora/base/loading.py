"""Loading a base model for training, scoring and merging. Needs the extra `lab`; torch is imported on first use.

Rules:

- `trust_remote_code=False`, safetensors only, no file of the model is executed.
- `mini` is computed in float32, so that numbers compare between hosts; larger bases in bfloat16 unless told otherwise.
- A GPU is used where there is one, unless `PLORA_FORCE_CPU` is set to anything but 0 or nothing.
- `smollm2` is prepared on first use when its package is installed; a hub id is fetched on first use.

Not handled here: adapters (`plora.lab`, `plora.merge`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from plora.base.cache import cache_folder
from plora.base.digest import base_digest
from plora.base.hub import fetch_base
from plora.base.registry import BaseSpec, resolve_base
from plora.base.smollm2 import prepare_smollm2
from plora.proto.errors import BaseModelError


@dataclass(frozen=True)
class LoadedBase:
    """A base in memory: the transformers model in evaluation mode, its tokenizer, and where they came from."""

    model: Any
    tokenizer: Any
    spec: BaseSpec

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` over weights, tokenizer and chat template."""
        return base_digest(folder_of(self.spec), cache_folder(os.environ))


def folder_of(spec: BaseSpec) -> Path:
    """The folder of a spec that has one; raises BaseModelError otherwise."""
    if spec.folder is None:
        raise BaseModelError("this base model was not fetched yet", where=spec.name, mend="load it first")
    return spec.folder


def bring_base(spec: BaseSpec, environ: Mapping[str, str]) -> BaseSpec:
    """`spec` with a folder that is there: fetches a hub id, prepares `smollm2`."""
    if spec.kind == "hub":
        return fetch_base(spec, environ)
    if spec.name == "smollm2":
        return replace(spec, folder=prepare_smollm2(environ))
    return spec


def load_base(base: BaseSpec | str | None = None, *, dtype: str | None = None) -> LoadedBase:
    """Load a base model and its tokenizer.

    Args:
        base: a spec, a name, or None for `PLORA_BASE_MODEL` or the specification's default.
        dtype: "float32", "bfloat16" …; None chooses float32 for `mini` and bfloat16 for others.

    Raises:
        BaseModelError: the base is unknown, can't be fetched, or its files can't be loaded.
    """
    spec = base if isinstance(base, BaseSpec) else resolve_base(base)
    spec = bring_base(spec, os.environ)
    torch, transformers = _import_lab()
    wanted = getattr(torch, dtype or ("float32" if spec.name == "mini" else "bfloat16"))
    common = {"trust_remote_code": False, "local_files_only": True}
    folder = folder_of(spec)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **common)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=wanted, use_safetensors=True, **common)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BaseModelError(f"can't be loaded ({reason})", where=str(folder), mend="fetch the base again") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedBase(model.to(choose_device(os.environ)).eval(), tokenizer, spec)


def choose_device(environ: Mapping[str, str]) -> str:
    """ "cuda" where torch has one and `PLORA_FORCE_CPU` doesn't forbid it, else "cpu"."""
    if environ.get("PLORA_FORCE_CPU", "0") not in ("", "0"):
        return "cpu"
    torch, _ = _import_lab()
    return "cuda" if torch.cuda.is_available() else "cpu"


def _import_lab() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
        from transformers.utils import logging
    except ImportError as error:
        raise BaseModelError("loading models needs the extra 'lab'", mend="pip install 'plora[lab]'") from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return torch, transformers
