"""Canonical bytes: RFC 8785 JSON out, strictly canonical JSON in, digests in strict lower-case hexadecimal.

Rules:

- Whatever is signed or named by a digest is RFC 8785 JSON. It travels as bytes and is never serialised again.
- Reading refuses whatever RFC 8785 would not have written: other white space, another key order, a key given twice,
  `NaN`, `1.0` for `1`, integers of 2^53 and more, lone surrogates, invalid UTF-8. One value has one byte string.
- Size and nesting are checked before anything is parsed, so hostile input costs linear time.
- Not handled here: what the fields mean (`plora.proto.payloads`, `plora.proto.manifest`).

>>> canonical_bytes({"b": 1.0, "a": [True, None]})
b'{"a":[true,null],"b":1}'
>>> parse_canonical(b'{"a":[true,null],"b":1}')
{'a': [True, None], 'b': 1}
>>> parse_canonical(b'{"a": 1}')
Traceback (most recent call last):
    ...
plora.proto.errors.StatementError: not canonical JSON (RFC 8785); re-create it with Plora
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any, NoReturn

import rfc8785

from plora.proto.errors import FormatError, StatementError

PAYLOAD_BYTES_MAX = 16 * 1024
NESTING_MAX = 16
INTEGER_MAX = 2**53 - 1

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
PREFIX_DIGITS_MIN = 4
_INTEGER_DIGITS_MAX = 16


def canonical_bytes(value: object) -> bytes:
    """RFC 8785 bytes of a JSON value (dict with text keys, list, tuple, str, int, float, bool, None).

    Raises `FormatError` for values JSON cannot carry: integers beyond ±(2^53 − 1), NaN, infinities, lone surrogates.
    """
    try:
        encoded: bytes = rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise FormatError(f"no canonical JSON for this value ({error})") from error
    return encoded


def parse_canonical(data: bytes, bytes_max: int = PAYLOAD_BYTES_MAX) -> Any:
    """The JSON value whose RFC 8785 bytes are exactly `data`.

    Raises `StatementError` when `data` is larger than `bytes_max`, nested deeper than `NESTING_MAX`, or not the
    canonical form of any value.
    """
    if len(data) > bytes_max:
        raise StatementError(f"{len(data)} bytes, the limit is {bytes_max}")
    if _nesting(data) > NESTING_MAX:
        raise StatementError(f"nested deeper than {NESTING_MAX} levels")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object_without_twins,
            parse_int=_small_integer,
            parse_float=_finite_float,
            parse_constant=_refuse_constant,
        )
        again = canonical_bytes(value)
    except (ValueError, FormatError) as error:
        if isinstance(error, StatementError):
            raise
        raise StatementError(f"not JSON that can be signed ({error})") from error
    if again != data:
        raise StatementError("not canonical JSON (RFC 8785)", mend="re-create it with Plora")
    return value


def sha256(data: bytes) -> bytes:
    """The 32-byte SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_hex_digest(text: str) -> bool:
    """Whether `text` is exactly 64 lower-case hexadecimal digits (no blanks, no capitals, no line end)."""
    return _HEX_DIGEST.fullmatch(text) is not None


def begins(text: str, *digests: str) -> bool:
    """Whether a person who typed `text` means one of these hexadecimal ids: `PREFIX_DIGITS_MIN` digits at least.

    >>> begins("abcd", "ab" * 32), begins("abcd", "abcd" * 16), begins("abc", "abcd" * 16)
    (False, True, False)
    """
    return len(text) >= PREFIX_DIGITS_MIN and any(digest.startswith(text) for digest in digests)


def hex_digest(text: str) -> bytes:
    """The 32 bytes that 64 lower-case hexadecimal digits name; `FormatError` for anything else.

    `bytes.fromhex` alone takes blanks and capitals, which would give one digest several spellings.
    """
    if not is_hex_digest(text):
        raise FormatError("not 64 lower-case hexadecimal digits", mend="copy the digest as it was printed")
    return bytes.fromhex(text)


def _nesting(data: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _object_without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StatementError("a key is given twice in one object")
    return members


def _small_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _INTEGER_DIGITS_MAX or abs(int(digits)) > INTEGER_MAX:
        raise StatementError("an integer is 2^53 or more")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StatementError("a number is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise StatementError(f"{name} is not JSON")
