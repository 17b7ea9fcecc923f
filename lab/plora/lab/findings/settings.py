"""What findings are made from: config/findings.yml, with measured verdicts in place of assumed ones where there are.

Rules:

- The rule is that of an experiment's configuration, which the file names.
- Verdicts that are assumed count for sweeps that tell none of their own, and only while none were measured. Of measured
  ones trojans are of the kind that passes most often: a gate is as strong as against that.

Not handled here: running it (`plora.lab.findings.runs`).

>>> from plora.sim.verdicts import Rate
>>> worst_kind(VerdictModel({"clean": Rate(1, 0), "style": Rate(0.1, 0.5), "phrase": Rate(0.2, 0.5)}))
'phrase'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

from plora.lab.experiment.config import Rule, digest, read_config
from plora.lab.experiment.sources import room_digest
from plora.proto.errors import ConfigError, FormatError
from plora.proto.strict_yaml import parse_yaml
from plora.sim.scenario import Part, Verdicts, laid_over
from plora.sim.sweep import Sweep
from plora.sim.truth import CLEAN
from plora.sim.verdicts import MEASURED, VerdictModel

MEND = "config/findings.yml has every setting"
ROOMS = ("sim", "node.core", "gate")
"""Packages below `plora` whose change makes runs anew: the engines, a peer's core, and what it judges by."""


class Sweeps(Part):
    """Simulations: the gate on and off; the gate on with quicker looks, on some of the same seeds; larger swarms of
    three families; trojans by the share that lets them pass."""

    gate: Sweep
    looks: Sweep
    families: Sweep
    passing: Sweep


class Layers(Part):
    """Simulations of each set of layers: so many peers, a quorum of so many where members vote, so many seeds."""

    peers: int = Field(ge=2)
    quorum: int = Field(ge=1)
    seeds: int = Field(ge=1)


class Settings(Part):
    """The file. `rule` and `material` are experiments' files; `verdicts` are assumed."""

    rule: Path
    material: Path
    merge_lambda: float
    verdicts: Verdicts
    sweeps: Sweeps
    layers: Layers

    @classmethod
    def read(cls, path: Path) -> Self:
        """The settings of a file. Raises ConfigError with the place and how to mend it."""
        try:
            return cls.model_validate(parse_yaml(path.read_bytes()).tree)
        except OSError as error:
            raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=MEND) from error
        except FormatError as error:
            raise ConfigError(error.what, where=f"{path}, {error.where}", mend=MEND) from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigError(first["msg"], where=f"{path}, {place}", mend=MEND) from None


def rule_of(settings: Settings, root: Path) -> Rule:
    """The rule, fixed beforehand. Raises ConfigError where the simulations aren't at its share of trojans."""
    rule = read_config(root / settings.rule).rule
    for name in ("gate", "families"):
        sweep: Sweep = getattr(settings.sweeps, name)
        shares = {run.scenario.publish.trojan_rate for run in sweep.runs()}
        if shares != {rule.trojan_rate}:
            where = f"sweeps.{name}.base.publish.trojan_rate"
            raise ConfigError(f"the rule is at {rule.trojan_rate:g}", where=where, mend="set it to that")
    return rule


def measured(path: Path = MEASURED) -> VerdictModel | None:
    """The verdicts that were measured; None where none were."""
    return VerdictModel.read(path)


def code_digest() -> str:
    """SHA-256 of the code that runs are made by."""
    return digest({room: room_digest(room) for room in ROOMS})


def place(model: VerdictModel | None) -> str:
    """The folder of runs by these verdicts and this code: both are in no scenario, so runs by others lie elsewhere."""
    by = code_digest()[:12]
    if model is None:
        return f"assumed-{by}"
    return f"measured-{digest({kind: asdict(rate) for kind, rate in model.rates.items()})[:12]}-{by}"


def worst_kind(model: VerdictModel) -> str:
    """The kind of trojan that passes most often."""
    kinds = [kind for kind in model.rates if kind != CLEAN]
    return max(kinds, key=lambda kind: model.rates[kind].accept)


def with_verdicts(sweep: Sweep, assumed: Verdicts, model: VerdictModel | None) -> Sweep:
    """The sweep with what its detectors find by, where it doesn't say so itself."""
    if "verdicts" in sweep.base.get("security", {}):
        return sweep
    told: Mapping[str, Any] = {"security": {"verdicts": assumed.model_dump()}}
    if model is not None:
        told = {"publish": {"trojan_kind": worst_kind(model)}}
    return sweep.model_copy(update={"base": laid_over(sweep.base, told)})
