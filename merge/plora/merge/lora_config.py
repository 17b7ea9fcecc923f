"""What a LoRA file's numbers mean: `LoraSpec`, and PEFT's `adapter_config.json` made from it and read into it.

Rules:

- The configuration is data, never code: only plain LoRA is read. DoRA, biases, `modules_to_save`, initialisations that
  rewrite base weights, custom code in `auto_mapping` and keys not known here are refused, each with one line that names
  the key (`plora.merge.config_keys`). Regular expressions, which PEFT takes in several fields, are never run.
- `adapter_config_bytes` is the RFC 8785 form of a fixed set of keys, made from the signed `lora` block alone: the same
  bytes on every peer; only `base_model_name_or_path` may differ.
- A module's rank and alpha are the file's `r` and `lora_alpha` unless a pattern names the module: by its full dotted
  name or by its last components, compared as plain text. Two patterns that can name one module are refused, so their
  order never matters, and so is one whose dots PEFT, which takes it for a regular expression, reads otherwise.
- scale = alpha / r (Hu et al. 2021), or alpha / √r with rslora (Kalajdzievski 2023).

Not handled: files and tensors (`plora.merge.peft_folder`).

>>> spec = LoraSpec(r=4, alpha=8, target_modules=("q_proj",), rank_pattern={"layers.0.q_proj": 2})
>>> spec.scale_of("model.layers.0.q_proj"), spec.scale_of("model.layers.1.q_proj")
(4.0, 2.0)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import rfc8785

from plora.merge.config_keys import PICKING, check_key, check_method
from plora.merge.tensor_names import embeddings_named, modules_named
from plora.proto.errors import AdapterError

CONFIG_BYTES_MAX = 256 << 10
RANK_MAX = 1024
ALPHA_MAX = 65_536.0
PATTERNS_MAX = 256
TARGETS_MAX = 2048
NAME_CHARS_MAX = 256

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_BLOCK = ("r", "alpha", "dropout", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern")
SAVE_ANEW = "save the adapter anew, as `save_pretrained` does"


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """What a LoRA file's numbers mean: ranks, alphas and the modules they belong to.

    `embeddings`: full names of the modules whose factors are kept as `lora_embedding_A` and `_B`; `fan_in_fan_out`:
    whether PEFT was told that the base's layers are Conv1D. Neither changes B @ A, and no signed block has them.

    Raises AdapterError where a value is out of bounds, a name is not plain, or patterns overlap.
    """

    r: int
    alpha: float
    target_modules: tuple[str, ...]
    dropout: float = 0.0
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    base_model_name: str | None = None
    fan_in_fan_out: bool = False
    embeddings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_names(self.target_modules, self.rank_pattern, self.alpha_pattern)
        object.__setattr__(self, "embeddings", tuple(sorted(self.embeddings)))
        object.__setattr__(self, "target_modules", tuple(sorted(set(self.target_modules))))
        object.__setattr__(self, "rank_pattern", dict(sorted(self.rank_pattern.items())))
        object.__setattr__(self, "alpha_pattern", dict(sorted(self.alpha_pattern.items())))
        for key, rank in (("r", self.r), *self.rank_pattern.items()):
            if type(rank) is not int or not 1 <= rank <= RANK_MAX:
                raise AdapterError(f"rank {rank!r} of {key} is not an integer from 1 to {RANK_MAX}")
        for key, alpha in (("lora_alpha", self.alpha), *self.alpha_pattern.items()):
            if not _is_number(alpha) or not 0 < alpha <= ALPHA_MAX:
                raise AdapterError(f"alpha {alpha!r} of {key} is not a number over 0 and at most {ALPHA_MAX:g}")
        if not _is_number(self.dropout) or not 0 <= self.dropout <= 1:
            raise AdapterError(f"lora_dropout {self.dropout!r} is not a number from 0 to 1")

    @classmethod
    def from_block(cls, block: object, base_model_name: str | None = None) -> LoraSpec:
        """The spec of a manifest's signed `lora` block: a mapping, or an object with these attributes.

        `r`, `alpha` and `target_modules` must be there; the others default to plain LoRA. Raises AdapterError.
        """
        fields = block if isinstance(block, Mapping) else {name: getattr(block, name, None) for name in _BLOCK}
        values: dict[str, Any] = dict(fields)
        targets = values.get("target_modules")
        if not isinstance(targets, list | tuple):
            raise AdapterError("target_modules is not a list of names; a pattern in text form is refused")
        for key in ("rank_pattern", "alpha_pattern"):
            if not isinstance(values.get(key) or {}, Mapping):
                raise AdapterError(f"{key} is not a map")
        if not isinstance(values.get("use_rslora") or False, bool):
            raise AdapterError("use_rslora is not true or false")
        return cls(
            r=values.get("r", 0),
            alpha=values.get("alpha", 0),
            target_modules=tuple(targets),
            dropout=0.0 if values.get("dropout") is None else values["dropout"],
            use_rslora=values.get("use_rslora") or False,
            rank_pattern=values.get("rank_pattern") or {},
            alpha_pattern=values.get("alpha_pattern") or {},
            base_model_name=base_model_name,
        )

    def rank_of(self, module: str) -> int:
        """The rank of a module's factors."""
        return next((rank for key, rank in self.rank_pattern.items() if names_module(key, module)), self.r)

    def scale_of(self, module: str) -> float:
        """The factor that PEFT puts before B @ A of a module."""
        alpha = next((value for key, value in self.alpha_pattern.items() if names_module(key, module)), self.alpha)
        rank = self.rank_of(module)
        return float(alpha / (math.sqrt(rank) if self.use_rslora else rank))

    def on_base(self, base_model_name: str | None) -> LoraSpec:
        """The same spec under another name of the base."""
        return replace(self, base_model_name=base_model_name)

    def wears(self, tensor_names: Iterable[str]) -> LoraSpec:
        """The same spec with the embeddings that a file's tensors show. AdapterError where a pattern is unclear."""
        names = list(tensor_names)
        for module in modules_named(names):
            self._check_dots(module)
        return replace(self, embeddings=embeddings_named(names))

    @classmethod
    def uniform(cls, specs: Sequence[LoraSpec], rank: int, base_model_name: str | None) -> LoraSpec:
        """The spec of a merge of such adapters: one rank for all modules, scale 1, no patterns."""
        return cls(
            r=rank,
            alpha=rank,
            target_modules=tuple(sorted({target for spec in specs for target in spec.target_modules})),
            base_model_name=base_model_name,
            fan_in_fan_out=any(spec.fan_in_fan_out for spec in specs),
            embeddings=tuple(sorted({module for spec in specs for module in spec.embeddings})),
        )

    def _check_dots(self, module: str) -> None:
        """PEFT takes a pattern for a regular expression, to which a dot is any character."""
        for key in (*self.rank_pattern, *self.alpha_pattern):
            if "." in key and not names_module(key, module) and re.fullmatch(rf"(?:.*\.)?{key}", module):
                raise AdapterError(f"pattern {key} means {module}, too, to PEFT", mend="write the module's full name")

    def covers(self, module: str) -> bool:
        """Whether `target_modules` names the module."""
        return not {module, *_tails(module)}.isdisjoint(self.target_modules)


