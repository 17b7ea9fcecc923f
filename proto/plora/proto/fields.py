"""The grammar of single fields, shared by every signed payload.

Rules:

- Ids match `[a-z0-9][a-z0-9._-]{0,63}` without `--` (folders are named OWNER--ID); `merged` is reserved.
- Digests, statement ids and key ids are 64 lower-case hexadecimal digits.
- Integers stay under 2^53, floats are finite; a boolean is never a number.
- Times are UTC, whole seconds, `YYYY-MM-DDTHH:MM:SSZ`, from 1970 to 9999.
- Text for people is NFC, one line, at most 200 characters, without control, format or private-use characters.
- Module names carry no character that means something in a regular expression, since PEFT would compile them; keys of
  patterns may join such names by single dots.

>>> format_timestamp(parse_timestamp("2026-01-31T23:59:59Z")), epoch_day("1970-01-03T00:00:00Z")
('2026-01-31T23:59:59Z', 2)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from plora.proto.canonical import INTEGER_MAX

SECONDS_A_DAY = 86_400
TEXT_CHARACTERS_MAX = 200
FLOAT_MAX = 1e12

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BASE_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+ ()-]{0,63}")
_MODULE = re.compile(r"[A-Za-z0-9_]{1,64}")
_MODULE_PATH = re.compile(r"[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,15}")
_TIMESTAMP = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
_RESERVED_IDS = ("merged",)
_REFUSED_CATEGORIES = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")

_Item = TypeVar("_Item")


@lru_cache(maxsize=4096)
def parse_timestamp(text: str) -> int:
    """Seconds since 1970 of `YYYY-MM-DDTHH:MM:SSZ`; `ValueError` for every other spelling."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("must look like 2026-01-31T23:59:59Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    if seconds < 0:
        raise ValueError("must not lie before 1970")
    return seconds


def format_timestamp(epoch_s: int) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ` of whole seconds since 1970."""
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_day(timestamp: str) -> int:
    """Days since 1970 of a timestamp: the first part of the order in which statements are reconciled."""
    return parse_timestamp(timestamp) // SECONDS_A_DAY


def check_id(text: str) -> str:
    """`text` itself when it is an id; `ValueError` otherwise."""
    if _ID.fullmatch(text) is None or "--" in text:
        raise ValueError("must be 1 to 64 of a-z 0-9 . _ - , start with a letter or digit and hold no '--'")
    if text in _RESERVED_IDS:
        raise ValueError(f"'{text}' is reserved")
    return text


def _check_timestamp(text: str) -> str:
    parse_timestamp(text)
    return text


def _check_text(text: str) -> str:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"must be at most {TEXT_CHARACTERS_MAX} characters")
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError("must be in Unicode normal form C")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):
        raise ValueError("must be one line without control or invisible characters")
    return text


def _matches(pattern: re.Pattern[str], rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(rule)
        return text

    return AfterValidator(check)


def _check_base_model(text: str) -> str:
    if _BASE_MODEL.fullmatch(text) is None or "--" in text or ".." in text:
        raise ValueError("must be a model's name or hub id, such as google/gemma-3-1b-it")
    return text


def _tuple_of_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _plain_integer(value: object) -> object:
    if type(value) is not int:
        raise ValueError("must be an integer")
    return value


def unique(what: str) -> AfterValidator:
    """A validator that refuses a sequence in which something stands twice."""

    def check(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
        if len(frozenset(items)) != len(items):
            raise ValueError(f"{what} must not be repeated")
        return items

    return AfterValidator(check)


def finite(least: float, most: float) -> Callable[[float], float]:
    """A check that a float lies in [least, most]; NaN and infinities never do."""

    def check(number: float) -> float:
        if not least <= number <= most:
            raise ValueError(f"must lie between {least:g} and {most:g}")
        return number + 0.0  # -0.0 has no canonical spelling of its own

    return check


SchemaVersion = Annotated[Literal[0], BeforeValidator(_plain_integer)]  # Literal alone takes False for 0
Id = Annotated[str, AfterValidator(check_id)]
HexDigest = Annotated[str, _matches(re.compile(r"[0-9a-f]{64}"), "must be 64 lower-case hexadecimal digits")]
Timestamp = Annotated[str, AfterValidator(_check_timestamp)]
Text = Annotated[str, AfterValidator(_check_text)]
BaseModelName = Annotated[str, AfterValidator(_check_base_model)]
Licence = Annotated[str, _matches(_LICENCE, "must be an SPDX expression such as Apache-2.0")]
ModuleName = Annotated[str, _matches(_MODULE, "must be a plain module name, never a regular expression")]
ModulePath = Annotated[str, _matches(_MODULE_PATH, "must be module names joined by dots, never a regular expression")]
Counter = Annotated[int, Field(ge=1, le=INTEGER_MAX)]
FiniteFloat = Annotated[float, AfterValidator(finite(-FLOAT_MAX, FLOAT_MAX))]
ListAsTuple = BeforeValidator(_tuple_of_list)
