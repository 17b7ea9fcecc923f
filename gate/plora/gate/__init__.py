"""The gate: a plasmid in, a verdict out.

`decide(case, policy, trust)` is the pure core; `examine(path)` turns bytes into features; `alignment_gate` judges a
folder without any peer. The public names are imported on first use: the worker that examines bytes needs few of them.
Importing this package imports neither numpy nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plora.gate.alignment import alignment_gate
    from plora.gate.case import BaseFacts, Case
    from plora.gate.features import STAGE_VERSION, Features, examine
    from plora.gate.pipeline import STAGES, Stage, decide, decide_bytes
    from plora.gate.policy import Policy
    from plora.gate.report import Layer, layers, verdict_from_json, verdict_to_json
    from plora.gate.reputation import Reputation
    from plora.gate.root import FreshnessState, Root, RootMember, freshness_state
    from plora.gate.root_file import load_root, root_text
    from plora.gate.sentences import explain, sentence
    from plora.gate.trust import Distrusted, Trust, TrustedOwner, check_quorum, quorum_trouble
    from plora.gate.trust_file import edit_trust, load_trust, save_trust
    from plora.gate.verdict import Outcome, StageResult, Verdict

_PLACES = {
    "alignment": ("alignment_gate",),
    "case": ("BaseFacts", "Case"),
    "features": ("STAGE_VERSION", "Features", "examine"),
    "pipeline": ("STAGES", "Stage", "decide", "decide_bytes"),
    "policy": ("Policy",),
    "report": ("Layer", "layers", "verdict_from_json", "verdict_to_json"),
    "reputation": ("Reputation",),
    "root": ("FreshnessState", "Root", "RootMember", "freshness_state"),
    "root_file": ("load_root", "root_text"),
    "sentences": ("explain", "sentence"),
    "trust": ("Distrusted", "Trust", "TrustedOwner", "check_quorum", "quorum_trouble"),
    "trust_file": ("edit_trust", "load_trust", "save_trust"),
    "verdict": ("Outcome", "StageResult", "Verdict"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "STAGES",
    "STAGE_VERSION",
    "BaseFacts",
    "Case",
    "Distrusted",
    "Features",
    "FreshnessState",
    "Layer",
    "Outcome",
    "Policy",
    "Reputation",
    "Root",
    "RootMember",
    "Stage",
    "StageResult",
    "Trust",
    "TrustedOwner",
    "Verdict",
    "alignment_gate",
    "check_quorum",
    "decide",
    "decide_bytes",
    "edit_trust",
    "examine",
    "explain",
    "freshness_state",
    "layers",
    "load_root",
    "load_trust",
    "quorum_trouble",
    "root_text",
    "save_trust",
    "sentence",
    "verdict_from_json",
    "verdict_to_json",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
