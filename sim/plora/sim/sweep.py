"""Many runs of one base scenario along axes: what a sweep is, and which runs it has.

Rules:

- An axis is a field of `Scenario` by its dotted path, or several fields by commas that change together; it has a list
  of values, or `first` and `count` for numbers in a row. A value that is a table is laid over the table that is there.
- The runs are the product of all axes, the last one varying quickest; equal scenarios are one run.
- A run is named by the digest of its whole scenario, name and words about it aside.

Not handled here: running them (`plora.sim.sweep_work`), the file of what came out (`plora.sim.sweep_rows`), whether a
graph's file has changed.

>>> sweep = Sweep.parse({"base": {"rounds": 9}, "axes": {"graph": [{"kind": "ring"}], "seed": {"count": 2}}})
>>> [(run.scenario.graph.kind, run.scenario.seed) for run in sweep.runs()]
[('ring', 0), ('ring', 1)]
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError

from plora.proto.canonical import canonical_bytes
from plora.proto.errors import UsageError
from plora.sim import scenarios, topology
from plora.sim.scenario import Part, Scenario, at_path, laid_over

MEND = "see docs/simulator.md"


class Numbers(Part):
    """Whole numbers in a row, such as seeds."""

    first: int = 0
    count: int = Field(ge=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a sweep: where on the axes it is, and its scenario."""

    at: Mapping[str, Any]
    scenario: Scenario

    @property
    def digest(self) -> str:
        """SHA-256 of the scenario in hexadecimal, without `name` and `about`."""
        return _sha256(self.scenario.model_dump(mode="json", exclude={"name", "about"}))


def _shape(value: Any) -> str | None:
    if isinstance(value, Mapping | Numbers):
        return "row"
    return "list" if isinstance(value, list | tuple) else None


Values = Annotated[
    Annotated[tuple[Any, ...], Tag("list")] | Annotated[Numbers, Tag("row")],
    Discriminator(
        _shape,
        custom_error_type="values",
        custom_error_message="an axis is a list of values, or a table of `first` and `count`",
    ),
]


class Sweep(Part):
    """`base` is a scenario, in place; `axes` what is changed in it."""

    name: str = "sweep"
    about: str = ""
    base: Mapping[str, Any] = Field(default_factory=dict)
    axes: Mapping[str, Values] = Field(min_length=1)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "sweep") -> Self:
        """A sweep of plain values; `UsageError` names the first field that is wrong."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(f"{field}: {first['msg']}", where=where, mend=MEND) from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The sweep of a YAML file; its `base` may name a scenario's file beside it, or one that comes along.

        `UsageError` if anything is wrong.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise UsageError("no sweep: a table of `base` and `axes` is missing", where=str(path), mend=MEND)
            if isinstance(values.get("base"), str):
                values["base"] = _base(values["base"], path)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"no sweep: {_said(error)}", where=str(path), mend=MEND) from None
        return cls.parse({"name": path.stem} | values, where=str(path))

    @property
    def digest(self) -> str:
        """SHA-256 of the base and the axes in hexadecimal."""
        return _sha256(self.model_dump(mode="json", include={"base", "axes"}))

    def runs(self, where: str = "sweep") -> list[Run]:
        """All runs, each checked; `UsageError` names the first value that no scenario has, or no graph."""
        axes = [_changes(name, values, where) for name, values in self.axes.items()]
        found: dict[str, Run] = {}
        for place in product(*axes):
            at = {field: value for changes in place for field, value in changes.items()}
            run = Run(at, Scenario.parse(_laid(self.base, at), where))
            topology.check(run.scenario.graph, run.scenario.agents, f"{where}: {said_at(at)}")
            found.setdefault(run.digest, run)
        return list(found.values())


def _base(said: str, path: Path) -> dict[str, Any]:
    """The scenario that the sweep of that file names."""
    try:
        found = scenarios.path_of(said, path.parent)
    except UsageError as error:
        raise UsageError(f"base: {said}: {error.what}", where=str(path), mend=error.mend) from None
    return tomllib.loads(found.read_text(encoding="utf-8"))


def _laid(base: Mapping[str, Any], at: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the values of these dotted fields.

    >>> _laid({"graph": {"kind": "ws"}, "seed": 1}, {"graph.k": 6, "seed": 2})
    {'graph': {'kind': 'ws', 'k': 6}, 'seed': 2}
    """
    laid = dict(base)
    for field, value in at.items():
        laid = laid_over(laid, at_path(field, value))
    return laid


def _changes(name: str, values: Sequence[Any] | Numbers, where: str) -> list[dict[str, Any]]:
    """What each value of an axis sets, by field."""
    fields = [field.strip() for field in name.split(",")]
    return [dict(_pairs(fields, value, f"{where}: axes.{name}")) for value in _listed(values, f"{where}: axes.{name}")]


def _listed(values: Sequence[Any] | Numbers, where: str) -> Sequence[Any]:
    if isinstance(values, Numbers):
        return range(values.first, values.first + values.count)
    if not values:
        raise UsageError("an axis has one value at least", where=where, mend=MEND)
    return values


def _pairs(fields: Sequence[str], value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if len(fields) == 1:
        yield fields[0], value
        return
    if not isinstance(value, list | tuple) or len(value) != len(fields):
        raise UsageError(f"{value!r} has no value for each of {len(fields)} fields", where=where, mend=MEND)
    yield from zip(fields, value, strict=True)


def said_at(at: Mapping[str, Any]) -> str:
    """A place on the axes."""
    return ", ".join(f"{field}={value}" for field, value in at.items())


def _said(error: Exception) -> str:
    """The words of an error in one line, with the line of the file where YAML has one."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _sha256(document: object) -> str:
    return hashlib.sha256(canonical_bytes(document)).hexdigest()
