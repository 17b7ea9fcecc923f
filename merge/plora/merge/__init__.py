"""Adapter algebra on factor pairs, and PEFT folders in and out. Importing it needs numpy alone."""

from plora.merge.api import merge_folders, merge_paths, merge_plasmids
from plora.merge.engine import MergeReport, MergeResult, merge_adapters
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec, adapter_config_bytes
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.strategies import STRATEGIES

__all__ = [
    "STRATEGIES",
    "Adapter",
    "FactorPair",
    "LoraSpec",
    "MergeReport",
    "MergeResult",
    "adapter_config_bytes",
    "merge_adapters",
    "merge_folders",
    "merge_paths",
    "merge_plasmids",
    "read_adapter",
    "write_adapter",
]