def names_module(key: str, module: str) -> bool:
    """Whether a plain name means this module: its full dotted name or its last components."""
    return module == key or module.endswith(f".{key}")


def is_plain_name(name: str) -> bool:
    """Whether a text is a dotted module name and can't be taken for a regular expression (but for the dots)."""
    return len(name) <= NAME_CHARS_MAX and _PLAIN_NAME.fullmatch(name) is not None


def adapter_config_bytes(lora_block: object, base_model_name_or_path: str) -> bytes:
    """The canonical `adapter_config.json` of a signed `lora` block (or LoraSpec): RFC 8785 JSON, equal on every peer.

    Raises AdapterError where the block is not a plain LoRA (see `LoraSpec`).
    """
    spec = lora_block if isinstance(lora_block, LoraSpec) else LoraSpec.from_block(lora_block)
    return rfc8785.dumps(
        {
            "alpha_pattern": dict(spec.alpha_pattern),
            "base_model_name_or_path": base_model_name_or_path,
            "bias": "none",
            "fan_in_fan_out": spec.fan_in_fan_out,
            "inference_mode": True,
            "init_lora_weights": True,
            "lora_alpha": spec.alpha,
            "lora_dropout": spec.dropout,
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": spec.r,
            "rank_pattern": dict(spec.rank_pattern),
            "target_modules": list(spec.target_modules),
            "task_type": "CAUSAL_LM",
            "use_dora": False,
            "use_rslora": spec.use_rslora,
        }
    )


