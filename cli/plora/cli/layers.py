"""How a verdict is shown: one line a layer, from the first check to the last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from plora.gate import Verdict, explain, layers

SIGNS = {"pass": "✓", "accept": "✓", "off": "·", "not reached": " ", "pending": "…", "defer": "…", "quarantine": "!"}


def verdict_document(verdict: Verdict) -> dict[str, object]:
    """The verdict and all layers as plain data."""
    shown = [
        {"stage": one.stage, "state": one.state, "reason": one.reason, "evidence": dict(one.evidence)}
        for one in layers(verdict)
    ]
    return {"outcome": str(verdict.outcome), "stage": verdict.stage, "reason": verdict.reason, "layers": shown}


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """The layers, then the outcome in one line."""
    for one in layers(verdict):
        yield layer_line(one.stage, one.state, one.sentence or one.reason, one.evidence)
    said = f": {explain(verdict) or verdict.reason}" if verdict.reason else ""
    yield f"{str(verdict.outcome).upper()}{said}"


def layer_line(stage: str, state: str, said: str, evidence: Mapping[str, object]) -> str:
    """One layer: a sign, its name, its state, what it said and what it saw."""
    seen = "  ".join(f"{name}={_short(value)}" for name, value in evidence.items())
    return f"{SIGNS.get(state, '✗')} {stage:<21} {state:<11} {said}{'  ' if said and seen else ''}{seen}".rstrip()


def layer_lines(document: Mapping[str, object]) -> Iterator[str]:
    """The layers of a document that a peer sent (`plora why`)."""
    entries = document.get("layers")
    for entry in entries if isinstance(entries, list) else []:
        yield layer_line(
            entry["stage"], entry["state"], entry.get("sentence") or entry.get("reason", ""), entry["evidence"]
        )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 48 else f"{text[:20]}…{text[-8:]}"
