"""The safetensors format, read strictly and written deterministically, in numpy.

Rules of reading (each broken rule raises TensorFileError, whose `code` is a `Fault`):

- A file is 8 bytes of little-endian header length, the header (JSON), the data. The header holds at most
  `HEADER_BYTES_MAX` bytes, at least `{}`; it starts with `{`. Behind the last `}` only the spaces that pad the header
  to the next multiple of 8 may stand, as the reference writer makes them; no other white space around it.
- No name occurs twice, on any level, however it is escaped; `__metadata__` is a flat map of strings, bounded.
- A tensor has exactly the fields `dtype`, `shape`, `data_offsets`; integers are plain (no floats, no booleans).
- dtypes: F16, BF16, F32. Shapes: 1 to `AXES_MAX` axes of 1 to `AXIS_MAX`. At most `TENSORS_MAX` tensors.
- Names are dotted words of `[A-Za-z0-9_-]`, at most `NAME_CHARS_MAX` characters.
- Offsets cover the data exactly: no overlap, hole, trailing or missing byte; each length is what dtype and shape
  say.

Rules of writing: tensors in the order (item size descending, name), compact JSON, padding by spaces: byte-identical for
equal content, and equal to what the reference writer makes.

Not handled: values (NaN, ranges) and the meaning of names.

>>> import struct
>>> text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  '
>>> header = parse_header(struct.pack("<Q", len(text)) + text, file_size=8 + len(text) + 4)
>>> header.tensors["a"]
TensorEntry(dtype='F32', shape=(1,), begin=0, end=4)
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from plora.merge.factors import Array
from plora.proto.errors import AdapterError

LENGTH_BYTES = 8
HEADER_BYTES_MAX = 1 << 20
METADATA_BYTES_MAX = 64 << 10
METADATA_ENTRIES_MAX = 64
TENSORS_MAX = 4096
AXES_MAX = 4
AXIS_MAX = (1 << 31) - 1
NAME_CHARS_MAX = 256

DTYPES: Mapping[str, np.dtype[Any]] = {
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
}
Layout = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
"""Tensors by name: dtype and shape."""
_DTYPE_NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_INTEGER_DIGITS_MAX = 15
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})


class Fault(StrEnum):
    """Why a tensor file is refused; fit to be a verdict's reason."""

    LENGTH = "header_length"
    JSON = "header_json"
    SPACE = "header_white_space"
    NUMBER = "header_number"
    DUPLICATE = "header_duplicate_name"
    METADATA = "header_metadata"
    COUNT = "header_count"
    FIELDS = "header_fields"
    NAME = "header_name"
    DTYPE = "header_dtype"
    SHAPE = "header_shape"
    OFFSETS = "header_offsets"
    OVERLAP = "header_overlap"
    HOLE = "header_hole"
    TRUNCATED = "header_truncated"
    TRAILING = "header_trailing"


class TensorFileError(AdapterError):
    """A tensor file breaks a rule of the format; `code` names the rule."""

    def __init__(self, code: Fault, what: str, *, where: str = "") -> None:
        super().__init__(what, where=where)
        self.code = code


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: `begin` and `end` count bytes from the beginning of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header: name -> tensor in the order of the bytes, metadata, and where the data begins in the file."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int


def parse_header(raw: bytes, file_size: int) -> Header:
    """Check and parse the header of a file of `file_size` bytes.

    `raw`: the beginning of the file, at least its first 8 + `HEADER_BYTES_MAX` bytes or all of it.
    Raises TensorFileError; its time and memory are bounded by `HEADER_BYTES_MAX`.
    """
    text, data_start = _header_text(raw, file_size)
    document = _load_json(text)
    metadata = _metadata(document.pop("__metadata__", {}))
    if not 1 <= len(document) <= TENSORS_MAX:
        raise TensorFileError(Fault.COUNT, f"{len(document)} tensors where 1 to {TENSORS_MAX} are allowed")
    entries = [(name, _entry(name, fields)) for name, fields in document.items()]
    ordered = dict(sorted(entries, key=lambda item: (item[1].begin, item[0])))
    _check_layout(ordered, file_size - data_start)
    return Header(ordered, metadata, data_start)


