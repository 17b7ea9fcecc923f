"""A merge described in YAML, in the spirit of mergekit's files: text to `PlanSettings`.

    merge_method: ties
    models:
      - model: out/legal
        parameters: {weight: 0.6}
      - model: out/medical
        parameters:
          weight:
            - {filter: layers.0-11.mlp, value: 0.1}
            - {value: 0.4}
    parameters:
      density: 0.3
      rank_max: 8

Rules:

- The text is strict YAML (`plora.proto.strict_yaml`). What has no meaning for adapters, or isn't known, is refused with
  its line and what to write instead; nothing is passed over.
- `merge_method` is a strategy of Plora, or mergekit's `linear` or `dare_linear`; `space` and `rule` under
  `parameters` say more exactly what to do.
- A parameter is one value, or a list of `{filter, value}` that ends with one without filter; numbers may be a list, a
  gradient over the layers (`plora.merge.plan_settings`). The trust region, `seed` and `normalize` have one value.
- Every model has a weight, or none has. Weights are taken as they stand unless `normalize` is true, which is so for
  `linear`, as in mergekit.
- A model without a density has that under `parameters`.
- Folders are meant from where the file lies.

Not handled: reading the models; bounds that `Method` and `MergePlan` check.

>>> file = parse_plan(b"models: [{model: a, parameters: {weight: 2}}, {model: b, parameters: {weight: 1}}]", Path("p"))
>>> [model.as_posix() for model in file.models], file.plan_for(["layers.0.q_proj"]).weights
(['a', 'b'], (2.0, 1.0))
>>> parse_plan(b"models: [{model: a}]\\nint8_mask: true", Path("p.yaml"))
Traceback (most recent call last):
    ...
plora.proto.errors.ConfigError: p.yaml, line 2, int8_mask: masks are not kept; leave it out
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plora.merge.plan import Method, TrustRegion
from plora.merge.plan_settings import EVERY, Case, PlanSettings, Setting, Value
from plora.merge.registry import RULES_OF, STRATEGIES
from plora.proto.errors import ConfigError, FormatError
from plora.proto.strict_yaml import Yaml, parse_yaml

PLAN_BYTES_MAX = 1 << 20
MODELS_MAX = 1024
METHOD_DEFAULT = "weighted_sum"
# mergekit's names for what is here, and those that divide weights by their sum unless told otherwise.
MERGEKIT: Mapping[str, str] = {"linear": "weighted_sum", "dare_linear": "dare"}
NORMALIZING = frozenset({"linear"})
# Keys of mergekit that mean nothing for adapters: what is so, and what to write instead.
FOREIGN: Mapping[str, tuple[str, str]] = {
    "slices": ("an adapter's layers stay where they are", "write `filter: layers.0-11` under a parameter"),
    "modules": ("one file describes one merge", "write a file for each"),
    "tokenizer": ("an adapter has no tokenizer", "leave it out"),
    "tokenizer_source": ("an adapter has no tokenizer", "leave it out"),
    "chat_template": ("an adapter has no chat template", "leave it out"),
    "int8_mask": ("masks are not kept", "leave it out"),
    "rescale": ("dare always rescales what it keeps", "leave it out"),
    "epsilon": ("no method here has it", "leave it out"),
    "gamma": ("no method here has it", "leave it out"),
    "select_topk": ("no method here has it", "leave it out"),
    "t": ("no method here interpolates between two", "give weights"),
}
SAME_NAME: Mapping[str, str] = {"lambda": "scaling"}
DTYPE = "float32"
"""What an adapter's factors are written in."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must be, in words and as a test."""

    says: str
    fits: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return type(value) is int


