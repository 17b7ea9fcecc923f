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

Not handled here: limits on time and memory (`plora.node.workers`), and what any of this means (`plora.gate.stages`).
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
LONG_SHARE = 0.999
"""Columns whose squared norm in single precision is at least this share of the largest are measured exactly."""
SINGLE_MIN_NORMAL = np.finfo(np.float32).tiny

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
    start = bytes(source.read(LENGTH_BYTES))
    length = int.from_bytes(start, "little")
    header = parse_header(start + bytes(source.read(min(length, HEADER_BYTES_MAX))), size_bytes)
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

    def read(self, count: int) -> memoryview:
        """`count` bytes, or fewer at the end of the file."""
        whole = memoryview(bytearray(count))
        filled = 0
        while filled < count and (got := os.readv(self.descriptor, [whole[filled : filled + BLOCK_BYTES]])):
            self._hash(whole[filled : filled + got])
            filled += got
        return whole[:filled].toreadonly()

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

    def _hash(self, part: memoryview) -> None:
        self.first = (self.first + bytes(part[:16]))[:16]
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
    _alone: dict[str, Factor] = field(default_factory=dict)

    def add(self, name: str, dtype: str, shape: tuple[int, ...], raw: bytes | memoryview) -> None:
        """Take in one tensor in file order."""
        self.tensors[name] = TensorFacts(dtype, shape)
        numbers = decode(raw, dtype)
        match, factor = _FACTOR.fullmatch(name), None
        if match is None:
            self.unexpected.append(name)
        elif len(shape) != 2 or 0 in shape:
            self.unfit.append(name)
        else:
            matrix = numbers.reshape(shape)
            factor = Factor.of(name, dtype, matrix if match[2] == "A" else matrix.T)
            self._pair(match[1], factor)
        self.values = add_values(self.values, name, numbers, factor.energy if factor else None)

    def features(self) -> Features:
        """The features, still without a name."""
        return Features(
            sha256="",
            size_bytes=0,
            tensors=self.tensors,
            values=self.values,
            modules=self.modules,
            unexpected=tuple(sorted(self.unexpected)),
            unpaired=tuple(sorted([*self.unfit, *(factor.name for factor in self._alone.values())])),
        )

    def _pair(self, module: str, factor: Factor) -> None:
        other = self._alone.pop(module, None)
        if other is None:
            self._alone[module] = factor
            return
        a, b = sorted([other, factor], key=lambda one: one.name)
        if a.rank != b.rank:
            self.unfit += [a.name, b.name]
        else:
            self.modules[module] = module_facts(a, b)


@dataclass(frozen=True, slots=True)
class Factor:
    """What a pair's facts need of a factor X, taken as a wide (rank, length) matrix: A itself, B transposed.

    `core` is X X^T, `longest` the largest norm of its columns; numbers that are not finite count as zero. Above
    `CORE_RANK_MAX`, which no manifest can sign, both are left out.
    """

    name: str
    dtype: str
    rank: int
    length: int
    core: Doubles | None = None
    longest: float = 0.0

    @classmethod
    def of(cls, name: str, dtype: str, wide: Floats) -> Factor:
        """The factor of these numbers."""
        rank, length = wide.shape
        return cls(name, dtype, rank, length, *(_core(wide) if rank <= CORE_RANK_MAX else (None, 0.0)))

    @property
    def energy(self) -> float | None:
        """Sum of the squares; None where there is no core."""
        return None if self.core is None else float(np.trace(self.core))


def decode(raw: bytes | memoryview, dtype: str) -> Floats:
    """The flat numbers of a tensor in single precision, which holds F16, BF16 and F32 exactly."""
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32, copy=False)


def add_values(values: ValueFacts, name: str, numbers: Floats, energy: float | None = None) -> ValueFacts:
    """The counts with one more tensor; `numbers` is flat, `energy` the squares of the finite ones, if known."""
    nan = inf = zeros = denormals = 0
    peak = summed = 0.0
    for start in range(0, numbers.size, BLOCK_ELEMENTS):
        size = np.abs(numbers[start : start + BLOCK_ELEMENTS])
        if not np.isfinite(size.max()):  # NaN is the maximum of what holds it
            nan += int(np.isnan(size).sum())
            inf += int(np.isinf(size).sum())
            size = size[np.isfinite(size)]
        tiny = int(np.count_nonzero(size < SINGLE_MIN_NORMAL))
        zero = int(np.count_nonzero(size == 0)) if tiny else 0
        zeros, denormals = zeros + zero, denormals + tiny - zero
        peak = max(peak, float(size.max(initial=0.0)))
        if energy is None:
            summed += float(np.square(size, dtype=np.float64).sum())
    total = summed if energy is None else energy
    share = peak * peak / total if total > 0 and numbers.size >= PEAK_ELEMENTS_MIN else 0.0
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


def module_facts(a: Factor, b: Factor) -> ModuleFacts:
    """The facts of two factors of one rank. Without cores, norm and bound are 0."""
    delta_norm = bound = 0.0
    imbalance = 1.0
    if a.core is not None and b.core is not None:
        delta_norm = float(np.sqrt(max(0.0, float(np.sum(a.core * b.core)))))
        bound = a.longest * b.longest
        if delta_norm > 0:
            imbalance = float(np.sqrt(np.trace(a.core) * np.trace(b.core))) / delta_norm
    return ModuleFacts(a.rank, a.length, b.length, delta_norm, bound, imbalance, (a.dtype, b.dtype))


def _core(wide: Floats) -> tuple[Doubles, float]:
    """X X^T of a wide (rank, n) matrix, and the largest norm of its columns, in blocks of columns."""
    rank, length = wide.shape
    core = np.zeros((rank, rank), dtype=np.float64)
    largest = 0.0
    step = max(1, BLOCK_ELEMENTS // rank)
    for start in range(0, length, step):
        block = wide[:, start : start + step]
        squares = np.einsum("ij,ij->j", block, block)
        if not np.isfinite(squares).all():  # not finite, or too large for squares in single precision
            block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
            squares = np.einsum("ij,ij->j", block, block, dtype=np.float64)
        doubles = block.astype(np.float64)
        core += doubles @ doubles.T
        longest = doubles[:, squares >= LONG_SHARE * squares.max()]
        largest = max(largest, float(np.square(longest).sum(axis=0).max()))
    return core, float(np.sqrt(largest))


def _code(error: TensorFileError, first: bytes) -> str:
    """The parser's code, or what the file rather is, where its first bytes say so."""
    for magic, name in FOREIGN:
        if first.startswith(magic):
            return f"header_{name}"
    return str(error.code)
