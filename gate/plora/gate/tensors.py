"""From a safetensors file to its features: one pass, nothing kept that isn't needed, no verdict.

Rules:

- The file must be regular and is opened without following a link. SHA-256 and chunk root are taken of the very bytes
  that the parser and the statistics see.
- The strict header parser is `plora.merge.safetensors_io`; where it refuses, the rest is still hashed, so that the
  features can be named by the digest.
- A module's factors are `base_model.model.PATH.lora_A.weight` (rank, in) and `...lora_B.weight` (out, rank).
- ||B @ A||_F^2 = tr((B^T B)(A A^T)), in float64 from the rank x rank cores; the dense product is never formed. Elements
  that are not finite count as zero there; they are counted as what they are beside it.
- An element of B @ A is at most its row norm of B times its column norm of A (Cauchy-Schwarz).

Not handled here: limits on time and memory (`plora.gate.worker`), and what any of this means (`plora.gate.stages`).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plora.gate.features import Features, ModuleFacts, TensorFacts, ValueFacts
from plora.merge.safetensors_io import HEADER_BYTES_MAX, LENGTH_BYTES, Fault, TensorFileError, parse_header
from plora.proto.chunks import chunk_root
from plora.proto.errors import AdapterError

BLOCK_BYTES = 1 << 20
BLOCK_ELEMENTS = 1 << 20
CORE_RANK_MAX = 1024
PEAK_ELEMENTS_MIN = 64
SINGLE_MIN_NORMAL = float(np.finfo(np.float32).tiny)

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_FACTOR = re.compile(r"base_model\.model\.([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)\.lora_([AB])\.weight")
FOREIGN = (
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1f\x8b", "gzip"),
    (b"\x80\x02", "pickle"),
    (b"\x80\x04", "pickle"),
    (b"\x80\x05", "pickle"),
)


def examine_file(path: Path, *, chunk_bytes: int = 0) -> Features:
    """The features of the file at `path`. Raises AdapterError where it isn't a readable, regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise AdapterError(f"can't be opened ({error.strerror})", where=str(path)) from error
    try:
        return examine_descriptor(descriptor, chunk_bytes=chunk_bytes)
    finally:
        os.close(descriptor)


def examine_descriptor(descriptor: int, *, chunk_bytes: int = 0) -> Features:
    """The features of an open file, read from its current position. The descriptor stays open."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise AdapterError("not a regular file")
    source = _Source(descriptor, chunk_bytes)
    survey = _Survey()
    try:
        _examine(source, status.st_size, survey)
    except TensorFileError as error:
        source.drain()
        return source.named(Features("", 0, header_error=_code(error, source.first), header_detail=str(error)[:200]))
    source.drain()
    return source.named(survey.features())


def _examine(source: _Source, size_bytes: int, survey: _Survey) -> None:
    start = source.read(LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    header = parse_header(start + source.read(min(length, HEADER_BYTES_MAX)), size_bytes)
    for name, entry in header.tensors.items():
        raw = source.read(entry.end - entry.begin)
        if len(raw) != entry.end - entry.begin:
            raise TensorFileError(Fault.TRUNCATED, "the file ended while it was read")
        survey.add(name, entry.dtype, entry.shape, raw)


@dataclass
class _Source:
    """A descriptor whose bytes are hashed, whole and by chunks, as they are read."""

    descriptor: int
    chunk_bytes: int
    size_bytes: int = 0
    first: bytes = b""
    _whole: hashlib._Hash = field(default_factory=hashlib.sha256)
    _chunk: hashlib._Hash = field(default_factory=hashlib.sha256)
    _chunks: list[bytes] = field(default_factory=list)

    def read(self, count: int) -> bytes:
        """`count` bytes, or fewer at the end of the file."""
        parts: list[bytes] = []
        while count > 0 and (part := os.read(self.descriptor, min(count, BLOCK_BYTES))):
            self._hash(part)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Hash what is left."""
        while self.read(BLOCK_BYTES):
            pass

    def named(self, features: Features) -> Features:
        """The features under the digest of all bytes read."""
        root = ""
        if self.chunk_bytes:
            partial = [self._chunk.digest()] if self.size_bytes % self.chunk_bytes else []
            root = chunk_root([*self._chunks, *partial]).hex()
        return Features(
            sha256=self._whole.hexdigest(),
            size_bytes=self.size_bytes,
            header_error=features.header_error,
            header_detail=features.header_detail,
            tensors=features.tensors,
            values=features.values,
            modules=features.modules,
            unexpected=features.unexpected,
            unpaired=features.unpaired,
            chunk_bytes=self.chunk_bytes,
            chunk_root=root,
        )

    def _hash(self, part: bytes) -> None:
        self.first = (self.first + part[:16])[:16]
        self._whole.update(part)
        while self.chunk_bytes and part:
            room = self.chunk_bytes - self.size_bytes % self.chunk_bytes
            head, part = part[:room], part[room:]
            self._chunk.update(head)
            self.size_bytes += len(head)
            if len(head) == room:
                self._chunks.append(self._chunk.digest())
                self._chunk = hashlib.sha256()
        self.size_bytes += len(part)


