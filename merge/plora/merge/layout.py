"""A plan laid over its sources, before they are merged: who takes part in which module, at what weight and rank.

Rules: see `plora.merge.engine`. All errors of a plan that doesn't fit its inputs are raised here. Of the numbers only
those are read that tell copies (`plora.merge.copies`).

>>> import numpy as np
>>> from plora.merge.factors import FactorPair
>>> from plora.merge.peft_folder import Adapter
>>> spec = LoraSpec(r=1, alpha=1, target_modules=("q_proj",))
>>> def one(x):
...     return Adapter.of({"q_proj": FactorPair(np.float32([[x, 1.0]]), np.float32([[1.0], [2.0]]))}, spec)
>>> layout = lay_out([one(1), one(2), one(1)], MergePlan())
>>> [(operand.places, weight) for operand, weight in layout.lineups["q_proj"].operands.items()] in (
...     [((0, 2), 0.5), ((1,), 0.5)], [((1,), 0.5), ((0, 2), 0.5)])
True
>>> layout.spec.r, layout.shapes
(2, {'q_proj': (2, 2, 2)})
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from plora.merge.copies import counting
from plora.merge.factors import FactorPair
from plora.merge.fused import check_layers
from plora.merge.lora_config import LoraSpec
from plora.merge.plan import Choice, MergePlan, Method, Override
from plora.merge.registry import ELEMENTWISE, ORDERED, check_method
from plora.merge.source import Source
from plora.proto.errors import AdapterError, UsageError

Shape = tuple[int, int, int]
"""(out, in, rank)"""


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One distinct source, the places (from 0) where it or a copy was given, and the shapes of its modules.

    `copies`: the digests of copies.
    """

    source: Source
    places: tuple[int, ...]
    shapes: Mapping[str, Shape]
    copies: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The source's content digest."""
        return self.source.digest

    def pair(self, module: str) -> FactorPair | None:
        """The factors of a module, None where the source lacks it."""
        return self.source.pair(module) if module in self.shapes else None


