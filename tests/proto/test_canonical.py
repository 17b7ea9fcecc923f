from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.canonical import NESTING_MAX, canonical_bytes, hex_digest, is_hex_digest, parse_canonical
from plora.proto.errors import FormatError, StatementError

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(-1e12, 1e12).map(lambda number: number + 0.0)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_a_value_comes_back_and_has_one_spelling(value: Any) -> None:
    data = canonical_bytes(value)
    assert parse_canonical(data) == value
    assert json.loads(data) == value


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from([" ", "\n", "\t"]))
def test_blanks_are_refused(value: Any, blank: str) -> None:
    with pytest.raises(StatementError):
        parse_canonical(canonical_bytes(value) + blank.encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_arbitrary_bytes_parse_only_when_canonical(data: bytes) -> None:
    try:
        value = parse_canonical(data)
    except StatementError:
        return
    assert canonical_bytes(value) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"a":1}', "given twice"),
        (b'{"b":1,"a":1}', "not canonical"),
        (b'{"a":1.0}', "not canonical"),
        (b'{"a":1e2}', "not canonical"),
        (b'{"a":-0}', "not canonical"),
        (b'"\\u0061"', "not canonical"),
        (b'"\\/"', "not canonical"),
        (b'{"a":9007199254740992}', "2\\^53"),
        (b'{"a":-9007199254740992}', "2\\^53"),
        (b"9" * 4_000, "2\\^53"),
        (b"1e999", "too large"),
        (b"NaN", "NaN"),
        (b"-Infinity", "Infinity"),
        (b'"\\ud800"', "can be signed"),
        (b'"\xff"', "can be signed"),
        (b"\xef\xbb\xbf1", "can be signed"),
        (b"", "can be signed"),
        (b"1 2", "can be signed"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(StatementError, match=reason):
        parse_canonical(data)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (9007199254740991, b"9007199254740991"),
        (1e21, b"1e+21"),
        (1e-7, b"1e-7"),
        (0.000001, b"0.000001"),
        ({"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'.encode()),  # order of UTF-16, not of code points
        ("\x1f\n", b'"\\u001f\\n"'),
    ],
)
def test_rfc_8785_by_hand(value: Any, data: bytes) -> None:
    assert canonical_bytes(value) == data
    assert parse_canonical(data) == value


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), "\ud800", object(), {1: 2}])
def test_what_json_cannot_carry(value: object) -> None:
    with pytest.raises(FormatError):
        canonical_bytes(value)


def test_an_object_may_have_hundreds_of_members() -> None:
    members = {f"member{number}": number for number in range(1000)}
    assert parse_canonical(canonical_bytes(members)) == members


def test_size_and_nesting_bounds_are_exact() -> None:
    deepest = b"[" * NESTING_MAX + b"]" * NESTING_MAX
    assert canonical_bytes(parse_canonical(deepest)) == deepest
    with pytest.raises(StatementError, match="nested"):
        parse_canonical(b"[" + deepest + b"]")
    assert parse_canonical(b'"[[[[[[[[[[[[[[[[[[[[[[\\"[[["') == '[[[[[[[[[[[[[[[[[[[[[["[[['
    siblings = b"[" + b",".join([b"[[]]"] * 40) + b"]"
    assert len(parse_canonical(siblings)) == 40
    with pytest.raises(StatementError, match="nested"):
        parse_canonical(b"[[]," + deepest + b"]")
    assert parse_canonical(b'"abc"', 5) == "abc"
    with pytest.raises(StatementError, match="the limit is 5"):
        parse_canonical(b'"abcd"', 5)


def test_attack_004_deep_nesting_costs_no_time() -> None:
    begin = time.process_time()
    with pytest.raises(StatementError, match="nested"):
        parse_canonical(b"[" * 16_000)
    assert time.process_time() - begin < 0.1


@pytest.mark.parametrize("text", ["ab" * 32 + "\n", "AB" * 32, "ab " * 21 + "a", "ab" * 31, "ab" * 33, "", "١" * 64])
def test_hex_digest_is_strict(text: str) -> None:
    assert not is_hex_digest(text)
    with pytest.raises(FormatError):
        hex_digest(text)


def test_hex_digest() -> None:
    assert hex_digest("0a" * 32) == b"\n" * 32
