"""Merging whole adapters, module by module.

Rules:

- A merge is a function of the set of operands: the same adapter given twice counts once, at the largest of its weights;
  an operand of weight 0 drops out. Default weights are 1/K over the K distinct operands.
- Order-free strategies sort their operands by content digest; the others keep the order given.
- A module that an adapter lacks counts as its zero update there; weights are not renormalised.
- One operand at weight 1 that fits `rank_max` and the trust region gives itself back, bit for bit, with its own spec.
- Otherwise the result has one rank for all modules (the largest needed, the others padded by zeros), alpha = rank, so
  scale 1, and no patterns: every loader of LoRA files understands it alike.
- Trust region: where a module's ‖ΔW‖_F, after truncation, is over `max_delta_fro`, the module is scaled down to it.
- Operands must name one base model unless the caller says which base it is.

Not handled: Fisher weights, line search, routing; files (`plora.merge.peft_folder`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.merge.strategies import ORDER_FREE, RANK_MAX_DEFAULT, STRATEGIES
from plora.proto.errors import AdapterError, UsageError


@dataclass(frozen=True, slots=True)
class Operand:
    """One distinct input of a merge: content digest and the weight it had."""

    digest: str
    weight: float


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """One module: rank needed, ‖ΔW‖_F of the result, of each operand at its weight (0 where it lacks the module).

    `discarded_energy` is the fraction of ‖·‖²_F lost by truncation, `clip` the trust region's factor (1: not used).
    """

    module: str
    rank: int
    norm: float
    input_norms: tuple[float, ...]
    discarded_energy: float
    clip: float


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did; `discarded_energy` is the mean over modules weighted by the energy before truncation."""

    strategy: str
    rank_max: int
    rank: int
    operands: tuple[Operand, ...]
    collapsed: int
    discarded_energy: float
    modules: tuple[ModuleReport, ...]

    def document(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The merged adapter and the report."""

    adapter: Adapter
    report: MergeReport


def merge_adapters(
    adapters: Sequence[Adapter],
    weights: Sequence[float] | None = None,
    strategy: str = "weighted_sum",
    rank_max: int = RANK_MAX_DEFAULT,
    max_delta_fro: float | None = None,
    base_model_name: str | None = None,
) -> MergeResult:
    """Merge adapters of one base; see the module for the rules.

    Raises UsageError for wrong arguments, AdapterError where the adapters don't fit together.
    """
    _check_arguments(adapters, weights, strategy, rank_max, max_delta_fro)
    base = base_model_name if base_model_name is not None else _common_base(adapters)
    operands = _distinct(adapters, weights)
    if strategy in ORDER_FREE:
        operands.sort(key=lambda operand: operand[0].digest)
    merged = {
        module: _merge_module(module, operands, strategy, rank_max, max_delta_fro) for module in _modules(operands)
    }
    reports = tuple(report for _, report in merged.values())
    adapter = _itself(operands, reports, base, rank_max)
    if adapter is None:
        adapter = _uniform({module: pair for module, (pair, _) in merged.items()}, operands, base)
    report = MergeReport(
        strategy=strategy,
        rank_max=rank_max,
        rank=max(pair.rank for pair in adapter.pairs.values()),
        operands=tuple(Operand(operand.digest, weight) for operand, weight in operands),
        collapsed=len(adapters) - len({adapter.digest for adapter in adapters}),
        discarded_energy=_mean_discarded(reports),
        modules=reports,
    )
    return MergeResult(adapter, report)


def _check_arguments(
    adapters: Sequence[Adapter],
    weights: Sequence[float] | None,
    strategy: str,
    rank_max: int,
    max_delta_fro: float | None,
) -> None:
    if not adapters:
        raise UsageError("nothing to merge: no adapters")
    if strategy not in STRATEGIES:
        raise UsageError(f"unknown strategy {strategy!r}", mend=f"one of {', '.join(sorted(STRATEGIES))}")
    if rank_max < 1:
        raise UsageError(f"rank_max {rank_max} is not at least 1")
    if max_delta_fro is not None and not (math.isfinite(max_delta_fro) and max_delta_fro > 0):
        raise UsageError(f"max_delta_fro {max_delta_fro} is not a positive number")
    if weights is None:
        return
    if len(weights) != len(adapters):
        raise UsageError(f"{len(weights)} weights for {len(adapters)} adapters", mend="give one weight an adapter")
    if not all(math.isfinite(weight) for weight in weights) or not any(weights):
        raise UsageError("weights must be finite and not all 0")


def _common_base(adapters: Sequence[Adapter]) -> str | None:
    names = sorted({adapter.spec.base_model_name for adapter in adapters if adapter.spec.base_model_name})
    if len(names) > 1:
        raise UsageError(f"adapters of different base models: {', '.join(names)}")
    return names[0] if names else None


def _distinct(adapters: Sequence[Adapter], weights: Sequence[float] | None) -> list[tuple[Adapter, float]]:
    """Operands by first occurrence, each once, those of weight 0 left out."""
    by_digest = {adapter.digest: adapter for adapter in reversed(adapters)}
    order = list(dict.fromkeys(adapter.digest for adapter in adapters))
    share = 1.0 / len(order)
    weight_of: dict[str, float] = {}
    for position, adapter in enumerate(adapters):
        weight = share if weights is None else float(weights[position])
        weight_of[adapter.digest] = max(weight, weight_of.get(adapter.digest, weight))
    kept = [(by_digest[digest], weight_of[digest]) for digest in order if weight_of[digest] != 0]
    if not kept:
        raise UsageError("weights must be finite and not all 0")
    return kept


def _modules(operands: Sequence[tuple[Adapter, float]]) -> list[str]:
    return sorted({module for adapter, _ in operands for module in adapter.pairs})


def _merge_module(
    module: str,
    operands: Sequence[tuple[Adapter, float]],
    strategy: str,
    rank_max: int,
    max_delta_fro: float | None,
) -> tuple[FactorPair, ModuleReport]:
    present = [(adapter.pairs[module], weight) for adapter, weight in operands if module in adapter.pairs]
    try:
        result = STRATEGIES[strategy]([pair for pair, _ in present], [weight for _, weight in present], rank_max)
    except (AdapterError, np.linalg.LinAlgError) as error:
        raise AdapterError(getattr(error, "what", str(error)), where=f"module {module}") from error
    norm = result.pair.norm()
    clip = 1.0 if max_delta_fro is None or norm <= max_delta_fro else max_delta_fro / norm
    norms = [
        abs(weight) * adapter.pairs[module].norm() if module in adapter.pairs else 0.0 for adapter, weight in operands
    ]
    pair = result.pair.times(clip).folded()
    return pair, ModuleReport(module, pair.rank, norm * clip, tuple(norms), result.discarded_energy, clip)


def _itself(
    operands: Sequence[tuple[Adapter, float]], reports: Sequence[ModuleReport], base: str | None, rank_max: int
) -> Adapter | None:
    """The only operand, where the merge is the identity."""
    if len(operands) != 1 or operands[0][1] != 1.0 or any(report.clip != 1.0 for report in reports):
        return None
    adapter = operands[0][0]
    if any(pair.rank > rank_max for pair in adapter.pairs.values()):
        return None
    return Adapter.of(adapter.pairs, adapter.spec.on_base(base))


def _uniform(pairs: Mapping[str, FactorPair], operands: Sequence[tuple[Adapter, float]], base: str | None) -> Adapter:
    rank = max(pair.rank for pair in pairs.values())
    targets = sorted({target for adapter, _ in operands for target in adapter.spec.target_modules})
    spec = LoraSpec(r=rank, alpha=rank, target_modules=tuple(targets), base_model_name=base)
    return Adapter.of({module: pair.padded(rank) for module, pair in pairs.items()}, spec)


def _mean_discarded(reports: Sequence[ModuleReport]) -> float:
    """Energy lost over energy before truncation; what was kept is norm² before the clip."""
    lost = total = 0.0
    for report in reports:
        kept = (report.norm / report.clip) ** 2
        before = kept / (1.0 - report.discarded_energy)
        lost += before - kept
        total += before
    return lost / total if total else 0.0
