"""`make bench-tuning`: whether weights by Fisher information, learned weights and the line search help on other pairs.

On `mini`, adapters of the three domains as `make demo` trains them, merged by the weighted sum at 1/3 each. Fisher
information, weights and scaling come from the same validation pairs of each domain; perplexity is of test answers, that
neither training nor tuning saw. Intervals are over documents, paired, for the first training. The last rows say what
each training gives: the geometric mean of the domains' perplexities, against that of the plain sum. One thread.

    python bench/tuning.py demo/adapters

takes adapters that are there, in folders whose names end with their domains; each folder named is a training.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import Row, finish

from plora.base import (
    AnswerScores,
    Interval,
    LoadedBase,
    answer_nll,
    load_base,
    perplexity,
    perplexity_difference,
    perplexity_interval,
)
from plora.base.prompts import Pair
from plora.lab.corpora import DOMAINS, Split, load_domain
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.train import TrainPlan, train_adapter
from plora.merge.engine import merge_sources
from plora.merge.folder_source import FolderSource
from plora.merge.injection import injected
from plora.merge.plan import MergePlan
from plora.merge.source import Source
from plora.merge.tuning_steps import TuningPairs, tune

COMMAND = "make bench-tuning"
TRAININGS = 3
TUNED_ON = 24
JUDGED_ON = 200
PLAIN, SEARCHED = "plain sum", "line search"

Asked = Mapping[str, Sequence[Pair]]
Scores = Mapping[str, AnswerScores]


def pairs_of(split: Split, count: int) -> dict[str, list[Pair]]:
    """Pairs by domain."""
    return {domain: [(pair.question, pair.answer) for pair in load_domain(domain, split, count)] for domain in DOMAINS}


def trained(base: LoadedBase, seed: int, root: Path) -> dict[str, FolderSource]:
    """An adapter a domain."""
    for domain in DOMAINS:
        train_adapter(base, domain, root / domain, TrainPlan(seed=seed, validation=1))
    return found_in(root)


def found_in(root: Path) -> dict[str, FolderSource]:
    """The adapter of each domain."""
    return {domain: FolderSource(next(path for path in root.glob(f"*{domain}") if path.is_dir())) for domain in DOMAINS}


def tuned(base: LoadedBase, sources: Sequence[Source], dev: Asked) -> dict[str, MergePlan]:
    """The plans that are compared, by name; the plain one first."""
    everything = [pair for pairs in dev.values() for pair in pairs]
    ways = {
        "Fisher weights": TuningPairs(fisher=list(dev.values())),
        SEARCHED: TuningPairs(line_search=everything),
        "Fisher weights, then line search": TuningPairs(fisher=list(dev.values()), line_search=everything),
        "learned weights": TuningPairs(learn_weights=everything),
    }
    plain = MergePlan()
    return {PLAIN: plain, **{name: tune(base, sources, plain, way).plan for name, way in ways.items()}}


def scored(base: LoadedBase, adapter: Source | None, asked: Asked) -> Scores:
    """Answers' scores by domain, of the base with an adapter on it or alone."""
    worn: Any = nullcontext() if adapter is None else injected(base.model, adapter)
    with worn:
        return {domain: answer_nll(base.model, base.tokenizer, pairs) for domain, pairs in asked.items()}


def compared(base: LoadedBase, adapters: Mapping[str, Source], dev: Asked, asked: Asked) -> dict[str, Scores]:
    """Scores of the base, of each domain's own adapter in it, and of every plan's merge; of one training."""
    sources = list(adapters.values())
    own = {domain: scored(base, source, {domain: asked[domain]})[domain] for domain, source in adapters.items()}
    merged = {name: merge_sources(sources, plan).adapter for name, plan in tuned(base, sources, dev).items()}
    return {
        "base alone": scored(base, None, asked),
        "its own adapter": own,
        **{name: scored(base, adapter, asked) for name, adapter in merged.items()},
    }


def text_of(interval: Interval) -> str:
    """An interval of perplexity, or of its change."""
    return f"{interval.value:+.3g} [{interval.low:+.3g}, {interval.high:+.3g}]"


def rows_of(found: Mapping[str, Scores]) -> Iterator[Row]:
    """A row for each domain and way, with what it changes against the plain sum and against the line search alone."""
    for domain in DOMAINS:
        for name, scores in found.items():
            own = perplexity_interval(scores[domain])
            others = [PLAIN, SEARCHED] if name not in ("base alone", "its own adapter", PLAIN) else []
            changes = [
                f"{text_of(perplexity_difference(found[other][domain], scores[domain]))} against {other}"
                for other in others
                if other != name
            ]
            peer = "; ".join([f"[{own.low:.3g}, {own.high:.3g}]", *changes])
            yield Row.of(f"{domain}, perplexity: {name}", own.value, "", peer=peer, command=COMMAND)


def overall(scores: Scores) -> float:
    """The logarithm of the geometric mean of the domains' perplexities."""
    return statistics.fmean(math.log(perplexity(each)) for each in scores.values())


def summary(trainings: Sequence[Mapping[str, Scores]]) -> Iterator[Row]:
    """A row for each way of tuning: what it changes in all domains together, by training."""
    for name in list(trainings[0])[3:]:
        changes = [100 * math.expm1(overall(found[name]) - overall(found[PLAIN])) for found in trainings]
        each = ", ".join(f"{change:+.3g} %" for change in changes)
        metric = f"all domains, change of perplexity against the plain sum: {name}"
        yield Row.of(metric, statistics.fmean(changes), "%", peer=each, command=COMMAND)


def main(folders: Sequence[str]) -> int:
    """Measure and write."""
    use_threads(prepare_threads(os.environ, 1))
    base, dev, asked = load_base("mini"), pairs_of("validation", TUNED_ON), pairs_of("test", JUDGED_ON)
    with tempfile.TemporaryDirectory(prefix="plora-bench-tuning-") as root:
        trainings = [found_in(Path(folder)) for folder in folders] or [
            trained(base, seed, Path(root) / str(seed)) for seed in range(TRAININGS)
        ]
        found = [compared(base, adapters, dev, asked) for adapters in trainings]
    return finish("tuning", [*rows_of(found[0]), *summary(found)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
