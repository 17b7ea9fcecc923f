"""The format: attacks that must fall for the reason named, and the reference library as oracle."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.merge.safetensors_io import (
    HEADER_BYTES_MAX,
    TENSORS_MAX,
    Fault,
    TensorFileError,
    parse_header,
    read_header,
    read_tensors,
    tensors_to_bytes,
    write_tensors,
)
from plora.proto.errors import AdapterError


def entry(begin: int = 0, end: int = 4, shape: object = (1,), dtype: object = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def framed(text: str | bytes, data: int = 4) -> tuple[bytes, int]:
    """A file's header with its length, and the file's size."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw, 8 + len(raw) + data


def fault_of(text: str | bytes | Mapping[str, Any], data: int = 4) -> Fault:
    raw, size = framed(text if isinstance(text, str | bytes) else json.dumps(text), data)
    with pytest.raises(TensorFileError) as caught:
        parse_header(raw, size)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return caught.value.code


GOOD = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'


def test_the_file_that_the_attacks_start_from_is_good() -> None:
    header = parse_header(*framed(GOOD))
    assert list(header.tensors) == ["a"] and header.metadata == {} and header.data_start == 8 + len(GOOD)
    assert parse_header(*framed(GOOD + " " * (-len(GOOD) % 8))).tensors == header.tensors


def test_attack_024_duplicate_tensor_name() -> None:
    inner = GOOD[1:-1]
    assert fault_of("{" + inner + "," + inner + "}") is Fault.DUPLICATE
    assert fault_of("{" + inner + "," + inner.replace('"a"', '"\\u0061"') + "}") is Fault.DUPLICATE


def test_attack_025_duplicate_metadata() -> None:
    assert fault_of('{"__metadata__":{},"__metadata__":{},' + GOOD[1:]) is Fault.DUPLICATE
    assert fault_of('{"__metadata__":{"k":"1","k":"2"},' + GOOD[1:]) is Fault.DUPLICATE


def test_duplicate_field_of_a_tensor() -> None:
    assert fault_of(GOOD.replace('"dtype":"F32"', '"dtype":"F32","dtype":"F32"')) is Fault.DUPLICATE


def test_attack_026_unknown_or_missing_field() -> None:
    assert fault_of({"a": {**entry(), "extra": 1}}) is Fault.FIELDS
    assert fault_of({"a": {"dtype": "F32", "shape": [1]}}) is Fault.FIELDS
    assert fault_of({"a": [1]}) is Fault.FIELDS


@pytest.mark.parametrize(
    "text", [" " + GOOD, "\n" + GOOD, GOOD + "\n", GOOD + "\x00", "\ufeff" + GOOD, GOOD + GOOD[:1]]
)
def test_attack_027_white_space_around(text: str) -> None:
    assert fault_of(text) is Fault.SPACE


@pytest.mark.parametrize("spaces", [1, 9, 10, 18])
def test_attack_027_padding_other_than_to_eight_bytes(spaces: int) -> None:
    assert len(GOOD) % 8 == 6
    assert fault_of(GOOD + " " * spaces) is Fault.SPACE


@pytest.mark.parametrize("length", [0, 1, len(GOOD) + 5, HEADER_BYTES_MAX + 1, 2**63, 2**64 - 1])
def test_attack_028_header_length(length: int) -> None:
    raw = struct.pack("<Q", length) + GOOD.encode()
    with pytest.raises(TensorFileError) as caught:
        parse_header(raw, len(raw) + 4)
    assert caught.value.code is Fault.LENGTH


def test_attack_028_length_alone_or_less() -> None:
    for raw in (b"", b"\x02", struct.pack("<Q", 2)):
        with pytest.raises(TensorFileError) as caught:
            parse_header(raw, len(raw))
        assert caught.value.code is Fault.LENGTH


@pytest.mark.parametrize(
    ("offsets", "data", "fault"),
    [
        (((0, 4), (2, 6)), 6, Fault.OVERLAP),
        (((0, 4), (0, 4)), 4, Fault.OVERLAP),
        (((0, 4), (5, 9)), 9, Fault.HOLE),
        (((1, 5), (5, 9)), 9, Fault.HOLE),
        (((0, 4), (4, 8)), 9, Fault.TRAILING),
        (((0, 4), (4, 8)), 7, Fault.TRUNCATED),
        (((0, 4), (4, 8)), 0, Fault.TRUNCATED),
        (((0, 4), (8, 4)), 8, Fault.OFFSETS),
        (((-4, 0), (0, 4)), 4, Fault.OFFSETS),
        (((0, 4), (4, 4)), 4, Fault.OFFSETS),
        (((0, 4), (4, 9)), 9, Fault.OFFSETS),
    ],
)
def test_attack_029_offsets(offsets: tuple[tuple[int, int], ...], data: int, fault: Fault) -> None:
    assert fault_of({name: entry(*span) for name, span in zip("ab", offsets, strict=True)}, data) is fault


@pytest.mark.parametrize("number", ["4.0", "4e0", "NaN", "Infinity", "9" * 16, "9" * 5000])
def test_attack_029_numbers_that_are_no_plain_integers(number: str) -> None:
    assert fault_of(GOOD.replace(",4]", f",{number}]")) is Fault.NUMBER


