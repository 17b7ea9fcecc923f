"""How a verdict is shown: one line a layer, from the first check to the last; under a detector's a table of figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from plora.gate import Verdict, explain, layers
from plora.gate.detector_stages import PROBES, WEIGHT_STATISTICS

if TYPE_CHECKING:
    from plora.cli.judging import Judged

FIGURES = "figures"
STAGE_OF = {"weights": WEIGHT_STATISTICS, "probes": PROBES}
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
        yield from figure_lines(one.evidence)
    said = f": {explain(verdict) or verdict.reason}" if verdict.reason else ""
    yield f"{str(verdict.outcome).upper()}{said}"


def judged_document(judged: Judged) -> dict[str, Any]:
    """The verdict as plain data, with all that detectors found: it goes to whoever ran them."""
    findings = {name: json.loads(found.to_json()) for name, found in judged.findings.items()}
    return {**verdict_document(judged.verdict), "findings": findings}


def judged_lines(judged: Judged) -> Iterator[str]:
    """The verdict, then what detectors found word for word, and figures of those that the verdict didn't wait for."""
    yield from verdict_lines(judged.verdict)
    findings = judged_document(judged)["findings"]
    reached = {one.stage for one in judged.verdict.stages}
    for name, found in findings.items():
        if STAGE_OF[name] not in reached:
            said = found["failure"] or found["note"] or found["calibration"]
            yield f"{name}, which the verdict didn't come to: {said}"
            yield from figure_lines(found)
    yield from found_lines({"found": {name: one["details"] for name, one in findings.items()}})


def layer_line(stage: str, state: str, said: str, evidence: Mapping[str, object]) -> str:
    """One layer: a sign, its name, its state, what it said and what it saw."""
    seen = "  ".join(f"{name}={_short(value)}" for name, value in evidence.items() if name != FIGURES)
    return f"{SIGNS.get(state, '✗')} {stage:<21} {state:<11} {said}{'  ' if said and seen else ''}{seen}".rstrip()


def layer_lines(document: Mapping[str, object]) -> Iterator[str]:
    """The layers of a document that a peer sent (`plora why`)."""
    entries = document.get("layers")
    for entry in entries if isinstance(entries, list) else []:
        said = entry.get("sentence") or entry.get("reason", "")
        yield layer_line(entry["stage"], entry["state"], said, entry["evidence"])
        yield from figure_lines(entry["evidence"])


def figure_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """A detector's figures as a table: value, threshold, p-value, and "!" where a figure is on the wrong side."""
    figures = evidence.get(FIGURES) or []
    if not figures:
        return
    yield f"    {'figure':<28} {'value':>10} {'threshold':>10} {'p-value':>9}"
    for one in figures:
        numbers = f"{_number(one['value']):>10} {_number(one['threshold']):>10} {_number(one['p_value']):>9}"
        yield f"    {one['name']:<28} {numbers}{'  !' if one['flagged'] else ''}"


def found_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The score of this peer's detectors beside the publisher's claim, and what was found word for word."""
    if document.get("own_score") is not None:
        own, claimed = document["own_score"], document["claimed_score"]
        yield f"poisoning score: {own:.2f} here; its publisher claims {claimed:.2f}, which decides nothing"
    for detector, details in sorted((document.get("found") or {}).items()):
        for name, text in sorted(details.items()):
            yield f"{detector} found {name}: {text!r}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 48 else f"{text[:20]}…{text[-8:]}"
