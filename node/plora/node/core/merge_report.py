"""What a merge's report says about each of its inputs, for people. Pure.

The report is the worker's (`plora.merge.worker`); where it lacks something, so does the answer. Of several inputs with
equal tensors the first has their weight, the others have none, nor do copies with other values.

>>> report = '{"operands": [{"digest": "a", "weight": 0.5}], "inputs": [{"digest": "d", "operand": "a"}],'
>>> report += ' "modules": [{"input_norms": [3.0]}, {"input_norms": [4.0]}], "rank": 8, "discarded_energy": 0.25}'
>>> read_report(report).inputs
(InputFacts(weight=0.5, norm_alone=10.0, norm_merged=5.0, left_out='', copy_of=None),)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class InputFacts:
    """One input: its weight, ‖ΔW‖_F over all modules by itself, and at its weight in the merge.

    `left_out`: why it couldn't be merged with the others; empty where it could. `copy_of`: the place of the input with
    the same update, or the same tensors, that counts for it.
    """

    weight: float
    norm_alone: float
    norm_merged: float
    left_out: str = ""
    copy_of: int | None = None


@dataclass(frozen=True, slots=True)
class MergeFacts:
    """Rank of the merged adapter, fraction of energy lost by truncation, and the inputs in the order of the merge.

    `reused`: the part of all pairs of inputs that earlier merges had computed.
    """

    rank: int = 0
    discarded_energy: float = 0.0
    inputs: tuple[InputFacts, ...] = ()
    reused: float = 0.0


def read_report(text: str) -> MergeFacts:
    """The facts in a report; empty ones for an empty report."""
    report: Mapping[str, Any] = json.loads(text or "{}")
    operands = {entry["digest"]: place for place, entry in enumerate(report.get("operands", ()))}
    weights = [float(entry["weight"]) for entry in report.get("operands", ())]
    modules = report.get("modules", ())
    entries = report.get("inputs", ())
    named = ["" if "copy_of" in entry else entry["operand"] for entry in entries]
    places = [operands.get(name) if name not in named[:before] else None for before, name in enumerate(named)]
    reasons = {entry["digest"]: str(entry["reason"]) for entry in report.get("left_out", ())}
    why = [reasons.get(entry["digest"], "") for entry in entries]
    found = [_input(place, weights, modules, reason) for place, reason in zip(places, why, strict=True)]
    digests = [entry["digest"] for entry in entries]
    counting = [
        digests.index(each["copy_of"]) if "copy_of" in each else named.index(each["operand"]) for each in entries
    ]
    inputs = tuple(
        one if place == counts or one.left_out else replace(one, copy_of=counts)
        for place, (one, counts) in enumerate(zip(found, counting, strict=True))
    )
    rank, reused = int(report.get("rank", 0)), float(report.get("reused", 0.0))
    return MergeFacts(rank, float(report.get("discarded_energy", 0.0)), inputs, reused)


def _input(
    place: int | None, weights: Sequence[float], modules: Sequence[Mapping[str, Any]], left_out: str
) -> InputFacts:
    if place is None or left_out:
        # One of weight 0 drops out, and so does one that was there before.
        return InputFacts(0.0, 0.0, 0.0, left_out)
    weight = weights[place]
    merged = math.sqrt(sum(module["input_norms"][place] ** 2 for module in modules))
    return InputFacts(weight, merged / weight if weight else 0.0, merged)