@pytest.mark.parametrize("offsets", ["[0]", "[0,4,4]", "[false,4]", '["0",4]', "{}", "null", "[0,null]"])
def test_attack_029_offsets_of_another_kind(offsets: str) -> None:
    assert fault_of(GOOD.replace("[0,4]", offsets)) is Fault.OFFSETS


def test_attack_030_counts() -> None:
    many = {f"t{index}": entry(4 * index, 4 * index + 4) for index in range(TENSORS_MAX + 1)}
    assert fault_of(many, 4 * len(many)) is Fault.COUNT
    many.popitem()
    raw, size = framed(json.dumps(many), 4 * len(many))
    assert len(parse_header(raw, size).tensors) == TENSORS_MAX
    assert fault_of("{}", 0) is Fault.COUNT
    assert fault_of({"__metadata__": {"format": "pt"}}, 0) is Fault.COUNT


def test_attack_030_metadata() -> None:
    good = {"a": entry()}
    assert fault_of({"__metadata__": {"k": "x" * 70_000}, **good}) is Fault.METADATA
    assert fault_of({"__metadata__": {str(index): "" for index in range(65)}, **good}) is Fault.METADATA
    others: tuple[object, ...] = ({"k": 1}, [], "x", None, {"k": {}})
    for value in others:
        assert fault_of({"__metadata__": value, **good}) is Fault.METADATA


@pytest.mark.parametrize("shape", [[2**40, 0], [0], [], [1] * 65, [1] * 5, [-1], [True], ["1"], "1", None, [2**31]])
def test_attack_031_shape(shape: object) -> None:
    assert fault_of({"a": entry(shape=shape)}) is Fault.SHAPE


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\0",
        "../../etc/passwd",
        "a/b",
        ".a",
        "a.",
        "a..b",
        "é",
        "e\u0301",
        "a b",
        "a\n",
        "\ud800",
        "x" * 257,
        "\u202ea",
    ],
)
def test_attack_032_name(name: str) -> None:
    assert fault_of({name: entry()}) is Fault.NAME


@pytest.mark.parametrize("dtype", ["U8", "I32", "BOOL", "F64", "C64", "F8_E4M3", "F4", "f32", "", 1, None, ["F32"]])
def test_attack_033_036_dtype(dtype: object) -> None:
    assert fault_of({"a": entry(dtype=dtype)}) is Fault.DTYPE


@pytest.mark.parametrize(
    "text", ["{]}", "{'a':1}", '{"a":}', "{" * 9 + "}", '{"a":' + "[" * 200_000 + "]" * 200_000 + "}"]
)
def test_what_is_no_json(text: str) -> None:
    assert fault_of(text) is Fault.JSON


def test_header_that_is_no_utf8() -> None:
    assert fault_of(b'{"\xff":1}') is Fault.JSON


def test_tensors_are_listed_in_the_order_of_their_bytes() -> None:
    header = parse_header(*framed(json.dumps({"a": entry(4, 8), "b": entry(0, 4)}), 8))
    assert list(header.tensors) == ["b", "a"]


ARRAYS: dict[str, np.ndarray] = {
    "model.b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "model.a": np.array([[1.5, -2.0]], np.float16),
    "model.c": np.array([[0.5], [3.0]], np.float32),
}


def test_bytes_equal_the_reference_writers() -> None:
    assert tensors_to_bytes(ARRAYS, {"format": "pt"}) == safetensors.numpy.save(ARRAYS, {"format": "pt"})
    assert tensors_to_bytes(ARRAYS) == safetensors.numpy.save(ARRAYS)
    assert tensors_to_bytes(dict(reversed(ARRAYS.items()))) == tensors_to_bytes(ARRAYS)


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.dictionaries(
        st.from_regex(r"[a-z]{1,4}(\.[a-z]{1,3})?", fullmatch=True),
        st.tuples(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.sampled_from(["<f4", "<f2", "bf16"])),
        min_size=1,
        max_size=5,
    )
)
def test_files_written_by_the_reference_are_read_back(
    shapes: dict[str, tuple[list[int], str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("st") / "x.safetensors"
    arrays = {
        name: np.arange(np.prod(shape)).reshape(shape).astype(ml_dtypes.bfloat16 if kind == "bf16" else kind)
        for name, (shape, kind) in shapes.items()
    }
    path.write_bytes(tensors_to_bytes(arrays, {"k": "v"}))
    back = read_tensors(path)
    assert back.keys() == arrays.keys() and read_header(path).metadata == {"k": "v"}
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name].astype(np.float32), array.astype(np.float32))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = tensors_to_bytes(ARRAYS)
    path = tmp_path / "x.safetensors"
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(TensorFileError, match=r"x\.safetensors"):
            read_header(path)


def test_read_tensors_are_read_only_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, ARRAYS)
    tensor = read_tensors(path)["model.b"]
    assert not tensor.flags.writeable and not tensor.flags.owndata


def test_missing_file_and_foreign_dtype(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="No such file"):
        read_tensors(tmp_path / "none")
    with pytest.raises(AdapterError, match="float64"):
        tensors_to_bytes({"a": np.ones(1)})
