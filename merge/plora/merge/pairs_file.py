"""Question and answer pairs in a file of JSON lines, one object a line.

    {"question": "What is 2 + 2?", "answer": "4"}

Rules:

- `question` and `answer` are text with something in it; other keys of an object are passed over, so that a pair may say
  where it is from. Empty lines are passed over, too.
- Whatever else stands there is refused with file and line: a pair that is silently left out would change the result.

Not handled: which pairs to take, and whether training saw them.

>>> parse_pairs(b'{"question": "What is 2 + 2?", "answer": "4", "domain": "arithmetic"}', "pairs.jsonl")
(('What is 2 + 2?', '4'),)
>>> parse_pairs(b'\\n{"question": "Why?"}', "pairs.jsonl")
Traceback (most recent call last):
    ...
plora.proto.errors.ConfigError: pairs.jsonl, line 2: has no "answer" in text; write {"question": …, "answer": …}
"""

from __future__ import annotations

import json
from pathlib import Path

from plora.base.prompts import Pair
from plora.proto.errors import ConfigError

PAIRS_BYTES_MAX = 64 << 20
MEND = 'write {"question": …, "answer": …}'


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """The pairs (question, answer) of a file, in its order. Raises ConfigError with file and line."""
    try:
        with path.open("rb") as file:
            data = file.read(PAIRS_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(error.strerror or "can't be read", where=str(path)) from error
    if len(data) > PAIRS_BYTES_MAX:
        raise ConfigError(f"is over {PAIRS_BYTES_MAX >> 20} MiB", where=str(path), mend="give a sample of it")
    return parse_pairs(data, str(path))


def parse_pairs(data: bytes, where: str) -> tuple[Pair, ...]:
    """The pairs in `data`, which lay at `where`. Raises ConfigError with the line."""
    lines = enumerate(data.split(b"\n"), start=1)
    pairs = tuple(_pair(line, f"{where}, line {number}") for number, line in lines if line.strip())
    if not pairs:
        raise ConfigError("has no pairs", where=where, mend=MEND)
    return pairs


def _pair(line: bytes, where: str) -> Pair:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError("is not JSON in UTF-8", where=where, mend=MEND) from error
    if not isinstance(found, dict):
        raise ConfigError("is not a JSON object", where=where, mend=MEND)
    missing = next((key for key in ("question", "answer") if not _is_text(found.get(key))), None)
    if missing is not None:
        raise ConfigError(f'has no "{missing}" in text', where=where, mend=MEND)
    return found["question"], found["answer"]


def _is_text(value: object) -> bool:
    """Whether it says something. Half a character, which JSON can write by its number, is no text."""
    return isinstance(value, str) and bool(value.strip()) and value == value.encode(errors="ignore").decode()