@dataclass
class _Survey:
    """What is known after some of the tensors; a factor's numbers are kept until its partner comes."""

    tensors: dict[str, TensorFacts] = field(default_factory=dict)
    modules: dict[str, ModuleFacts] = field(default_factory=dict)
    values: ValueFacts = field(default_factory=ValueFacts)
    unexpected: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    _alone: dict[str, tuple[str, str, Floats]] = field(default_factory=dict)

    def add(self, name: str, dtype: str, shape: tuple[int, ...], raw: bytes) -> None:
        """Take in one tensor in file order."""
        self.tensors[name] = TensorFacts(dtype, shape)
        numbers = decode(raw, dtype)
        self.values = add_values(self.values, name, numbers)
        factor = _FACTOR.fullmatch(name)
        if factor is None:
            self.unexpected.append(name)
        elif len(shape) != 2 or 0 in shape:
            self.unfit.append(name)
        else:
            self._pair(factor[1], name, dtype, numbers.reshape(shape))

    def features(self) -> Features:
        """The features, still without a name."""
        return Features(
            sha256="",
            size_bytes=0,
            tensors=self.tensors,
            values=self.values,
            modules=self.modules,
            unexpected=tuple(sorted(self.unexpected)),
            unpaired=tuple(sorted([*self.unfit, *(name for name, _, _ in self._alone.values())])),
        )

    def _pair(self, module: str, name: str, dtype: str, factor: Floats) -> None:
        if module not in self._alone:
            self._alone[module] = (name, dtype, factor)
            return
        other = self._alone.pop(module)
        (a_name, a_dtype, a), (b_name, b_dtype, b) = sorted([other, (name, dtype, factor)], key=lambda one: one[0])
        if a.shape[0] != b.shape[1]:
            self.unfit += [a_name, b_name]
        else:
            self.modules[module] = module_facts(a, b, (a_dtype, b_dtype))


def decode(raw: bytes, dtype: str) -> Floats:
    """The flat numbers of a tensor in single precision, which holds F16, BF16 and F32 exactly."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32, copy=False)


def add_values(values: ValueFacts, name: str, numbers: Floats) -> ValueFacts:
    """The counts with one more tensor; `numbers` is flat."""
    nan = inf = zeros = denormals = 0
    peak = energy = 0.0
    for start in range(0, numbers.size, BLOCK_ELEMENTS):
        block = numbers[start : start + BLOCK_ELEMENTS]
        size = np.abs(block[np.isfinite(block)].astype(np.float64))
        nan += int(np.isnan(block).sum())
        inf += int(np.isinf(block).sum())
        zeros += int((size == 0).sum())
        denormals += int(((size > 0) & (size < SINGLE_MIN_NORMAL)).sum())
        peak = max(peak, float(size.max(initial=0.0)))
        energy += float(np.square(size).sum())
    share = peak * peak / energy if energy > 0 and numbers.size >= PEAK_ELEMENTS_MIN else 0.0
    return ValueFacts(
        elements=values.elements + numbers.size,
        nan=values.nan + nan,
        inf=values.inf + inf,
        zeros=values.zeros + zeros,
        denormals=values.denormals + denormals,
        max_abs=max(values.max_abs, peak),
        peak_share=max(values.peak_share, share),
        peak_tensor=name if share > values.peak_share else values.peak_tensor,
        first_non_finite=values.first_non_finite or (name if nan or inf else ""),
    )


def module_facts(a: Floats, b: Floats, dtypes: tuple[str, str]) -> ModuleFacts:
    """The facts of factors A (rank, in) and B (out, rank) of one rank.

    Above `CORE_RANK_MAX`, which no manifest can sign, norm and bound are 0.
    """
    rank, in_dim = a.shape
    delta_norm = bound = 0.0
    imbalance = 1.0
    if rank <= CORE_RANK_MAX:
        core_a, column_max = _core(a.T)
        core_b, row_max = _core(b)
        delta_norm = float(np.sqrt(max(0.0, float(np.sum(core_a * core_b)))))
        bound = row_max * column_max
        if delta_norm > 0:
            imbalance = float(np.sqrt(np.trace(core_a) * np.trace(core_b))) / delta_norm
    return ModuleFacts(rank, in_dim, b.shape[0], delta_norm, bound, imbalance, dtypes)


def _core(tall: Floats) -> tuple[Doubles, float]:
    """X^T X of a tall (n, rank) matrix, and the largest norm of its rows, in blocks of rows."""
    rank = tall.shape[1]
    core = np.zeros((rank, rank), dtype=np.float64)
    largest = 0.0
    rows = max(1, BLOCK_ELEMENTS // rank)
    for start in range(0, tall.shape[0], rows):
        block = np.nan_to_num(tall[start : start + rows].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        core += block.T @ block
        largest = max(largest, float(np.square(block).sum(axis=1).max()))
    return core, float(np.sqrt(largest))


def _code(error: TensorFileError, first: bytes) -> str:
    """The parser's code, or what the file rather is, where its first bytes say so."""
    for magic, name in FOREIGN:
        if first.startswith(magic):
            return f"header_{name}"
    return str(error.code)
