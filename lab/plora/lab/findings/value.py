"""Whether adapters help: results/value_add/summary.json, as findings tell of it.

Rules:

- The rule asks of the default merge (λ as the settings say, fixed beforehand): of every rank and scheme in the file the
  lowest `lower` counts, since nothing is chosen by the documents that are scored.
- Where an adapter has no clear gain there is nothing to keep: that part isn't shown.

Not handled here: what the cells are (`plora.lab.value_add`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plora.proto.errors import UsageError

SUMMARY = Path("value_add/summary.json")
MEND = "make findings-material (value-add)"
SHOWN = ("nll", "question_information", "em")
ORDER = ("adapter", "routed", "merged", "monolithic", "placebo_norm", "placebo_shuffled", "cross")

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """The share of the adapters' gain that the default merge keeps: `value`, and the `lower` end that decides."""

    value: float | None
    low: float | None
    high: float | None
    lower: float | None
    of: str


def read(results: Path) -> dict[str, Any]:
    """The summary. Raises UsageError where it is missing or of an older form."""
    path = results / SUMMARY
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        complete = all("lower" in one for one in document["kept"])
    except OSError:
        raise UsageError("no value-add study", where=str(path), mend=MEND) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"no summary of a value-add study ({error!r})", where=str(path), mend=MEND) from None
    if not complete:
        raise UsageError("a study of an older version, without `lower`", where=str(path), mend=MEND)
    return document


def kept_by_merge(document: Mapping[str, Any], merge_lambda: float) -> Kept:
    """What the default merge keeps. Raises UsageError where the study has no such merge."""
    merges = [one for one in document["kept"] if one["cell"] == "merged" and one["lambda"] == merge_lambda]
    if not merges:
        mend = f"plora lab value-add --times {merge_lambda:g},… with two domains at least"
        raise UsageError(f"no merge at λ = {merge_lambda:g}", where=str(SUMMARY), mend=mend)
    worst = min(merges, key=lambda one: -1.0 if one["lower"] is None else one["lower"])
    bounds = worst["kept"] or {"value": None, "low": None, "high": None}
    of = f"rank {worst['rank']}, {worst['scheme']}, the least of {len(merges)}" if len(merges) > 1 else _make(worst)
    return Kept(bounds["value"], bounds["low"], bounds["high"], worst["lower"], of)


def kept_table(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Over all domains: what each way of answering keeps."""
    names = ("cell", "lambda", "rank", "scheme", "kept", "over_seeds", "lower")
    return [{name: one[name] for name in names} for one in document["kept"]]


def cells(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By domain and cell: how far it is from the base alone, and what of the gain it keeps."""
    told = [one for one in document["entries"] if one["cell"] in ORDER]
    places = {domain: number for number, domain in enumerate(dict.fromkeys(one["domain"] for one in told))}
    told.sort(key=lambda one: (one["rank"], one["scheme"], places[one["domain"]], ORDER.index(one["cell"])))
    return [_cell(one) for one in told]


def seeds(document: Mapping[str, Any]) -> list[int]:
    """The training seeds."""
    found = {seed for one in document["entries"] for seed in one["seeds"]}
    return sorted(found)


def documents(document: Mapping[str, Any]) -> Sequence[int]:
    """How many held-out questions of each domain."""
    return sorted({int(one["documents"]) for one in document["entries"]})


def _cell(entry: Entry) -> dict[str, Any]:
    names = ("cell", "domain", "of", "lambda", "rank", "scheme", "kept", "significant")
    differences = {name: entry["difference"][name] for name in SHOWN}
    return {name: entry[name] for name in names} | {"difference": differences}


def _make(entry: Entry) -> str:
    return f"rank {entry['rank']}, {entry['scheme']}"
