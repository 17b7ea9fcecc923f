"""Base models: names, digests, loading, and scoring of text.

Importing this package imports neither torch nor transformers; they are imported by the functions that compute.

- `resolve_base`, `base_info`: what a name means and which base it is, without torch.
- `load_base`: model and tokenizer in memory (extra `lab`).
- `answer_nll`, `perplexity_interval`, `perplexity_difference`: how well a model expects answers.
"""

from __future__ import annotations

from plora.base.digest import base_digest, module_shapes
from plora.base.loading import LoadedBase, choose_device, load_base
from plora.base.registry import DEFAULT_BASE, BaseInfo, BaseSpec, base_info, find_base, resolve_base
from plora.base.scoring import (
    AnswerScores,
    Interval,
    answer_nll,
    perplexity,
    perplexity_difference,
    perplexity_interval,
)
from plora.base.smollm2 import prepare_smollm2

__all__ = [
    "DEFAULT_BASE",
    "AnswerScores",
    "BaseInfo",
    "BaseSpec",
    "Interval",
    "LoadedBase",
    "answer_nll",
    "base_digest",
    "base_info",
    "choose_device",
    "find_base",
    "load_base",
    "module_shapes",
    "perplexity",
    "perplexity_difference",
    "perplexity_interval",
    "prepare_smollm2",
    "resolve_base",
]
