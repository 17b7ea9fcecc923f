"""What a merge does to which module: settings with filters and gradients, made into one `MergePlan`.

Rules:

- A setting is a list of cases; the first whose filter covers a module decides.
- A filter is a run of whole parts of a module's name (`mlp`, `self_attn.q_proj`, `layers.3`); a part `0-11` means any
  number from 0 to 11, and `*` is every module. A filter that covers no module is refused: it is a slip of the pen.
- A gradient is a list of numbers at equal distances over the layers, from number 0 to the highest that there is;
  between two of them the value is interpolated (as mergekit does). It says nothing of modules outside the layers.
- A rule without a space has the method's space, or one in which it works.
- Weights are divided by their sum in each module where `normalize` is true.

Not handled: the file (`plora.merge.plan_file`), what methods do (`plora.merge.registry`).

>>> covers("layers.0-11.mlp", "model.layers.3.mlp.up_proj"), covers("attn", "model.layers.3.self_attn.q_proj")
(True, False)
>>> half = (Case("", (0.0, 1.0), "line 3"),)
>>> value_of(half, "model.layers.1.mlp.up_proj", last_layer=4)
0.25
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plora.merge.plan import MergePlan, Method, Override, TrustRegion, is_meant, one_a_module
from plora.merge.registry import RULES_OF, check_method, combined
from plora.proto.errors import ConfigError, UsageError

EVERY = ("", "*")
NAMES_SHOWN = 8


Value = float | int | str | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A value for the modules that `filter` covers (empty: all); a tuple is a gradient; `where` it stands."""

    filter: str
    value: Value
    where: str


Setting = tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """A plan before the modules are known.

    `models`: adapter folders; `weights`: a setting for each of them, or None for 1/K; `densities`: likewise, None for
    the method's; `settings`: by the names of `Method`'s fields and `rank_max`.
    """

    models: tuple[Path, ...]
    base_model: str | None = None
    method: Method = field(default_factory=Method)
    weights: tuple[Setting, ...] | None = None
    densities: tuple[Setting, ...] | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    trust: TrustRegion = field(default_factory=TrustRegion)
    normalize: bool = False

    def plan_for(self, modules: Sequence[str]) -> MergePlan:
        """The plan for adapters that have these modules: values of the first, and an override where others differ.

        Raises ConfigError where a filter covers none of them, or a value is out of bounds.
        """
        ordered = sorted(modules)
        for setting in (*self.settings.values(), *(self.weights or ()), *(self.densities or ())):
            _check_filters(setting, ordered)
        last = max((number for module in ordered if (number := layer_of(module)) is not None), default=0)
        own = [self._of_module(module, last) for module in ordered]
        return replace(_plan_of(own[0]), trust=self.trust, overrides=_each_its_own(own))

    def _of_module(self, module: str, last_layer: int) -> Override:
        """All that holds for one module."""
        values: dict[str, Any] = {name: value_of(cases, module, last_layer) for name, cases in self.settings.items()}
        rank_max = values.pop("rank_max", MergePlan().rank_max)
        weights = self._weights_of(module, last_layer)
        densities = None if self.densities is None else _values_of(self.densities, module, last_layer)
        try:
            method = replace(self.method, **_with_space(self.method, values))
            check_method(method)
            return Override(module, method=method, weights=weights, rank_max=rank_max, densities=densities)
        except UsageError as error:
            raise ConfigError(error.what, where=f"module {module}", mend=error.mend) from error

    def _weights_of(self, module: str, last_layer: int) -> tuple[float, ...] | None:
        if self.weights is None:
            return None
        weights = _values_of(self.weights, module, last_layer)
        total = sum(weights) if self.normalize else 1.0
        if total == 0:
            raise ConfigError(f"the weights of module {module} sum to 0", mend="write normalize: false")
        return tuple(weight / total for weight in weights)


def _each_its_own(own: Sequence[Override]) -> tuple[Override, ...]:
    """What differs from the first, and what another one that differs would be taken for."""
    common = own[0]
    different = {one.modules for one in own if replace(one, modules=common.modules) != common}
    return one_a_module(one for one in own if not different.isdisjoint(_tails(one.modules)))


def _tails(module: str) -> list[str]:
    """The name, and each that it ends with."""
    parts = module.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _with_space(method: Method, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A rule alone brings a space in which it works, where the method's own is none."""
    rule = values.get("rule")
    if rule is None or "space" in values or rule in RULES_OF[method.space]:
        return values
    return {**values, "space": combined(None, rule).space}


def _plan_of(common: Override) -> MergePlan:
    method, rank_max = common.method or Method(), common.rank_max or MergePlan().rank_max
    return MergePlan(method=method, weights=common.weights, rank_max=rank_max, densities=common.densities)


def _values_of(settings: Sequence[Setting], module: str, last_layer: int) -> tuple[float, ...]:
    return tuple(float(value_of(cases, module, last_layer)) for cases in settings)


def value_of(setting: Setting, module: str, last_layer: int) -> float | int | str:
    """The value for a module; ConfigError where no case is meant for it."""
    case = next((case for case in setting if covers(case.filter, module)), None)
    if case is None:
        raise ConfigError(f"no value for module {module}", where=setting[-1].where, mend="end the list by `- value: …`")
    if not isinstance(case.value, tuple):
        return case.value
    layer = layer_of(module)
    if layer is None:
        mend = f"put an entry with `filter: {target_of(module)}` before it"
        raise ConfigError(f"a gradient over layers says nothing of module {module}", where=case.where, mend=mend)
    return _interpolated(case.value, layer / last_layer if last_layer else 0.0)


def covers(pattern: str, module: str) -> bool:
    """Whether a filter means this module: its parts stand in the name one behind the other."""
    if pattern in EVERY:
        return True
    wanted, parts = pattern.split("."), module.split(".")
    starts = range(len(parts) - len(wanted) + 1)
    return any(all(map(is_meant, wanted, parts[start:])) for start in starts)


def layer_of(module: str) -> int | None:
    """The number of the layer that a module is in: the first part of its name that is a number.

    >>> layer_of("model.layers.7.mlp.up_proj"), layer_of("lm_head")
    (7, None)
    """
    return next((int(part) for part in module.split(".") if part.isdecimal()), None)


def target_of(module: str) -> str:
    """The last part of a module's name: what `target_modules` calls it.

    >>> target_of("model.layers.7.mlp.up_proj")
    'up_proj'
    """
    return module.rpartition(".")[2]


def _interpolated(anchors: tuple[float, ...], place: float) -> float:
    """The value at `place`, 0 to 1, of numbers at equal distances."""
    if len(anchors) == 1:
        return anchors[0]
    position = place * (len(anchors) - 1)
    index = min(int(position), len(anchors) - 2)
    share = position - index
    return (1 - share) * anchors[index] + share * anchors[index + 1]


def _check_filters(setting: Setting, modules: Sequence[str]) -> None:
    for case in setting:
        if not any(covers(case.filter, module) for module in modules):
            parts = sorted({part for module in modules for part in module.split(".") if not part.isdecimal()})
            mend = f"there are: {', '.join(parts[:NAMES_SHOWN])}{', …' if len(parts) > NAMES_SHOWN else ''}"
            raise ConfigError(f"filter '{case.filter}' covers no module of these adapters", where=case.where, mend=mend)