def _one_of(names: Sequence[str]) -> Kind:
    return Kind(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


RULES = tuple(sorted({rule for rules in RULES_OF.values() for rule in rules}))
NUMBER = Kind("a number", _is_number)
SHARE = Kind("a number over 0 and at most 1", lambda value: _is_number(value) and 0 < value <= 1)
POSITIVE = Kind("a number over 0", lambda value: _is_number(value) and value > 0)
BY_MODULE: Mapping[str, Kind] = {
    "space": _one_of(tuple(RULES_OF)),
    "rule": _one_of(RULES),
    "density": SHARE,
    "scaling": NUMBER,
    "radius": POSITIVE,
    "byzantine": Kind("an integer, 0 or more", lambda value: _is_integer(value) and value >= 0),
    "rank_max": Kind("an integer, 1 or more", lambda value: _is_integer(value) and value >= 1),
}
GRADIENTS = frozenset({"weight", "density", "scaling", "radius"})
ONCE: Mapping[str, Kind] = {
    "seed": Kind("an integer", _is_integer),
    "normalize": Kind("true or false", lambda value: isinstance(value, bool)),
    "max_delta_fro": POSITIVE,
    "max_delta_relative": POSITIVE,
    "max_total_fro": POSITIVE,
}
TRUST = ("max_delta_fro", "max_delta_relative", "max_total_fro")
OF_MODEL = ("weight", "density")
EVERYWHERE: Setting = (Case("", Method().density, ""),)
"""The density of models that have none, where `parameters` has none, either."""
TOP = ("merge_method", "models", "parameters", "base_model", "dtype", "out_dtype")


def read_plan(path: Path) -> PlanSettings:
    """The plan of a file. Raises ConfigError with file and line."""
    try:
        with path.open("rb") as file:
            data = file.read(PLAN_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(error.strerror or "can't be read", where=str(path)) from error
    return parse_plan(data, path)


def parse_plan(data: bytes, path: Path) -> PlanSettings:
    """The plan in `data`, which lay at `path`: folders are meant from there. Raises ConfigError with the line."""
    try:
        yaml = parse_yaml(data, PLAN_BYTES_MAX)
    except FormatError as error:
        where = ", ".join(part for part in (str(path), error.where) if part)
        raise ConfigError(error.what, where=where, mend=error.mend) from error
    return _Reader(yaml, path).settings()


class _Reader:
    """Reads one parsed file; every refusal names its line."""

    def __init__(self, yaml: Yaml, path: Path) -> None:
        self._yaml = yaml
        self._path = path

    def settings(self) -> PlanSettings:
        """The whole file."""
        top = self._mapping(self._yaml.tree, "", TOP)
        method, normalize = self._method(top.get("merge_method", METHOD_DEFAULT))
        self._check_names(top)
        models = self._models(top)
        once, by_module = self._parameters(top.get("parameters", {}))
        return PlanSettings(
            models=tuple(self._path.parent / model["model"] for model in models),
            base_model=top.get("base_model"),
            method=replace(method, seed=once.get("seed", method.seed)),
            weights=self._weights(models),
            densities=self._densities(models, by_module.get("density", EVERYWHERE)),
            settings=by_module,
            trust=TrustRegion(**{name: once[name] for name in TRUST if name in once}),
            normalize=once.get("normalize", normalize),
        )

    def _method(self, name: object) -> tuple[Method, bool]:
        known = MERGEKIT.get(name, name) if isinstance(name, str) else ""
        if known not in STRATEGIES:
            mend = f"write one of {', '.join(sorted({*STRATEGIES, *MERGEKIT}))}"
            raise self._fault("merge_method", f"{_shown(name)} is no way to merge adapters", mend)
        return STRATEGIES[known], name in NORMALIZING

    def _check_names(self, top: Mapping[str, Any]) -> None:
        for key in ("dtype", "out_dtype"):
            if top.get(key, DTYPE) != DTYPE:
                raise self._fault(key, f"{_shown(top[key])} is not what is written: {DTYPE}", "leave it out")
        if not isinstance(top.get("base_model", ""), str):
            raise self._fault("base_model", "must be a name", "write it as your adapters do")

    def _models(self, top: Mapping[str, Any]) -> list[dict[str, Any]]:
        models = top.get("models")
        if not isinstance(models, list) or not 1 <= len(models) <= MODELS_MAX:
            raise self._fault("models", f"must list 1 to {MODELS_MAX} adapters", "write `- model: FOLDER` for each")
        read = [self._mapping(model, f"models.{place}", ("model", "parameters")) for place, model in enumerate(models)]
        for place, model in enumerate(read):
            where, name = f"models.{place}.model", model.get("model")
            if not isinstance(name, str):
                raise self._fault(where, "must be an adapter's folder", "write `model: FOLDER`")
            if name == top.get("base_model"):
                raise self._fault(where, "the base is no adapter", "leave it out of models")
            inner = f"models.{place}.parameters"
            model["parameters"] = self._mapping(model.get("parameters", {}), inner, OF_MODEL)
        return read

    def _parameters(self, given: object) -> tuple[dict[str, Any], dict[str, Setting]]:
        """What has one value, and what may differ by module."""
        once: dict[str, Any] = {}
        by_module: dict[str, Setting] = {}
        for name, value in self._mapping(given, "parameters", (*BY_MODULE, *ONCE)).items():
            if name in ONCE:
                once[name] = self._checked(f"parameters.{name}", value, ONCE[name])
            else:
                by_module[name] = self._setting(f"parameters.{name}", name, value)
        return once, by_module

    def _weights(self, models: Sequence[Mapping[str, Any]]) -> tuple[Setting, ...] | None:
        if not any("weight" in model["parameters"] for model in models):
            return None
        return tuple(self._weight(place, model) for place, model in enumerate(models))

    def _weight(self, place: int, model: Mapping[str, Any]) -> Setting:
        if "weight" not in model["parameters"]:
            mend = "write `parameters: {weight: …}` for each model, or for none"
            raise self._fault(f"models.{place}", "has no weight, and another model has one", mend)
        return self._of_model(place, model, "weight")

    def _densities(self, models: Sequence[Mapping[str, Any]], common: Setting) -> tuple[Setting, ...] | None:
        if not any("density" in model["parameters"] for model in models):
            return None
        return tuple(
            self._of_model(place, model, "density") if "density" in model["parameters"] else common
            for place, model in enumerate(models)
        )

    def _of_model(self, place: int, model: Mapping[str, Any], name: str) -> Setting:
        return self._setting(f"models.{place}.parameters.{name}", name, model["parameters"][name])

    def _setting(self, where: str, name: str, value: object) -> Setting:
        kind = BY_MODULE.get(name, NUMBER)
        if not isinstance(value, list) or not any(isinstance(item, dict) for item in value):
            return (self._case(where, where, name, "", value, kind),)
        cases = []
        for place, item in enumerate(value):
            at = f"{where}.{place}"
            entry = self._mapping(item, at, ("filter", "value"))
            if "value" not in entry or not isinstance(entry.get("filter", ""), str):
                raise self._fault(at, "must have a value, and a filter in text", "write `filter: mlp` and `value: …`")
            cases.append(self._case(at, f"{at}.value", name, entry.get("filter", ""), entry["value"], kind))
        if cases[-1].filter not in EVERY:
            raise self._fault(where, "says nothing of the other modules", "end the list by `- value: …`")
        return tuple(cases)

    def _case(self, at: str, value_at: str, name: str, pattern: str, value: object, kind: Kind) -> Case:
        if isinstance(value, list) and value and name in GRADIENTS:
            checked: Value = tuple(float(self._checked(value_at, item, kind)) for item in value)
        else:
            checked = self._checked(value_at, value, kind)
        return Case(pattern, checked, self._where(at))

    def _checked(self, where: str, value: object, kind: Kind) -> Any:
        if not kind.fits(value):
            raise self._fault(where, f"{_shown(value)} is not {kind.says}")
        return value

    def _mapping(self, value: object, where: str, known: Sequence[str]) -> dict[str, Any]:
        """A map with these keys alone, under the names that are used here."""
        if not isinstance(value, dict):
            raise self._fault(where, "must be a map of names and values", "write `name: value`")
        renamed = {}
        for key, item in value.items():
            name = SAME_NAME.get(key, key)
            inner = f"{where}.{key}".lstrip(".")
            if name in renamed:
                raise self._fault(inner, f"is the same as {name}, which is given, too", "give it once")
            if name not in known:
                raise self._fault(inner, *_unknown(key, known))
            renamed[name] = item
        return renamed

    def _fault(self, path: str, what: str, mend: str = "") -> ConfigError:
        return ConfigError(what, where=self._where(path), mend=mend)

    def _where(self, path: str) -> str:
        spellings = (path, *(path.replace(f".{ours}", f".{theirs}") for theirs, ours in SAME_NAME.items()))
        stands = next((one for one in spellings if one in self._yaml.lines), path)
        return f"{self._path}, {self._yaml.where(stands)}"


def _unknown(key: str, known: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a key, and what to write instead."""
    if key in FOREIGN:
        return FOREIGN[key]
    close = difflib.get_close_matches(key, known, n=1)
    return "unknown key", f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)
