"""What a merge gives: the merged adapter, and a report that says what was put in, what was lost and what was clipped.

Norms are Frobenius norms of ΔW = scale · B @ A; wᵢ are the weights as they are reported. Pure values.

- `cosines[i][j]` = ⟨ΔWᵢ, ΔWⱼ⟩ / ‖ΔWᵢ‖‖ΔWⱼ‖ over all modules, 0 where one of the two is zero.
- `copies` of an operand: the digests of inputs with other values and the same update (`plora.merge.copies`), such as
  one factored anew. They count once, together with it.
- `cancellation` = ‖Σ wᵢΔWᵢ‖ / Σ |wᵢ|‖ΔWᵢ‖: 1 where all point one way, 1/√K for K equal orthogonal ones, 0 where they
  cancel. It is about the inputs, whatever the rule makes of them.
- `sign_conflict` is the share of the mass Σ|wᵢcᵢ| that lies on the losing side of the sign that TIES would elect, from
  0 to ½; `sign_disagreement` the fraction of coordinates that have both signs. Both in the coordinates of the method's
  space, else of core space where the plan asks for it, else None.
- `discarded_energy` is the fraction of ‖·‖²_F that truncation lost, of what the rule made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from plora.merge.peft_folder import Adapter
from plora.merge.plan import MergePlan


@dataclass(frozen=True, slots=True)
class Operand:
    """One distinct input of a merge: content digest, weight, the places (from 0) where it or a copy was given.

    `effective` is the weight that a robust rule made of `weight`; with other rules they are equal.
    """

    digest: str
    weight: float
    effective: float
    places: tuple[int, ...]
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """One module: rank and norm of the result; norms of the operands at their weights (0 where one lacks the module).

    `clip` is the trust region's factor (1: not used), `relative_norm` = ‖ΔW‖/‖W‖ (None where ‖W‖ is not known),
    `seconds` None where no clock was given.
    """

    module: str
    rank: int
    norm: float
    input_norms: tuple[float, ...]
    discarded_energy: float
    clip: float
    cancellation: float
    relative_norm: float | None = None
    sign_conflict: float | None = None
    sign_disagreement: float | None = None
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did; see the module. `total_clip` is the whole adapter's trust factor, in each module's norm, too.

    `discarded_energy` is the mean over modules weighted by the energy before truncation. `collapsed` counts inputs
    that were given before, copies among them. `strategy` is the preset's name where there is one, else space/rule.
    """

    strategy: str
    plan: MergePlan
    rank_max: int
    rank: int
    operands: tuple[Operand, ...]
    collapsed: int
    norm: float
    total_clip: float
    discarded_energy: float
    cancellation: float
    cosines: tuple[tuple[float, ...], ...]
    modules: tuple[ModuleReport, ...]
    seconds: float | None = field(default=None, compare=False)

    def document(self) -> dict[str, Any]:
        """The report as JSON values."""
        nested = {
            "plan": asdict(self.plan),
            "operands": tuple(map(_values, self.operands)),
            "modules": tuple(map(_values, self.modules)),
        }
        return _values(self) | nested


def _values(one: Operand | ModuleReport | MergeReport) -> dict[str, Any]:
    """Its fields as they are: `asdict` would copy every cosine."""
    return {place.name: getattr(one, place.name) for place in fields(one)}


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The merged adapter and the report."""

    adapter: Adapter
    report: MergeReport
