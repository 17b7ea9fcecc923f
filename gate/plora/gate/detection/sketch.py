"""A base's sketch: what statistics of an adapter need to know of its base, in one file, made once, without torch.

Rules:

- Of every linear weight W with a place in a layer (`plora.gate.detection.layout`): its norm, and the `LEADING` first
  left and right singular vectors, by an eigen-decomposition of the smaller Gram matrix.
- Of the vocabulary: the embedding and, where it isn't the same, the unembedding, in the base's own dtype; of both
  clouds of tokens the mean and the covariance. A token is *read* as its embedding at norm 1, and *written* as its
  unembedding times the final norm.
- A safetensors file under the base's digest and `SKETCH_VERSION`, written beside and moved into place; what is loaded
  is memory-mapped.

Not handled: bases of another layout: BaseModelError.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from plora.base.digest import weight_files
from plora.gate.detection.layout import EMBEDDING, FINAL_NORM, HEAD, Place, gain_of, norm_gain, place_of
from plora.merge.factors import Array
from plora.merge.safetensors_io import read_header, read_tensors, write_tensors
from plora.proto.errors import AdapterError, BaseModelError

SKETCH_VERSION = 1
LEADING = 16
BLOCK_ROWS = 8192
READ, WRITTEN = "read", "written"
CLOUD = ("row_scale", "column_scale", "mean", "covariance", "squares")


@dataclass(frozen=True, slots=True)
class ModuleSketch:
    """Of a weight: place, norm, leading left (out, k) and right (in, k) singular vectors, gain (width,) of its norm."""

    place: Place
    norm: float
    left: Array
    right: Array
    gain: Array


@dataclass(frozen=True, slots=True)
class Tokens:
    """A cloud of tokens in the residual stream: rows (vocabulary, width) to scale, their mean (width,), covariance
    (width, width), and squared distances from the mean (vocabulary,)."""

    table: Array
    row_scale: Array
    column_scale: Array
    mean: Array
    covariance: Array
    squares: Array

    def energy(self, factor: Array) -> Array:
        """‖factorᵀ (t - mean)‖² of every token t: (vocabulary,) float32; `factor`: (width, k)."""
        scaled, middle = self.column_scale[:, None] * factor, self.mean @ factor
        found = np.empty(len(self.table), np.float32)
        for start in range(0, len(found), BLOCK_ROWS):
            part = slice(start, min(len(found), start + BLOCK_ROWS))
            seen = self.table[part].astype(np.float32) @ scaled
            found[part] = np.square(seen * self.row_scale[part, None] - middle).sum(axis=1)
        return found


@dataclass(frozen=True)
class BaseSketch:
    """What is known of a base; `tensors` as in the file."""

    digest: str
    tensors: Mapping[str, Array]

    @cached_property
    def modules(self) -> Mapping[str, ModuleSketch]:
        """By name, those that have a place."""
        names = (name.removeprefix("norm.") for name in self.tensors if name.startswith("norm."))
        return {name: self._module(name) for name in sorted(names)}

    @cached_property
    def layers(self) -> int:
        """How many there are."""
        return 1 + max(module.place.layer for module in self.modules.values())

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self.tensors["embedding"].shape[0])

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return int(self.tensors["embedding"].shape[1])

    def tokens(self, kind: str) -> Tokens:
        """The tokens as they are `READ` or `WRITTEN`."""
        table = (
            self.tensors["embedding"] if kind == READ else self.tensors.get("unembedding", self.tensors["embedding"])
        )
        return Tokens(table, *(self.tensors[f"{kind}.{part}"] for part in CLOUD))

    def _module(self, name: str) -> ModuleSketch:
        place = place_of(name)
        if place is None:
            raise BaseModelError("names a module that has no place", where=name, mend="delete this sketch")
        left, right, gain = (self.tensors[f"{part}.{name}"] for part in ("left", "right", "gain"))
        return ModuleSketch(place, float(self.tensors[f"norm.{name}"][0]), left, right, gain)


def sketch_path(digest: str, cache: Path) -> Path:
    """Where the sketch of the base with this digest (`sha256:<hex>`) lies."""
    return cache / "sketches" / f"{digest.removeprefix('sha256:')}-v{SKETCH_VERSION}.safetensors"


def sketch_of(folder: Path, digest: str, cache: Path) -> BaseSketch:
    """The sketch of the base in `folder`: from the cache, or made and put there. Raises BaseModelError."""
    path = sketch_path(digest, cache)
    if not path.is_file():
        _write(path, make_sketch(folder, digest))
    return load_sketch(path)


def load_sketch(path: Path) -> BaseSketch:
    """The sketch in a file. Raises BaseModelError for what is none."""
    try:
        digest = read_header(path).metadata.get("base_digest", "")
        tensors = read_tensors(path)
        if not digest or "embedding" not in tensors:
            raise AdapterError("holds no sketch of a base")
    except AdapterError as error:
        raise BaseModelError(error.what, where=str(path), mend="delete it; it is made anew") from error
    return BaseSketch(digest, tensors)


def make_sketch(folder: Path, digest: str) -> BaseSketch:
    """The sketch of the base in `folder`. Raises BaseModelError where it has no layout that is known."""
    weights = {name: tensor for path in weight_files(folder) for name, tensor in read_tensors(path).items()}
    modules = sorted(name.removesuffix(".weight") for name in weights if place_of(name.removesuffix(".weight")))
    if EMBEDDING not in weights or not modules:
        what = "has no layers as Llama, Qwen or Gemma name them"
        raise BaseModelError(what, where=str(folder), mend="judge its adapters by probes alone")
    one_plus = _is_gemma(folder)
    tensors: dict[str, Array] = {"embedding": weights[EMBEDDING]}
    for module in modules:
        norm, left, right = _leading(weights[f"{module}.weight"].astype(np.float32))
        tensors |= {f"norm.{module}": norm, f"left.{module}": left, f"right.{module}": right}
        tensors[f"gain.{module}"] = gain_of(module, weights, one_plus=one_plus)
    final = norm_gain(FINAL_NORM, weights, width=weights[EMBEDDING].shape[1], one_plus=one_plus)
    tensors |= _cloud(READ, weights[EMBEDDING], np.ones_like(final))
    if HEAD in weights:
        tensors["unembedding"] = weights[HEAD]
    return BaseSketch(digest, tensors | _cloud(WRITTEN, weights.get(HEAD, weights[EMBEDDING]), final))


def _leading(weight: Array) -> tuple[Array, Array, Array]:
    """Norm (1,), leading left (out, k) and right (in, k) singular vectors of a weight."""
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
    values, vectors = np.linalg.eigh((tall.T @ tall).astype(np.float64))
    near = vectors[:, ::-1][:, :LEADING].astype(np.float32)
    far = tall @ near
    far /= np.maximum(np.linalg.norm(far, axis=0), np.finfo(np.float32).tiny)
    left, right = (far, near) if tall is weight else (near, far)
    norm = np.array([np.sqrt(max(0.0, float(values.sum())))], np.float32)
    return norm, np.ascontiguousarray(left), np.ascontiguousarray(right)


def _cloud(kind: str, table: Array, columns: Array) -> dict[str, Array]:
    rows = np.ones(len(table), np.float32)
    if kind == READ:
        norms = [np.linalg.norm(block, axis=1) for _, block in _blocks(table, rows, columns)]
        rows = (1 / np.maximum(np.concatenate(norms), np.finfo(np.float32).tiny)).astype(np.float32)
    total, squares = np.zeros(table.shape[1]), np.zeros((table.shape[1],) * 2)
    for _, block in _blocks(table, rows, columns):
        total += block.sum(axis=0, dtype=np.float64)
        squares += block.T @ block
    mean = total / len(table)
    covariance = squares / len(table) - np.outer(mean, mean)
    far = np.concatenate([np.square(block - mean).sum(axis=1) for _, block in _blocks(table, rows, columns)])
    numbers = (rows, columns, mean, covariance, np.maximum(far, np.finfo(np.float32).tiny))
    return {f"{kind}.{part}": value.astype(np.float32) for part, value in zip(CLOUD, numbers, strict=True)}


def _blocks(table: Array, rows: Array, columns: Array) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(table), BLOCK_ROWS):
        part = slice(start, min(len(table), start + BLOCK_ROWS))
        yield part, table[part].astype(np.float32) * columns * rows[part, None]


def _is_gemma(folder: Path) -> bool:
    try:
        return str(json.loads((folder / "config.json").read_bytes())["model_type"]).startswith("gemma")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BaseModelError("has no config.json that names its model_type", where=str(folder)) from error


def _write(path: Path, sketch: BaseSketch) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    os.close(handle)
    try:
        write_tensors(Path(name), sketch.tensors, {"base_digest": sketch.digest})
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
