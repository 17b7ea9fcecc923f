"""YAML that can mean one thing only: text to a JSON-like tree, with the line of every field.

Rules:

- Refused with the line: anchors, aliases, tags, merge keys, directives, several documents, a key given twice, keys that
  are not text, block text (`|`, `>`), a byte order mark.
- A plain scalar is `true`, `false`, `null`, a number as JSON has it (an exponent needs a point and a sign: `1.0e-07`),
  or text. Text that any YAML version would read as something else (`no`, `012`, `1e3`, `~`, dates) must be quoted.
- Size, brackets, indentation and markers a line are bounded *before* the parser runs, since it is quadratic in depth.
- Not handled here: which fields exist (`plora.proto.yaml_view`).

>>> parse_yaml(b"a: [1, 2.5, 'no', plain text]").tree
{'a': [1, 2.5, 'no', 'plain text']}
>>> parse_yaml(b"a: 1\\nb: no")
Traceback (most recent call last):
    ...
plora.proto.errors.FormatError: line 2: 'no' means different things to different readers; put it in quotes
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from plora.proto.canonical import INTEGER_MAX
from plora.proto.errors import FormatError

YAML_BYTES_MAX = 64 * 1024
DEPTH_MAX = 16
BRACKETS_MAX = 256
MARKERS_A_LINE_MAX = 4
INDENT_MAX = 64

_INTEGER_CHARACTERS_MAX = 17
_MARKERS = re.compile(r"^[ ]*(?:[-?:][ \t]+|[-?:]$)+", re.MULTILINE)
_MARKER = re.compile(r"[-?:]")
_INDENT = re.compile(r"^[ ]*", re.MULTILINE)
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]+)?")
_OF_NUMBERS = tuple("0123456789.+-")
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_NOT_TEXT = re.compile(
    r"""~ | y | n | yes | no | on | off | true | false | null | nan | inf | << | =
    | [-+]?0o?[0-7_]+ | [-+]?0x[0-9a-f_]+ | [-+]?0b[01_]+
    | [-+]?(\.[0-9_]+ | [0-9][0-9_,]*(\.[0-9_]*)?)(e[-+]?[0-9]+)?
    | [-+]?[0-9][0-9_]*(:[0-9.]+)+
    | [-+]?\.(inf|nan)
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Yaml:
    """A parsed document: its tree, and per dotted path (`lora.alpha`) the line where the value begins."""

    tree: Any
    lines: dict[str, int]

    def where(self, path: str) -> str:
        """`line N, path`, by the nearest enclosing field that stands in the text."""
        known = path
        while known not in self.lines and known:
            known = known.rpartition(".")[0]
        return ", ".join(part for part in (f"line {self.lines.get(known, 1)}", path) if part)


def parse_yaml(data: bytes, bytes_max: int = YAML_BYTES_MAX) -> Yaml:
    """The one document in `data`; `FormatError` with the line in `where` for whatever this module refuses."""
    if len(data) > bytes_max:
        raise FormatError(f"{len(data)} bytes, the limit is {bytes_max}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("not UTF-8") from error
    _check_shape(text)
    try:
        return _Builder(yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FormatError(f"not YAML ({error.problem})", where=f"line {line}") from error
    except yaml.YAMLError as error:
        raise FormatError("a character that YAML doesn't allow") from error


def must_be_quoted(text: str) -> bool:
    """Whether a plain scalar of this text would be refused or would not come back as text."""
    return _NOT_TEXT.fullmatch(text) is not None or _FLOAT.fullmatch(text) is not None


def _check_shape(text: str) -> None:
    if text.startswith("\ufeff"):
        raise FormatError("begins with a byte order mark", mend="save it as UTF-8 without one")
    if text.count("[") + text.count("{") > BRACKETS_MAX:
        raise FormatError(f"more than {BRACKETS_MAX} opening brackets")
    deepest = 0
    for depth in _bracket_depths(text):
        deepest = max(deepest, depth)
    if deepest > DEPTH_MAX:
        raise FormatError(f"nested deeper than {DEPTH_MAX} levels")
    if any(len(_MARKER.findall(match[0])) > MARKERS_A_LINE_MAX for match in _MARKERS.finditer(text)):
        raise FormatError(f"more than {MARKERS_A_LINE_MAX} markers at the beginning of a line")
    if any(len(match[0]) > INDENT_MAX for match in _INDENT.finditer(text)):
        raise FormatError(f"indented by more than {INDENT_MAX} spaces")


def _bracket_depths(text: str) -> Iterator[int]:
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        yield depth


class _Builder:
    """Builds the tree from parser events; everything that YAML has and JSON has not is refused on sight."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._lines: dict[str, int] = {}

    def document(self) -> Yaml:
        """The only document of the stream."""
        next(self._events)
        start = next(self._events)
        if not isinstance(start, yaml.DocumentStartEvent):
            raise FormatError("empty")
        if start.version is not None or start.tags:
            raise _refusal(start, "a directive")
        tree = self._value(next(self._events), "", 0)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _refusal(following, "a second document")
        return Yaml(tree, self._lines)

    def _value(self, event: yaml.Event, path: str, depth: int) -> Any:
        _refuse_features(event)
        self._lines[path] = _line(event)
        if depth > DEPTH_MAX:
            raise FormatError(f"nested deeper than {DEPTH_MAX} levels", where=f"line {_line(event)}")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, f"{path}.{len(items)}", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = _key(event)
            if key in members:
                raise FormatError(f"the key '{key}' is given twice", where=f"line {_line(event)}", mend="remove one")
            members[key] = self._value(next(self._events), f"{path}.{key}".lstrip("."), depth + 1)
        return members


def _refuse_features(event: yaml.Event) -> None:
    if isinstance(event, yaml.AliasEvent):
        raise _refusal(event, "an alias")
    if getattr(event, "anchor", None) is not None:
        raise _refusal(event, "an anchor")
    if getattr(event, "tag", None) is not None:
        raise _refusal(event, "a tag")


def _key(event: yaml.Event) -> str:
    _refuse_features(event)
    key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
    if not isinstance(key, str):
        raise FormatError("a key that is not text", where=f"line {_line(event)}", mend="put it in quotes")
    return key


def _scalar(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    text: str = event.value
    if event.style in ("'", '"'):
        return text
    if event.style in ("|", ">"):
        raise _refusal(event, "block text")
    if text in _LITERALS:
        return _LITERALS[text]
    if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
        return _number(text, _line(event))
    if not text or _NOT_TEXT.fullmatch(text):
        shown = f"'{text[:32]}'" if text else "an empty value"
        what = f"{shown} means different things to different readers"
        number = "write a number as 0.5 or 1.0e-07, or " if text[:1] in _OF_NUMBERS else ""
        raise FormatError(what, where=f"line {_line(event)}", mend=f"{number}put it in quotes")
    return text


def _number(text: str, line: int) -> int | float:
    if "." in text:
        number = float(text)
        if not math.isfinite(number):
            raise FormatError("a number that is too large", where=f"line {line}")
        return number
    if len(text) > _INTEGER_CHARACTERS_MAX or abs(int(text)) > INTEGER_MAX:
        raise FormatError("an integer of 2^53 or more", where=f"line {line}")
    return int(text)


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _refusal(event: yaml.Event, what: str) -> FormatError:
    return FormatError(f"{what} is not allowed here", where=f"line {_line(event)}", mend="write the value out")
