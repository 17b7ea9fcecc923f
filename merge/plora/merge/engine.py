"""Merging whole adapters, module by module: sources and a plan in, one adapter to a sink, and a report.

Rules:

- A merge is a function of the set of operands: the same adapter given twice counts once, at the largest of its weights
  and of its densities, and so do copies with other values (`plora.merge.copies`), of which the first given is the
  operand: only for them the order given says something. An operand of weight 0 drops out.
- Default weights are 1/K over the K distinct operands (task arithmetic: 1 each).
- Rules that don't ask for an order get their operands sorted by content digest; the others keep the order given.
- A module that an adapter lacks counts as its zero update there; weights are not renormalised.
- Where a single operand is left, there is nothing to resolve: it is weighed, scaled and truncated, whatever the rule.
- One operand at weight 1 that fits `rank_max` and the trust region gives itself back, bit for bit, with its own spec.
- Otherwise the result has one rank for all modules, alpha = rank, so scale 1, and no patterns: every loader of LoRA
  files understands it alike. The rank is known before anything is computed (`plora.merge.layout`); narrower modules
  are padded by zeros.
- Robust rules look at distances over all modules that the plan treats alike; such modules are read twice.
- Trust region, after truncation: a module whose ‖ΔW‖_F is over `max_delta_fro`, or over `max_delta_relative` times
  ‖W‖_F of the base, is scaled down to it; then the whole adapter, down to `max_total_fro`.
- Operands must name one base model unless the caller says which base it is.
- Of each operand one module is held at a time.

Not handled: files (`plora.merge.peft_folder`), Fisher weights and line search (they make plans), routing.

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> from plora.merge.peft_folder import Adapter
>>> spec = LoraSpec(r=1, alpha=1, target_modules=("q_proj",))
>>> def one(x, y):
...     return Adapter.of({"q_proj": FactorPair(np.float32([[x, y]]), np.float32([[1.0]]))}, spec)
>>> result = merge_sources([one(1, 0), one(0, 1)])
>>> result.adapter.pairs["q_proj"].dense().round(3).tolist(), round(result.report.cancellation, 3)
([[0.5, 0.5]], 0.707)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from plora.merge.factors import Array, FactorPair, check_addable
from plora.merge.layout import Input, Layout, Lineup, Shape, lay_out
from plora.merge.lora_config import LoraSpec
from plora.merge.outcome import MergeReport, MergeResult, ModuleReport, Operand
from plora.merge.plan import MergePlan, TrustRegion
from plora.merge.registry import COORDINATES, LINEAR, ROBUST, name_of
from plora.merge.robust import coefficients
from plora.merge.rules import SignConflict, Work, merge_pairs, sign_conflict
from plora.merge.similarity import Similarity, inner_products
from plora.merge.sink import Memory, Sink
from plora.merge.source import Source
from plora.merge.spaces import Frame
from plora.merge.stacked import GramKeeper, Stacked
from plora.merge.truncate import Truncation
from plora.proto.errors import AdapterError, UsageError

__all__ = ["MergeReport", "MergeResult", "heading", "merge_into", "merge_laid_out", "merge_sources"]

Clock = Callable[[], float]
Pairs = Mapping[Input, FactorPair]


class _Module(NamedTuple):
    """One module as it was read.

    `pairs`: of the operands that have it and take part in it; `gram`: inner products of all operands in the order of
    the report; `stacked`: the pairs as one, where they are float32.
    """

    pairs: Pairs
    gram: Array
    stacked: Stacked | None


def merge_sources(
    sources: Sequence[Source],
    plan: MergePlan | None = None,
    base_model_name: str | None = None,
    *,
    base_norms: Mapping[str, float] | None = None,
    clock: Clock | None = None,
) -> MergeResult:
    """Merge adapters of one base in memory; arguments and errors as in `merge_into`."""
    memory = Memory()
    report = merge_into(memory, sources, plan, base_model_name, base_norms=base_norms, clock=clock)
    return MergeResult(memory.adapter(), report)


def merge_into(
    sink: Sink,
    sources: Sequence[Source],
    plan: MergePlan | None = None,
    base_model_name: str | None = None,
    *,
    base_norms: Mapping[str, float] | None = None,
    clock: Clock | None = None,
) -> MergeReport:
    """Merge adapters of one base; see the module for the rules. The plan defaults to `weighted_sum`.

    `base_norms`: ‖W‖_F of the base by module, for `max_delta_relative`; `clock`: seconds, for the report's times.
    Raises UsageError for a plan that doesn't fit, AdapterError where the adapters don't fit together.
    """
    layout = lay_out(sources, MergePlan() if plan is None else plan, base_model_name)
    return merge_laid_out(sink, layout, base_norms=base_norms, clock=clock)


def merge_laid_out(
    sink: Sink,
    layout: Layout,
    *,
    base_norms: Mapping[str, float] | None = None,
    clock: Clock | None = None,
    keeper: GramKeeper | None = None,
) -> MergeReport:
    """The same for a plan that is laid over its sources already.

    `keeper`: Gram matrices of earlier merges, which change the time that this one takes and nothing else.
    """
    _check_norms(layout, base_norms)
    return _Merge(layout, base_norms or {}, clock, keeper).carry_out(sink)


def heading(layout: Layout, base_norms: Mapping[str, float] | None = None) -> tuple[LoraSpec, Mapping[str, Shape]]:
    """What a merge tells its sink first: spec, and (out, in, rank) by module; errors as in `merge_into`."""
    _check_norms(layout, base_norms)
    merge = _Merge(layout, base_norms or {}, None, None)
    return merge.heading(merge.is_identity())


@dataclass(frozen=True, slots=True)
class _Merged:
    """What became of one module: see `ModuleReport`."""

    rank: int
    norm: float
    discarded_energy: float = 0.0
    clip: float = 1.0
    signs: SignConflict | None = None


class _Merge:
    """One merge under way: a layout, the lineups that robust rules made of it, and sums over the modules read."""

    def __init__(
        self, layout: Layout, base_norms: Mapping[str, float], clock: Clock | None, keeper: GramKeeper | None
    ) -> None:
        self._plan, self._layout, self._base_norms = layout.plan, layout, base_norms
        self._clock, self._keeper = clock, keeper
        self._similarity = Similarity(len(layout.operands))
        self._resolved: dict[Lineup, Lineup] = {}

    def carry_out(self, sink: Sink) -> MergeReport:
        started = self._now()
        identity = self.is_identity()
        if not identity:
            self._resolve()
        spec, shapes = self.heading(identity)
        step = self._given_back if identity else self._merged
        sink.begin(spec, shapes)
        reports = []
        for module in shapes:
            pair, report = step(module)
            sink.put(module, pair)
            reports.append(report)
        clip = _clip(_root_sum(report.norm for report in reports), self._plan.trust.max_total_fro)
        sink.end(clip)
        return self._report(spec.r, [_scaled(each, clip) for each in reports], clip, started)

    def heading(self, identity: bool) -> tuple[LoraSpec, Mapping[str, Shape]]:
        """Spec and shapes of the result."""
        if not identity:
            return self._layout.spec, self._layout.shapes
        source = self._layout.operands[0].source
        shapes = {module: source.shape(module) for module in self._layout.lineups}
        return source.spec.on_base(self._layout.spec.base_model_name), shapes

    def is_identity(self) -> bool:
        """Whether the only operand, as it stands, is the result."""
        operands, lineups = self._layout.operands, self._layout.lineups
        if len(operands) != 1 or not all(_keeps(lineup, module) for module, lineup in lineups.items()):
            return False
        if self._plan.trust == TrustRegion():
            return True
        norms = {module: math.sqrt(self._read(module).gram[0, 0]) for module in lineups}
        total = _clip(_root_sum(norms.values()), self._plan.trust.max_total_fro)
        return total == 1.0 and all(self._clip_of(module, norm) == 1.0 for module, norm in norms.items())

    def _given_back(self, module: str) -> tuple[FactorPair, ModuleReport]:
        started = self._now()
        read = self._read(module)
        pair = read.pairs[self._layout.operands[0]]
        merged = _Merged(pair.rank, math.sqrt(read.gram[0, 0]))
        return pair, self._module_report(module, merged, read.gram, started)

    def _resolve(self) -> None:
        """Robust rules become weights: from the inner products over all modules of a lineup."""
        for lineup in dict.fromkeys(self._layout.lineups.values()):
            if lineup.method.rule in ROBUST:
                grams = [self._read(module).gram for module, each in self._layout.lineups.items() if each is lineup]
                places = [self._layout.operands.index(operand) for operand in lineup.operands]
                gram = np.sum(grams, axis=0)[np.ix_(places, places)]
                weights = coefficients(lineup.method, gram, list(lineup.operands.values()))
                self._resolved[lineup] = lineup.reweighed(weights.tolist())

    def _read(self, module: str) -> _Module:
        lineup = self._layout.lineups[module]
        found = {operand: operand.pair(module) for operand in self._layout.operands if lineup.weight_of(operand)}
        pairs = {operand: pair for operand, pair in found.items() if pair is not None}
        places = [place for place, operand in enumerate(self._layout.operands) if operand in pairs]
        given, digests = list(pairs.values()), [operand.digest for operand in pairs]
        with _blaming(module):
            check_addable(given)
            stacked = Stacked.of(module, given, digests, self._keeper)
            gram = np.zeros((len(self._layout.operands),) * 2)
            gram[np.ix_(places, places)] = inner_products(given) if stacked is None else stacked.inner_products()
        return _Module(pairs, gram, stacked)

    def _merged(self, module: str) -> tuple[FactorPair, ModuleReport]:
        started = self._now()
        read = self._read(module)
        given = self._layout.lineups[module]
        work = self._work(module, read.pairs, self._resolved.get(given, given))
        with _blaming(module):
            frame = work.frame(work.method.space) if work.method.space in COORDINATES else None
            result = _sum(work, read) or merge_pairs(work, frame)
            signs = self._signs(self._work(module, read.pairs, given), frame)
        norm = float(np.linalg.norm(result.singular_values[: result.pair.rank]))
        clip = self._clip_of(module, norm)
        pair = result.pair.times(clip).folded()
        merged = _Merged(pair.rank, norm * clip, result.discarded_energy, clip, signs)
        return pair.padded(self._layout.spec.r), self._module_report(module, merged, read.gram, started)

    def _work(self, module: str, pairs: Pairs, lineup: Lineup) -> Work:
        """What the rule gets. If all whom a robust rule chose lack the module, its update is zero."""
        present = [(operand, weight) for operand, weight in lineup.operands.items() if operand in pairs]
        present = present or [(next(iter(pairs)), 0.0)]
        return Work(
            pairs=[pairs[operand] for operand, _ in present],
            weights=[weight for _, weight in present],
            total=lineup.total,
            method=lineup.method,
            rank_max=lineup.rank_max,
            keys=[_key(lineup.method.seed, module, operand.digest) for operand, _ in present],
            densities=[lineup.density_of(operand) for operand, _ in present],
        )

    def _signs(self, work: Work, frame: Frame | None) -> SignConflict | None:
        if frame is None and self._plan.signs:
            frame = work.frame("core")
        return None if frame is None else sign_conflict(work, frame)

    def _clip_of(self, module: str, norm: float) -> float:
        trust = self._plan.trust
        relative = None
        if trust.max_delta_relative is not None:
            relative = trust.max_delta_relative * self._base_norms[module]
        return min(_clip(norm, trust.max_delta_fro), _clip(norm, relative))

    def _module_report(self, module: str, merged: _Merged, gram: Array, started: float | None) -> ModuleReport:
        lineup = self._layout.lineups[module]
        weights = [lineup.weight_of(operand) for operand in self._layout.operands]
        sums = self._similarity.add(gram, weights)
        base = self._base_norms.get(module)
        return ModuleReport(
            module=module,
            rank=merged.rank,
            norm=merged.norm,
            input_norms=sums.norms,
            discarded_energy=merged.discarded_energy,
            clip=merged.clip,
            cancellation=sums.cancellation,
            relative_norm=merged.norm / base if base else None,
            sign_conflict=merged.signs.mass if merged.signs else None,
            sign_disagreement=merged.signs.entries if merged.signs else None,
            seconds=self._since(started),
        )

    def _report(self, rank: int, modules: Sequence[ModuleReport], clip: float, started: float | None) -> MergeReport:
        base = self._layout.base
        effective = self._resolved.get(base, base)
        return MergeReport(
            strategy=name_of(self._plan.method),
            plan=self._plan,
            rank_max=self._plan.rank_max,
            rank=rank,
            operands=tuple(
                Operand(each.digest, base.weight_of(each), effective.weight_of(each), each.places, each.copies)
                for each in self._layout.operands
            ),
            collapsed=self._layout.collapsed,
            norm=_root_sum(report.norm for report in modules),
            total_clip=clip,
            discarded_energy=_mean_discarded(modules, clip),
            cancellation=self._similarity.cancellation(),
            cosines=self._similarity.cosines(),
            modules=tuple(modules),
            seconds=self._since(started),
        )

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock()

    def _since(self, started: float | None) -> float | None:
        return None if self._clock is None or started is None else self._clock() - started


def _sum(work: Work, read: _Module) -> Truncation | None:
    """The weighted sum of all that was read, where that is what is asked for and Gram matrices are good enough."""
    is_sum = work.method.space == "factors" and work.method.rule in LINEAR
    if read.stacked is None or not is_sum or list(work.pairs) != list(read.pairs.values()):
        return None
    return read.stacked.weighted_sum([weight * work.method.scaling for weight in work.weights], work.rank_max)


def _check_norms(layout: Layout, base_norms: Mapping[str, float] | None) -> None:
    if layout.plan.trust.max_delta_relative is None:
        return
    missing = next((module for module in layout.lineups if not (base_norms or {}).get(module, 0.0) > 0), None)
    if missing is not None:
        raise UsageError(
            "max_delta_relative needs the base's weights, and has no norm of this module",
            where=f"module {missing}",
            mend="say where the base is, or bound the update by max_delta_fro",
        )


def _keeps(lineup: Lineup, module: str) -> bool:
    """Whether the only operand of a lineup leaves it as it came."""
    [(operand, weight)] = lineup.operands.items()
    return weight * lineup.method.scaling == 1.0 and operand.shapes[module][2] <= lineup.rank_max


def _key(seed: int, module: str, digest: str) -> int:
    """128 bits for dare's mask."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{module}\n{digest}".encode()).digest()[:16], "big")


def _scaled(report: ModuleReport, clip: float) -> ModuleReport:
    relative = None if report.relative_norm is None else report.relative_norm * clip
    return replace(report, norm=report.norm * clip, relative_norm=relative)


def _clip(norm: float, bound: float | None) -> float:
    return 1.0 if bound is None or norm <= bound else bound / norm


def _root_sum(norms: Iterable[float]) -> float:
    return math.sqrt(math.fsum(norm**2 for norm in norms))


def _mean_discarded(reports: Sequence[ModuleReport], total_clip: float) -> float:
    """Energy lost over energy before truncation; what was kept is norm² before both clips."""
    lost = total = 0.0
    for report in reports:
        kept = (report.norm / (report.clip * total_clip)) ** 2
        before = kept / (1.0 - report.discarded_energy) if report.discarded_energy < 1.0 else 0.0
        lost += before - kept
        total += before
    return lost / total if total else 0.0


@contextmanager
def _blaming(module: str) -> Iterator[None]:
    """Errors of the algebra get the module's name."""
    try:
        yield
    except (AdapterError, np.linalg.LinAlgError) as error:
        raise AdapterError(getattr(error, "what", str(error)), where=f"module {module}") from error
