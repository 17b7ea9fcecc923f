"""What a merge is asked to do: one frozen value, made by the command line, by a YAML file or by the daemon.

Rules:

- A method is a *space* times a *rule* (`plora.merge.registry` names them and says which go together).
- `weights` are one an input, in the order given; None means the rule's own: 1/K, or 1 for task arithmetic.
- `densities`, too, are one an input; None means the method's for all of them.
- An override changes the method, weights, densities or the rank for the modules that it names; what it leaves None
  stays. Of several that name one module the first that says something counts, field by field.
- An override names modules as `rank_pattern` does, by full name or by the last components; a component `0-11` is a
  range of layers, and what follows it may be a tail, too.

Not handled: whether the weights fit the inputs (`plora.merge.engine`). Nothing here needs numpy.

>>> early = Override("layers.0-1.q_proj", rank_max=4)
>>> [early.names(name) for name in ("model.layers.1.self_attn.q_proj", "model.layers.2.self_attn.q_proj")]
[True, False]
>>> MergePlan(overrides=(early,)).choice("model.layers.1.self_attn.q_proj").rank_max
4
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from plora.proto.canonical import INTEGER_MAX
from plora.proto.errors import UsageError

RANK_MAX_DEFAULT = 16

_RANGE = re.compile(r"(\d{1,6})-(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Method:
    """How the updates of one module become one. Raises UsageError for a number out of bounds.

    `density`: fraction of entries that ties and dare keep of inputs without one of their own. `scaling`: multiplies the
    merged update. `byzantine`: how many inputs the robust rules are to bear. `radius`: bound in ‖·‖_F of centred
    clipping and norm cap; None: from the inputs. `seed`: of dare's mask, together with the module's name and the
    operand's digest.
    """

    space: str = "factors"
    rule: str = "linear"
    density: float = 0.5
    scaling: float = 1.0
    byzantine: int = 0
    radius: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_density(self.density)
        if not math.isfinite(self.scaling) or self.scaling == 0:
            raise UsageError(f"scaling {self.scaling} is not a finite number other than 0")
        _check_integer("byzantine", self.byzantine, 0)
        _check_integer("seed", self.seed, -INTEGER_MAX)
        _check_bound("radius", self.radius)


@dataclass(frozen=True, slots=True)
class TrustRegion:
    """Bounds of ‖ΔW‖_F after truncation: of a module, of a module relative to ‖W‖_F of the base, of the whole adapter.

    Raises UsageError for a bound that is not a positive number.
    """

    max_delta_fro: float | None = None
    max_delta_relative: float | None = None
    max_total_fro: float | None = None

    def __post_init__(self) -> None:
        _check_bound("max_delta_fro", self.max_delta_fro)
        _check_bound("max_delta_relative", self.max_delta_relative)
        _check_bound("max_total_fro", self.max_total_fro)


@dataclass(frozen=True, slots=True)
class Override:
    """What is different for some modules; see the module for `modules`."""

    modules: str
    method: Method | None = None
    weights: tuple[float, ...] | None = None
    rank_max: int | None = None
    densities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights)
        _check_densities(self.densities)
        _check_rank(self.rank_max)

    def names(self, module: str) -> bool:
        """Whether this override means a module of that full dotted name."""
        pattern, parts = self.modules.split("."), module.split(".")
        place = next((place for place, part in enumerate(pattern) if _RANGE.fullmatch(part)), None)
        if place is None:
            return _is_tail(pattern, parts)
        head, tail = pattern[: place + 1], pattern[place + 1 :]
        starts = range(len(parts) - len(pattern) + 1)
        return any(_matches(head, parts[start:]) and _is_tail(tail, parts[start + len(head) :]) for start in starts)


def one_a_module(overrides: Iterable[Override]) -> tuple[Override, ...]:
    """Overrides by full names, ordered so that each holds for its own module: a name means all that end with it."""
    return tuple(sorted(overrides, key=lambda one: len(one.modules), reverse=True))


@dataclass(frozen=True, slots=True)
class Choice:
    """What holds for one module: method, weights (None: the rule's own), bound of the rank, densities (None: one)."""

    method: Method
    weights: tuple[float, ...] | None
    rank_max: int
    densities: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class MergePlan:
    """A whole merge. Raises UsageError for weights that are not finite or all 0, densities and ranks out of bounds.

    `signs`: measure sign conflicts in core space even where the method needs no coordinates; about doubles the time.
    """

    method: Method = field(default_factory=Method)
    weights: tuple[float, ...] | None = None
    rank_max: int = RANK_MAX_DEFAULT
    trust: TrustRegion = field(default_factory=TrustRegion)
    overrides: tuple[Override, ...] = ()
    signs: bool = False
    densities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights)
        _check_densities(self.densities)
        _check_rank(self.rank_max)

    def choice(self, module: str) -> Choice:
        """What holds for a module."""
        naming = [override for override in self.overrides if override.names(module)]
        return Choice(
            method=next((each.method for each in naming if each.method is not None), self.method),
            weights=next((each.weights for each in naming if each.weights is not None), self.weights),
            rank_max=next((each.rank_max for each in naming if each.rank_max is not None), self.rank_max),
            densities=next((each.densities for each in naming if each.densities is not None), self.densities),
        )


def _matches(pattern: list[str], parts: list[str]) -> bool:
    return len(parts) >= len(pattern) and all(map(is_meant, pattern, parts))


def _is_tail(pattern: list[str], parts: list[str]) -> bool:
    return len(parts) >= len(pattern) and parts[len(parts) - len(pattern) :] == pattern


def is_meant(pattern: str, part: str) -> bool:
    """Whether a part of a pattern means a part of a module's name: it is equal, or a range with that number.

    >>> is_meant("0-11", "7"), is_meant("mlp", "mlp"), is_meant("0-11", "mlp")
    (True, True, False)
    """
    bounds = _RANGE.fullmatch(pattern)
    if bounds is None:
        return pattern == part
    return part.isdecimal() and int(bounds[1]) <= int(part) <= int(bounds[2])


def _check_bound(name: str, bound: float | None) -> None:
    if bound is not None and not (math.isfinite(bound) and bound > 0):
        raise UsageError(f"{name} {bound} is not a positive number")


def _check_integer(name: str, value: int, least: int) -> None:
    # What JSON carries exactly: the result's header says what the plan was.
    if not least <= value <= INTEGER_MAX:
        raise UsageError(f"{name} {value} is not an integer from {least} to {INTEGER_MAX}")


def _check_weights(weights: tuple[float, ...] | None) -> None:
    if weights is not None and not (all(map(math.isfinite, weights)) and any(weights)):
        raise UsageError("weights must be finite and not all 0")


def _check_densities(densities: tuple[float, ...] | None) -> None:
    for density in densities or ():
        _check_density(density)


def _check_density(density: float) -> None:
    if not 0 < density <= 1:
        raise UsageError(f"density {density} is not over 0 and at most 1")


def _check_rank(rank_max: int | None) -> None:
    if rank_max is not None:
        _check_integer("rank_max", rank_max, 1)
