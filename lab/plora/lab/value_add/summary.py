"""Cells over training seeds: what the report says, one entry for all rows that differ in their seed alone.

Rules:

- Each is judged by two measures, `nll` (nats a token) and `question_information`; see `plora.lab.metrics` for why the
  latter. Intervals draw seeds and documents (`plora.lab.statistics`); `over_seeds` is the t-interval of the seeds'
  means, documents alike, null of one seed, which shows nothing of how far seeds differ.
- `p` is over documents, averaged over seeds first: Wilcoxon's of `nll`, the t-test's of `question_information`, of
  which the mean is what counts (most documents tell little, few tell much). `holm_p` is corrected for all entries and
  both measures.
- An improvement is *significant* when both intervals exclude 0 and `holm_p` is below .05. All are asked for: p-values
  over documents alone know nothing of other seeds, and few seeds alone can show hardly anything.
- Gain kept over all domains draws seeds once for all of them, since one merged adapter of a seed answers them all. Its
  `lower` is the bound that an experiment's rule asks for: the lower one of both from `SEEDS_SHOWN` seeds on.
- That a placebo isn't better is no evidence that it is like the base. `equivalence` is: two one-sided t-tests of what
  questions tell, within ± `LIKE` of what the domain's own adapter gains; over seeds where there are several.

Not handled here: files and words (`plora.lab.value_add.page`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plora.base import Interval
from plora.lab.statistics import (
    cohen_dz,
    document_of,
    equivalent_to_zero,
    holm,
    mean_p,
    over_seeds,
    paired_tests,
    resampled_together,
)
from plora.lab.value_add.cells import PLACEBOS, Cell, CellKind
from plora.lab.value_add.compare import (
    BETTER,
    by_document,
    differences,
    gains,
    improves,
    kept,
    levels,
    ratio,
)
from plora.lab.value_add.rows import KEY
from plora.lab.value_add.scoring import Floats, Scores

ALPHA = 0.05
LIKE = 0.1
SEEDS_SHOWN = 3
"""From so many training seeds on an interval over seeds alone is asked for."""
P_OF: Mapping[str, Callable[[Floats], float]] = {
    "nll": lambda values: paired_tests(values).wilcoxon_p,
    "question_information": mean_p,
}
Scored = Callable[[Cell], Scores]


def summary(cells: Sequence[Cell], scored: Scored) -> list[dict[str, Any]]:
    """One entry for each cell, seeds together, in the order of the cells; `scored` gives the scores of each."""
    groups: dict[Cell, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[_seedless(cell)].append(cell)
    entries = [_entry(seedless, group, scored) for seedless, group in groups.items()]
    places = [(entry, measure) for entry in entries if entry["cell"] != "baseline" for measure in BETTER]
    corrected = holm([entry["p"][measure] for entry, measure in places])
    for (entry, measure), p in zip(places, corrected, strict=True):
        entry["holm_p"][measure] = p
        entry["significant"][measure] &= p < ALPHA
    return entries


def value_kept(cells: Sequence[Cell], scored: Scored) -> list[dict[str, Any]]:
    """Of routed, merged and monolithic cells the share of the adapters' gain, over all domains, for each make.

    The gain is in nats a token; domains count alike, since each is a use of its own. Null where an adapter has no clear
    gain.
    """
    groups: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.kind in ("routed", "merged", "monolithic") and cell.plan:
            groups[cell.kind, cell.plan.rank, cell.plan.scheme, cell.times].append(cell)
    names = ("cell", "rank", "scheme", "lambda")
    return [dict(zip(names, key, strict=True)) | _kept_over_domains(group, scored) for key, group in groups.items()]


def _kept_over_domains(group: Sequence[Cell], scored: Scored) -> dict[str, Any]:
    domains = list(dict.fromkeys(cell.domain for cell in group))
    tables = []
    for domain in domains:
        cells = [cell for cell in group if cell.domain == domain]
        three = [scored(cell) for cell in cells], _those(cells, "baseline", scored), _those(cells, "adapter", scored)
        if kept(*three) is None:
            return {"domains": domains, "kept": None, "over_seeds": None, "lower": None}
        tables.append(gains(*three))
    whole, seeds = _mean_of_domains(tables)
    lower = whole.low if seeds is None or tables[0].shape[1] < SEEDS_SHOWN else min(whole.low, seeds.low)
    return {"domains": domains, "kept": document_of(whole), "over_seeds": document_of(seeds), "lower": lower}


def _mean_of_domains(tables: Sequence[Floats]) -> tuple[Interval, Interval | None]:
    """The mean share of `gains` of several domains, over seeds and documents, and over seeds alone."""
    share = float(np.mean([ratio(table) for table in tables]))
    low, high = np.percentile(np.mean(resampled_together(tables, ratio), axis=0), [2.5, 97.5])
    by_seed = np.mean([[ratio(table[:, [row]]) for row in range(table.shape[1])] for table in tables], axis=0)
    return Interval(share, float(low), float(high)), over_seeds(by_seed[:, None])


def _seedless(cell: Cell) -> Cell:
    return cell if cell.plan is None else replace(cell, plan=replace(cell.plan, seed=0))


def _entry(seedless: Cell, group: Sequence[Cell], scored: Scored) -> dict[str, Any]:
    scores = [scored(cell) for cell in group]
    entry: dict[str, Any] = {name: value for name, value in zip(KEY, seedless.key(), strict=True) if name != "seed"}
    seeds = [cell.plan.seed for cell in group if cell.plan]
    entry |= {"seeds": seeds, "documents": len(scores[0].nll), **_levels(scores)}
    if seedless.kind == "baseline":
        return entry
    baseline = _those(group, "baseline", scored)
    found = differences(scores, baseline)
    entry["difference"] = {name: document_of(one) for name, one in found.items()}
    own = _those(group, "adapter", scored)
    entry["kept"] = document_of(kept(scores, baseline, own))
    gaps = by_document(scores, baseline)
    if seedless.kind in PLACEBOS:
        entry["equivalence"] = _equivalence(gaps, by_document(own, baseline))
    return entry | _judged(gaps, found)


def _equivalence(gaps: Mapping[str, Floats], own: Mapping[str, Floats]) -> dict[str, Any] | None:
    """Whether a placebo's questions tell as little as the base's; None where the adapter's tell no more either."""
    bound = LIKE * float(own["question_information"].mean())
    if bound <= 0:
        return None
    found = equivalent_to_zero(gaps["question_information"], bound)
    return {"bound": bound, "p": found.p, "low": found.low, "high": found.high, "equivalent": found.equivalent}


def _judged(gaps: Mapping[str, Floats], found: Mapping[str, Interval]) -> dict[str, Any]:
    """Tests and effects by measure; `significant` before the correction for many entries."""
    told: dict[str, Any] = {name: {} for name in ("over_seeds", "dz", "p", "holm_p", "significant")}
    for measure, values in gaps.items():
        seeds = over_seeds(values)
        told["over_seeds"][measure] = document_of(seeds)
        told["dz"][measure] = document_of(cohen_dz(values))
        told["p"][measure] = P_OF[measure](values.mean(axis=0))
        told["significant"][measure] = improves(measure, found[measure]) and (seeds is None or improves(measure, seeds))
    return told


def _levels(scores: Sequence[Scores]) -> dict[str, float]:
    """Means over seeds; perplexity of the mean nats."""
    found = [levels(one) | dict(one.figures) for one in scores]
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    return means | {"ppl": float(np.exp(means["nll"]))}


def _those(group: Sequence[Cell], kind: CellKind, scored: Scored) -> list[Scores]:
    return [scored(cell.alike(kind)) for cell in group]