def parse_adapter_config(raw: bytes, tensor_names: Iterable[str] | None = None) -> LoraSpec:
    """The spec of an `adapter_config.json`. Raises AdapterError naming the key that says more than plain LoRA.

    Without `tensor_names` it is read as peers exchange it: targets by name, linear layers alone. With the names in the
    tensor file beside it, it is read as a folder of one's own: where it picks modules by a pattern or by layer, the
    file says which, and Conv1D, embeddings and tied heads are taken, too.
    """
    config = _load_config(raw)
    if "peft_type" in config:
        check_method(config["peft_type"])
    for key, value in config.items():
        if key != "peft_type":
            check_key(key, value, local=tensor_names is not None)
    base = config.get("base_model_name_or_path")
    if base is not None and not isinstance(base, str):
        raise AdapterError("base_model_name_or_path is not text")
    block = {**config, "alpha": config.get("lora_alpha"), "dropout": config.get("lora_dropout")}
    if tensor_names is None:
        return LoraSpec.from_block(block, base)
    names = list(tensor_names)
    if _picks(config):
        block["target_modules"] = list(modules_named(names))
    spec = LoraSpec.from_block(block, base).wears(names)
    return replace(spec, fan_in_fan_out=config.get("fan_in_fan_out", False))


def _picks(config: Mapping[str, Any]) -> bool:
    """Whether the configuration leaves it to PEFT which modules are meant; a tied head isn't named at all."""
    picking = isinstance(config.get("target_modules"), str) or config.get("ensure_weight_tying", False)
    return picking or any(config.get(key) not in (None, []) for key in PICKING)


def _check_names(targets: tuple[str, ...], *patterns: Mapping[str, object]) -> None:
    if not targets:
        raise AdapterError("target_modules is empty")
    for names, most in ((targets, TARGETS_MAX), *((pattern, PATTERNS_MAX) for pattern in patterns)):
        if len(names) > most:
            raise AdapterError(f"{len(names)} names where at most {most} are allowed")
        for name in names:
            if not isinstance(name, str) or not is_plain_name(name):
                raise AdapterError(f"{ascii(name)[:80]} is not a plain module name")
    for pattern in patterns:
        for name in pattern:
            shorter = next((tail for tail in _tails(name) if tail in pattern), None)
            if shorter is not None:
                raise AdapterError(f"patterns {name} and {shorter} can name one module")


def _tails(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(1, len(parts))]


def _load_config(raw: bytes) -> dict[str, Any]:
    if len(raw) > CONFIG_BYTES_MAX:
        raise AdapterError(f"the configuration is over {CONFIG_BYTES_MAX} bytes")
    try:
        config = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AdapterError("the configuration is not JSON", mend=SAVE_ANEW) from error
    if not isinstance(config, dict):
        raise AdapterError("the configuration is not a JSON object")
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise AdapterError("a key stands twice in the configuration")
    return result


def _no_constant(text: str) -> float:
    raise AdapterError(f"{text} in the configuration is not JSON")


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))
