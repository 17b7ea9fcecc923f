"""Adapter algebra on factor pairs, and PEFT folders in and out. It needs numpy alone.

The public names are imported on first use: a peer reads `plora.merge.lora_config` and leaves numpy to its workers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plora.merge.api import merge_folders, merge_paths, merge_plasmids
    from plora.merge.engine import merge_into, merge_sources
    from plora.merge.factors import FactorPair
    from plora.merge.lora_config import LoraSpec, adapter_config_bytes
    from plora.merge.outcome import MergeReport, MergeResult
    from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
    from plora.merge.plan import MergePlan, Method, Override, TrustRegion
    from plora.merge.registry import STRATEGIES, plan_of

_PLACES = {
    "api": ("merge_folders", "merge_paths", "merge_plasmids"),
    "engine": ("merge_into", "merge_sources"),
    "factors": ("FactorPair",),
    "lora_config": ("LoraSpec", "adapter_config_bytes"),
    "outcome": ("MergeReport", "MergeResult"),
    "peft_folder": ("Adapter", "read_adapter", "write_adapter"),
    "plan": ("MergePlan", "Method", "Override", "TrustRegion"),
    "registry": ("STRATEGIES", "plan_of"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "STRATEGIES",
    "Adapter",
    "FactorPair",
    "LoraSpec",
    "MergePlan",
    "MergeReport",
    "MergeResult",
    "Method",
    "Override",
    "TrustRegion",
    "adapter_config_bytes",
    "merge_folders",
    "merge_into",
    "merge_paths",
    "merge_plasmids",
    "merge_sources",
    "plan_of",
    "read_adapter",
    "write_adapter",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
