"""Features: what is true of an artifact's bytes, whoever sent them and whatever the policy says.

Rules:

- Pure functions of the bytes (and of the chunk size the root is asked for), named by (artifact digest,
  `STAGE_VERSION`): computed once, memoised, shared between peers' tests, never a verdict.
- Norms are those of B @ A *unscaled*; the signed `lora` block brings the scale. Norms of A or B alone are the author's
  choice (A -> G A, B -> B G^-1 changes nothing) and are not features.
- `to_json` and `from_json` are inverse; floats survive exactly.

Not handled here: reading files (`plora.gate.tensors`), judging (`plora.gate.stages`).

>>> Features.from_json(Features(sha256="ab", size_bytes=2, header_error="header_length").to_json()).header_error
'header_length'
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import cast

STAGE_VERSION = 2
"""Raised whenever a feature changes its meaning, so that memoised features are computed again."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """One tensor of the header."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ValueFacts:
    """Counts over all elements of the artifact; magnitudes are of the finite ones.

    `peak_share`: the largest share, over tensors of at least 64 elements, that one element has in the sum of squares
    of its tensor. `denormals`: elements that are subnormal in single precision.
    """

    elements: int = 0
    nan: int = 0
    inf: int = 0
    zeros: int = 0
    denormals: int = 0
    max_abs: float = 0.0
    peak_share: float = 0.0
    peak_tensor: str = ""
    first_non_finite: str = ""


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """The pair of factors of one module: A is (rank, in_dim), B is (out_dim, rank).

    `delta_norm`: Frobenius norm of B @ A. `product_bound`: largest row norm of B times largest column norm of A, which
    no element of B @ A exceeds. `imbalance`: ||A||_F ||B||_F / ||B @ A||_F, at least 1, about the square root of the
    rank for factors as training leaves them; 1 where the product is zero.
    """

    rank: int
    in_dim: int
    out_dim: int
    delta_norm: float
    product_bound: float
    imbalance: float
    dtypes: tuple[str, str]


@dataclass(frozen=True)
class Features:
    """All facts about one artifact. With `header_error` set, there are no tensors, values or modules.

    `unexpected`: tensors that are no LoRA factor. `unpaired`: factors whose partner is missing or doesn't fit it.
    `chunk_root` is that for chunks of `chunk_bytes`, and empty where none was asked for.
    """

    sha256: str
    size_bytes: int
    header_error: str = ""
    header_detail: str = ""
    tensors: Mapping[str, TensorFacts] = field(default_factory=dict)
    values: ValueFacts = field(default_factory=ValueFacts)
    modules: Mapping[str, ModuleFacts] = field(default_factory=dict)
    unexpected: tuple[str, ...] = ()
    unpaired: tuple[str, ...] = ()
    chunk_bytes: int = 0
    chunk_root: str = ""
    stage_version: int = STAGE_VERSION

    def to_json(self) -> str:
        """The features as one line of JSON with sorted keys."""
        return self._line

    @cached_property
    def _line(self) -> str:
        """Made once: every peer of a simulation writes it down."""
        return json.dumps(self, default=_members, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Features:
        """The inverse of `to_json`. Raises ValueError, TypeError or KeyError for anything else."""
        raw = cast("dict[str, object]", json.loads(text))
        tensors = cast("dict[str, dict[str, object]]", raw.pop("tensors"))
        modules = cast("dict[str, dict[str, object]]", raw.pop("modules"))
        values = cast("dict[str, object]", raw.pop("values"))
        return cls(
            **_tupled(raw),  # type: ignore[arg-type]
            tensors={name: TensorFacts(**_tupled(facts)) for name, facts in tensors.items()},  # type: ignore[arg-type]
            modules={name: ModuleFacts(**_tupled(facts)) for name, facts in modules.items()},  # type: ignore[arg-type]
            values=ValueFacts(**values),  # type: ignore[arg-type]
        )


def examine(path: Path | str, *, chunk_bytes: int = 0) -> Features:
    """The features of a safetensors file, in one pass over its bytes.

    The hash is that of the bytes that were examined. With `chunk_bytes` the chunk root is computed too. Broken content
    is a feature (`header_error`); AdapterError is raised only where `path` can't be read as a regular file.
    """
    from plora.gate.tensors import examine_file  # numpy stays out of the import of plora.gate

    return examine_file(Path(path), chunk_bytes=chunk_bytes)


def _members(facts: Features | TensorFacts | ModuleFacts | ValueFacts) -> dict[str, object]:
    return {member.name: getattr(facts, member.name) for member in fields(facts)}


def _tupled(raw: dict[str, object]) -> dict[str, object]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
