"""What an experiment is: one YAML file, with the environment and the call laid over it.

Rules:

- Every setting is in the file: nothing that a result depends on is a default of the code. An unknown or missing one is
  refused with its place and the nearest known name.
- The call's base goes before `PLORA_BASE_MODEL`, that before the file's. `PLORA_SAMPLES` caps `samples`;
  `PLORA_FORCE_CPU` makes `device` cpu; `PLORA_LATENCY_BUDGET_MS` replaces `latency_budget_ms`.
- The rule by which findings are judged is fixed here, before anything is measured.

Not handled here: what the steps do with it (`plora.lab.experiment.steps`).

>>> from plora.proto.errors import ConfigError
>>> try: parse({"nmae": "dry"}, "plora.yml")
... except ConfigError as error: print(error)
plora.yml, nmae: unknown setting; did you mean 'name'?
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from plora.lab.corpora import samples_cap
from plora.proto.canonical import canonical_bytes
from plora.proto.errors import ConfigError, FormatError, UsageError
from plora.proto.payload import StrictModel
from plora.proto.strict_yaml import parse_yaml

CONFIG_BYTES_MAX = 1 << 16
MEND = "config/plora.dry.yml has every setting"

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Domain = Literal["arithmetic", "legal", "medical"]
Scheme = Literal["attention", "mlp", "all"]


class Tests(StrictModel):
    """Which tests step 1 runs: `paths`, those whose marks fit `marks`, in `jobs` processes."""

    paths: tuple[str, ...]
    marks: str
    jobs: Count


class Spectra(StrictModel):
    """Steps 3 and 4: graphs of `sizes`, `seeds` of each; those of `held_out` are only predicted."""

    sizes: Annotated[tuple[Count, ...], Field(min_length=2)]
    held_out: Annotated[tuple[Count, ...], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=2)]


class Adapters(StrictModel):
    """The adapters of step 6: one a domain, of the first seed."""

    rank: Count
    scheme: Scheme
    steps: Count


class ValueAdd(StrictModel):
    """Step 11: optimiser steps of each adapter, λ of the merges, and which cells there are besides."""

    steps: Count
    times: Annotated[tuple[float, ...], Field(min_length=1)]
    placebos: bool
    cross: bool


class Ablation(StrictModel):
    """Step 13: ranks and schemes, each with each; the first of both is what the others stand beside."""

    ranks: Annotated[tuple[Count, ...], Field(min_length=1)]
    schemes: Annotated[tuple[Scheme, ...], Field(min_length=1)]


class Alternation(StrictModel):
    """Step 14: rounds of training on and merging, and optimiser steps of a domain in a round."""

    rounds: Annotated[int, Field(ge=2)]
    steps: Count


class Zoo(StrictModel):
    """The zoo on which probes are calibrated: `kinds` and `seeds` as of `plora lab zoo`, `aims` a file."""

    kinds: str
    seeds: str
    aims: str


class Found(StrictModel):
    """What detectors find in a simulation; see `--accept_clean` of `plora sim`."""

    accept_clean: Share
    accept_trojan: Share
    correlation: Share


class Swarm(StrictModel):
    """The simulated swarm of steps 8 and 16, one run a seed; without `verdicts`, what was measured is drawn."""

    agents: Count
    rounds: Count
    graph_p: Share
    trojan_rate: Share
    quorum: Count
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    verdicts: Found | None = None


class Information(StrictModel):
    """Step 19: runs of a family of graphs, and surrogates of them."""

    family: Literal["er", "ws", "ba"]
    agents: Count
    domains: Count
    runs: Annotated[int, Field(ge=2)]
    surrogates: Count


class Rule(StrictModel):
    """When the answer is yes: every bound holds."""

    t90_ratio_max: float
    trojan_rate: Share
    trojan_accepted_upper_max: Share
    value_kept_lower_min: Share


class Experiment(StrictModel):
    """Everything that results depend on; config/plora.dry.yml says what each setting means."""

    name: str
    base: str
    device: Literal["auto", "cpu"]
    offline: bool
    latency_budget_ms: Annotated[float, Field(gt=0)]
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)]
    samples: Count
    dev_size: Count
    ranks: Annotated[tuple[Count, ...], Field(min_length=1)]
    schemes: Annotated[tuple[Scheme, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    tests: Tests
    spectra: Spectra
    adapters: Adapters
    zoo: Zoo
    swarm: Swarm
    sweep: str
    value_add: ValueAdd
    ablation: Ablation
    alternation: Alternation
    information: Information
    rule: Rule

    def chosen(self, keys: Sequence[str]) -> dict[str, Any]:
        """These settings alone, as JSON has them.

        >>> from plora.lab.experiment.config import Rule
        >>> Rule.model_construct(t90_ratio_max=1.25).t90_ratio_max
        1.25
        """
        return {key: value for key, value in self.model_dump(mode="json").items() if key in keys}


def read_config(path: Path) -> Experiment:
    """The experiment of a file. Raises ConfigError with the file, the setting, and how to mend it."""
    try:
        tree = parse_yaml(path.read_bytes(), CONFIG_BYTES_MAX).tree
    except OSError as error:
        mend = "make config-use-dry, or name another by --config"
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error
    except FormatError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend=MEND) from error
    return parse(tree, str(path))


def parse(tree: Any, where: str) -> Experiment:
    """The experiment of plain values; errors as of `read_config`."""
    if not isinstance(tree, Mapping):
        raise ConfigError("is no table of settings", where=where, mend=MEND)
    try:
        return Experiment.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise _told(error, where) from error


def with_environment(experiment: Experiment, environ: Mapping[str, str], base: str = "") -> Experiment:
    """The experiment as environment and call change it. Raises UsageError for a variable that means nothing."""
    cap = samples_cap(environ)
    forced = environ.get("PLORA_FORCE_CPU", "0") not in ("", "0")
    return experiment.model_copy(
        update={
            "base": base or environ.get("PLORA_BASE_MODEL") or experiment.base,
            "samples": min(experiment.samples, cap) if cap else experiment.samples,
            "device": "cpu" if forced else experiment.device,
            "latency_budget_ms": _budget(environ) or experiment.latency_budget_ms,
        }
    )


def step_environment(experiment: Experiment, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a step's commands: settings that they read there, and nothing that would overrule them."""
    said = dict(environ) | {
        "PLORA_BASE_MODEL": experiment.base,
        "PLORA_LATENCY_BUDGET_MS": f"{experiment.latency_budget_ms:g}",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    said.pop("PLORA_SAMPLES", None)  # it is in `samples` by now, and would cap held-out pairs as well
    said.setdefault("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "0.0")
    if experiment.device == "cpu":
        said["PLORA_FORCE_CPU"] = "1"
    if experiment.offline:
        said |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return said


def digest(settings: Any) -> str:
    """SHA-256 of settings in hexadecimal.

    >>> digest({"a": 1})[:8]
    '015abd7f'
    """
    return hashlib.sha256(canonical_bytes(settings)).hexdigest()


def _budget(environ: Mapping[str, str]) -> float | None:
    text = environ.get("PLORA_LATENCY_BUDGET_MS", "")
    try:
        found = float(text) if text else None
    except ValueError:
        found = 0.0
    if found is not None and not 0 < found < float("inf"):
        raise UsageError(f"{text!r} is no time", where="PLORA_LATENCY_BUDGET_MS", mend="unset it or say 250")
    return found


def _told(error: ValidationError, where: str) -> ConfigError:
    """The first complaint, of unknown settings before missing ones: those are mostly the same one, misspelt."""
    complaints = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    first = complaints[0]
    path = [str(part) for part in first["loc"]]
    place = f"{where}, {'.'.join(path)}"
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _known(path[:-1]), n=1)
        mend = f"did you mean '{near[0]}'?" if near else f"remove it; {MEND}"
        return ConfigError("unknown setting", where=place, mend=mend)
    if first["type"] == "missing":
        return ConfigError("missing setting", where=place, mend=f"add it: {MEND}")
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{message[:1].lower()}{message[1:]}, not {first['input']!r}", where=place, mend=MEND)


def _known(path: Iterable[str]) -> list[str]:
    model: Any = Experiment
    for part in path:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
