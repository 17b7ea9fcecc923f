"""Files of question and answer pairs: read as they stand, or refused with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plora.merge.pairs_file import PAIRS_BYTES_MAX, read_pairs
from plora.proto.errors import ConfigError


def test_pairs_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    pairs = [("Wo?", "Zürich"), ("What\u2028now?", "line\nbreak"), ("Wo?", "Zürich")]
    lines = [
        json.dumps({"question": q, "answer": a, "id": 7}, ensure_ascii=place < 1) for place, (q, a) in enumerate(pairs)
    ]
    file.write_text("\r\n".join(lines) + "\n\n", "utf-8")
    assert read_pairs(file) == tuple(pairs)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"question: Why?", "is not JSON in UTF-8"),
        (b"\xff", "is not JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON in UTF-8"),
        (b"[]", "is not a JSON object"),
        (b'{"answer": "So"}', 'has no "question" in text'),
        (b'{"question": "Why?", "answer": 4}', 'has no "answer" in text'),
        (b'{"question": "Why?", "answer": " "}', 'has no "answer" in text'),
        (b'{"question": "Why?", "answer": "\\ud800"}', 'has no "answer" in text'),
    ],
)
def test_what_is_no_pair_is_named_by_its_line(tmp_path: Path, line: bytes, says: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b'{"question": "Why?", "answer": "So"}\n\n' + line + b"\n")
    with pytest.raises(ConfigError) as refused:
        read_pairs(file)
    assert str(refused.value) == f'{file}, line 3: {says}; write {{"question": …, "answer": …}}'


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        read_pairs(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ConfigError, match="has no pairs"):
        read_pairs(tmp_path / "empty")
    with (tmp_path / "long").open("wb") as file:
        file.truncate(PAIRS_BYTES_MAX + 1)
    with pytest.raises(ConfigError, match="is over 64 MiB"):
        read_pairs(tmp_path / "long")