@dataclass(frozen=True, slots=True, eq=False)
class Lineup:
    """The operands of all modules that a plan treats alike, in their rule's order, with weights other than 0.

    `densities`: of operands that have one of their own.
    """

    method: Method
    rank_max: int
    operands: Mapping[Input, float]
    densities: Mapping[Input, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Σ|w|."""
        return math.fsum(map(abs, self.operands.values()))

    def reweighed(self, weights: Sequence[float]) -> Lineup:
        """The weighted sum of the same operands at other weights, those of weight 0 left out."""
        operands = {each: float(weight) for each, weight in zip(self.operands, weights, strict=True) if weight}
        return Lineup(Method(scaling=self.method.scaling), self.rank_max, operands)

    def weight_of(self, operand: Input) -> float:
        """The weight of an operand, 0 where it is not in the lineup."""
        return self.operands.get(operand, 0.0)

    def density_of(self, operand: Input) -> float:
        """The fraction of an operand's entries that ties and dare keep."""
        return self.densities.get(operand, self.method.density)

    def rank_of(self, module: str) -> int:
        """The largest rank that the result may have in a module."""
        shapes = [each.shapes[module] for each in self.operands if module in each.shapes]
        out, into, _ = shapes[0]
        whole = self.method.rule in ELEMENTWISE and self.method.space == "full"
        ranks = min(out, into) if whole else sum(rank for _, _, rank in shapes)
        return min(self.rank_max, ranks, out, into)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Operands in the order of the report, a lineup for each module of the result, the result's spec and shapes.

    `base` is the lineup of a module that no override names, `collapsed` how many inputs were given before.
    """

    plan: MergePlan
    operands: tuple[Input, ...]
    base: Lineup
    lineups: Mapping[str, Lineup]
    spec: LoraSpec
    shapes: Mapping[str, Shape]
    collapsed: int


def lay_out(
    sources: Sequence[Source],
    plan: MergePlan,
    base_model_name: str | None = None,
    came: Sequence[int] | None = None,
) -> Layout:
    """Check a plan against its sources. Raises UsageError, and AdapterError where shapes of a module differ.

    `came`: when each source came, if not in the order given; of copies the first counts.
    """
    if not sources:
        raise UsageError("nothing to merge: no adapters")
    _check_plan(plan, len(sources))
    check_layers(sources)
    name = base_model_name if base_model_name is not None else _common_base(sources)
    distinct = _distinct(sources)
    modules = _modules(distinct)
    inputs = _without_copies(distinct, range(len(sources)) if came is None else came)
    base = Choice(plan.method, plan.weights, plan.rank_max, plan.densities)
    lineup_of = {base: _lineup(base, inputs)}
    lineups: dict[str, Lineup] = {}
    for module in modules:
        choice = plan.choice(module)
        if choice not in lineup_of:
            lineup_of[choice] = _lineup(choice, inputs)
        if any(module in operand.shapes for operand in lineup_of[choice].operands):
            lineups[module] = lineup_of[choice]
    if not lineups:
        raise UsageError("weights must not be 0 for all adapters that have a module")
    operands = _operands(inputs, lineups.values(), plan.method)
    spec, shapes = _result(operands, lineups, name)
    return Layout(plan, operands, lineup_of[base], lineups, spec, shapes, len(sources) - len(inputs))


def check_together(sources: Sequence[Source]) -> None:
    """AdapterError where these can't be adapters of one base: sizes or kinds of a module differ."""
    check_layers(sources)
    _modules(_distinct(sources))


def default_weight(method: Method, count: int) -> float:
    """What each of `count` operands weighs where no weights are given.

    >>> default_weight(Method(), 4), default_weight(Method(rule="task_arithmetic"), 4)
    (0.25, 1.0)
    """
    return 1.0 if method.rule == "task_arithmetic" else 1.0 / count


def check_counts(plan: MergePlan, count: int) -> None:
    """UsageError unless the plan has one weight for each of `count` inputs, wherever it has any; so with densities."""
    saying: tuple[MergePlan | Override, ...] = (plan, *plan.overrides)
    for said in saying:
        if said.weights is not None and len(said.weights) != count:
            raise UsageError(f"{len(said.weights)} weights for {count} adapters", mend="give one weight an adapter")
        if said.densities is not None and len(said.densities) != count:
            raise UsageError(f"{len(said.densities)} densities for {count} adapters", mend="give one an adapter")


def _check_plan(plan: MergePlan, count: int) -> None:
    check_counts(plan, count)
    for method in (plan.method, *(override.method for override in plan.overrides)):
        if method is not None:
            check_method(method)


def _common_base(sources: Sequence[Source]) -> str | None:
    names = sorted({source.spec.base_model_name for source in sources if source.spec.base_model_name})
    if len(names) > 1:
        raise UsageError(f"adapters of different base models: {', '.join(names)}")
    return names[0] if names else None


def _distinct(sources: Sequence[Source]) -> list[Input]:
    places: dict[str, list[int]] = {}
    for place, source in enumerate(sources):
        places.setdefault(source.digest, []).append(place)
    return [_input(sources[each[0]], tuple(each)) for each in places.values()]


def _without_copies(inputs: Sequence[Input], came: Sequence[int]) -> list[Input]:
    """Each input that counts, with the places of its copies; where the first of them was given."""
    ordered = sorted(inputs, key=lambda each: min(came[place] for place in each.places))
    counts = counting([each.source for each in ordered])
    members: dict[int, list[Input]] = {}
    for place, each in enumerate(ordered):
        members.setdefault(counts.get(place, place), []).append(each)
    return sorted((_standing_for(*alike) for alike in members.values()), key=lambda each: each.places)


def _standing_for(counting: Input, *copies: Input) -> Input:
    places = sorted(place for each in (counting, *copies) for place in each.places)
    return replace(counting, places=tuple(places), copies=tuple(each.digest for each in copies))


def _input(source: Source, places: tuple[int, ...]) -> Input:
    return Input(source, places, {module: source.shape(module) for module in source.modules()})


def _modules(inputs: Sequence[Input]) -> list[str]:
    """All modules by name. Raises AdapterError where two inputs give one module different sizes."""
    sizes: dict[str, tuple[int, int]] = {}
    for each in inputs:
        for module, (out, into, _) in each.shapes.items():
            first = sizes.setdefault(module, (out, into))
            if first != (out, into):
                raise AdapterError(
                    f"updates of different shapes {first} and {(out, into)} can't be added", where=f"module {module}"
                )
    return sorted(sizes)


def _lineup(choice: Choice, inputs: Sequence[Input]) -> Lineup:
    if choice.weights is None:
        weights = [default_weight(choice.method, len(inputs))] * len(inputs)
    else:
        weights = [_largest(choice.weights, each) for each in inputs]
    operands = [(each, weight) for each, weight in zip(inputs, weights, strict=True) if weight != 0]
    if not operands:
        raise UsageError("weights must be finite and not all 0")
    if choice.method.rule not in ORDERED:
        operands.sort(key=lambda operand: operand[0].digest)
    # One operand leaves nothing to resolve, so that its weight alone decides what becomes of it.
    method = choice.method if len(operands) > 1 else Method(scaling=choice.method.scaling)
    own = {} if choice.densities is None else {each: _largest(choice.densities, each) for each, _ in operands}
    return Lineup(method, choice.rank_max, dict(operands), own)


def _largest(values: Sequence[float], given: Input) -> float:
    """What holds for an input among values by place: the largest where it was given several times."""
    return max(values[place] for place in given.places)


def _operands(inputs: Sequence[Input], lineups: Collection[Lineup], method: Method) -> tuple[Input, ...]:
    """The inputs that have a weight in some module, sorted unless the plan's own rule asks for the order given."""
    taking_part = [each for each in inputs if any(lineup.weight_of(each) for lineup in lineups)]
    return tuple(taking_part if method.rule in ORDERED else sorted(taking_part, key=lambda each: each.digest))


def _result(
    operands: Sequence[Input], lineups: Mapping[str, Lineup], base_model_name: str | None
) -> tuple[LoraSpec, dict[str, Shape]]:
    """One rank for all modules: the largest that one of them may need."""
    rank = max(lineup.rank_of(module) for module, lineup in lineups.items())
    spec = LoraSpec.uniform([each.source.spec for each in operands], rank, base_model_name)
    shapes: dict[str, Shape] = {}
    for module in lineups:
        out, into, _ = next(each.shapes[module] for each in operands if module in each.shapes)
        shapes[module] = (out, into, rank)
    return spec, shapes