def read_header(path: Path) -> Header:
    """The checked header of the file at `path`. Raises TensorFileError, and AdapterError when it can't be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return parse_header(file.read(LENGTH_BYTES + HEADER_BYTES_MAX), size)
    except TensorFileError as error:
        raise TensorFileError(error.code, error.what, where=str(path)) from None
    except OSError as error:
        raise AdapterError(error.strerror or "can't be read", where=str(path)) from error


def read_tensors(path: Path) -> Mapping[str, Array]:
    """All tensors of a file by name, memory-mapped and read-only, in their own dtype; see `parse_header` for errors."""
    header = read_header(path)
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=0)
    start = header.data_start
    return {
        name: data[start + entry.begin : start + entry.end].view(DTYPES[entry.dtype]).reshape(entry.shape)
        for name, entry in header.tensors.items()
    }


def header_to_bytes(layout: Layout, metadata: Mapping[str, str] | None = None) -> tuple[bytes, dict[str, int]]:
    """Length and header of a file of such tensors, and where in the file each begins, in the order of the bytes.

    Raises AdapterError for dtypes other than F16, BF16 and F32.
    """
    document: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    begins: dict[str, int] = {}
    offset = 0
    for name, (dtype, shape) in sorted(layout.items(), key=lambda item: (-item[1][0].itemsize, item[0])):
        if dtype not in _DTYPE_NAMES:
            raise AdapterError(f"tensor {name} has dtype {dtype}, not one of {', '.join(DTYPES)}")
        begins[name] = offset
        offset += math.prod(shape) * dtype.itemsize
        span = [begins[name], offset]
        document[name] = {"dtype": _DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": span}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    start = LENGTH_BYTES + len(text)
    return struct.pack("<Q", len(text)) + text, {name: start + begin for name, begin in begins.items()}


def tensors_to_bytes(tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The file's bytes for F16, BF16 or F32 `tensors`, the same for equal content; AdapterError for other dtypes."""
    header, begins = header_to_bytes({name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}, metadata)
    return b"".join([header, *(np.ascontiguousarray(tensors[name]).tobytes() for name in begins)])


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a new file and sync it to disk; see `tensors_to_bytes`."""
    write_synced(path, tensors_to_bytes(tensors, metadata))


def write_synced(path: Path, data: bytes) -> None:
    """Write `data` to `path` and return when it is on the disk (the folder's entry is the caller's to sync)."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _header_text(raw: bytes, file_size: int) -> tuple[bytes, int]:
    if len(raw) < LENGTH_BYTES:
        raise TensorFileError(Fault.LENGTH, f"{len(raw)} bytes are no safetensors file")
    (length,) = struct.unpack("<Q", raw[:LENGTH_BYTES])
    end = LENGTH_BYTES + length
    if not 2 <= length <= HEADER_BYTES_MAX or end > file_size or end > len(raw):
        raise TensorFileError(Fault.LENGTH, f"header length {length} is out of bounds for {file_size} bytes")
    padded = raw[LENGTH_BYTES:end]
    text = padded.rstrip(b" ")
    # The reference writer pads to a multiple of 8; any other blank around the header could carry or hide something.
    spaces = len(padded) - len(text)
    if not (text.startswith(b"{") and text.endswith(b"}")) or (spaces and spaces != -len(text) % LENGTH_BYTES):
        raise TensorFileError(Fault.SPACE, "the header is not one JSON object followed by padding to 8 bytes")
    return text, end


def _load_json(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except (ValueError, RecursionError) as error:
        raise TensorFileError(Fault.JSON, "the header is not JSON") from error
    if not isinstance(document, dict):
        raise TensorFileError(Fault.JSON, "the header is not a JSON object")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise TensorFileError(Fault.DUPLICATE, f"the name {twice[:NAME_CHARS_MAX]!a} stands twice in the header")
    return result


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX:
        raise TensorFileError(Fault.NUMBER, f"an integer of {len(digits)} digits in the header")
    return int(digits)


def _no_float(text: str) -> float:
    raise TensorFileError(Fault.NUMBER, "a number in the header is not a plain integer")


def _metadata(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise TensorFileError(Fault.METADATA, "__metadata__ is not a map of strings")
    total = sum(len(key) + len(item) for key, item in value.items())
    if len(value) > METADATA_ENTRIES_MAX or total > METADATA_BYTES_MAX:
        raise TensorFileError(Fault.METADATA, f"__metadata__ holds {len(value)} entries of {total} characters")
    return value


def _entry(name: str, fields: object) -> TensorEntry:
    if len(name) > NAME_CHARS_MAX or not _NAME.fullmatch(name):
        raise TensorFileError(Fault.NAME, f"{name[:NAME_CHARS_MAX]!a} is no name of a tensor")
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise TensorFileError(Fault.FIELDS, f"tensor {name} has other fields than dtype, shape, data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise TensorFileError(Fault.DTYPE, f"tensor {name} has a dtype other than {', '.join(DTYPES)}")
    if not _plain_integers(shape, 1, AXES_MAX) or not all(1 <= axis <= AXIS_MAX for axis in shape):
        raise TensorFileError(Fault.SHAPE, f"tensor {name} has a shape out of bounds")
    bytes_needed = math.prod(shape) * DTYPES[dtype].itemsize
    if not _plain_integers(offsets, 2, 2) or offsets[0] < 0 or offsets[1] - offsets[0] != bytes_needed:
        raise TensorFileError(Fault.OFFSETS, f"tensor {name} has offsets that don't span its shape and dtype")
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _plain_integers(value: object, least: int, most: int) -> bool:
    return isinstance(value, list) and least <= len(value) <= most and all(type(item) is int for item in value)


def _check_layout(ordered: Mapping[str, TensorEntry], data_bytes: int) -> None:
    position = 0
    for name, entry in ordered.items():
        if entry.begin < position:
            raise TensorFileError(Fault.OVERLAP, f"tensor {name} overlaps the one before it")
        if entry.begin > position:
            raise TensorFileError(Fault.HOLE, f"{entry.begin - position} bytes before tensor {name} are nobody's")
        position = entry.end
    if position > data_bytes:
        raise TensorFileError(Fault.TRUNCATED, f"the file lacks {position - data_bytes} bytes")
    if position < data_bytes:
        raise TensorFileError(Fault.TRAILING, f"{data_bytes - position} bytes behind the last tensor are nobody's")
