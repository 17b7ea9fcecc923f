"""The files that steps leave: read for checks, hashed, and put in their places whole.

Rules:

- A document is what checks look at: JSON, rows of JSONL, the counts of a JUnit file, YAML, without provenance.
- `file_digest` is of bytes, of a folder of all that is in it. `result_digest` is of the document without the fields
  that tell times, of bytes where there is no document: two runs of the same work have the same one.
- A file or folder is moved into its place in one step, over what was there.

Not handled here: what must be in a document (`plora.lab.experiment.checks`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from plora.lab.experiment.config import digest
from plora.lab.experiment.provenance import KEY

BLOCK_BYTES = 1 << 20
COUNTS = ("tests", "failures", "errors", "skipped")


def read_document(path: Path) -> Any:
    """The document of a file by its suffix; None where it has none. Raises ValueError for a file that is broken."""
    reader = READERS.get(path.suffix)
    return reader(path) if reader else None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's names and files, in hexadecimal."""
    if path.is_dir():
        return digest({one.relative_to(path).as_posix(): file_digest(one) for one in _files(path)})
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()


def result_digest(path: Path, aside: Collection[str] = (), *, any_order: bool = False) -> str:
    """SHA-256 of what a file or folder says, fields named in `aside` left out wherever they stand.

    Of a list in `any_order` it is the same whichever row stands first.
    """
    if path.is_dir():
        return digest({one.relative_to(path).as_posix(): result_digest(one, aside) for one in _files(path)})
    document = read_document(path)
    if document is None:
        return file_digest(path)
    said = _without(document, aside)
    return digest(sorted(map(digest, said)) if any_order else said)


def put_in_place(draft: Path, final: Path) -> None:
    """Move a file or folder to where it belongs; what was there is replaced."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if draft.is_dir() and final.exists():
        old = final.with_name(f".{final.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        final.replace(old)
        draft.replace(final)
        shutil.rmtree(old)
        return
    draft.replace(final)


def remove(path: Path) -> bool:
    """Take a file or folder away; whether it was there."""
    if path.is_dir():
        shutil.rmtree(path)
        return True
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file())


def _without(document: Any, aside: Collection[str]) -> Any:
    if isinstance(document, dict):
        return {name: _without(value, aside) for name, value in document.items() if name not in aside}
    if isinstance(document, list):
        return [_without(one, aside) for one in document]
    return document


def _json(path: Path) -> Any:
    document = json.loads(path.read_text("utf-8"))
    if isinstance(document, dict) and _is_stamp(document.get(KEY)):
        del document[KEY]
    return document


def _rows(path: Path) -> list[Any]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [row for row in rows if not (isinstance(row, dict) and set(row) == {KEY})]


def _is_stamp(value: Any) -> bool:
    """Whether it is a stamp: a calibration has a field of that name, too."""
    return isinstance(value, dict) and "config_hash" in value


def _counts(path: Path) -> dict[str, int]:
    """How many tests a JUnit file tells of, failed, broke and were left out."""
    suites = ET.parse(path).getroot().iter("testsuite")  # noqa: S314  written by our own pytest
    found = [[int(suite.get(name, 0)) for name in COUNTS] for suite in suites]
    return dict(zip(COUNTS, (sum(column) for column in zip(*found, strict=True)), strict=True))


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


READERS = {".json": _json, ".jsonl": _rows, ".xml": _counts, ".yml": _yaml}
