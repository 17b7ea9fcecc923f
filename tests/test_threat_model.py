"""docs/threat-model.md promises what a test shows: each test that it names exists, each stage and claim names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from plora.gate.pipeline import STAGES

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/threat-model.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = {row.split("|")[1].strip(): row for row in PAGE.splitlines() if row.startswith("| ")}
CLAIMS = [f"C{number}" for number in range(1, 8)]


@cache
def functions_of(path: str) -> set[str]:
    """The names of all functions in a file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_mention_of_a_test_is_read() -> None:
    assert PAGE.count("::test_") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE)) > 0


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_named_test_exists(path: str, name: str) -> None:
    assert name in functions_of(path)


@pytest.mark.parametrize("row", [*(stage.name for stage in STAGES), *CLAIMS])
def test_every_stage_and_every_claim_names_its_tests(row: str) -> None:
    assert "::test_" in ROWS[row], f"docs/threat-model.md: {row}"
