"""The gate: a plasmid in, a verdict out.

`decide(case, policy, trust)` is the pure core; `examine(path)` turns bytes into features; `alignment_gate` judges a
folder without any peer. Importing this package imports neither numpy nor torch.
"""

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
